//! Topics, partitions, configurations, deleted records and deleted groups.

use rdkafka::admin::{NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    a_topic_has_the_partitions_it_was_made_with,
    a_topic_cannot_be_made_twice_or_badly,
    an_unknown_topic_is_not_made_by_asking_for_it,
    partitions_can_be_added_and_not_removed,
    a_deleted_topic_is_gone_and_its_name_is_free,
    a_topics_configuration_is_described,
    deleted_records_are_gone_and_the_rest_stays,
    records_of_a_compacted_topic_cannot_be_deleted,
    a_group_is_deleted_only_without_members,
);

fn partitions(cluster: &Cluster, topic: &str) -> usize {
    let client: BaseConsumer = config(cluster).create().expect("a client");
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    metadata.topics()[0].partitions().len()
}

fn a_topic_has_the_partitions_it_was_made_with(cluster: &Cluster) {
    let topic = topic(cluster, 4, &[]);
    assert_eq!(partitions(cluster, &topic), 4);
}

fn a_topic_cannot_be_made_twice_or_badly(cluster: &Cluster) {
    let name = topic(cluster, 1, &[]);
    let made = |name: &str, partitions, configs| make_topic(cluster, name, partitions, configs);
    assert_eq!(made(&name, 1, &[]), Err(RDKafkaErrorCode::TopicAlreadyExists));
    assert_eq!(made("in/valid", 1, &[]), Err(RDKafkaErrorCode::InvalidTopic));
    let unknown = &[("no.such.config", "1")];
    assert_eq!(made(&unique("t"), 1, unknown), Err(RDKafkaErrorCode::InvalidConfig));
    let not_a_number = &[("retention.ms", "soon")];
    assert_eq!(made(&unique("t"), 1, not_a_number), Err(RDKafkaErrorCode::InvalidConfig));
}

fn an_unknown_topic_is_not_made_by_asking_for_it(cluster: &Cluster) {
    let client: BaseConsumer = config(cluster).set("allow.auto.create.topics", "true").create().expect("a client");
    let name = unique("nobody-made-this");
    let metadata = client.fetch_metadata(Some(&name), PATIENCE).expect("the broker answers");
    assert!(metadata.topics()[0].error().is_some());
}

fn partitions_can_be_added_and_not_removed(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    send(&producer(cluster, &[]), &topic, 0, 0..5);
    let admin = admin(cluster);
    let grow = |count| {
        let new = [NewPartitions::new(&topic, count)];
        let result = wait(admin.create_partitions(&new, &admin_options()));
        result.expect("the broker answers").remove(0).map_err(|(_, code)| code)
    };
    assert_eq!(grow(3), Ok(topic.clone()));
    eventually("the new partitions", || (partitions(cluster, &topic) == 3).then_some(()));
    assert_eq!(grow(2), Err(RDKafkaErrorCode::InvalidPartitions));
    let producer = producer(cluster, &[]);
    send(&producer, &topic, 2, 0..5);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..5));
    assert_eq!(read(cluster, &topic, 2, COMMITTED), values(0..5));
}

fn a_deleted_topic_is_gone_and_its_name_is_free(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    send(&producer(cluster, &[]), &topic, 0, 0..5);
    let admin = admin(cluster);
    let deleted = wait(admin.delete_topics(&[&topic], &admin_options()));
    assert_eq!(deleted.expect("the broker answers"), [Ok(topic.clone())]);
    eventually("the name to be free", || make_topic(cluster, &topic, 1, &[]).ok());
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(0..0));
}

fn a_topics_configuration_is_described(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[("retention.ms", "123456")]);
    let admin = admin(cluster);
    let described = wait(admin.describe_configs(&[ResourceSpecifier::Topic(&topic)], &admin_options()));
    let config = described.expect("the broker answers").remove(0).expect("the topic exists");
    let value = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
    assert_eq!(value("retention.ms").as_deref(), Some("123456"));
    assert_eq!(value("cleanup.policy").as_deref(), Some("delete"));
    assert_eq!(value("max.message.bytes").as_deref(), Some("1048588"));
}

fn delete_before(cluster: &Cluster, topic: &str, before: i64) -> Result<(), String> {
    let admin = admin(cluster);
    let deleted = wait(admin.delete_records(&offset(topic, before), &admin_options()));
    let deleted = deleted.map_err(|error| error.to_string())?;
    deleted.elements()[0].error().map_err(|error| error.to_string())
}

fn deleted_records_are_gone_and_the_rest_stays(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[]);
    for round in 0..10 {
        send(&producer, &topic, 0, round * 10..round * 10 + 10);
    }
    // In the middle of a batch, which stays and is skipped up to there.
    delete_before(cluster, &topic, 45).expect("deleted");
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (45, 100));
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(45..100));
    assert!(delete_before(cluster, &topic, 101).is_err(), "beyond the end");
    delete_before(cluster, &topic, 100).expect("deleted");
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (100, 100));
    send(&producer, &topic, 0, 100..101);
    assert_eq!(read(cluster, &topic, 0, COMMITTED), values(100..101));
}

fn records_of_a_compacted_topic_cannot_be_deleted(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[("cleanup.policy", "compact")]);
    send(&producer(cluster, &[]), &topic, 0, 0..10);
    assert!(delete_before(cluster, &topic, 5).is_err());
    assert_eq!(watermarks(cluster, &topic, UNCOMMITTED), (0, 10));
}

fn a_group_is_deleted_only_without_members(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let group = unique("group");
    let consumer = member(cluster, &group, &[]);
    consumer.subscribe(&[&topic]).expect("subscribed");
    poll_until("an assignment", &[&consumer], || assigned(&consumer) == 1);
    consumer.commit(&offset(&topic, 1), CommitMode::Sync).expect("committed");
    let admin = admin(cluster);
    let delete = || {
        let result = wait(admin.delete_groups(&[&group], &admin_options()));
        result.expect("the broker answers").remove(0).map_err(|(_, code)| code)
    };
    assert_eq!(delete(), Err(RDKafkaErrorCode::NonEmptyGroup));
    drop(consumer);
    eventually("the group to be empty", || delete().ok());
    let other = member(cluster, &group, &[]);
    assert_eq!(committed(&other, &topic), rdkafka::Offset::Invalid);
}
