//! What an embedded broker's configuration changes.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::client::*;
use crate::cluster::Embedded;

#[test]
fn with_auto_creation_an_unknown_topic_is_made_with_the_default_partitions() {
    let embedded = Embedded::start(|config| {
        config.auto_create_topics = true;
        config.default_partitions = 3;
    });
    let cluster = &embedded.cluster;
    let name = unique("made-by-asking");
    send(&producer(cluster, &[]), &name, 2, 0..5);
    let client: BaseConsumer = config(cluster).create().expect("a client");
    let metadata = client.fetch_metadata(Some(&name), PATIENCE).expect("the broker answers");
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    assert_eq!(read(cluster, &name, 2, COMMITTED), values(0..5));
}

#[test]
fn retention_by_size_deletes_the_oldest_records_and_keeps_the_newest() {
    let embedded = Embedded::start(|config| {
        config.retention_check_interval = Duration::from_millis(20);
    });
    let cluster = &embedded.cluster;
    let settings = [("segment.bytes", "1000"), ("retention.bytes", "3000"), ("retention.ms", "-1")];
    let topic = topic(cluster, 1, &settings);
    let producer = producer(cluster, &[]);
    for round in 0..100 {
        send(&producer, &topic, 0, round * 10..round * 10 + 10);
    }
    let start = eventually("retention", || {
        let (start, end) = watermarks(cluster, &topic, UNCOMMITTED);
        assert_eq!(end, 1000);
        (start > 800).then_some(start)
    });
    assert_eq!(read(cluster, &topic, 0, COMMITTED).last().map(String::as_str), Some("v999"));
    assert!(start < 1000);
}

#[test]
fn retention_by_age_goes_by_the_records_timestamps() {
    let embedded = Embedded::start(|config| {
        config.retention_check_interval = Duration::from_millis(20);
        config.retention = Some(Duration::from_secs(1));
    });
    let cluster = &embedded.cluster;
    let (kept, cut) = (topic(cluster, 1, &[("retention.ms", "-1")]), topic(cluster, 1, &[]));
    let producer = producer(cluster, &[]);
    for topic in [&kept, &cut] {
        send(&producer, topic, 0, 0..10);
    }
    eventually("retention", || (watermarks(cluster, &cut, UNCOMMITTED) == (10, 10)).then_some(()));
    assert_eq!(read(cluster, &cut, 0, COMMITTED), values(0..0));
    assert_eq!(read(cluster, &kept, 0, COMMITTED), values(0..10));
}
