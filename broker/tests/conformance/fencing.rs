//! Fencing: of two producers with one transactional id, the older can do nothing more (KIP-360), and
//! a consumer group's offsets are taken from current members only (KIP-447).

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    a_fenced_producer_cannot_commit_what_it_had_begun,
    a_fenced_producer_cannot_begin_anything_new,
    fencing_again_and_again_leaves_the_last_one_in_charge,
    offsets_of_a_member_that_left_are_refused,
);

fn is_fenced(error: &KafkaError) -> bool {
    let KafkaError::Transaction(error) = error else {
        return false;
    };
    error.is_fatal() && matches!(error.code(), RDKafkaErrorCode::Fenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

fn a_fenced_producer_cannot_commit_what_it_had_begun(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let id = unique("id");
    let old = transactional(cluster, &id);
    old.begin_transaction().expect("begun");
    send(&old, &topic, 0, 0..10);
    let new = transactional(cluster, &id);
    assert!(!try_send(&old, &topic, 0, 50..55).is_empty(), "a fenced producer wrote");
    let error = old.commit_transaction(PATIENCE).expect_err("it is fenced");
    assert!(is_fenced(&error), "{error:?}");
    new.begin_transaction().expect("begun");
    send(&new, &topic, 0, 100..104);
    new.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(100..104));
}

fn a_fenced_producer_cannot_begin_anything_new(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let id = unique("id");
    let old = transactional(cluster, &id);
    let _new = transactional(cluster, &id);
    old.begin_transaction().expect("nothing is sent yet");
    assert!(!try_send(&old, &topic, 0, 50..55).is_empty(), "a fenced producer wrote");
    let error = old.commit_transaction(PATIENCE).expect_err("it is fenced");
    assert!(is_fenced(&error), "{error:?}");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..0));
}

fn fencing_again_and_again_leaves_the_last_one_in_charge(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let id = unique("id");
    let mut former = Vec::new();
    for round in 0..5 {
        let producer = transactional(cluster, &id);
        producer.begin_transaction().expect("begun");
        send(&producer, &topic, 0, round * 10..round * 10 + 10);
        former.push(producer);
    }
    let last = former.pop().expect("five were made");
    last.commit_transaction(PATIENCE).expect("it holds the id");
    for old in former {
        assert!(old.commit_transaction(PATIENCE).is_err());
    }
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(40..50));
}

fn offsets_of_a_member_that_left_are_refused(cluster: &Cluster) {
    let topic = topic(cluster, 2, &[]);
    let group = unique("group");
    let old = member(cluster, &group, &[]);
    old.subscribe(&[&topic]).expect("subscribed");
    poll_until("the first assignment", &[&old], || assigned(&old) == 2);
    let stale = old.group_metadata().expect("it is a member");
    drop(old);
    let new = member(cluster, &group, &[]);
    new.subscribe(&[&topic]).expect("subscribed");
    poll_until("the second assignment", &[&new], || assigned(&new) == 2);

    let producer = transactional(cluster, &unique("id"));
    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..1);
    let refused = producer.send_offsets_to_transaction(&offset(&topic, 3), &stale, PATIENCE);
    assert!(refused.is_err(), "offsets of a stale member were taken");
    producer.abort_transaction(PATIENCE).expect("the transaction can be aborted");
    let current = new.group_metadata().expect("it is a member");
    producer.begin_transaction().expect("begun");
    producer
        .send_offsets_to_transaction(&offset(&topic, 4), &current, PATIENCE)
        .expect("the current member's are taken");
    producer.commit_transaction(PATIENCE).expect("committed");
}
