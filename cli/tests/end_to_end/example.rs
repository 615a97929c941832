//! The first example, from its Python producer to its counts, on the embedded broker, with a kill in between.

use crate::command::{Running, example};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The Python that has Kafka's client, made by the script unless `make test` has said where it is.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("MILLRACE_PYTHON") {
        return python.into();
    }
    let made = Command::new("../scripts/python-env.sh").output().expect("bash");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8_lossy(&made.stdout).trim().into()
}

fn produce(kafka: &str, file: &str) {
    let producer = Command::new(python())
        .args([&example("producer.py"), "--kafka", kafka, "--file", file])
        .output()
        .expect("the producer starts");
    assert!(producer.status.success(), "{}", String::from_utf8_lossy(&producer.stderr));
}

/// Committed rows of processed-events, until there are `count`; in order.
fn counts(job: &Running, count: usize) -> Vec<serde_json::Value> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &job.kafka)
        .set("group.id", "example-test")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    consumer.subscribe(&["processed-events"]).expect("subscribed");
    let mut rows = Vec::new();
    job.await_answer("complete output", || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            rows.push(serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON"));
        }
        (rows.len() >= count).then_some(())
    });
    in_order(rows)
}

fn in_order(mut rows: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    rows.sort_by_key(|row| (row["window_start"].to_string(), row["action"].to_string()));
    rows
}

#[test]
fn disordered_events_are_counted_in_their_own_minutes_even_if_the_job_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = std::fs::read_to_string(example("expected-output.jsonl")).expect("the expected output");
    let expected: Vec<serde_json::Value> =
        expected.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let manifest = example("event-time.yaml");

    let job = Running::start(folder.path(), &[&manifest]);
    job.await_ready();
    produce(&job.kafka, &example("sample-data.jsonl"));
    job.await_answer("committed event", || job.status()?["sourceRecords"].as_u64().filter(|records| *records > 0));
    job.kill();

    let job = Running::start(folder.path(), &[&manifest]);
    job.await_ready();
    assert_eq!(counts(&job, expected.len()), in_order(expected));
    assert!(job.get("/metrics").is_some_and(|text| text.contains("millrace_commits_total")), "{}", job.log());
    assert_eq!(job.stop(), Some(0));
}
