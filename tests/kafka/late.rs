//! Events that come when their windows have fired, and events from a time that can't be.

use super::events::{BASE, Event, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Errors, Job, Kafka, Millrace, Producer};

/// A job whose first windows have fired.
struct Fired {
    kafka: Kafka,
    from: String,
    to: String,
    dead: String,
    producer: Producer,
    windows: Windows,
    millrace: Millrace,
    /// Its folder has to be there while it runs.
    _job: Job,
}

impl Fired {
    fn new(kafka: Kafka, late: &'static str) -> Self {
        let (from, to) = (kafka.topic("events", 1), kafka.topic("counts", 1));
        let dead = kafka.topic("dead", 1);
        let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE))
            .errors(Errors { late, evaluate: "DeadLetter", ..Errors::FAIL })
            .dead_letters(&dead);
        let producer = kafka.producer();
        let events: Vec<Event> = (0..10).map(|n| Event::new(n, "k", 1, n as i64 * 500)).collect();
        let closes = Event::new(10, "k", 1, 60_000);
        events.iter().chain([&closes]).for_each(|event| producer.send(&from, 0, None, &event.json()));
        producer.flush();
        let windows = Windows::tumbling(1_000).of(&events);
        let millrace = job.start();
        await_records(&kafka, &millrace, &to, windows.rows().len());
        let windows = windows.of([&closes]);
        Self { kafka, from, to, dead, producer, windows, millrace, _job: job }
    }

    fn send(&self, event: &Event) {
        self.producer.send(&self.from, 0, Some("key"), &event.json());
        self.producer.flush();
    }

    fn await_failed(&self, reason: &str) {
        self.millrace.until_status("a failed row", |status| (status["failedRows"][reason] == 1).then_some(()));
    }

    /// Closes the last window, and checks that the windows are what they were without the failed row.
    fn finish(self) {
        self.send(&Event::sentinel(3_600_000));
        await_records(&self.kafka, &self.millrace, &self.to, self.windows.rows().len());
        self.millrace.stop().assert_code(0);
        assert_windows(&self.windows, &self.kafka.read(&self.to), "windows");
    }
}

#[test]
fn late_events_are_dropped_and_counted() {
    let Some(kafka) = Kafka::apache("late-drop") else { return };
    let fired = Fired::new(kafka, "Drop");
    fired.send(&Event::new(11, "k", 1, 200));
    fired.await_failed("late");
    let metrics = fired.millrace.get("/metrics").expect("metrics are served");
    let counter = metrics.lines().find(|line| line.starts_with("millrace_failed_rows_total") && line.ends_with(" 1"));
    let counter = counter.unwrap_or_else(|| panic!("no counter of failed rows is 1:\n{metrics}"));
    assert!(counter.contains(r#"reason="Late""#) && counter.contains(r#"policy="Drop""#), "{counter}");
    fired.millrace.until_next_commits(1);
    assert!(fired.kafka.read(&fired.dead).is_empty(), "a dropped row is no dead letter");
    fired.finish();
}

#[test]
fn late_events_become_dead_letters_with_what_they_were() {
    let Some(kafka) = Kafka::apache("late-letter") else { return };
    let fired = Fired::new(kafka, "DeadLetter");
    let late = Event::new(11, "k", 1, 200);
    fired.send(&late);
    fired.await_failed("late");
    let letters = await_records(&fired.kafka, &fired.millrace, &fired.dead, 1);
    let letter = &letters[0];
    assert_eq!((letter.text(), letter.key_text()), (late.json(), Some("key".to_owned())));
    assert_eq!(letter.header("millrace.error.reason"), "late");
    assert_eq!(letter.header("millrace.source.topic"), fired.from);
    assert_eq!(letter.header("millrace.source.partition"), "0");
    assert_eq!(letter.header("millrace.source.offset"), "11");
    fired.finish();
}

#[test]
fn an_event_of_the_year_9999_closes_no_window() {
    let Some(kafka) = Kafka::apache("year-9999") else { return };
    let fired = Fired::new(kafka, "Fail");
    let far = Event::new(11, "k", 1, 253_402_300_799_000 - BASE);
    fired.send(&far);
    fired.await_failed("evaluate");
    let letters = await_records(&fired.kafka, &fired.millrace, &fired.dead, 1);
    assert_eq!(letters[0].text(), far.json());
    assert_eq!(letters[0].header("millrace.error.reason"), "evaluate");
    let message = letters[0].header("millrace.error.message");
    assert!(message.contains("9999"), "{message}");
    // Not late, as it would be if time had jumped ahead.
    let mut fired = fired;
    let next = Event::new(12, "k", 1, 60_100);
    fired.send(&next);
    fired.windows.add(&next);
    fired.finish();
}
