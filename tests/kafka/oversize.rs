//! Records that are larger than their topic takes, and batches of records that are.

use super::events::await_records;
use super::harness::{Errors, Job, Kafka, Workers};
use std::collections::BTreeSet;

/// Passes texts of any length on. Each has a number.
fn pass_through(from: &str, to: &str) -> String {
    format!(
        "CREATE TABLE texts (id BIGINT, t STRING) WITH ('connector' = 'kafka', 'topic' = '{from}', 'format' = 'json',
           'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE passed (id BIGINT, t STRING) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
         INSERT INTO passed SELECT id, t FROM texts;\n"
    )
}

/// Writes texts of these lengths, numbered from `first` on.
fn send(kafka: &Kafka, topic: &str, first: usize, lengths: impl IntoIterator<Item = usize>) {
    let producer = kafka.producer();
    for (n, length) in lengths.into_iter().enumerate() {
        let id = first + n;
        producer.send(topic, 0, None, &format!(r#"{{"id":{id},"t":"{}"}}"#, "x".repeat(length)));
    }
    producer.flush();
}

fn assert_ids(kafka: &Kafka, topic: &str, expected: impl IntoIterator<Item = i64>) {
    let records = kafka.read(topic);
    let found: Vec<i64> = records.iter().map(|record| record.json()["id"].as_i64().expect("an id")).collect();
    let expected: Vec<i64> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(expected));
}

#[test]
fn batches_are_no_larger_than_the_least_topic_takes() {
    let Some(kafka) = Kafka::apache("small-batches") else { return };
    let (from, to) = (kafka.topic("texts", 1), kafka.topic_of("passed", 1, 10_000));
    send(&kafka, &from, 0, std::iter::repeat_n(3_000, 500));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 500);
    let ended = millrace.stop();
    ended.assert_code(0);
    assert!(!ended.log.contains("restarting from the last commit"), "{}", ended.log);
    assert_ids(&kafka, &to, 0..500);
}

#[test]
fn a_row_larger_than_its_topic_takes_becomes_a_dead_letter_with_its_source() {
    let Some(kafka) = Kafka::apache("large-letter") else { return };
    let (from, to) = (kafka.topic("texts", 1), kafka.topic_of("passed", 1, 10_000));
    let dead = kafka.topic_of("dead", 1, 12_000);
    send(&kafka, &from, 0, [100, 11_000, 100, 50_000, 100]);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let job = job.errors(Errors { evaluate: "DeadLetter", ..Errors::FAIL }).dead_letters(&dead);
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 3);
    let letters = await_records(&kafka, &millrace, &dead, 2);
    millrace.stop().assert_code(0);
    assert_ids(&kafka, &to, [0, 2, 4]);
    for (letter, offset) in letters.iter().zip(["1", "3"]) {
        assert_eq!(letter.header("millrace.error.reason"), "evaluate");
        let message = letter.header("millrace.error.message");
        assert!(message.contains(&to) && message.contains("max.message.bytes"), "{message}");
        assert_eq!(letter.header("millrace.source.topic"), from);
        assert_eq!(letter.header("millrace.source.offset"), offset);
    }
    // The dead-letter topic takes the first as it came, and of the second the beginning.
    assert_eq!(letters[0].json()["id"], 1);
    assert!(letters[1].text().starts_with(r#"{"id":3,"t":"xxx"#) && letters[1].text().len() < 12_000);
    assert!(letters[1].header("millrace.value.bytes").parse::<usize>().expect("a number") > 50_000);
}

#[test]
fn a_row_larger_than_its_topic_takes_is_dropped_or_ends_the_job_as_the_manifest_says() {
    let Some(kafka) = Kafka::apache("large-drop") else { return };
    let (from, to) = (kafka.topic("texts", 1), kafka.topic_of("passed", 1, 10_000));
    send(&kafka, &from, 0, [100, 11_000, 100]);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let ended = job.start().wait();
    ended.assert_code(2);
    for part in [&to, "at most 10000 (max.message.bytes)", &format!("{from}-0 at offset 1"), "errors.evaluate"] {
        assert!(ended.log.contains(part), "{part} is not in\n{}", ended.log);
    }
    let job = job.errors(Errors { evaluate: "Drop", ..Errors::FAIL });
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 2);
    millrace.until_status("the failed row", |status| (status["failedRows"]["evaluate"] == 1).then_some(()));
    millrace.stop().assert_code(0);
    assert_ids(&kafka, &to, [0, 2]);
}

#[test]
fn a_topic_that_takes_less_from_one_moment_on_is_gone_on_with() {
    let Some(kafka) = Kafka::apache("less") else { return };
    let (from, to) = (kafka.topic("texts", 1), kafka.topic("passed", 1));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to)).errors(Errors { evaluate: "Drop", ..Errors::FAIL });
    let millrace = job.start();
    send(&kafka, &from, 0, [100]);
    await_records(&kafka, &millrace, &to, 1);
    kafka.set_max_message_bytes(&to, 10_000);
    send(&kafka, &from, 1, [11_000, 3_000, 3_000, 3_000, 3_000]);
    await_records(&kafka, &millrace, &to, 5);
    let ended = millrace.stop();
    ended.assert_code(0);
    assert!(ended.log.contains("max.message.bytes has changed since the start"), "{}", ended.log);
    assert_ids(&kafka, &to, [0, 2, 3, 4, 5]);
}

#[test]
fn values_above_kafkas_default_pass_through_exchange_log_and_sink_of_topics_that_take_them() {
    let Some(kafka) = Kafka::apache("large-values") else { return };
    let (from, to) = (kafka.topic_of("texts", 2, 8 << 20), kafka.topic_of("greatest", 1, 8 << 20));
    let sql = format!(
        "CREATE TABLE texts (k STRING, t STRING, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts)
           WITH ('connector' = 'kafka', 'topic' = '{from}', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
           'scan.watermark.idle-timeout' = '0');
         CREATE TABLE greatest (k STRING, t STRING)
           WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
         INSERT INTO greatest SELECT k, MAX(t) FROM TABLE(TUMBLE(TABLE texts, DESCRIPTOR(ts), INTERVAL '1' SECOND))
           GROUP BY window_start, window_end, k;\n"
    );
    let job = Job::new(&kafka, "job", &sql);
    let workers = Workers::create(&job);
    let producer = kafka.producer();
    let mut random = super::harness::Random::new(7);
    let keys = ["a", "b", "c", "d", "e", "f"];
    // Not to be compressed, or the exchange would make little of them.
    let mut text = || (0..1_500_000).map(|_| char::from(b'a' + random.below(0..26) as u8)).collect::<String>();
    for (n, key) in keys.iter().enumerate() {
        let json = format!(r#"{{"k":"{key}","t":"{}","ms":1748736000000}}"#, text());
        producer.send(&from, (n % 2) as i32, None, &json);
    }
    let both = workers.start_all(1, 2);
    both[0].until_next_commits(2);
    (0..2).for_each(|partition| {
        producer.send(&from, partition, None, r#"{"k":"sentinel","t":"","ms":1748736100000}"#);
    });
    producer.flush();
    let rows = await_records(&kafka, &both[0], &to, keys.len());
    for worker in both {
        let ended = worker.stop();
        ended.assert_code(0);
        assert!(!ended.log.contains("restarting from the last commit"), "{}", ended.log);
    }
    let found: BTreeSet<_> = rows.iter().map(|row| row.json()["k"].as_str().expect("a key").to_owned()).collect();
    assert_eq!(found, keys.map(str::to_owned).into());
    assert!(rows.iter().all(|row| row.text().len() > 1_500_000), "values are whole");
    for topic in kafka.own_topics().iter().filter(|topic| topic.ends_with(".log") || topic.contains(".x.")) {
        assert_eq!(kafka.max_message_bytes(topic), 8 << 20, "{topic}");
    }
}

#[test]
fn a_log_that_takes_too_little_is_named_before_anything_is_lost() {
    let Some(kafka) = Kafka::apache("small-log") else { return };
    let (from, to) = (kafka.topic("texts", 1), kafka.topic("passed", 1));
    send(&kafka, &from, 0, [100]);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 1);
    millrace.stop().assert_code(0);
    let log = kafka.own_topics().into_iter().find(|topic| topic.ends_with(".log")).expect("the job has one");
    kafka.set_max_message_bytes(&log, 100_000);
    let ended = job.start().wait();
    ended.assert_code(1);
    let said = format!("{log} has max.message.bytes=100000");
    assert!(ended.log.contains(&said) && ended.log.contains("kafka-configs --alter"), "{}", ended.log);
}
