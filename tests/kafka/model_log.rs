//! The log that the simulation believes in, against Apache Kafka: each check that the model passes has to
//! pass here, too. Where the two disagree, Kafka is right.

use super::harness::records::is_transient;
use super::harness::wire::{Coordinator, Registration};
use super::harness::{Kafka, PATIENCE};
use crate::architecture::expect_none;
use millrace_simulation::conformance::{Answer, CHECKS, Handle, LogUnderTest, Offsets, Records, Refusal, Topic};
use millrace_simulation::log::Isolation;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time enough for what a check does in one transaction, also on a busy machine.
const TRANSACTION_TIMEOUT_MS: &str = "10000";
/// How many transactional ids a check has for itself.
const IDS: u32 = 10;
/// Longest wait of one poll.
const POLL: Duration = Duration::from_millis(100);

/// What became of the last record.
#[derive(Default)]
struct Delivery(Mutex<Option<Result<i64, KafkaError>>>);

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let delivered = result.as_ref().map(Message::offset).map_err(|(error, _)| error.clone());
        *self.0.lock().expect("nobody panics with it") = Some(delivered);
    }
}

struct Registered {
    client: BaseProducer<Delivery>,
    /// When it was registered: somebody else may be by now.
    registration: Registration,
    coordinator: Coordinator,
}

/// Kafka as one check sees it.
struct ApacheLog<'a> {
    kafka: &'a Kafka,
    /// In the names of topics.
    check: usize,
    topics: Vec<String>,
    producers: Vec<Registered>,
}

fn refused(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Refused(error.to_string())
}

impl<'a> ApacheLog<'a> {
    fn new(kafka: &'a Kafka, check: usize) -> Self {
        Self { kafka, check, topics: Vec::new(), producers: Vec::new() }
    }

    fn consumer(&self, isolation: Isolation) -> BaseConsumer {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let mut config = self.kafka.client();
        config.set("group.id", "millrace-tests").set("isolation.level", isolation).set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("auto.offset.reset", "error").create().expect("a consumer")
    }

    /// A client may take the answer to the end of a transaction for its end; its markers come later.
    fn ended(&self, producer: Handle, answer: Result<(), KafkaError>) -> Answer<()> {
        answer.map_err(|error| refused(&error))?;
        self.producers[producer.0].coordinator.until_settled();
        Ok(())
    }
}

impl LogUnderTest for ApacheLog<'_> {
    fn topic(&mut self, partitions: u32) -> Topic {
        let suffix = format!("{}-{}", self.check, self.topics.len());
        self.topics.push(self.kafka.topic(&suffix, partitions as i32));
        Topic(self.topics.len() - 1)
    }

    fn init(&mut self, transactional_id: u32) -> Answer<Handle> {
        let id = self.kafka.name(&transactional_id.to_string());
        let mut config = self.kafka.client();
        config.set("transactional.id", &id).set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS).set("linger.ms", "0");
        let client: BaseProducer<Delivery> = config.create_with_context(Delivery::default()).expect("a producer");
        client.init_transactions(PATIENCE).map_err(|error| refused(&error))?;
        let coordinator = Coordinator::of(self.kafka.bootstrap(), &id);
        let (registration, _) = coordinator.describe();
        self.producers.push(Registered { client, registration, coordinator });
        Ok(Handle(self.producers.len() - 1))
    }

    fn begin(&mut self, producer: Handle) -> Answer<()> {
        self.producers[producer.0].client.begin_transaction().map_err(|error| refused(&error))
    }

    fn produce(&mut self, producer: Handle, topic: Topic, partition: u32, value: &[u8]) -> Answer<i64> {
        let client = &self.producers[producer.0].client;
        let delivery = || client.context().0.lock().expect("nobody panics with it").take();
        delivery();
        let record = BaseRecord::<(), _>::to(&self.topics[topic.0]).partition(partition as i32).payload(value);
        client.send(record).map_err(|(error, _)| refused(&error))?;
        let end = Instant::now() + PATIENCE;
        loop {
            client.poll(POLL);
            if let Some(delivered) = delivery() {
                return delivered.map_err(|error| refused(&error));
            }
            assert!(Instant::now() < end, "waited {PATIENCE:?} for a record to be delivered or not");
        }
    }

    fn commit(&mut self, producer: Handle) -> Answer<()> {
        self.ended(producer, self.producers[producer.0].client.commit_transaction(PATIENCE))
    }

    fn abort(&mut self, producer: Handle) -> Answer<()> {
        self.ended(producer, self.producers[producer.0].client.abort_transaction(PATIENCE))
    }

    fn fetch(&mut self, topic: Topic, partition: u32, from: i64, isolation: Isolation) -> Answer<Records> {
        let consumer = self.consumer(isolation);
        let mut assignment = TopicPartitionList::new();
        let topic = &self.topics[topic.0];
        assignment.add_partition_offset(topic, partition as i32, Offset::Offset(from)).expect("a valid offset");
        consumer.assign(&assignment).expect("assignable");
        let mut records = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            match consumer.poll(POLL) {
                Some(Ok(record)) => records.push((record.offset(), record.payload().unwrap_or_default().to_vec())),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    return Err(Refusal::OutOfRange);
                }
                Some(Err(error)) if !is_transient(&error) => return Err(refused(&error)),
                Some(Err(_)) | None => {}
            }
            assert!(Instant::now() < end, "waited {PATIENCE:?} for the end of {topic}");
        }
    }

    fn offsets(&mut self, topic: Topic, partition: u32) -> Offsets {
        let watermarks = |isolation| {
            let consumer = self.consumer(isolation);
            let found = consumer.fetch_watermarks(&self.topics[topic.0], partition as i32, PATIENCE);
            found.expect("the leader answers")
        };
        let (_, last_stable) = watermarks(Isolation::ReadCommitted);
        let (start, end) = watermarks(Isolation::ReadUncommitted);
        Offsets { start, last_stable, end }
    }

    fn delete_records(&mut self, topic: Topic, partition: u32, before: i64) -> Answer<()> {
        let deleted = self.kafka.delete_records(&self.topics[topic.0], partition as i32, before);
        deleted.map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OffsetOutOfRange) => Refusal::OutOfRange,
            _ => refused(&error),
        })
    }

    fn outlive_transactions(&mut self) {
        self.producers.iter().for_each(|producer| producer.coordinator.until_settled());
    }

    fn end_late(&mut self, producer: Handle, commit: bool) -> Answer<()> {
        let Registered { registration, coordinator, .. } = &self.producers[producer.0];
        let answer = coordinator.end(*registration, commit).map_err(|error| refused(&error));
        if answer.is_ok() {
            coordinator.until_settled();
        }
        answer
    }
}

#[test]
fn apache_kafka_does_what_the_simulation_believes() {
    let Some(kafka) = Kafka::apache("model-log") else { return };
    let mut wrong = Vec::new();
    for (number, check) in CHECKS.iter().enumerate() {
        let begun = Instant::now();
        let mut log = ApacheLog::new(&kafka, number);
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| (check.run)(&mut log, number as u32 * IDS)));
        println!("{} ({:.1?}): {}", if ran.is_ok() { "agrees" } else { "DISAGREES" }, begun.elapsed(), check.name);
        if ran.is_err() {
            wrong.push(check.name.to_owned());
        }
    }
    expect_none(wrong, "what Kafka doesn't do, though the simulation believes it");
}
