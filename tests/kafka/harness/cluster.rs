//! A Kafka, and topics on it that no other test and no earlier run has used. They are deleted with the
//! test, unless it fails: then they are there to be looked at.

use super::PATIENCE;
use super::records::{Producer, Reader, Record};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

pub(crate) struct Kafka {
    bootstrap: String,
    /// Part of every name: of topics, and through the job's name of the job's own topics.
    token: String,
    /// With other tests, so that topics have to be deleted.
    shared: bool,
}

impl Kafka {
    /// The Apache Kafka to test with, if there is one. `test` shows in the names of topics.
    pub(crate) fn apache(test: &str) -> Option<Self> {
        let bootstrap = Self::apache_address();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{test}-{}-{since}-{count}", std::process::id());
        bootstrap.map(|bootstrap| Self { bootstrap, token, shared: true })
    }

    /// Where the Apache Kafka to test with is. None says that tests which need one, this or another, are
    /// skipped.
    pub(crate) fn apache_address() -> Option<String> {
        let address = std::env::var("MILLRACE_TEST_KAFKA").ok().filter(|at| !at.is_empty());
        if address.is_none() {
            let required = std::env::var("MILLRACE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
            assert!(!required, "MILLRACE_REQUIRE_KAFKA is set, and MILLRACE_TEST_KAFKA names no Kafka");
            println!("skipped: MILLRACE_TEST_KAFKA names no Apache Kafka");
        }
        address
    }

    /// A broker that no other test uses, and that goes with this one.
    pub(crate) fn own(bootstrap: String) -> Self {
        Self { bootstrap, token: "own".to_owned(), shared: false }
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A name of this test's own.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.token)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "0");
        config
    }

    /// Makes a topic; returns its whole name.
    pub(crate) fn topic(&self, suffix: &str, partitions: i32) -> String {
        let name = self.name(suffix);
        self.create(&name, partitions);
        name
    }

    /// The same, of which a batch of records takes so many bytes at most.
    pub(crate) fn topic_of(&self, suffix: &str, partitions: i32, max_message_bytes: usize) -> String {
        let name = self.name(suffix);
        self.create_with(&name, partitions, &[(MAX_MESSAGE_BYTES, &max_message_bytes.to_string())]);
        name
    }

    pub(crate) fn set_max_message_bytes(&self, topic: &str, bytes: usize) {
        super::wire::set_config(&self.bootstrap, topic, MAX_MESSAGE_BYTES, &bytes.to_string())
            .expect("the broker takes it");
    }

    /// As the broker has it.
    pub(crate) fn max_message_bytes(&self, topic: &str) -> usize {
        let asked = [ResourceSpecifier::Topic(topic)];
        let described = wait(self.admin().describe_configs(&asked, &options())).expect("the broker answers");
        let described = described.into_iter().next().expect("an answer for each topic").expect("the topic is there");
        let value = described.get(MAX_MESSAGE_BYTES).and_then(|entry| entry.value.as_deref());
        value.and_then(|value| value.parse().ok()).expect("a number")
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]);
    }

    fn create_with(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        // As many replicas as the Kafka has for its topics.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let new = config.iter().fold(new, |new, (option, value)| new.set(option, value));
        let made = wait(self.admin().create_topics(&[new], &options())).expect("the broker answers");
        made.into_iter().for_each(|made| drop(made.expect("the topic is new")));
        self.until_partitions(topic, partitions as usize);
    }

    /// Lets a topic grow.
    pub(crate) fn grow(&self, topic: &str, partitions: usize) {
        let grown = wait(self.admin().create_partitions(&[NewPartitions::new(topic, partitions)], &options()));
        grown.expect("the broker answers").into_iter().for_each(|grown| drop(grown.expect("the topic grows")));
        self.until_partitions(topic, partitions);
    }

    pub(crate) fn delete(&self, topic: &str) {
        let deleted = wait(self.admin().delete_topics(&[topic], &options())).expect("the broker answers");
        deleted.into_iter().for_each(|deleted| drop(deleted.expect("the topic was there")));
        self.until_partitions(topic, 0);
    }

    /// Removes what stands before an offset; what the partition's leader says against it.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a valid offset");
        let deleted = wait(self.admin().delete_records(&asked, &options()))?;
        deleted.elements().iter().try_for_each(|partition| partition.error())
    }

    /// The topics that this test and its jobs have made, by name.
    pub(crate) fn own_topics(&self) -> Vec<String> {
        let client: BaseConsumer = self.client().create().expect("a client");
        let metadata = client.fetch_metadata(None, PATIENCE).expect("the broker answers");
        let names = metadata.topics().iter().map(|topic| topic.name()).filter(|name| name.contains(&self.token));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(crate) fn partitions(&self, topic: &str) -> usize {
        let client: BaseConsumer = self.client().create().expect("a client");
        partitions(&client, topic)
    }

    /// Whether every partition of every topic has so many replicas that are in sync.
    pub(crate) fn in_sync(&self, replicas: usize) -> bool {
        let client: BaseConsumer = self.client().create().expect("a client");
        let Ok(metadata) = client.fetch_metadata(None, PATIENCE) else { return false };
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.map(|partition| partition.isr().len()).all(|in_sync| in_sync >= replicas)
    }

    /// Brokers answer before a change can be seen by all.
    fn until_partitions(&self, topic: &str, expected: usize) {
        let client: BaseConsumer = self.client().create().expect("a client");
        let end = Instant::now() + PATIENCE;
        while partitions(&client, topic) != expected {
            assert!(Instant::now() < end, "waited {PATIENCE:?} for {topic} to have {expected} partitions");
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::new(&self.client())
    }

    /// A reader of what is committed in a topic, from its beginning.
    pub(crate) fn reader(&self, topic: &str) -> Reader {
        Reader::new(self.client(), topic, self.partitions(topic))
    }

    /// Everything that is committed in a topic now.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        self.reader(topic).read_to_end()
    }

    /// What a consumer group has committed, by partition; partitions without an offset are left out.
    pub(crate) fn group_offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let client: BaseConsumer = self.client().set("group.id", group).create().expect("a client");
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, self.partitions(topic) as i32 - 1);
        let found = client.committed_offsets(asked, PATIENCE).expect("the coordinator answers");
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        found.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect()
    }

    /// Where each partition starts.
    pub(crate) fn starts(&self, topic: &str) -> BTreeMap<i32, i64> {
        let client: BaseConsumer = self.client().create().expect("a client");
        let start = |partition| client.fetch_watermarks(topic, partition, PATIENCE).expect("the leader answers").0;
        (0..self.partitions(topic) as i32).map(|partition| (partition, start(partition))).collect()
    }

    /// Where each partition ends, with what is not committed.
    pub(crate) fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let client: BaseConsumer = self.client().set("isolation.level", "read_uncommitted").create().expect("a client");
        let end = |partition| client.fetch_watermarks(topic, partition, PATIENCE).expect("the leader answers").1;
        (0..self.partitions(topic) as i32).map(|partition| (partition, end(partition))).collect()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if !self.shared || std::thread::panicking() {
            return;
        }
        let topics = self.own_topics();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            // What can't be deleted is only litter.
            let _ = wait(self.admin().delete_topics(&topics, &options()));
        }
    }
}

fn partitions(client: &BaseConsumer, topic: &str) -> usize {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    let found = metadata.topics().iter().filter(|found| found.error().is_none()).flat_map(|found| found.partitions());
    found.filter(|partition| partition.error().is_none() && partition.leader() >= 0).count()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Runs a call of the admin client.
fn wait<T>(call: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(call)
}
