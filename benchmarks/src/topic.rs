//! Topics: the one with the events, filled once and kept between runs, and those that queries write
//! to. What is in a topic of events is checked against the generator and not assumed.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::delivery::Deliveries;
use crate::nexmark::{Config, JsonWriter};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A topic with the first `events` events, event `n` in partition `n % partitions`.
#[derive(Clone, Debug)]
pub(crate) struct EventTopic {
    pub(crate) bootstrap_servers: String,
    pub(crate) events: u64,
    pub(crate) partitions: u64,
}

impl EventTopic {
    pub(crate) fn name(&self) -> String {
        format!("nexmark-{}-{}", self.events, self.partitions)
    }

    /// How many of the first `events` events are in each partition.
    pub(crate) fn offsets(&self, events: u64) -> Vec<u64> {
        let (each, rest) = (events / self.partitions, events % self.partitions);
        (0..self.partitions).map(|partition| each + u64::from(partition < rest)).collect()
    }

    /// Fills the topic unless it is there and complete. A topic that is not what it should be,
    /// after an interruption or by an older generator, is made again.
    pub(crate) fn ensure_filled(&self) -> Result<()> {
        match self.fault()? {
            None => {
                eprintln!("topic {} is there", self.name());
                return Ok(());
            }
            Some(Fault::Missing) => {}
            Some(Fault::Differs(why)) => {
                eprintln!("topic {} is made again: {why}", self.name());
                delete(&self.bootstrap_servers, &self.name())?;
            }
        }
        create(&self.bootstrap_servers, &self.name(), self.partitions)?;
        self.fill()?;
        match self.fault()? {
            None => Ok(()),
            Some(fault) => bail!("topic {} was filled, but: {fault:?}", self.name()),
        }
    }

    fn fault(&self) -> Result<Option<Fault>> {
        let consumer = consumer(&self.bootstrap_servers)?;
        let Some(partitions) = partitions(&consumer, &self.name())? else {
            return Ok(Some(Fault::Missing));
        };
        if partitions != self.partitions {
            return Ok(Some(Fault::Differs(format!("it has {partitions} partitions"))));
        }
        let mut writer = JsonWriter::new(Config::default());
        for (partition, expected) in self.offsets(self.events).into_iter().enumerate() {
            let (low, high) = watermarks(&consumer, &self.name(), partition as i32)?;
            if (low, high) != (0, expected as i64) {
                let why = format!("partition {partition} has offsets {low} to {high}, not 0 to {expected}");
                return Ok(Some(Fault::Differs(why)));
            }
            // The first and the last record stand for those between: the generator either is the
            // same or differs in almost every event.
            for offset in [0, expected.saturating_sub(1)].into_iter().filter(|_| expected > 0) {
                let number = offset * self.partitions + partition as u64;
                if read_one(&consumer, &self.name(), partition as i32, offset)? != writer.record(number) {
                    let why = format!("the record at offset {offset} of partition {partition} is another event");
                    return Ok(Some(Fault::Differs(why)));
                }
            }
        }
        Ok(None)
    }

    fn fill(&self) -> Result<()> {
        let started = Instant::now();
        let topic = self.name();
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<Deliveries> = client(&self.bootstrap_servers)
            // Keeps the order within a partition and every record exactly once when it retries.
            .set("enable.idempotence", "true")
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(deliveries.clone())?;
        let mut writer = JsonWriter::new(Config::default());
        for number in 0..self.events {
            let partition = (number % self.partitions) as i32;
            let mut record = BaseRecord::<(), [u8]>::to(&topic).payload(writer.record(number)).partition(partition);
            while let Err((error, refused)) = producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                ensure!(full, "producing to {topic}: {error}");
                deliveries.check()?;
                std::thread::sleep(Duration::from_millis(5));
                record = refused;
            }
            if number % 1_000_000 == 0 && number > 0 {
                eprintln!("topic {topic}: {} M events", number / 1_000_000);
            }
        }
        producer.flush(Duration::from_secs(120)).context("waiting for the last events")?;
        deliveries.check()?;
        let seconds = started.elapsed().as_secs_f64();
        eprintln!(
            "topic {topic} filled: {} events in {seconds:.1} s, {:.0} a second",
            self.events,
            self.events as f64 / seconds
        );
        Ok(())
    }
}

#[derive(Debug)]
enum Fault {
    Missing,
    Differs(String),
}

pub(crate) fn client(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

/// A consumer for reading named partitions; it belongs to a group only because a client has to.
pub(crate) fn consumer(bootstrap_servers: &str) -> Result<BaseConsumer> {
    Ok(client(bootstrap_servers)
        .set("group.id", "millrace-bench")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?)
}

pub(crate) fn create(bootstrap_servers: &str, topic: &str, partitions: u64) -> Result<()> {
    // What is deleted goes at once: else it is still written to the disk while the next run is measured.
    let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1))
        .set("retention.ms", "-1")
        .set("file.delete.delay.ms", "0");
    // A topic of this name that was just deleted may still be on its way out.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let results = wait_for(admin(bootstrap_servers)?.create_topics([&new], &AdminOptions::new()))?;
        match results.into_iter().next() {
            Some(Ok(_)) => return await_partitions(bootstrap_servers, topic, partitions, deadline),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Some(Err((_, code))) => bail!("creating topic {topic}: {code}"),
            None => bail!("creating topic {topic}: the broker did not answer for it"),
        }
    }
}

/// The broker knows of a topic a moment after its controller does.
fn await_partitions(bootstrap_servers: &str, topic: &str, count: u64, deadline: Instant) -> Result<()> {
    let consumer = consumer(bootstrap_servers)?;
    while partitions(&consumer, topic)? != Some(count) {
        anyhow::ensure!(Instant::now() < deadline, "topic {topic} was created and is not there");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(crate) fn delete(bootstrap_servers: &str, topic: &str) -> Result<()> {
    let results = wait_for(admin(bootstrap_servers)?.delete_topics(&[topic], &AdminOptions::new()))?;
    match results.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
            bail!("deleting topic {topic}: {code}")
        }
        _ => Ok(()),
    }
}

/// Deletes every topic whose name begins like this.
pub(crate) fn delete_all(bootstrap_servers: &str, prefix: &str) -> Result<()> {
    let metadata = consumer(bootstrap_servers)?.fetch_metadata(None, TIMEOUT)?;
    let topics = metadata.topics().iter().map(|topic| topic.name()).filter(|name| name.starts_with(prefix));
    topics.into_iter().try_for_each(|topic| delete(bootstrap_servers, topic))
}

/// Admin requests are the only thing here that is asynchronous in the client.
fn wait_for<T>(request: impl Future<Output = Result<T, KafkaError>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(request)?)
}

fn admin(bootstrap_servers: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(AdminClient::from_config(&client(bootstrap_servers))?)
}

/// The number of a topic's partitions; nothing where there is no such topic.
pub(crate) fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).context("asking the broker for its topics")?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.filter(|found| found.error().is_none()).map(|found| found.partitions().len() as u64))
}

/// The first offset of a partition and the one after its last. A broker that has just started may
/// not lead its partitions yet.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) if Instant::now() < deadline => {
                eprintln!("waiting for partition {partition} of {topic}: {error}");
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(error) => return Err(error).with_context(|| format!("asking for partition {partition} of {topic}")),
        }
    }
}

fn read_one(consumer: &BaseConsumer, topic: &str, partition: i32, offset: u64) -> Result<Vec<u8>> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset as i64))?;
    consumer.assign(&assignment)?;
    match consumer.poll(TIMEOUT) {
        Some(Ok(message)) if message.offset() == offset as i64 => Ok(message.payload().unwrap_or_default().to_vec()),
        Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => Ok(Vec::new()),
        Some(Err(error)) => Err(error).context(format!("reading partition {partition} of {topic}")),
        None => bail!("reading partition {partition} of {topic}: nothing came"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_dealt_to_the_partitions_in_turn() {
        let topic = EventTopic { bootstrap_servers: String::new(), events: 10, partitions: 4 };
        assert_eq!(topic.name(), "nexmark-10-4");
        assert_eq!(topic.offsets(10), [3, 3, 2, 2]);
        assert_eq!(topic.offsets(0), [0, 0, 0, 0]);
    }
}
