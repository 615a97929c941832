//! Two processes that both believe that they are the job: one works, the other waits and says so, and what
//! comes out is exact, also when the one that worked wakes up after it was given up for dead.

use super::events::{Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka, Millrace};

const WAITING: &str = "this worker's place is held by another process that still commits";

struct Twins {
    kafka: Kafka,
    to: String,
    job: Job,
    feed: Feed,
    windows: Windows,
}

impl Twins {
    fn new(kafka: Kafka) -> Self {
        let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
        let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
        let feed = Feed::new(&kafka, &from, 9);
        Self { kafka, to, job, feed, windows: Windows::tumbling(1_000) }
    }

    fn send(&mut self, count: u64) {
        let windows = &mut self.windows;
        self.feed.send(count, |event: &Event| windows.add(event));
    }

    /// Waits until the process has read `count` records of the topic in its life.
    fn await_reading(millrace: &Millrace, count: u64) {
        millrace
            .until_status("records to be read", |status| (status["sourceRecords"].as_u64()? >= count).then_some(()));
    }

    fn finish(self, millrace: Millrace) {
        self.feed.send_sentinels();
        await_records(&self.kafka, &millrace, &self.to, self.windows.rows().len());
        millrace.stop().assert_code(0);
        assert_windows(&self.windows, &self.kafka.read(&self.to), "the windows of both processes");
    }
}

#[test]
fn a_second_process_waits_until_the_first_is_gone() {
    let Some(kafka) = Kafka::apache("twins") else { return };
    let mut twins = Twins::new(kafka);
    twins.send(5_000);
    let first = twins.job.start();
    Twins::await_reading(&first, 5_000);

    twins.job.copy_identity("other");
    let second = twins.job.start_in("other", &[]);
    second.wait_for_log(WAITING);
    twins.send(5_000);
    Twins::await_reading(&first, 10_000);
    let status = second.status().expect("it serves its status while it waits");
    assert_eq!((&status["phase"], &status["sourceRecords"]), (&"Restoring".into(), &0.into()));

    first.kill();
    twins.send(5_000);
    Twins::await_reading(&second, 5_000);
    twins.finish(second);
}

#[test]
fn a_process_that_slept_through_its_replacement_does_no_harm() {
    let Some(kafka) = Kafka::apache("zombie") else { return };
    let mut twins = Twins::new(kafka);
    twins.send(5_000);
    let first = twins.job.start();
    Twins::await_reading(&first, 5_000);
    twins.send(5_000);
    first.signal("STOP");

    twins.job.copy_identity("other");
    let second = twins.job.start_in("other", &[]);
    second.wait_until_running();
    twins.send(5_000);
    Twins::await_reading(&second, 5_000);

    first.signal("CONT");
    // Fenced, it starts again, finds its place taken, and waits.
    first.wait_for_log(WAITING);
    twins.send(5_000);
    twins.finish(second);
}
