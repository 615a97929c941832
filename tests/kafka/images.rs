//! Images in the task logs: a log stays short under load because it is cut for them, and a worker whose volume is
//! lost comes back from one, also when the last one was interrupted. What comes out is what the oracle says.

use super::events::{Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::events::{events_table, window_query, windows_table};
use super::harness::{Job, Kafka, Millrace, Workers};
use millrace_protocol::record::LogRecord;
use serde_json::json;

/// The topic of the job's task logs.
pub(super) fn log_topic(kafka: &Kafka) -> String {
    kafka.own_topics().into_iter().find(|topic| topic.ends_with(".log")).expect("the job has a log")
}

/// A job whose images are due after a few commits.
pub(super) fn create(job: &Job) -> Workers<'_> {
    let workers = Workers::create(job);
    workers.adjust(|job| {
        job["checkpointInterval"] = json!({"secs": 0, "nanos": 400_000_000});
        job["images"] = json!({"tailBytesMin": 20_000, "tailBytesPerStateByte": 2, "bytesPerEpoch": 1 << 20});
    });
    workers
}

/// Sends events until every task's log was cut beyond this, and returns where the logs start then.
pub(super) fn feed_until_cut(kafka: &Kafka, worker: &Millrace, beyond: i64, mut send: impl FnMut()) -> Vec<i64> {
    let log = log_topic(kafka);
    worker.until(&format!("the logs to be cut beyond {beyond}"), || {
        send();
        let starts: Vec<i64> = kafka.starts(&log).into_values().collect();
        starts.iter().all(|&start| start > beyond).then_some(starts)
    })
}

#[test]
fn a_log_stays_short_under_load_and_gives_a_lost_volume_back_from_an_image() {
    let Some(kafka) = Kafka::apache("images") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = create(&job);
    let first = workers.start(1, 0, 1);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 11), Windows::tumbling(1_000));
    let mut starts = vec![0];
    let mut longest = 0;
    for _ in 0..4 {
        let beyond = *starts.iter().max().expect("two tasks");
        starts = feed_until_cut(&kafka, &first, beyond, || {
            feed.send(400, |event| windows.add(event));
            let (log, mut ends) = (log_topic(&kafka), kafka.ends(&log_topic(&kafka)));
            kafka.starts(&log).iter().for_each(|(partition, start)| *ends.entry(*partition).or_default() -= start);
            longest = longest.max(ends.into_values().max().unwrap_or(0));
        });
    }
    // Since then each log was written to as much again, several times.
    let written = kafka.ends(&log_topic(&kafka)).into_values().min().expect("two tasks");
    println!("the longest log had {longest} records, of {written} written in the end");
    assert!(longest < written, "{longest} records in a log, of {written} written");
    let status = first.status().expect("it serves its status");
    assert!(status["images"].as_u64() >= Some(8) && status["lastImageBytes"].as_i64() > Some(0), "{status}");
    assert!(status["lastImage"].is_i64() && status["logTailBytes"].is_i64(), "{status}");
    first.kill();

    let second = workers.start_in("new-volume", 1, 0, 1);
    second.wait_until_running();
    let status = second.status().expect("it serves its status");
    assert_eq!(status["restore"]["tasksFromImage"], 2, "{status}");
    assert!(status["restore"]["imageBytes"].as_u64() > Some(0), "{status}");
    second.wait_for_log("loaded images from the task logs");
    feed.send(2_000, |event| windows.add(event));
    feed.send_sentinels();
    await_records(&kafka, &second, &to, windows.rows().len());
    second.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "windows after a volume was lost");
}

/// What a log says of images, as its committed records come.
#[derive(Default)]
struct Seen {
    complete: u64,
    /// Parts of one that is not complete.
    open: u32,
}

impl Seen {
    fn read(&mut self, record: &[u8]) {
        if let Ok(LogRecord::Image(part)) = LogRecord::decode(record) {
            match part.last {
                Some(_) => (self.complete, self.open) = (self.complete + 1, 0),
                None => self.open = part.part + 1,
            }
        }
    }
}

#[test]
fn a_worker_killed_in_the_middle_of_an_image_comes_back_from_the_one_before() {
    let Some(kafka) = Kafka::apache("half-image") else { return };
    let (from, to) = (kafka.topic("events", 1), kafka.topic("counts", 1));
    // Windows of an hour with a key of its own for each event: a state of several parts, one to a transaction.
    let query = window_query("counts", "TUMBLE", "INTERVAL '1' HOUR");
    let sql = format!("{}{}{query}", events_table(&from, NEVER_IDLE), windows_table("counts", &to));
    let job = Job::new(&kafka, "job", &sql);
    let workers = create(&job);
    workers.adjust(|job| job["images"]["bytesPerEpoch"] = json!(1));
    let (producer, mut sent, mut windows) = (kafka.producer(), 0, Windows::tumbling(3_600_000));
    let mut send = |windows: &mut Windows, count: u64| {
        for id in sent..sent + count {
            let event = Event::new(id, &format!("a key that is long enough to take some space: {id}"), 1, 1_000);
            producer.send(&from, 0, None, &event.json());
            windows.add(&event);
        }
        sent += count;
        producer.flush();
    };
    send(&mut windows, 40_000);
    let first = workers.start(1, 0, 1);
    let mut log = kafka.reader(&log_topic(&kafka));
    let mut seen = Seen::default();
    first.until("an image after a complete one", || {
        send(&mut windows, 500);
        log.poll_values(100_000, |record| seen.read(record));
        (seen.complete > 0 && seen.open > 0).then_some(())
    });
    first.kill();
    let seen = {
        let mut seen = Seen::default();
        kafka.read(&log_topic(&kafka)).iter().for_each(|record| seen.read(record.payload.as_deref().unwrap_or(&[])));
        seen
    };
    println!("{} complete images are left, and {} parts of another", seen.complete, seen.open);
    assert!(seen.open > 0, "the worker was killed too late");

    let second = workers.start_in("new-volume", 1, 0, 1);
    second.wait_until_running();
    let status = second.status().expect("it serves its status");
    assert_eq!(status["restore"]["tasksFromImage"], 1, "{status}");
    send(&mut windows, 1_000);
    let sentinel = Event::sentinel(7_200_000);
    producer.send(&from, 0, None, &sentinel.json());
    producer.flush();
    await_records(&kafka, &second, &to, windows.rows().len());
    second.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "windows after half an image");
}
