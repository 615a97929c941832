//! The faults that a test can inject, as a client meets them.

use std::time::{Duration, Instant};

use millrace_broker::{ApiKey, ResponseError, Times};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;

use crate::client::*;
use crate::cluster::Embedded;

#[test]
fn a_held_commit_is_performed_when_it_is_released() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = transactional(cluster, "id");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..10);
    let hold = embedded.broker.faults().hold(ApiKey::EndTxn, Times::Next(1));
    let commit = std::thread::spawn(move || producer.commit_transaction(PATIENCE));
    embedded.wait("a commit to hold", hold.reached(1));
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..0));
    hold.release();
    commit.join().expect("it does not panic").expect("committed after all");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..10));
}

#[test]
fn a_held_commit_whose_client_has_repeated_it_ends_the_next_transaction() {
    let embedded = Embedded::start(|_| {});
    let (cluster, faults) = (&embedded.cluster, embedded.broker.faults());
    let topic = topic(cluster, 1, &[]);
    let producer = transactional(cluster, "id");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..10);
    let hold = faults.hold(ApiKey::EndTxn, Times::Next(1));
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| producer.commit_transaction(PATIENCE));
        embedded.wait("a commit to hold", hold.reached(1));
        faults.close_connections();
        commit.join().expect("it does not panic").expect("committed by its copy");
    });
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 10..20);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..10));
    // As in Apache Kafka up to this version of the request (KAFKA-17754).
    hold.release();
    eventually("the late copy to commit", || (read(cluster, &topic, 0, COMMITTED) == values(0..20)).then_some(()));
}

#[test]
fn a_delayed_commit_takes_that_long() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = transactional(cluster, "id");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..1);
    let delay = Duration::from_millis(300);
    embedded.broker.faults().delay(ApiKey::EndTxn, delay, Times::Next(1));
    let begun = Instant::now();
    producer.commit_transaction(PATIENCE).expect("committed");
    assert!(begun.elapsed() >= delay);
}

#[test]
fn a_lost_answer_to_a_produce_request_does_not_write_its_records_twice() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[("enable.idempotence", "true"), ("socket.timeout.ms", "500")]);
    send(&producer, &topic, 0, 0..5);
    embedded.broker.faults().drop_responses(ApiKey::Produce, Times::Next(1));
    send(&producer, &topic, 0, 5..10);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..10));
}

#[test]
fn a_lost_answer_to_a_commit_is_asked_for_again_and_commits_once() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = crate::client::producer(cluster, &[("transactional.id", "id"), ("socket.timeout.ms", "500")]);
    producer.init_transactions(PATIENCE).expect("the id is free");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..5);
    embedded.broker.faults().drop_responses(ApiKey::EndTxn, Times::Next(1));
    producer.commit_transaction(PATIENCE).expect("committed");
    assert!(embedded.broker.faults().seen(ApiKey::EndTxn) >= 2);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..5));
    assert_eq!(watermarks(cluster, &topic, COMMITTED), (0, 6), "one marker");
}

#[test]
fn a_lost_request_is_sent_again_by_the_client() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[("socket.timeout.ms", "500")]);
    embedded.broker.faults().drop_requests(ApiKey::Produce, Times::Next(1));
    send(&producer, &topic, 0, 0..10);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..10));
}

#[test]
fn clients_come_back_after_their_connections_are_closed() {
    let embedded = Embedded::start(|_| {});
    let cluster = &embedded.cluster;
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[("enable.idempotence", "true")]);
    send(&producer, &topic, 0, 0..10);
    embedded.broker.faults().close_connections();
    send(&producer, &topic, 0, 10..20);
    embedded.broker.faults().close_on(ApiKey::Produce, Times::Next(1));
    send(&producer, &topic, 0, 20..30);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..30));
}

#[test]
fn records_refused_for_want_of_replicas_are_written_once_when_there_are_enough() {
    for error in [ResponseError::NotEnoughReplicas, ResponseError::NotEnoughReplicasAfterAppend] {
        let embedded = Embedded::start(|_| {});
        let (cluster, faults) = (&embedded.cluster, embedded.broker.faults());
        let topic = topic(cluster, 1, &[]);
        let in_sync = || {
            let client: BaseConsumer = config(cluster).create().expect("a client");
            let metadata = client.fetch_metadata(Some(&topic), PATIENCE).expect("the broker answers");
            metadata.topics()[0].partitions()[0].isr().len()
        };
        let producer = producer(cluster, &[("enable.idempotence", "true"), ("retry.backoff.ms", "10")]);
        faults.refuse(ApiKey::Produce, error);
        assert_eq!(in_sync(), 0);
        let seen = faults.seen(ApiKey::Produce);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send(&producer, &topic, 0, 0..10));
            embedded.wait("records to be sent again", faults.reached(ApiKey::Produce, seen + 3));
            faults.clear();
            sending.join().expect("it was delivered after all");
        });
        assert_eq!(in_sync(), 1);
        assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..10));
    }
}
