//! Records in and out: a producer that does not lose or double, and a reader of what is committed.

use super::PATIENCE;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Timestamp};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longest wait of one poll.
const POLL: Duration = Duration::from_millis(100);

pub(crate) struct Producer(BaseProducer<Deliveries>);

/// Remembers what could not be delivered.
#[derive(Default)]
struct Deliveries(Mutex<Vec<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().expect("nobody panics with it").push(error.clone());
        }
    }
}

impl Producer {
    pub(super) fn new(client: &ClientConfig) -> Self {
        let mut config = client.clone();
        config.set("enable.idempotence", "true").set("linger.ms", "2").set("message.max.bytes", "20000000");
        Self(config.create_with_context(Deliveries::default()).expect("a producer"))
    }

    /// A producer of transactions; `id` is its own from now on.
    pub(crate) fn transactional(client: &ClientConfig, id: &str) -> Self {
        let producer = Self::new(client.clone().set("transactional.id", id));
        producer.0.init_transactions(PATIENCE).expect("the id is free to take");
        producer
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, key: Option<&str>, payload: &str) {
        let mut record = BaseRecord::to(topic).partition(partition).payload(payload);
        record.key = key;
        while let Err((error, back)) = self.0.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(full, "could not send: {error}");
            self.0.poll(POLL);
            record = back;
        }
    }

    /// Returns when all that was sent is in the topic.
    pub(crate) fn flush(&self) {
        self.0.flush(PATIENCE).expect("the broker takes all of it");
        let failed = self.0.context().0.lock().expect("nobody panics with it");
        assert!(failed.is_empty(), "not delivered: {failed:?}");
    }

    /// Lets time pass between two batches of records.
    pub(crate) fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.0.poll(end - Instant::now());
        }
    }

    pub(crate) fn begin(&self) {
        self.0.begin_transaction().expect("no transaction is open");
    }

    pub(crate) fn commit(&self) {
        self.0.commit_transaction(PATIENCE).expect("the transaction commits");
    }

    pub(crate) fn abort(&self) {
        self.0.abort_transaction(PATIENCE).expect("the transaction aborts");
    }
}

/// A committed record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    /// Epoch milliseconds.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let payload = self.payload.as_deref().unwrap_or_default();
        serde_json::from_slice(payload).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.payload.as_deref().unwrap_or_default()).into_owned()
    }

    pub(crate) fn key_text(&self) -> Option<String> {
        self.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers))
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let headers =
            message.headers().map(|headers| headers.iter().map(|h| (h.key.to_owned(), text(h.value))).collect());
        Self {
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            timestamp: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(at) | Timestamp::LogAppendTime(at) => Some(at),
            },
            headers: headers.unwrap_or_default(),
        }
    }
}

/// Reads all partitions of a topic from their beginning, committed records only.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    topic: String,
    /// Whether the end of each partition was seen after its last record.
    ended: Vec<bool>,
}

impl Reader {
    pub(super) fn new(mut config: ClientConfig, topic: &str, partitions: usize) -> Self {
        let consumer: BaseConsumer = config
            .set("group.id", "millrace-tests")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        }
        consumer.assign(&assignment).expect("assignable");
        Self { consumer, topic: topic.to_owned(), ended: vec![false; partitions] }
    }

    /// The next records, if there are any within a moment.
    pub(crate) fn poll(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut wait = POLL;
        while let Some(polled) = self.consumer.poll(wait) {
            match polled {
                Ok(message) => {
                    self.ended[message.partition() as usize] = false;
                    records.push(Record::of(&message));
                }
                Err(KafkaError::PartitionEOF(partition)) => self.ended[partition as usize] = true,
                // The client connects again by itself.
                Err(error) if is_transient(&error) => {}
                Err(error) => panic!("reading {}: {error}", self.topic),
            }
            wait = Duration::ZERO;
        }
        records
    }

    /// Hands out the values of the next records, at most about `count` of them, without keeping any; how many
    /// there were. None within a moment is none.
    pub(crate) fn poll_values(&mut self, count: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut read = 0;
        let mut wait = POLL;
        while read < count
            && let Some(polled) = self.consumer.poll(wait)
        {
            match polled {
                Ok(message) => {
                    self.ended[message.partition() as usize] = false;
                    each(message.payload().unwrap_or_default());
                    read += 1;
                }
                Err(KafkaError::PartitionEOF(partition)) => self.ended[partition as usize] = true,
                Err(error) if is_transient(&error) => {}
                Err(error) => panic!("reading {}: {error}", self.topic),
            }
            wait = Duration::ZERO;
        }
        read
    }

    /// Whether the end of every partition was reached, and nothing has come since.
    pub(crate) fn at_end(&self) -> bool {
        !self.ended.contains(&false)
    }

    /// All records up to where every partition ends now.
    pub(crate) fn read_to_end(mut self) -> Vec<Record> {
        let end = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        while !self.at_end() {
            assert!(Instant::now() < end, "waited {PATIENCE:?} for the end of {}: is a transaction open?", self.topic);
            records.extend(self.poll());
        }
        records
    }
}

/// Whether the client gets over it by itself.
pub(crate) fn is_transient(error: &KafkaError) -> bool {
    let transient = [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure];
    error.rdkafka_error_code().is_some_and(|code| transient.contains(&code))
}
