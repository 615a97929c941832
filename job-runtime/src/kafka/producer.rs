//! A transactional producer that says how each commit went. It talks to librdkafka directly for two
//! reasons: whole batches are handed over with one call, and the number of EndTxn requests sent can be
//! counted, which the commit call itself does not tell (see `CommitOutcome`).

use super::ClientOptions;
use super::delivery::{Faults, Undelivered};
use super::native::{ErrorBuffer, NativeError, c_string, error_text, millis};
use super::size::{BATCH_BYTES, MAX_MESSAGE_BYTES, OWN_TOPIC_BYTES, TopicLimits};
use crate::condition::Reason;
use crate::error::{Error, ErrorKind, Result};
use rdkafka::bindings as sys;
use rdkafka::config::NativeClientConfig;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// "Choose a partition by the key", as librdkafka writes it.
const PARTITION_UNASSIGNED: i32 = -1;

/// The most that librdkafka lets a record take.
const RECORD_BYTES_MAX: usize = 1_000_000_000;

/// Kafka's api key of the request that ends a transaction.
const END_TXN: i16 = 26;
/// Between two tries to put a record into a queue that is full.
const ROOM: Duration = Duration::from_millis(5);

/// How a commit went.
#[derive(Debug)]
pub enum CommitOutcome {
    /// Committed, by exactly one EndTxn request: the producer may go on.
    Clean,
    /// Committed, but EndTxn was sent more than once: a late one could end a later transaction of this
    /// producer (KAFKA-17754), so it is not used again.
    Retried,
    /// Surely not committed.
    Aborted(Error),
    /// Nobody knows but the log.
    Unknown(Error),
}

/// One record; the payload is copied.
#[derive(Clone, Copy, Default)]
pub struct OutgoingRecord<'a> {
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

/// Memory and sizes of a producer.
#[derive(Clone, Copy, Debug)]
pub struct ProducerSettings {
    /// How long a transaction may stay open.
    pub transaction_timeout: Duration,
    /// Bounds the records that wait for the broker; producing blocks above it.
    pub queued_bytes: usize,
    /// Of a batch with more than one record.
    pub batch_bytes: usize,
    /// Of one record.
    pub record_bytes: usize,
}

impl ProducerSettings {
    /// For topics with these limits.
    pub fn new(transaction_timeout: Duration, queued_bytes: usize, limits: &TopicLimits) -> Self {
        let (batch_bytes, record_bytes) = (limits.batch_bytes(), limits.record_bytes());
        Self { transaction_timeout, queued_bytes, batch_bytes, record_bytes }
    }

    /// For one that only takes part in fencing.
    pub fn for_fencing(transaction_timeout: Duration) -> Self {
        Self { transaction_timeout, queued_bytes: 1 << 20, batch_bytes: BATCH_BYTES, record_bytes: OWN_TOPIC_BYTES }
    }
}

pub struct TransactionalProducer {
    client: NonNull<sys::rd_kafka_t>,
    end_txn_requests: Arc<AtomicU64>,
    faults: Box<Faults>,
    transactional_id: String,
}

// SAFETY: librdkafka's handles may be used from any thread at the same time.
unsafe impl Send for TransactionalProducer {}
// SAFETY: as above.
unsafe impl Sync for TransactionalProducer {}

/// A topic to produce to, by one producer.
#[derive(Clone)]
pub struct ProducerTopic {
    topic: Arc<TopicHandle>,
    name: Arc<str>,
}

struct TopicHandle {
    topic: NonNull<sys::rd_kafka_topic_t>,
    /// The client must outlive its topics.
    producer: Arc<TransactionalProducer>,
}

// SAFETY: topic handles may be used from any thread at the same time.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TransactionalProducer {
    pub fn new(cluster: &ClientOptions, transactional_id: &str, settings: &ProducerSettings) -> Result<Arc<Self>> {
        let native = native_config(cluster, transactional_id, settings)?;
        let (end_txn_requests, faults) = (Arc::new(AtomicU64::new(0)), Box::new(Faults::default()));
        let mut buffer = ErrorBuffer::new();
        let (text, size) = buffer.pointer();
        // SAFETY: the configuration is duplicated because rd_kafka_new takes what it is given when it
        // succeeds, while `native` frees its own. The counter and the faults outlive the client, which self holds.
        let client = unsafe {
            let own = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_log_cb(own, Some(log_callback));
            faults.listen(own);
            sys::rd_kafka_conf_interceptor_add_on_new(
                own,
                c"millrace".as_ptr(),
                Some(on_new),
                Arc::as_ptr(&end_txn_requests).cast_mut().cast(),
            );
            let client = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, own, text, size);
            if client.is_null() {
                sys::rd_kafka_conf_destroy(own);
            }
            client
        };
        let client = NonNull::new(client)
            .ok_or_else(|| Error::user_fault(format!("could not create the Kafka producer: {}", buffer.message())))?;
        Ok(Arc::new(Self { client, end_txn_requests, faults, transactional_id: transactional_id.to_owned() }))
    }

    /// Registers with the coordinator; every earlier producer with this id is fenced from here on, and its
    /// open transaction aborted.
    pub fn init_transactions(&self, timeout: Duration) -> Result<()> {
        // SAFETY: the client is alive; the error object is taken once.
        let error =
            unsafe { NativeError::take(sys::rd_kafka_init_transactions(self.client.as_ptr(), millis(timeout))) };
        let Some(error) = error else { return Ok(()) };
        let message = format!("could not register transactional id {}: {}", self.transactional_id, error.message);
        let refused = |remedy: &str| Error::user_fault(format!("{message}; {remedy}")).because(Reason::AccessRefused);
        Err(match error.code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
                refused("grant WRITE and DESCRIBE on transactional ids that begin so")
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => {
                refused("grant IDEMPOTENT_WRITE on the cluster")
            }
            _ if error.fatal => Error::fail_job(message),
            _ => Error::retry(message).because(Reason::TransactionFailed),
        })
    }

    pub fn begin(&self) -> Result<()> {
        // SAFETY: as in `init_transactions`.
        let error = unsafe { NativeError::take(sys::rd_kafka_begin_transaction(self.client.as_ptr())) };
        match error {
            None => Ok(()),
            Some(error) => Err(Error::restart_worker(format!("could not begin a transaction: {}", error.message))),
        }
    }

    /// Flushes and commits. Any outcome but `Clean` is this producer's end.
    pub fn commit(&self, timeout: Duration) -> CommitOutcome {
        let before = self.end_txn_requests.load(Ordering::Acquire);
        // SAFETY: as in `init_transactions`.
        let error =
            unsafe { NativeError::take(sys::rd_kafka_commit_transaction(self.client.as_ptr(), millis(timeout))) };
        let requests = self.end_txn_requests.load(Ordering::Acquire) - before;
        match error {
            // An empty transaction sends no EndTxn, which is clean too.
            None if requests <= 1 => CommitOutcome::Clean,
            None => CommitOutcome::Retried,
            // Without EndTxn nothing can have been committed, whatever went wrong.
            Some(error) if requests == 0 => {
                let error = format!("the transaction was not committed: {}", describe(&error));
                CommitOutcome::Aborted(self.explain(Error::restart_worker(error).because(Reason::TransactionFailed)))
            }
            Some(error) => CommitOutcome::Unknown(
                Error::restart_worker(format!("the commit's outcome is unknown: {}", describe(&error)))
                    .because(Reason::TransactionFailed),
            ),
        }
    }

    /// The record for which the transaction can't be committed, if there is one.
    pub fn undelivered(&self) -> Option<Undelivered> {
        // SAFETY: the client is alive; what is called back is `self.faults`.
        unsafe { sys::rd_kafka_poll(self.client.as_ptr(), 0) };
        self.faults.undelivered()
    }

    /// Waits a moment for room in the queue. librdkafka's own way to wait (`F_BLOCK`) may wait for ever: it is woken when what
    /// is queued falls below the limit, which it need not have reached; and it registers a partition with the transaction only
    /// after the call that waits, so that what it waits for is not sent.
    fn await_room(&self) -> Result<()> {
        // SAFETY: the client is alive; what is called back is `self.faults`.
        unsafe { sys::rd_kafka_poll(self.client.as_ptr(), millis(ROOM)) };
        self.check()
    }

    /// An error where a record was not delivered, so that the transaction is lost. Such records keep their room in the queue
    /// until this is called, and whoever produces may be waiting for room.
    pub fn check(&self) -> Result<()> {
        match self.undelivered() {
            None => Ok(()),
            Some(_) => {
                let lost = Error::restart_worker("the transaction can't be committed");
                Err(self.faults.explain(lost.because(Reason::TransactionFailed)))
            }
        }
    }

    /// Gives up everything that is to be delivered, so that nobody waits for room any more.
    pub fn give_up(&self) {
        let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_purge(self.client.as_ptr(), all) };
        self.undelivered();
    }

    /// `error` of a call in a transaction, with why that can't be committed any more where it can't.
    fn explain(&self, error: Error) -> Error {
        self.undelivered();
        self.faults.explain(error)
    }

    /// A handle for producing to `topic`. Records without an explicit partition follow Kafka's default
    /// partitioner (murmur2 of the key).
    pub fn topic(self: &Arc<Self>, topic: &str) -> Result<ProducerTopic> {
        let name = c_string(topic);
        let mut buffer = ErrorBuffer::new();
        let (text, size) = buffer.pointer();
        // SAFETY: the topic's configuration is handed over to rd_kafka_topic_new, which takes it.
        let handle = unsafe {
            let config = sys::rd_kafka_topic_conf_new();
            let result =
                sys::rd_kafka_topic_conf_set(config, c"partitioner".as_ptr(), c"murmur2_random".as_ptr(), text, size);
            debug_assert_eq!(result, sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK);
            sys::rd_kafka_topic_new(self.client.as_ptr(), name.as_ptr(), config)
        };
        let topic_handle =
            NonNull::new(handle).ok_or_else(|| Error::user_fault(format!("not a topic's name: {topic:?}")))?;
        let handle = TopicHandle { topic: topic_handle, producer: self.clone() };
        Ok(ProducerTopic { topic: Arc::new(handle), name: topic.into() })
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        // SAFETY: ours; topics hold an Arc of self, so none is left. Purging first: what was not
        // committed must not be waited for.
        unsafe {
            sys::rd_kafka_purge(self.client.as_ptr(), sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT);
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

impl ProducerTopic {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Produces records in order, to `partition` or, where it is None, by their keys. Waits while the
    /// client's queue is full. `scratch` is reused from call to call.
    pub fn produce<'a>(
        &self,
        partition: Option<i32>,
        records: impl Iterator<Item = OutgoingRecord<'a>>,
        scratch: &mut ProduceScratch,
    ) -> Result<()> {
        scratch.0.clear();
        scratch.0.extend(records.map(|record| sys::rd_kafka_message_t {
            err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: std::ptr::null_mut(),
            partition: PARTITION_UNASSIGNED,
            payload: pointer(record.payload),
            len: record.payload.map_or(0, <[u8]>::len),
            key: pointer(record.key),
            key_len: record.key.map_or(0, <[u8]>::len),
            offset: 0,
            _private: std::ptr::null_mut(),
        }));
        let mut rest = scratch.0.as_mut_slice();
        loop {
            let count = c_int::try_from(rest.len()).expect("a batch is far below 2^31 records");
            // SAFETY: the messages point into slices that outlive the call, and F_COPY copies them.
            let accepted = unsafe {
                sys::rd_kafka_produce_batch(
                    self.topic.topic.as_ptr(),
                    partition.unwrap_or(PARTITION_UNASSIGNED),
                    sys::RD_KAFKA_MSG_F_COPY,
                    rest.as_mut_ptr(),
                    count,
                )
            };
            if accepted == count {
                return Ok(());
            }
            let refused = rest.iter().position(|m| m.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
            match refused.map(|at| (at, rest[at].err)) {
                // All from there on were refused for the same reason.
                Some((at, RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL)) => rest = &mut rest[at..],
                Some((_, code)) => return Err(self.refusal(code)),
                None => return Err(self.refusal(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL)),
            }
            self.topic.producer.await_room()?;
        }
    }

    /// Produces one record with headers and, where given, its own timestamp (epoch milliseconds).
    pub fn produce_with_headers(
        &self,
        record: OutgoingRecord<'_>,
        partition: Option<i32>,
        timestamp: Option<i64>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> Result<()> {
        // SAFETY: rd_kafka_produceva copies payload and key (F_COPY) and, when it succeeds, takes the
        // headers; otherwise they are destroyed here. The union fields set are those its tags name.
        unsafe {
            let list = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let (bytes, length) = match value {
                    Some(value) => (value.as_ptr().cast::<c_void>(), value.len() as isize),
                    None => (std::ptr::null(), 0),
                };
                sys::rd_kafka_header_add(list, name.as_ptr().cast(), name.len() as isize, bytes, length);
            }
            let mut arguments = [
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, |u| u.rkt = self.topic.topic.as_ptr()),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION, |u| {
                    u.i32_ = partition.unwrap_or(PARTITION_UNASSIGNED);
                }),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = sys::RD_KAFKA_MSG_F_COPY),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, |u| {
                    u.mem.ptr = pointer(record.payload);
                    u.mem.size = record.payload.map_or(0, <[u8]>::len);
                }),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, |u| {
                    u.mem.ptr = pointer(record.key);
                    u.mem.size = record.key.map_or(0, <[u8]>::len);
                }),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP, |u| u.i64_ = timestamp.unwrap_or(0)),
                argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = list),
            ];
            let client = self.topic.producer.client.as_ptr();
            loop {
                let error = NativeError::take(sys::rd_kafka_produceva(client, arguments.as_mut_ptr(), arguments.len()));
                let Some(error) = error else { return Ok(()) };
                let waited = match error.code {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL => self.topic.producer.await_room(),
                    code => Err(self.refusal(code)),
                };
                if waited.is_err() {
                    sys::rd_kafka_headers_destroy(list);
                    return waited;
                }
            }
        }
    }

    fn refusal(&self, code: RDKafkaRespErr) -> Error {
        use RDKafkaRespErr::*;
        let message = format!("could not produce to {}: {}", self.name, error_text(code));
        match code {
            // Of rows only the sink's own check comes first; what is left is a change of state.
            RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE => Error::user_fault(format!(
                "{message}: it is larger than any topic of the job takes ({MAX_MESSAGE_BYTES}); make the rows, or what \
                 is aggregated of them, smaller"
            )),
            RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC | RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION => Error::fail_job(message),
            // The transaction may have been given up before, for another record.
            _ => {
                let error = Error::restart_worker(message).because(Reason::TransactionFailed);
                self.topic.producer.explain(error)
            }
        }
    }
}

/// The array handed to librdkafka, kept to save its allocation.
#[derive(Default)]
pub struct ProduceScratch(Vec<sys::rd_kafka_message_t>);

// SAFETY: the pointers in it are only meaningful during a call of `produce`.
unsafe impl Send for ProduceScratch {}

fn pointer(bytes: Option<&[u8]>) -> *mut c_void {
    bytes.map_or(std::ptr::null_mut(), |b| b.as_ptr().cast_mut().cast())
}

fn argument(
    vtype: sys::rd_kafka_vtype_t,
    set: impl FnOnce(&mut sys::rd_kafka_vu_s__bindgen_ty_1),
) -> sys::rd_kafka_vu_t {
    // SAFETY: a C union of plain values, for which zero is a valid value.
    let mut value: sys::rd_kafka_vu_s__bindgen_ty_1 = unsafe { std::mem::zeroed() };
    set(&mut value);
    sys::rd_kafka_vu_t { vtype, u: value }
}

/// The configuration of a producer.
fn native_config(
    cluster: &ClientOptions,
    transactional_id: &str,
    settings: &ProducerSettings,
) -> Result<NativeClientConfig> {
    let mut config = cluster.client_config();
    let timeout = millis(settings.transaction_timeout);
    // A record that is larger than the queue would wait for room for ever.
    let queued = settings.queued_bytes.max(4 << 20).max(2 * settings.record_bytes);
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout.to_string())
        .set("message.timeout.ms", timeout.to_string())
        // librdkafka wants socket.timeout.ms at most 100 ms above the transaction's.
        .set("socket.timeout.ms", timeout.min(30_000).to_string())
        .set("linger.ms", "20")
        .set("message.max.bytes", settings.record_bytes.min(RECORD_BYTES_MAX).to_string())
        .set("batch.size", settings.batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        .set("queue.buffering.max.kbytes", (queued >> 10).to_string())
        .set("queue.buffering.max.messages", "2000000")
        .set("delivery.report.only.error", "true");
    config
        .create_native_config()
        .map_err(|e| Error::new(ErrorKind::UserFault, "could not configure the Kafka producer").caused_by(e))
}

fn describe(error: &NativeError) -> String {
    let kind = match (error.fatal, error.retriable) {
        (true, _) => "fatal",
        (false, true) => "passing",
        (false, false) => "error",
    };
    format!("{} ({kind}, {})", error.message, error_text(error.code))
}

/// Adds the counter of EndTxn requests to a new client; `opaque` is the counter.
unsafe extern "C" fn on_new(
    client: *mut sys::rd_kafka_t,
    _config: *const sys::rd_kafka_conf_t,
    opaque: *mut c_void,
    _error: *mut c_char,
    _error_size: usize,
) -> RDKafkaRespErr {
    // SAFETY: librdkafka passes its new client and the opaque given at registration.
    unsafe {
        sys::rd_kafka_interceptor_add_on_request_sent(client, c"millrace".as_ptr(), Some(on_request_sent), opaque)
    }
}

unsafe extern "C" fn on_request_sent(
    _client: *mut sys::rd_kafka_t,
    _socket: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    api_key: i16,
    _api_version: i16,
    _correlation: i32,
    _size: usize,
    opaque: *mut c_void,
) -> RDKafkaRespErr {
    if api_key == END_TXN {
        // SAFETY: the counter is held by the producer, whose drop ends the client before the counter.
        let counter = unsafe { &*opaque.cast::<AtomicU64>() };
        counter.fetch_add(1, Ordering::AcqRel);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

unsafe extern "C" fn log_callback(
    client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka passes strings that live for the call.
    let (facility, text) =
        unsafe { (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy()) };
    // SAFETY: the opaque of a client is its faults, which outlive it; librdkafka logs without one before it has a client.
    let faults = unsafe { client.as_ref().map(|client| sys::rd_kafka_opaque(client).cast::<Faults>()) };
    // SAFETY: as above.
    if let Some(faults) = faults.and_then(|faults| unsafe { faults.as_ref() }) {
        faults.logged(&facility, &text);
    }
    // syslog's levels: 3 is an error, 4 a warning.
    match level {
        0..=3 => tracing::warn!(target: "kafka", "{facility}: {text}"),
        4 => tracing::info!(target: "kafka", "{facility}: {text}"),
        _ => tracing::debug!(target: "kafka", "{facility}: {text}"),
    }
}
