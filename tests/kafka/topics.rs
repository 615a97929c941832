//! What others do to a job's topics while it runs or is down: their settings are changed, replicas are missing, records
//! that it has not read are deleted. It says so by a reason, goes on by itself where it can, and loses nothing in
//! silence.

use super::commits::Run;
use super::events::{
    Difference, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second, window_rows,
};
use super::harness::wire::{config, set_config};
use super::harness::{Job, Kafka, OwnBroker, Workers};
use super::images::log_topic;
use millrace_broker::{ApiKey, ResponseError};
use serde_json::{Value, json};

/// A job that looks at its topics' settings all the time.
fn create(job: &Job) -> Workers<'_> {
    let workers = Workers::create(job);
    workers.adjust(|job| job["topicCheckInterval"] = json!({"secs": 0, "nanos": 100_000_000}));
    workers
}

/// The message of a warning in a status.
fn warning(status: &Value, reason: &str) -> Option<String> {
    let warnings = status["warnings"].as_array()?;
    let found = warnings.iter().find(|warning| warning["reason"] == reason)?;
    Some(found["message"].as_str()?.to_owned())
}

#[test]
fn settings_that_would_lose_state_are_put_right_while_the_job_runs_and_when_it_starts() {
    let Some(kafka) = Kafka::apache("settings") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = create(&job);
    let worker = workers.start(1, 0, 1);
    worker.wait_until_running();
    let log = log_topic(&kafka);
    let value = |setting: &str| config(kafka.bootstrap(), &log, setting);
    for (setting, wrong, right) in [
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1000000", "-1"),
        ("cleanup.policy", "compact", "delete"),
    ] {
        set_config(kafka.bootstrap(), &log, setting, wrong).expect("anybody may");
        worker.until(&format!("{setting} to be put right"), || (value(setting) == right).then_some(()));
    }
    worker.stop().assert_code(0);
    set_config(kafka.bootstrap(), &log, "retention.ms", "604800000").expect("anybody may");
    let worker = workers.start(1, 0, 1);
    worker.wait_until_running();
    assert_eq!(value("retention.ms"), "-1");
    worker.stop().assert_code(0);
}

#[test]
fn settings_that_the_job_may_not_put_right_are_a_warning_and_stop_its_next_start() {
    let own = OwnBroker::start(&[("events", 2), ("counts", 2)]);
    let kafka = &own.kafka;
    let job = Job::new(kafka, "job", &counts_per_second("events", "counts", NEVER_IDLE));
    let workers = create(&job);
    let worker = workers.start(1, 0, 1);
    worker.wait_until_running();
    let log = log_topic(kafka);
    worker.until("the setting to be wrong when nobody may change it any more", || {
        own.faults().clear();
        set_config(kafka.bootstrap(), &log, "retention.ms", "604800000").expect("it is not refused yet");
        own.faults().refuse(ApiKey::IncrementalAlterConfigs, ResponseError::TopicAuthorizationFailed);
        (config(kafka.bootstrap(), &log, "retention.ms") != "-1").then_some(())
    });
    let message = worker.until_status("a warning", |status| warning(status, "LogNotKept"));
    assert!(message.contains(&log) && message.contains("has retention.ms=604800000"), "{message}");
    assert!(message.contains("--add-config retention.ms=-1"), "{message}");
    // It is not lost yet.
    worker.until_next_commits(2);
    worker.stop().assert_code(0);

    let ended = workers.start(1, 0, 1).wait();
    ended.assert_code(1);
    let left = workers.reason("worker-0-1");
    assert_eq!(left["reason"], "LogNotKept", "{left}");
    own.faults().clear();
    let worker = workers.start(1, 0, 1);
    worker.wait_until_running();
    assert_eq!(config(kafka.bootstrap(), &log, "retention.ms"), "-1");
    worker.stop().assert_code(0);
    own.stop();
}

#[test]
fn a_job_whose_topics_lack_replicas_says_so_waits_and_goes_on_by_itself() {
    for refusal in [ResponseError::NotEnoughReplicas, ResponseError::NotEnoughReplicasAfterAppend] {
        let run = Run::new("200ms");
        run.faults().refuse(ApiKey::Produce, refusal);
        // First the commit is late, then its transaction is too old, and the worker has to begin again.
        let late = run.millrace.until_status("a warning", |status| warning(status, "NotEnoughReplicas"));
        assert!(late.contains("0 replicas in sync") && late.contains("min.insync.replicas wants 1"), "{late}");
        let waiting = |status: &Value| {
            let waits = status["phase"] == "Restarting" && status["problem"]["reason"] == "NotEnoughReplicas";
            waits.then(|| status["restarts"].as_u64())
        };
        let restarts = run.millrace.until_status("the worker to wait", waiting);
        assert_eq!(restarts, Some(1), "it waits, and does not start again and again");
        run.faults().clear();
        run.millrace.wait_until_running();
        let status = run.millrace.status().expect("it serves its status");
        assert_eq!((&status["problem"], warning(&status, "NotEnoughReplicas")), (&Value::Null, None), "{status}");
        run.finish();
    }
}

#[test]
fn records_of_a_source_that_are_gone_before_they_were_read_stop_the_job_and_reset_nothing() {
    let Some(kafka) = Kafka::apache("source-gone") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = create(&job);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 41), Windows::tumbling(1_000));
    let worker = workers.start(1, 0, 1);
    feed.send(6_000, |event| windows.add(event));
    worker.until_status("all to be read", |status| (status["sourceRecords"] == 6_000).then_some(()));
    worker.stop().assert_code(0);

    feed.send(1_000, |event| windows.add(event));
    let end = kafka.ends(&from)[&1];
    kafka.delete_records(&from, 1, end - 100).expect("deleted");
    // Starting again does not help either. What was complete before may still come out, whole.
    let complete = windows.rows();
    for _ in 0..2 {
        let ended = workers.start(1, 0, 1).wait();
        ended.assert_code(1);
        let left = workers.reason("worker-0-1");
        assert_eq!(left["reason"], "SourceRecordsGone", "{left}\n{}", ended.log);
        assert!(left["message"].as_str().is_some_and(|message| message.contains(&format!("{from}-1"))), "{left}");
        let fired = Difference::between(&complete, window_rows(&kafka.read(&to)));
        Difference { lost: Vec::new(), ..fired }.assert_none("windows that fired although records are missing");
    }
}

#[test]
fn records_of_a_source_that_are_gone_after_they_were_read_are_not_missed() {
    let Some(kafka) = Kafka::apache("source-read") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = create(&job);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 43), Windows::tumbling(1_000));
    let worker = workers.start(1, 0, 1);
    feed.send(6_000, |event| windows.add(event));
    worker.until_status("all to be read", |status| (status["sourceRecords"] == 6_000).then_some(()));
    worker.stop().assert_code(0);
    for (partition, end) in kafka.ends(&from) {
        kafka.delete_records(&from, partition, end).expect("deleted");
    }
    let worker = workers.start(1, 0, 1);
    feed.send(1_000, |event| windows.add(event));
    feed.send_sentinels();
    await_records(&kafka, &worker, &to, windows.rows().len());
    worker.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "windows");
}
