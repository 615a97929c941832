//! Topics that are deleted under a running job, or while it is down: each is named with its part in the job, with what
//! happened and what to do, and nothing is read in its place.

use super::events::{await_records, events_table};
use super::harness::{Job, Kafka, Producer, Workers};

fn pass_through(from: &str, to: &str) -> String {
    format!(
        "{}CREATE TABLE passed (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');\n\
         INSERT INTO passed SELECT id FROM events;\n",
        events_table(from, ", 'scan.topic-partition-discovery.interval' = '1 s'")
    )
}

fn send(producer: &Producer, topic: &str, ids: std::ops::Range<i32>) {
    for id in ids {
        producer.send(topic, 0, None, &format!(r#"{{"id":{id},"k":"k{id}","v":1,"ms":1750000000000}}"#));
    }
    producer.flush();
}

#[test]
fn a_source_deleted_under_a_running_job_ends_it_and_is_named_at_the_next_start_too() {
    let Some(kafka) = Kafka::apache("deleted-source") else { return };
    let (from, to) = (kafka.topic("events", 1), kafka.topic("passed", 1));
    send(&kafka.producer(), &from, 0..10);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 10);
    kafka.delete(&from);
    let ended = millrace.wait();
    ended.assert_code(1);
    for part in ["the source of table", &from, "was deleted while the job read it", "--discard-state"] {
        assert!(ended.log.contains(part), "{part} is not in\n{}", ended.log);
    }
    let ended = job.start().wait();
    ended.assert_code(2);
    for part in [&from, "does not exist", "it was deleted", "--discard-state"] {
        assert!(ended.log.contains(part), "{part} is not in\n{}", ended.log);
    }
}

#[test]
fn a_log_deleted_while_the_job_is_down_is_no_new_job() {
    let Some(kafka) = Kafka::apache("deleted-log") else { return };
    let (from, to) = (kafka.topic("events", 1), kafka.topic("passed", 1));
    send(&kafka.producer(), &from, 0..10);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to));
    let workers = Workers::create(&job);
    let worker = workers.start(1, 0, 1);
    await_records(&kafka, &worker, &to, 10);
    worker.stop().assert_code(0);
    let log = kafka.own_topics().into_iter().find(|topic| topic.ends_with(".log")).expect("the job has one");
    kafka.delete(&log);
    let ended = workers.start(1, 0, 1).wait();
    ended.assert_code(1);
    for part in [log.as_str(), "does not exist", "savepoint"] {
        assert!(ended.log.contains(part), "{part} is not in\n{}", ended.log);
    }
}

#[test]
fn an_exchange_deleted_under_running_workers_is_named_as_one() {
    let Some(kafka) = Kafka::apache("deleted-exchange") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 1));
    let job = Job::new(&kafka, "job", &super::events::counts_per_second(&from, &to, ""));
    let workers = Workers::create(&job);
    let both = workers.start_all(1, 2);
    both.iter().for_each(|worker| worker.until_next_commits(1));
    let exchange = kafka.own_topics().into_iter().find(|topic| topic.contains(".x.")).expect("the job has one");
    kafka.delete(&exchange);
    for worker in both {
        let ended = worker.wait();
        ended.assert_code(1);
        assert!(ended.log.contains(&exchange), "{}", ended.log);
        assert!(!ended.log.contains("the source of table"), "{}", ended.log);
    }
}
