//! The few administrative calls: which topics and partitions there are, making and deleting the job's own.

use super::ClientOptions;
use super::native::{c_string, millis, pointed_text};
use super::size::MAX_MESSAGE_BYTES;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use rdkafka::admin::{AdminClient as KafkaAdmin, AdminOptions, NewTopic, TopicReplication};
use rdkafka::bindings as sys;
use rdkafka::client::DefaultClientContext;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long one admin call may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The same for one that is soon made again, and that others wait for.
const ANSWER: Duration = Duration::from_secs(5);
/// The configuration of a topic that loses nothing by itself. Without it a log, an exchange or a savepoint would lose
/// records that nobody has read.
pub const KEPT_FOR_EVER: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

pub struct AdminClient {
    client: KafkaAdmin<DefaultClientContext>,
    bootstrap_servers: String,
    runtime: tokio::runtime::Runtime,
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub partitions: Vec<i32>,
    /// Replicas of each that are in sync.
    pub in_sync: Vec<usize>,
    /// Changes when a topic is deleted and made again; empty where the broker tells none.
    pub id: String,
}

impl AdminClient {
    pub fn new(cluster: &ClientOptions) -> Result<Self> {
        let client =
            cluster.client_config().create().or_kind(ErrorKind::UserFault, "could not create a Kafka admin client")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_kind(ErrorKind::FailJob, "could not start a runtime for Kafka's admin client")?;
        Ok(Self { client, bootstrap_servers: cluster.bootstrap_servers.clone(), runtime })
    }

    pub(super) fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.inner().native_ptr()
    }

    /// None where the topic doesn't exist. It never makes one, as asking for metadata would on a broker that
    /// creates topics by itself.
    pub fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        let operation = || format!("could not ask Kafka at {} about topic {topic}", self.bootstrap_servers);
        let name = c_string(topic);
        let mut names = [name.as_ptr()];
        let rk = self.native();
        // SAFETY: every object made here is destroyed here, once, in the reverse order; results are only
        // read while their event lives.
        let described = unsafe {
            let collection = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let send = |options, queue| sys::rd_kafka_DescribeTopics(rk, collection, options, queue);
            let described = ask(rk, operation, send, |event| description_of(event));
            sys::rd_kafka_TopicCollection_destroy(collection);
            described
        };
        match described {
            Ok(found) => Ok(found.filter(|f| !f.partitions.is_empty())),
            Err((RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, _)) => {
                Err(Error::user_fault(format!("{}: not authorised; grant DESCRIBE on it", operation())))
            }
            Err((_, message)) => Err(Error::retry(format!("{}: {message}", operation()))),
        }
    }

    /// Every topic of the cluster.
    pub fn topics(&self) -> Result<Vec<String>> {
        let operation = format!("could not list the topics of Kafka at {}", self.bootstrap_servers);
        let metadata = self.client.inner().fetch_metadata(None, TIMEOUT).or_kind(ErrorKind::Retry, operation)?;
        Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect())
    }

    /// Makes a topic; one that exists already is left as it is.
    pub fn create(&self, topic: &str, partitions: i32, replication: i32, config: &[(&str, &str)]) -> Result<()> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        for (key, value) in config {
            new = new.set(key, value);
        }
        let operation = || format!("could not create topic {topic}");
        let created = self.runtime.block_on(self.client.create_topics([&new], &options()));
        for result in created.or_kind(ErrorKind::Retry, operation())? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((
                    _,
                    code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed),
                )) => {
                    return Err(Error::user_fault(format!("{}: {code}; grant CREATE on it", operation())));
                }
                Err((_, code)) => return Err(Error::retry(format!("{}: {code}", operation()))),
            }
        }
        Ok(())
    }

    /// Deletes topics; those that don't exist are no error.
    pub fn delete(&self, topics: &[String]) -> Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let deleted = self.runtime.block_on(self.client.delete_topics(&names, &options()));
        for result in deleted.or_kind(ErrorKind::Retry, "could not delete topics")? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(Error::retry(format!("could not delete topic {topic}: {code}"))),
            }
        }
        Ok(())
    }

    /// Deletes the records of partitions before given offsets.
    pub fn delete_records(&self, before: &[(String, i32, i64)]) -> Result<()> {
        self.ask_to_delete(before).inspect_err(|_| {
            // The client goes on asking a leader that is gone, until it looks for another one.
            let topics: BTreeSet<&str> = before.iter().map(|(topic, ..)| topic.as_str()).collect();
            for topic in topics {
                let _ = self.client.inner().fetch_metadata(Some(topic), ANSWER);
            }
        })
    }

    fn ask_to_delete(&self, before: &[(String, i32, i64)]) -> Result<()> {
        let operation = "could not delete records that nobody needs any more";
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in before {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .or_kind(ErrorKind::FailJob, operation)?;
        }
        let deleted = self.runtime.block_on(self.client.delete_records(&list, &options_of(ANSWER)));
        for element in deleted.or_kind(ErrorKind::Retry, operation)?.elements() {
            let place = || format!("{operation}: {}-{}", element.topic(), element.partition());
            element.error().or_kind(ErrorKind::Retry, place())?;
        }
        Ok(())
    }

    /// How large a batch of records the topic takes; None where we may not know.
    pub fn max_message_bytes(&self, topic: &str) -> Result<Option<usize>> {
        match self.config(topic) {
            Ok(config) => Ok(config.get(MAX_MESSAGE_BYTES).and_then(|bytes| bytes.parse().ok())),
            Err(error) if error.kind == ErrorKind::UserFault => {
                tracing::warn!(%error, "rows too large for the topic can't be told from others");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Which cluster this is; None where the broker doesn't tell.
    pub fn cluster_id(&self) -> Option<String> {
        self.client.inner().fetch_cluster_id(TIMEOUT)
    }
}

/// One request: `send` makes it, with options and a queue for the answer, which `read` gets; null where none came in time.
///
/// # Safety
/// `rk` is live, and `read` keeps no pointer into the event.
pub(super) unsafe fn ask<T>(
    rk: *mut sys::rd_kafka_t,
    operation: sys::rd_kafka_admin_op_t,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> T,
) -> T {
    // SAFETY: by the caller's promise; what is made here is destroyed here, once, in the reverse order.
    unsafe {
        let queue = sys::rd_kafka_queue_new(rk);
        let options = sys::rd_kafka_AdminOptions_new(rk, operation);
        send(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(TIMEOUT));
        let answer = read(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// The topic that an answer to DescribeTopics tells of; None where there is no such topic.
///
/// # Safety
/// `event` is null or a live event.
unsafe fn description_of(
    event: *mut sys::rd_kafka_event_t,
) -> std::result::Result<Option<TopicDescription>, (RDKafkaRespErr, String)> {
    let no_answer = || (RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer".to_owned());
    if event.is_null() {
        return Err(no_answer());
    }
    // SAFETY: by the caller's promise; pointers into the event are not kept.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err((code, pointed_text(sys::rd_kafka_event_error_string(event))));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = if result.is_null() {
            std::ptr::null_mut()
        } else {
            sys::rd_kafka_DescribeTopics_result_topics(result, &mut count)
        };
        if count == 0 {
            return Err(no_answer());
        }
        let description = *topics;
        let error = sys::rd_kafka_TopicDescription_error(description);
        match sys::rd_kafka_error_code(error) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => return Ok(None),
            code => return Err((code, pointed_text(sys::rd_kafka_error_string(error)))),
        }
        let mut count = 0;
        let infos = sys::rd_kafka_TopicDescription_partitions(description, &mut count);
        let partition = |i| {
            let (info, mut in_sync) = (*infos.add(i), 0);
            sys::rd_kafka_TopicPartitionInfo_isr(info, &mut in_sync);
            (sys::rd_kafka_TopicPartitionInfo_partition(info), in_sync)
        };
        let mut found: Vec<(i32, usize)> = (0..count).map(partition).collect();
        found.sort_unstable();
        let (partitions, in_sync) = found.into_iter().unzip();
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let id = if id.is_null() { String::new() } else { pointed_text(sys::rd_kafka_Uuid_base64str(id)) };
        Ok(Some(TopicDescription { partitions, in_sync, id }))
    }
}

fn options() -> AdminOptions {
    options_of(TIMEOUT)
}

fn options_of(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

/// Tries an operation again while its error is a passing one, for at most `patience`.
pub fn retrying<T>(
    patience: Duration,
    clock: &dyn crate::env::Clock,
    mut operation: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = clock.monotonic() + patience;
    let mut pause = Duration::from_millis(50);
    loop {
        match operation() {
            Err(error) if error.kind == ErrorKind::Retry && clock.monotonic() < deadline => {
                tracing::warn!(%error, "trying again");
                clock.sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            other => return other,
        }
    }
}
