//! Producing and reading back: compression, headers, sizes, missing payloads, timestamps.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    records_come_back_in_order_with_every_compression,
    keys_headers_and_timestamps_come_back_as_sent,
    records_of_many_megabytes_come_back_whole,
    a_record_above_the_topics_limit_is_refused,
    a_missing_payload_stays_missing,
    acks_of_none_one_and_all_are_understood,
    a_timestamp_leads_to_the_first_record_at_or_after_it,
    reading_past_the_end_resets_as_configured,
);

fn records_come_back_in_order_with_every_compression(cluster: &Cluster) {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(cluster, 1, &[]);
        let producer = producer(cluster, &[("compression.type", compression), ("linger.ms", "20")]);
        send(&producer, &topic, 0, 0..500);
        assert_eq!(read(cluster, &topic, 0, UNCOMMITTED), values(0..500), "{compression}");
    }
}

fn keys_headers_and_timestamps_come_back_as_sent(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[]);
    let timestamp = 1_700_000_000_123;
    let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("x") });
    let record = BaseRecord::to(&topic).partition(0).key("key").payload("value").timestamp(timestamp).headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("queued");
    producer.flush(PATIENCE).expect("delivered");

    let consumer = member(cluster, &unique("group"), &[]);
    consumer.assign(&offset(&topic, 0)).expect("assignable");
    let message = eventually("the record", || consumer.poll(PATIENCE)).expect("a record");
    assert_eq!(message.key(), Some(&b"key"[..]));
    assert_eq!(message.timestamp().to_millis(), Some(timestamp));
    let header = message.headers().expect("headers").get(0);
    assert_eq!((header.key, header.value), ("h", Some(&b"x"[..])));
}

fn records_of_many_megabytes_come_back_whole(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[("max.message.bytes", "20000000")]);
    let producer = producer(cluster, &[("message.max.bytes", "20000000")]);
    let payload = "a".repeat(8 << 20);
    for _ in 0..3 {
        let record = BaseRecord::<str, str>::to(&topic).partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(PATIENCE).expect("delivered");
    let seen = read(cluster, &topic, 0, COMMITTED);
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|value| *value == payload));
}

fn a_record_above_the_topics_limit_is_refused(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[("max.message.bytes", "1000")]);
    let producer = producer(cluster, &[]);
    let payload = "a".repeat(2_000);
    let record = BaseRecord::<str, str>::to(&topic).partition(0).payload(&payload);
    producer.send(record).map_err(|(error, _)| error).expect("queued");
    producer.flush(PATIENCE).expect("answered");
    let failed = producer.context().failed.lock().expect("nobody panics").clone();
    let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(failed, [too_large]);
}

fn a_missing_payload_stays_missing(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[("cleanup.policy", "compact")]);
    let producer = producer(cluster, &[]);
    let tombstone = BaseRecord::<str, str>::to(&topic).partition(0).key("a");
    producer.send(tombstone).map_err(|(error, _)| error).expect("queued");
    producer.flush(PATIENCE).expect("delivered");
    assert_eq!(read(cluster, &topic, 0, COMMITTED), ["<null>"]);
}

fn acks_of_none_one_and_all_are_understood(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    for (at, acks) in ["0", "1", "all"].into_iter().enumerate() {
        let producer = producer(cluster, &[("acks", acks)]);
        let from = at as i32 * 10;
        send(&producer, &topic, 0, from..from + 10);
        // Without an answer, only a reader can tell that the records have arrived.
        eventually("the records", || (read(cluster, &topic, 0, UNCOMMITTED) == values(0..from + 10)).then_some(()));
    }
}

fn a_timestamp_leads_to_the_first_record_at_or_after_it(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let producer = producer(cluster, &[]);
    let base = 1_700_000_000_000;
    for n in 0..10 {
        let record = BaseRecord::<str, str>::to(&topic).partition(0).payload("x").timestamp(base + n * 1000);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        if n % 3 == 0 {
            producer.flush(PATIENCE).expect("delivered");
        }
    }
    producer.flush(PATIENCE).expect("delivered");
    let consumer: BaseConsumer = config(cluster).set("group.id", "x").create().expect("a consumer");
    for (timestamp, expected) in [
        (base, Offset::Offset(0)),
        (base + 4_500, Offset::Offset(5)),
        (base + 9_000, Offset::Offset(9)),
        (base + 9_001, Offset::End),
    ] {
        let found = consumer.offsets_for_times(offset(&topic, timestamp), PATIENCE);
        let found = found.expect("the broker answers").elements()[0].offset();
        assert_eq!(found, expected, "{timestamp}");
    }
}

fn reading_past_the_end_resets_as_configured(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    send(&producer(cluster, &[]), &topic, 0, 0..5);
    let consumer = member(cluster, &unique("group"), &[("auto.offset.reset", "error")]);
    let mut beyond = TopicPartitionList::new();
    beyond.add_partition_offset(&topic, 0, Offset::Offset(99)).expect("a valid offset");
    consumer.assign(&beyond).expect("assignable");
    let error = eventually("the refusal", || consumer.poll(PATIENCE).and_then(Result::err));
    let reset = KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset);
    assert_eq!(error, reset);
}
