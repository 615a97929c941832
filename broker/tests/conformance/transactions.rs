//! Transactions: what readers see of committed, aborted, open and timed-out ones.

use rdkafka::producer::Producer;

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    committed_transactions_are_seen_in_all_their_partitions,
    an_aborted_transaction_is_hidden_and_takes_its_offsets,
    an_open_transaction_holds_back_what_follows_it,
    interleaved_transactions_are_told_apart,
    a_transaction_left_open_is_aborted_when_its_time_is_up,
    a_new_holder_of_the_id_aborts_what_the_old_one_left_open,
    a_timeout_above_the_brokers_limit_is_refused,
);

fn committed_transactions_are_seen_in_all_their_partitions(cluster: &Cluster) {
    let topic = topic(cluster, 2, &[]);
    let producer = transactional(cluster, &unique("id"));
    for round in 0..3 {
        producer.begin_transaction().expect("begun");
        for partition in 0..2 {
            send(&producer, &topic, partition, round * 10..round * 10 + 10);
        }
        producer.commit_transaction(PATIENCE).expect("committed");
    }
    for partition in 0..2 {
        assert_eq!(read(cluster, &topic, partition, COMMITTED), values(0..30));
    }
    // Each commit left a marker, which takes an offset.
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (0, 33));
}

fn an_aborted_transaction_is_hidden_and_takes_its_offsets(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let producer = transactional(cluster, &unique("id"));
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..10);
    producer.abort_transaction(PATIENCE).expect("aborted");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 100..105);
    producer.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(100..105));
    assert_eq!(read(cluster, &topic, 0, UNCOMMITTED).len(), 15);
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (0, 17));
}

fn an_open_transaction_holds_back_what_follows_it(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let transactional = transactional(cluster, &unique("id"));
    transactional.begin_transaction().expect("begun");
    send(&transactional, &topic, 0, 0..10);
    send(&producer(cluster, &[]), &topic, 0, 500..503);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..0));
    assert_eq!(read(cluster, &topic, 0, UNCOMMITTED).len(), 13);
    assert_eq!(watermarks(cluster, &topic, COMMITTED), (0, 0));
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (0, 13));
    transactional.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(read(cluster, &topic, 0, COMMITTED).len(), 13);
}

fn interleaved_transactions_are_told_apart(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let (kept, dropped) = (transactional(cluster, &unique("kept")), transactional(cluster, &unique("dropped")));
    kept.begin_transaction().expect("begun");
    dropped.begin_transaction().expect("begun");
    for round in 0..4 {
        send(&kept, &topic, 0, round * 10..round * 10 + 10);
        send(&dropped, &topic, 0, 1000..1010);
    }
    kept.commit_transaction(PATIENCE).expect("committed");
    dropped.abort_transaction(PATIENCE).expect("aborted");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..40));
}

fn a_transaction_left_open_is_aborted_when_its_time_is_up(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let producer = unfenced(cluster, &unique("id"), "1100");
    producer.init_transactions(PATIENCE).expect("the id is free");
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..10);
    send(&crate::client::producer(cluster, &[]), &topic, 0, 500..503);
    eventually("the transaction's end", || (read(cluster, &topic, 0, COMMITTED) == values(500..503)).then_some(()));
    assert!(producer.commit_transaction(PATIENCE).is_err(), "it must not be able to commit");
}

fn a_new_holder_of_the_id_aborts_what_the_old_one_left_open(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let id = unique("id");
    let old = transactional(cluster, &id);
    old.begin_transaction().expect("begun");
    send(&old, &topic, 0, 0..10);
    let _new = transactional(cluster, &id);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..0));
    let (_, stable) = watermarks(cluster, &topic, COMMITTED);
    assert_eq!(stable, 11, "ten records and their abort marker");
}

fn a_timeout_above_the_brokers_limit_is_refused(cluster: &Cluster) {
    let day = (24 * 60 * 60 * 1000).to_string();
    let producer = unfenced(cluster, &unique("id"), &day);
    assert!(producer.init_transactions(PATIENCE).is_err());
}
