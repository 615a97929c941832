//! A consumer of assigned partitions that hands out whole batches of records. Where to start and what a
//! record means is the source's business.

use super::ClientOptions;
use super::native::{c_string, error_text, millis};
use super::refusal::{Refusal, Refusals};
use super::role::{Role, is_out_of_range};
use crate::batch::SourceRecords;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Events of a client that are heard at once.
const EVENTS_SERVED: usize = 32;
/// How long one request about a partition's offsets may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Memory and isolation of a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// For the group offsets; no group protocol is spoken.
    pub group_id: String,
    /// `read_committed` or `read_uncommitted`.
    pub isolation_level: String,
    /// Bytes of records fetched ahead, per queue.
    pub queued_bytes: usize,
    /// What it reads, for its errors.
    pub role: Role,
}

/// One client of one cluster. Records come out of its [`FetchQueue`]s.
pub struct PartitionConsumer {
    consumer: BaseConsumer<Refusals>,
    role: Role,
}

impl PartitionConsumer {
    pub fn new(cluster: &ClientOptions, settings: &ConsumerSettings) -> Result<Arc<Self>> {
        let mut config = cluster.client_config();
        config
            .set("group.id", &settings.group_id)
            .set("isolation.level", &settings.isolation_level)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A position that retention has passed is a loss that a person must see, never a reset.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", (settings.queued_bytes >> 10).max(1024).to_string())
            .set("fetch.message.max.bytes", "1048576")
            .set("fetch.max.bytes", "8388608")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "5");
        let consumer = config.create_with_context(Refusals::default());
        let consumer = consumer.or_kind(ErrorKind::UserFault, "could not create a Kafka consumer")?;
        Ok(Arc::new(Self { consumer, role: settings.role.clone() }))
    }

    /// Starts fetching a partition at `offset` into `queue`.
    pub fn assign(&self, topic: &str, partition: i32, offset: i64, queue: &FetchQueue) -> Result<()> {
        let rk = self.consumer.client().native_ptr();
        let name = c_string(topic);
        // SAFETY: the client outlives the calls; the partition's queue is released after it is forwarded.
        // Forwarding before the assignment keeps every record out of the client's own queue.
        unsafe {
            let source = sys::rd_kafka_queue_get_partition(rk, name.as_ptr(), partition);
            if source.is_null() {
                return Err(Error::restart_worker(format!("no queue for {topic}-{partition}")));
            }
            sys::rd_kafka_queue_forward(source, queue.queue.pointer.as_ptr());
            sys::rd_kafka_queue_destroy(source);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .or_kind(ErrorKind::FailJob, format!("position {offset} of {topic}-{partition}"))?;
        self.consumer
            .incremental_assign(&list)
            .or_kind(ErrorKind::RestartWorker, format!("could not assign {topic}-{partition}"))
    }

    /// Commits positions to the consumer group for the eyes of lag tools, without waiting.
    pub fn commit_group_offsets(&self, positions: &[(String, i32, i64)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in positions {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .or_kind(ErrorKind::FailJob, format!("position {offset} of {topic}-{partition}"))?;
        }
        self.consumer.commit(&list, CommitMode::Async).or_kind(ErrorKind::Retry, "could not commit group offsets")
    }

    /// What the group has committed, for each partition; None where nothing is.
    pub fn committed(&self, topic: &str, partitions: &[i32], timeout: Duration) -> Result<Vec<Option<i64>>> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(topic, partition);
        }
        let found = self
            .consumer
            .committed_offsets(list, timeout)
            .or_kind(ErrorKind::Retry, format!("could not read the group's offsets of {topic}"))?;
        let offset = |p: &i32| match found.find_partition(topic, *p).map(|e| e.offset()) {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        };
        Ok(partitions.iter().map(offset).collect())
    }

    /// First and next offset of a partition. Under `read_committed` the second is the last stable offset. It is asked for
    /// some seconds: who can wait for longer has to ask again.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let ask = || self.consumer.fetch_watermarks(topic, partition, ANSWER);
        let found = match ask() {
            // The client may know the topic from the time before it had this partition, or its leader from the time before
            // that was gone: it waits for the answer as long as it may, and looks for another leader only when told to.
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::OperationTimedOut,
            )) => self.consumer.fetch_metadata(Some(topic), ANSWER).and_then(|_| ask()),
            found => found,
        };
        found.or_kind(ErrorKind::Retry, format!("could not read the offsets of {topic}-{partition}"))
    }

    /// The first offset whose timestamp is at or after `millis`; None where there is none yet.
    pub fn offset_for_time(&self, topic: &str, partition: i32, millis: i64, timeout: Duration) -> Result<Option<i64>> {
        let mut list = TopicPartitionList::new();
        let operation = || format!("could not look up timestamp {millis} in {topic}-{partition}");
        list.add_partition_offset(topic, partition, Offset::Offset(millis)).or_kind(ErrorKind::FailJob, operation())?;
        let found = self.consumer.offsets_for_times(list, timeout).or_kind(ErrorKind::Retry, operation())?;
        match found.find_partition(topic, partition).map(|e| e.offset()) {
            Some(Offset::Offset(offset)) => Ok(Some(offset)),
            _ => Ok(None),
        }
    }

    /// The high watermark and last stable offset as of the last fetch, without asking the broker.
    pub fn cached_end(&self, topic: &str, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        let name = c_string(topic);
        // SAFETY: plain out-parameters on our stack.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// Hears, now and then, what the client has to say of its cluster. Returns that the cluster refuses it, if it does.
    pub fn serve(&self, now: Duration) -> Option<Refusal> {
        for _ in 0..EVENTS_SERVED {
            // Whatever comes has been told to the context; records arrive in queues of their own.
            let _ = self.consumer.poll(Duration::ZERO);
        }
        self.consumer.context().now(now)
    }
}

/// Where the records of assigned partitions arrive; one for each thread and consumer.
pub struct FetchQueue {
    queue: Arc<Queue>,
    buffer: Vec<*mut sys::rd_kafka_message_t>,
    /// Whether others may cut off the beginning of what is read.
    expects_cuts: bool,
}

// SAFETY: the buffer's pointers are only touched through &mut self; the queue may be used from any thread.
unsafe impl Send for FetchQueue {}

/// librdkafka's queue, with the client that must outlive it.
struct Queue {
    pointer: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<PartitionConsumer>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above; librdkafka locks inside.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: created by `FetchQueue::new`, destroyed once, before its client.
        unsafe { sys::rd_kafka_queue_destroy(self.pointer.as_ptr()) };
    }
}

/// What a fetch brought, in the order of each partition.
pub enum Fetched {
    /// Records of one partition, consecutive.
    Records(Arc<FetchedRecords>),
    /// A partition has been read to its end (the last stable offset under `read_committed`); `next` is
    /// where it goes on.
    EndOfPartition { topic: String, partition: i32, next: i64 },
}

impl FetchQueue {
    /// `capacity`: most records that one [`FetchQueue::fetch`] returns.
    pub fn new(consumer: &Arc<PartitionConsumer>, capacity: usize) -> Self {
        // SAFETY: the client is alive, and librdkafka never returns null here.
        let pointer = unsafe { sys::rd_kafka_queue_new(consumer.consumer.client().native_ptr()) };
        let pointer = NonNull::new(pointer).expect("librdkafka allocates or aborts");
        let queue = Arc::new(Queue { pointer, consumer: consumer.clone() });
        Self { queue, buffer: vec![std::ptr::null_mut(); capacity], expects_cuts: false }
    }

    /// For partitions whose beginning others may cut off meanwhile: that a position is gone is then no loss, but a
    /// reason to look anew.
    pub fn expecting_cuts(self) -> Self {
        Self { expects_cuts: true, ..self }
    }

    pub fn consumer(&self) -> &Arc<PartitionConsumer> {
        &self.queue.consumer
    }

    /// Waits up to `timeout` for the queue's capacity of records, and returns what is there by then.
    pub fn fetch(&mut self, timeout: Duration, fetched: &mut Vec<Fetched>) -> Result<()> {
        // SAFETY: the buffer holds `len` pointers; librdkafka fills the first `count` with messages that
        // are ours from then on.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.pointer.as_ptr(),
                millis(timeout),
                self.buffer.as_mut_ptr(),
                self.buffer.len(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        let mut run: Vec<Message> = Vec::new();
        let mut outcome = Ok(());
        // Every message has an owner before anything can return early.
        let messages: Vec<Message> = self.buffer[..count]
            .iter()
            .map(|&m| Message(NonNull::new(m).expect("librdkafka filled this entry")))
            .collect();
        for message in messages {
            match message.error() {
                None => {
                    if run.first().is_some_and(|first| !first.same_partition(&message)) {
                        fetched.push(Fetched::Records(FetchedRecords::new(std::mem::take(&mut run))));
                    }
                    if run.is_empty() {
                        run.reserve(count);
                    }
                    run.push(message);
                }
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF) => {
                    if !run.is_empty() {
                        fetched.push(Fetched::Records(FetchedRecords::new(std::mem::take(&mut run))));
                    }
                    let (topic, partition, next) =
                        (message.topic().to_owned(), message.raw().partition, message.raw().offset);
                    fetched.push(Fetched::EndOfPartition { topic, partition, next });
                }
                Some(code) if self.expects_cuts && is_out_of_range(code) => {
                    let place = format!("{}-{}", message.topic(), message.raw().partition);
                    outcome = outcome.and(Err(Error::restart_worker(format!("{place} was cut while it was read"))));
                }
                Some(code) => outcome = outcome.and(message.failure(code, &self.queue.consumer.role)),
            }
        }
        if !run.is_empty() {
            fetched.push(Fetched::Records(FetchedRecords::new(run)));
        }
        outcome
    }

    /// A handle by which another thread ends a waiting `fetch`.
    pub fn waker(&self) -> FetchWaker {
        FetchWaker(self.queue.clone())
    }
}

/// Ends a waiting fetch of another thread.
#[derive(Clone)]
pub struct FetchWaker(Arc<Queue>);

impl FetchWaker {
    pub fn wake(&self) {
        // SAFETY: the queue is alive as long as self.
        unsafe { sys::rd_kafka_queue_yield(self.0.pointer.as_ptr()) };
    }
}

/// A message that librdkafka gave us to keep.
struct Message(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a message is plain memory and may be read and destroyed on any thread.
unsafe impl Send for Message {}
// SAFETY: nothing changes it until it is dropped.
unsafe impl Sync for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: alive until dropped.
        unsafe { self.0.as_ref() }
    }

    fn error(&self) -> Option<RDKafkaRespErr> {
        let code = self.raw().err;
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(code)
    }

    fn topic(&self) -> &str {
        if self.raw().rkt.is_null() {
            return "";
        }
        // SAFETY: the topic object lives as long as the message that points to it.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw().rkt)) }.to_str().unwrap_or("")
    }

    fn same_partition(&self, other: &Self) -> bool {
        let (a, b) = (self.raw(), other.raw());
        a.partition == b.partition && (a.rkt == b.rkt || self.topic() == other.topic())
    }

    fn bytes(pointer: *mut std::ffi::c_void, length: usize) -> Option<&'static [u8]> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: librdkafka's pointer and length; callers shorten the lifetime to the message's.
        Some(unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) })
    }

    /// What an error in the stream of records means.
    fn failure(&self, code: RDKafkaRespErr, role: &Role) -> Result<()> {
        let place = format!("{}-{}", self.topic(), self.raw().partition);
        let detail =
            Self::bytes(self.raw().payload, self.raw().len).map(|text| String::from_utf8_lossy(text).into_owned());
        role.failure(code, &place, &detail.unwrap_or_else(|| error_text(code)))
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// Consecutive records of one partition.
pub struct FetchedRecords {
    topic: String,
    partition: i32,
    messages: Vec<Message>,
}

impl FetchedRecords {
    fn new(messages: Vec<Message>) -> Arc<Self> {
        let first = messages.first().expect("a run has a record");
        Arc::new(Self { topic: first.topic().to_owned(), partition: first.raw().partition, messages })
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Epoch milliseconds and whether the broker set it (`LogAppendTime`); None where the record has none.
    pub fn timestamp(&self, record: usize) -> Option<(i64, bool)> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; `kind` is an out-parameter.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.messages[record].0.as_ptr(), &mut kind) };
        match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Some((millis, true)),
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Some((millis, false)),
        }
    }

    /// None where the broker told none.
    pub fn leader_epoch(&self, record: usize) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.messages[record].0.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// The record's headers in order.
    pub fn headers(&self, record: usize) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = std::ptr::null_mut();
        let mut all = Vec::new();
        // SAFETY: the headers belong to the message, which is alive; the out-parameters are on our stack.
        unsafe {
            let code = sys::rd_kafka_message_headers(self.messages[record].0.as_ptr(), &mut headers);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return all;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
                let code = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                all.push((name, Message::bytes(value.cast_mut(), size).map(<[u8]>::to_vec)));
            }
        }
        all
    }
}

impl SourceRecords for FetchedRecords {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self, record: usize) -> i64 {
        self.messages[record].raw().offset
    }

    fn key(&self, record: usize) -> Option<&[u8]> {
        let raw = self.messages[record].raw();
        Message::bytes(raw.key, raw.key_len)
    }

    fn payload(&self, record: usize) -> Option<&[u8]> {
        let raw = self.messages[record].raw();
        Message::bytes(raw.payload, raw.len)
    }
}
