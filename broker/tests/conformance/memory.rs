//! The embedded broker's memory does not grow with its topics.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::*;
use crate::cluster::Served;

const PARTITIONS: i32 = 2;
const RECORD_BYTES: usize = 64 * 1024;
const RECORDS: usize = 8 * 1024;
/// A tenth of what is written and read.
const BUDGET_KIB: u64 = 50 * 1024;

#[test]
fn a_topic_many_times_larger_than_the_budget_is_written_and_read_within_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let served = Served::start(dir.path());
    let cluster = &served.cluster;
    let topic = topic(cluster, PARTITIONS, &[("segment.bytes", "67108864")]);
    let producer = producer(cluster, &[("queue.buffering.max.kbytes", "32768")]);
    let payload = vec![b'x'; RECORD_BYTES];
    for n in 0..RECORDS {
        eventually("room in the producer's queue", || {
            let record = BaseRecord::<[u8], [u8]>::to(&topic).partition(n as i32 % PARTITIONS).payload(&payload);
            producer.send(record).ok()
        });
    }
    producer.flush(PATIENCE).expect("delivered");

    let consumer: BaseConsumer = config(cluster)
        .set("group.id", "reader")
        .set("queued.max.messages.kbytes", "32768")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let added = assignment.add_partition_offset(&topic, partition, Offset::Beginning);
        added.expect("a valid offset");
    }
    consumer.assign(&assignment).expect("assignable");
    for seen in 0..RECORDS {
        let message = eventually("the next record", || consumer.poll(Duration::from_secs(1)));
        let message = message.unwrap_or_else(|error| panic!("after {seen} records: {error}"));
        assert_eq!(message.payload().map(<[u8]>::len), Some(RECORD_BYTES));
    }
    let peak = peak_memory_kib(served.process_id());
    assert!(peak < BUDGET_KIB, "the broker's memory reached {peak} KiB");
}

/// The most memory of its own that a process has had; mapped files do not count.
fn peak_memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("the field is there");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    field("VmHWM:") - field("RssFile:")
}
