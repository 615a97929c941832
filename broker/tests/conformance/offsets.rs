//! Offsets that groups commit: outside and inside transactions, with and without members.

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::Producer;

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    a_consumer_with_manual_assignment_commits_without_being_a_member,
    offsets_in_a_transaction_count_when_it_commits_and_not_when_it_aborts,
    a_transaction_of_offsets_alone_is_one_too,
    offsets_of_another_group_are_not_touched,
);

fn a_consumer_with_manual_assignment_commits_without_being_a_member(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let consumer = member(cluster, &unique("group"), &[]);
    assert_eq!(committed(&consumer, &topic), Offset::Invalid);
    consumer.commit(&offset(&topic, 7), CommitMode::Sync).expect("committed");
    assert_eq!(committed(&consumer, &topic), Offset::Offset(7));
    // An offset may go back.
    consumer.commit(&offset(&topic, 3), CommitMode::Sync).expect("committed");
    assert_eq!(committed(&consumer, &topic), Offset::Offset(3));
}

fn offsets_in_a_transaction_count_when_it_commits_and_not_when_it_aborts(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let consumer = member(cluster, &unique("group"), &[]);
    consumer.subscribe(&[&topic]).expect("subscribed");
    poll_until("an assignment", &[&consumer], || assigned(&consumer) == 1);
    let group = consumer.group_metadata().expect("it is a member");
    let producer = transactional(cluster, &unique("id"));

    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 0..1);
    producer.send_offsets_to_transaction(&offset(&topic, 7), &group, PATIENCE).expect("sent");
    producer.abort_transaction(PATIENCE).expect("aborted");
    assert_eq!(committed(&consumer, &topic), Offset::Invalid);

    producer.begin_transaction().expect("begun");
    send(&producer, &topic, 0, 1..2);
    producer.send_offsets_to_transaction(&offset(&topic, 12), &group, PATIENCE).expect("sent");
    producer.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(committed(&consumer, &topic), Offset::Offset(12));
}

fn a_transaction_of_offsets_alone_is_one_too(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let consumer = member(cluster, &unique("group"), &[]);
    let group = consumer.group_metadata().expect("it names a group");
    let producer = transactional(cluster, &unique("id"));
    producer.begin_transaction().expect("begun");
    producer.send_offsets_to_transaction(&offset(&topic, 15), &group, PATIENCE).expect("sent");
    producer.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(committed(&consumer, &topic), Offset::Offset(15));
}

fn offsets_of_another_group_are_not_touched(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let (one, other) = (member(cluster, &unique("one"), &[]), member(cluster, &unique("other"), &[]));
    one.commit(&offset(&topic, 1), CommitMode::Sync).expect("committed");
    other.commit(&offset(&topic, 2), CommitMode::Sync).expect("committed");
    assert_eq!(committed(&one, &topic), Offset::Offset(1));
    assert_eq!(committed(&other, &topic), Offset::Offset(2));
}
