//! Records that are not what the table says: to the dead letters, dropped, or the end of the job.

use super::events::{Difference, await_records, events_table};
use super::harness::{Errors, Job, Kafka, Record};
use std::collections::BTreeMap;

/// Not JSON, JSON cut short, and a value of another type.
const POISON: [&str; 3] = ["\u{0}\u{1}poison", r#"{"id":7,"k":"#, r#"{"id":{"a":1},"k":"x","v":1,"ms":1750000000000}"#];

struct Poisoned {
    kafka: Kafka,
    from: String,
    to: String,
    dead: String,
    sql: String,
}

impl Poisoned {
    /// Ten good records, each poison with one more behind it, all in one partition.
    fn new(kafka: Kafka) -> Self {
        let (from, to) = (kafka.topic("events", 1), kafka.topic("passed", 1));
        let dead = kafka.topic("dead", 1);
        let sql = format!(
            "{}CREATE TABLE passed (id BIGINT, k STRING) WITH ('connector' = 'kafka', 'topic' = '{to}', \
             'format' = 'json');\nINSERT INTO passed SELECT id, k FROM events;\n",
            events_table(&from, "")
        );
        let producer = kafka.producer();
        let good = |id: usize| producer.send(&from, 0, None, &format!(r#"{{"id":{id},"k":"k","ms":1750000000000}}"#));
        (0..10).for_each(good);
        for (n, poison) in POISON.iter().enumerate() {
            producer.send(&from, 0, Some("key"), poison);
            good(10 + n);
        }
        producer.flush();
        Self { kafka, from, to, dead, sql }
    }

    fn job(&self, decode: &'static str) -> Job {
        Job::new(&self.kafka, "job", &self.sql).errors(Errors { decode, ..Errors::FAIL }).dead_letters(&self.dead)
    }

    fn assert_passed(&self, records: &[Record]) {
        let expected: BTreeMap<i64, ()> = (0..13).map(|id| (id, ())).collect();
        let found = records.iter().map(|record| (record.json()["id"].as_i64().expect("an id"), ()));
        Difference::between(&expected, found).assert_none("good records");
    }
}

#[test]
fn poison_records_become_dead_letters_as_they_came() {
    let Some(kafka) = Kafka::apache("poison-letter") else { return };
    let poisoned = Poisoned::new(kafka);
    let job = poisoned.job("DeadLetter");
    let millrace = job.start();
    await_records(&poisoned.kafka, &millrace, &poisoned.to, 13);
    let letters = await_records(&poisoned.kafka, &millrace, &poisoned.dead, 3);
    millrace.stop().assert_code(0);
    for (n, (letter, poison)) in letters.iter().zip(POISON).enumerate() {
        assert_eq!((letter.text().as_str(), letter.key_text().as_deref()), (poison, Some("key")));
        assert_eq!(letter.header("millrace.error.reason"), "decode");
        assert!(!letter.header("millrace.error.message").is_empty());
        assert_eq!(letter.header("millrace.source.topic"), poisoned.from);
        assert_eq!(letter.header("millrace.source.partition"), "0");
        assert_eq!(letter.header("millrace.source.offset"), (10 + 2 * n).to_string());
    }
    assert_eq!(poisoned.kafka.read(&poisoned.dead).len(), 3);
    poisoned.assert_passed(&poisoned.kafka.read(&poisoned.to));
}

#[test]
fn poison_records_are_dropped_and_counted() {
    let Some(kafka) = Kafka::apache("poison-drop") else { return };
    let poisoned = Poisoned::new(kafka);
    let job = poisoned.job("Drop");
    let millrace = job.start();
    await_records(&poisoned.kafka, &millrace, &poisoned.to, 13);
    millrace.until_status("three failed rows", |status| (status["failedRows"]["decode"] == 3).then_some(()));
    millrace.stop().assert_code(0);
    assert!(poisoned.kafka.read(&poisoned.dead).is_empty(), "a dropped record is no dead letter");
    poisoned.assert_passed(&poisoned.kafka.read(&poisoned.to));
}

#[test]
fn a_poison_record_ends_a_job_that_must_not_go_on_without_it() {
    let Some(kafka) = Kafka::apache("poison-fail") else { return };
    let poisoned = Poisoned::new(kafka);
    let job = poisoned.job("Fail");
    for _ in 0..2 {
        let ended = job.start().wait();
        ended.assert_code(2);
        let place = format!("record {}-0 at offset 10", poisoned.from);
        assert!(ended.log.contains(&place), "{place} is not in\n{}", ended.log);
        assert!(ended.log.contains("errors.decode"), "{}", ended.log);
    }

    // With the policy changed, the same job passes the record and has lost and doubled nothing.
    let job = job.errors(Errors { decode: "Drop", ..Errors::FAIL });
    let millrace = job.start();
    await_records(&poisoned.kafka, &millrace, &poisoned.to, 13);
    millrace.stop().assert_code(0);
    poisoned.assert_passed(&poisoned.kafka.read(&poisoned.to));
}
