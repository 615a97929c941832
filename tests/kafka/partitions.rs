//! Topics whose partitions become more, before a job and while it runs; and a topic that was deleted and
//! made again, which no position fits any more.

use super::events::{Difference, events_table};
use super::harness::{Job, Kafka, Millrace, Producer, Record};
use std::collections::BTreeMap;

fn pass_through(from: &str, to: &str) -> String {
    format!(
        "{}CREATE TABLE passed (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');\n\
         INSERT INTO passed SELECT id FROM events;\n",
        events_table(from, ", 'scan.topic-partition-discovery.interval' = '1 s'")
    )
}

/// Writes the events with these numbers, spread over the partitions.
fn send(producer: &Producer, topic: &str, partitions: i32, ids: std::ops::Range<i32>) {
    for id in ids {
        producer.send(topic, id % partitions, None, &format!(r#"{{"id":{id},"k":"k","v":1,"ms":1750000000000}}"#));
    }
    producer.flush();
}

fn await_ids(kafka: &Kafka, millrace: &Millrace, topic: &str, count: usize) {
    super::events::await_records(kafka, millrace, topic, count);
}

fn assert_ids(records: &[Record], count: i32) {
    let expected: BTreeMap<i64, ()> = (0..i64::from(count)).map(|id| (id, ())).collect();
    let found = records.iter().map(|record| (record.json()["id"].as_i64().expect("an id"), ()));
    Difference::between(&expected, found).assert_none("records");
}

#[test]
fn partitions_added_to_a_running_job_are_read_exactly_once() {
    let Some(kafka) = Kafka::apache("grow") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("passed", 2));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    // The producer learns of new partitions when it is made.
    send(&kafka.producer(), &from, 4, 0..1_000);
    let millrace = job.start();
    await_ids(&kafka, &millrace, &to, 1_000);

    kafka.grow(&from, 8);
    send(&kafka.producer(), &from, 8, 1_000..3_000);
    await_ids(&kafka, &millrace, &to, 3_000);
    millrace.kill();

    send(&kafka.producer(), &from, 8, 3_000..4_000);
    let millrace = job.start();
    await_ids(&kafka, &millrace, &to, 4_000);
    let partitions = |status: &serde_json::Value| (status["partitions"].as_array()?.len() == 8).then_some(());
    millrace.until_status("all partitions to be known", partitions);
    millrace.stop().assert_code(0);
    assert_ids(&kafka.read(&to), 4_000);
}

#[test]
fn partitions_added_while_the_job_is_down_are_read_from_their_beginning_when_it_is_back() {
    let Some(kafka) = Kafka::apache("grow-down") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("passed", 1));
    // Where the job starts is for what was there then: of what was added since, nothing may be left out.
    let sql = pass_through(&from, &to).replace("'earliest-offset'", "'latest-offset'");
    let job = Job::new(&kafka, "job", &sql);
    let millrace = job.start();
    millrace.until_next_commits(1);
    send(&kafka.producer(), &from, 2, 0..100);
    await_ids(&kafka, &millrace, &to, 100);
    millrace.stop().assert_code(0);

    kafka.grow(&from, 5);
    send(&kafka.producer(), &from, 5, 100..600);
    let millrace = job.start();
    await_ids(&kafka, &millrace, &to, 600);
    send(&kafka.producer(), &from, 5, 600..1_000);
    await_ids(&kafka, &millrace, &to, 1_000);
    millrace.kill();
    let millrace = job.start();
    let partitions = |status: &serde_json::Value| (status["partitions"].as_array()?.len() == 5).then_some(());
    millrace.until_status("all partitions to be known", partitions);
    millrace.stop().assert_code(0);
    assert_ids(&kafka.read(&to), 1_000);
}

#[test]
fn a_new_job_takes_a_topic_as_large_as_it_has_become() {
    let Some(kafka) = Kafka::apache("grown") else { return };
    let (from, first, second) = (kafka.topic("events", 4), kafka.topic("first", 1), kafka.topic("second", 1));
    send(&kafka.producer(), &from, 4, 0..1_000);
    let small = Job::new(&kafka, "small", &pass_through(&from, &first));
    let millrace = small.start();
    await_ids(&kafka, &millrace, &first, 1_000);
    millrace.stop().assert_code(0);

    kafka.grow(&from, 8);
    send(&kafka.producer(), &from, 8, 1_000..2_000);
    let large = Job::new(&kafka, "large", &pass_through(&from, &second));
    let millrace = large.start();
    millrace.wait_for_log("tasks=8");
    await_ids(&kafka, &millrace, &second, 2_000);
    millrace.stop().assert_code(0);
    assert_ids(&kafka.read(&second), 2_000);
}

#[test]
fn a_topic_made_again_under_a_running_job_stops_it() {
    let Some(kafka) = Kafka::apache("remade-under") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("passed", 1));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    send(&kafka.producer(), &from, 2, 0..100);
    let millrace = job.start();
    await_ids(&kafka, &millrace, &to, 100);
    // It must not see the moment in which there is none.
    millrace.signal("STOP");
    kafka.delete(&from);
    kafka.create(&from, 2);
    send(&kafka.producer(), &from, 2, 0..200);
    millrace.signal("CONT");
    let ended = millrace.wait();
    ended.assert_code(1);
    assert!(ended.log.contains(&from), "{}", ended.log);
    let again = job.start().wait();
    again.assert_code(1);
    assert!(again.log.contains("made again"), "{}", again.log);
    assert_ids(&kafka.read(&to), 100);
}

#[test]
fn a_topic_made_again_with_fewer_partitions_stops_the_job_and_resets_nothing() {
    let Some(kafka) = Kafka::apache("remade") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("passed", 1));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    send(&kafka.producer(), &from, 4, 0..1_000);
    let millrace = job.start();
    await_ids(&kafka, &millrace, &to, 1_000);
    millrace.stop().assert_code(0);

    kafka.delete(&from);
    kafka.create(&from, 2);
    send(&kafka.producer(), &from, 2, 0..1_000);
    // Twice, since the first attempt could have changed what the second finds.
    for _ in 0..2 {
        let ended = job.start().wait();
        ended.assert_code(1);
        assert!(ended.log.contains("made again"), "{}", ended.log);
        assert!(ended.log.contains(&from), "{}", ended.log);
    }
    assert_ids(&kafka.read(&to), 1_000);

    // What the message advises: anew, it reads the new topic from its beginning.
    let other = kafka.topic("anew", 1);
    let job = Job::new(&kafka, "anew", &pass_through(&from, &other));
    let millrace = job.start_in("state", &["--discard-state"]);
    await_ids(&kafka, &millrace, &other, 1_000);
    millrace.stop().assert_code(0);
    assert_ids(&kafka.read(&other), 1_000);
}
