//! What the checks do with librdkafka, in few words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::cluster::Cluster;

/// No check may take longer for one step, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const COMMITTED: &str = "read_committed";
pub(crate) const UNCOMMITTED: &str = "read_uncommitted";

/// A name that no other test and no earlier run has used.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{}-{count}", std::process::id(), since.as_millis())
}

pub(crate) fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap).set("log_level", "0");
    config
}

/// Asks again until something is there.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    config(cluster).create().expect("an admin client")
}

pub(crate) fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Runs a call of the admin client.
pub(crate) fn wait<T>(call: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(call)
}

/// Makes a topic with a unique name.
pub(crate) fn topic(cluster: &Cluster, partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique("topic");
    make_topic(cluster, &name, partitions, configs).expect("the topic is new");
    name
}

pub(crate) fn make_topic(
    cluster: &Cluster,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<(), rdkafka::types::RDKafkaErrorCode> {
    let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        new = new.set(key, value);
    }
    let admin = admin(cluster);
    let results = wait(admin.create_topics(&[new], &admin_options())).expect("the broker answers");
    let made = results.into_iter().next().expect("one result").map(|_| ()).map_err(|(_, code)| code);
    if made.is_ok() {
        // Apache Kafka answers before the topic can be used.
        let client: BaseConsumer = config(cluster).create().expect("a client");
        eventually("the topic to be led", || {
            let metadata = client.fetch_metadata(Some(name), PATIENCE).ok()?;
            let topic = metadata.topics().first()?;
            let led = topic.partitions().iter().all(|p| p.error().is_none() && p.leader() >= 0);
            (topic.error().is_none() && topic.partitions().len() == partitions as usize && led).then_some(())
        });
    }
    made
}

/// Remembers what could not be delivered.
#[derive(Clone, Default)]
pub(crate) struct Deliveries {
    pub(crate) delivered: Arc<AtomicU64>,
    pub(crate) failed: Arc<Mutex<Vec<KafkaError>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => self.failed.lock().expect("nobody panics").push(error.clone()),
        }
    }
}

pub(crate) type TestProducer = ThreadedProducer<Deliveries>;

pub(crate) fn producer(cluster: &Cluster, settings: &[(&str, &str)]) -> TestProducer {
    let mut config = config(cluster);
    config.set("linger.ms", "1");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create_with_context(Deliveries::default()).expect("a producer")
}

/// A producer that holds its transactional id.
pub(crate) fn transactional(cluster: &Cluster, id: &str) -> TestProducer {
    let producer = unfenced(cluster, id, "30000");
    producer.init_transactions(PATIENCE).expect("the id is free to take");
    producer
}

/// A producer that does not hold its transactional id yet.
pub(crate) fn unfenced(cluster: &Cluster, id: &str, timeout_ms: &str) -> TestProducer {
    producer(
        cluster,
        &[
            ("transactional.id", id),
            ("transaction.timeout.ms", timeout_ms),
            // librdkafka wants its socket timeout below the transaction's.
            ("socket.timeout.ms", if timeout_ms.len() > 4 { "10000" } else { "900" }),
        ],
    )
}

/// Sends `v<n>` for each number, and waits for the answers; says what failed.
pub(crate) fn try_send(
    producer: &TestProducer,
    topic: &str,
    partition: i32,
    numbers: std::ops::Range<i32>,
) -> Vec<KafkaError> {
    let mut failed = Vec::new();
    for n in numbers {
        let (key, payload) = (format!("k{n}"), format!("v{n}"));
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&payload);
        if let Err((error, _)) = producer.send(record) {
            failed.push(error);
        }
    }
    if let Err(error) = producer.flush(PATIENCE) {
        failed.push(error);
    }
    failed.append(&mut producer.context().failed.lock().expect("nobody panics"));
    failed
}

pub(crate) fn send(producer: &TestProducer, topic: &str, partition: i32, numbers: std::ops::Range<i32>) {
    let failed = try_send(producer, topic, partition, numbers);
    assert!(failed.is_empty(), "{failed:?}");
}

/// Everything that a reader sees of a partition now; `<null>` for a missing payload.
pub(crate) fn read(cluster: &Cluster, topic: &str, partition: i32, isolation: &str) -> Vec<String> {
    let consumer: BaseConsumer = config(cluster)
        .set("group.id", "reader")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    consumer.assign(&assignment).expect("assignable");
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < end {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let payload = message.payload().unwrap_or(b"<null>");
                seen.push(String::from_utf8_lossy(payload).into_owned());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return seen,
            Some(Err(error)) => panic!("after {} records: {error}", seen.len()),
            None => {}
        }
    }
    panic!("no end of the partition after {PATIENCE:?}, {} records", seen.len());
}

/// `v<n>` for each number: what [`send`] sends.
pub(crate) fn values(numbers: std::ops::Range<i32>) -> Vec<String> {
    numbers.map(|n| format!("v{n}")).collect()
}

/// First and next offset of a partition, as a reader sees them.
pub(crate) fn watermarks(cluster: &Cluster, topic: &str, isolation: &str) -> (i64, i64) {
    let consumer: BaseConsumer =
        config(cluster).set("group.id", "reader").set("isolation.level", isolation).create().expect("a consumer");
    consumer.fetch_watermarks(topic, 0, PATIENCE).expect("the broker answers")
}

/// A consumer of a group, without automatic commits.
pub(crate) fn member(cluster: &Cluster, group: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(cluster);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "300");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("a consumer")
}

/// Polls the members of a group until `done`.
pub(crate) fn poll_until(what: &str, members: &[&BaseConsumer], mut done: impl FnMut() -> bool) {
    eventually(what, || {
        for member in members {
            if let Some(Err(error)) = member.poll(Duration::from_millis(20)) {
                panic!("while waiting for {what}: {error}");
            }
        }
        done().then_some(())
    });
}

pub(crate) fn assigned(consumer: &BaseConsumer) -> usize {
    consumer.assignment().expect("an assignment").count()
}

/// What a group has committed for partition 0.
pub(crate) fn committed(consumer: &BaseConsumer, topic: &str) -> Offset {
    try_committed(consumer, topic).expect("the broker answers")
}

pub(crate) fn try_committed(consumer: &BaseConsumer, topic: &str) -> Result<Offset, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    let found = consumer.committed_offsets(wanted, Duration::from_secs(10))?;
    Ok(found.elements()[0].offset())
}

/// An offset for partition 0.
pub(crate) fn offset(topic: &str, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a valid offset");
    list
}
