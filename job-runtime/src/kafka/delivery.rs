//! Why a transaction can't be committed: the record that was not delivered, and what librdkafka said when it gave the
//! transaction up. The calls that fail for it tell neither. Not here: what becomes of the worker (`commit/refused.rs`).

use super::native::pointed_text;
use crate::error::Error;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Facilities of librdkafka's log that tell of transactions given up.
const FACILITIES: [&str; 2] = ["ADDPARTS", "TXNERR"];
/// Of what they say, the first lines are the cause.
const LINES: usize = 2;

/// A record that was not delivered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    pub topic: String,
    pub partition: i32,
    /// Of its key and value.
    pub bytes: usize,
    pub code: RDKafkaRespErr,
}

impl Undelivered {
    pub fn is_too_large(&self) -> bool {
        self.code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
    }
}

/// What went wrong with a producer's transaction.
#[derive(Default)]
pub(super) struct Faults(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// The first one; of those that were too large for the same topic, the largest.
    undelivered: Option<Undelivered>,
    said: Vec<String>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn undelivered(&self) -> Option<Undelivered> {
        self.lock().undelivered.clone()
    }

    /// What `error`, of a call that failed for it, is about, as far as that is known.
    pub(super) fn explain(&self, error: Error) -> Error {
        let found = self.lock();
        let delivery = found.undelivered.as_ref().map(|record| {
            let reason = super::native::error_text(record.code);
            format!("a record for {}-{} was not delivered: {reason}", record.topic, record.partition)
        });
        let message: Vec<&str> = delivery.iter().chain(&found.said).map(String::as_str).collect();
        if message.is_empty() {
            return error;
        }
        let message = message.join("; ");
        let denied = found.undelivered.as_ref().is_some_and(|record| is_denial(record.code));
        if denied || message.contains("AUTHORIZATION_FAILED") {
            return Error::user_fault(format!(
                "{error}: {message}. Grant the job's principal WRITE on the topics of its sinks, and on topics and \
                 transactional ids that begin with its namespace and name"
            ));
        }
        let explained = Error::new(error.kind, format!("{error}: {message}"));
        explained.because(error.reason())
    }

    fn failed(&self, record: Undelivered) {
        let first = &mut self.lock().undelivered;
        let replaces = first.as_ref().is_none_or(|first| {
            (&first.topic, first.code) == (&record.topic, record.code)
                && record.is_too_large()
                && record.bytes > first.bytes
        });
        if replaces {
            *first = Some(record);
        }
    }

    /// A line of the client's log.
    pub(super) fn logged(&self, facility: &str, text: &str) {
        let said = &mut self.lock().said;
        if FACILITIES.contains(&facility) && said.len() < LINES {
            said.push(text.to_owned());
        }
    }

    /// Has a client of this configuration tell of failed deliveries whenever it is polled or flushed.
    ///
    /// # Safety
    /// The configuration is alive, and its client ends before `self`, which does not move.
    pub(super) unsafe fn listen(&self, config: *mut sys::rd_kafka_conf_t) {
        // SAFETY: by the caller's promise.
        unsafe {
            sys::rd_kafka_conf_set_opaque(config, std::ptr::from_ref(self).cast_mut().cast());
            sys::rd_kafka_conf_set_dr_msg_cb(config, Some(on_delivery));
        }
    }
}

fn is_denial(code: RDKafkaRespErr) -> bool {
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
}

/// Whether a record is only lost because others were.
fn is_purge(code: RDKafkaRespErr) -> bool {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__PURGE_QUEUE};
    matches!(code, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT | RD_KAFKA_RESP_ERR__PURGE_QUEUE)
}

unsafe extern "C" fn on_delivery(
    _client: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a message that lives for the call, and the opaque of `listen`, which outlives it.
    let (message, faults) = unsafe { (&*message, &*opaque.cast::<Faults>()) };
    if message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || is_purge(message.err) {
        return;
    }
    // SAFETY: the topic lives as long as its message.
    let topic = unsafe { pointed_text(sys::rd_kafka_topic_name(message.rkt)) };
    let bytes = message.len + message.key_len;
    faults.failed(Undelivered { topic, partition: message.partition, bytes, code: message.err });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE};

    fn record(topic: &str, bytes: usize, code: RDKafkaRespErr) -> Undelivered {
        Undelivered { topic: topic.to_owned(), partition: 0, bytes, code }
    }

    #[test]
    fn the_first_failure_counts_and_of_records_too_large_for_a_topic_the_largest() {
        let faults = Faults::default();
        assert_eq!(faults.undelivered(), None);
        for (topic, bytes) in [("a", 5), ("a", 9), ("b", 100), ("a", 7)] {
            faults.failed(record(topic, bytes, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
        }
        faults.failed(record("a", 1_000, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT));
        assert_eq!(faults.undelivered(), Some(record("a", 9, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)));
    }

    #[test]
    fn a_transaction_given_up_says_why_and_what_is_denied_is_no_reason_to_try_again() {
        let faults = Faults::default();
        let error = || Error::restart_worker("could not produce to t");
        assert_eq!(faults.explain(error()).to_string(), "could not produce to t");
        faults.logged("CONNECT", "connected");
        faults.logged("TXNERR", "failed (COORDINATOR_NOT_AVAILABLE)");
        let explained = faults.explain(error());
        assert_eq!(explained.kind, ErrorKind::RestartWorker);
        assert_eq!(explained.to_string(), "could not produce to t: failed (COORDINATOR_NOT_AVAILABLE)");
        faults.logged("TXNERR", "failed (TOPIC_AUTHORIZATION_FAILED)");
        assert_eq!(faults.explain(error()).kind, ErrorKind::UserFault);
    }
}
