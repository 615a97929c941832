//! A record that its topic does not take, although it was produced: the transaction is lost for it, and would be again.
//! Rows of sinks are weighed before (`sink/kafka.rs`), so this is about what was not known then. Not here: what the
//! client says of it (`kafka/delivery.rs`).

use crate::condition::Reason;
use crate::error::Error;
use crate::kafka::delivery::Undelivered;
use crate::kafka::size::{MAX_MESSAGE_BYTES, OWN_TOPIC_BYTES};

/// What becomes of the worker. `before`: what the topic took when the worker started, where that was asked for; `now`:
/// what it takes, as far as the broker says.
pub(super) fn too_large(record: &Undelivered, before: Option<Option<usize>>, now: Option<usize>) -> Error {
    let Undelivered { topic, bytes, .. } = record;
    if let Some(before) = before
        && before != now
    {
        return Error::restart_worker(format!(
            "topic {topic} refuses a batch of records: its {MAX_MESSAGE_BYTES} has changed since the start"
        ));
    }
    let limit = match now {
        Some(now) => format!("its {MAX_MESSAGE_BYTES} is {now}"),
        None => format!("what its {MAX_MESSAGE_BYTES} is the broker does not say: grant DESCRIBE_CONFIGS on it"),
    };
    let wanted = (2 * bytes).max(OWN_TOPIC_BYTES);
    Error::user_fault(format!(
        "topic {topic} refuses a record as too large, of {bytes} bytes without its headers; {limit}. Make the rows, or \
         what is aggregated of them, smaller, or let the topic take more (kafka-configs --alter --topic {topic} \
         --add-config {MAX_MESSAGE_BYTES}={wanted})"
    ))
    .because(Reason::RecordTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use rdkafka::types::RDKafkaRespErr;

    fn record() -> Undelivered {
        let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        Undelivered { topic: "out".into(), partition: 0, bytes: 2_000_000, code }
    }

    #[test]
    fn a_topic_that_takes_less_than_at_the_start_is_started_with_anew_and_any_other_is_the_users_to_mend() {
        let kind = |before, now| too_large(&record(), before, now).kind;
        assert_eq!(kind(Some(Some(1_048_588)), Some(1_000)), ErrorKind::RestartWorker);
        assert_eq!(kind(Some(None), Some(1_000)), ErrorKind::RestartWorker);
        for (before, now) in [(Some(Some(1_000)), Some(1_000)), (Some(None), None), (None, Some(1_000))] {
            assert_eq!(kind(before, now), ErrorKind::UserFault, "{before:?} {now:?}");
        }
    }

    #[test]
    fn it_says_which_topic_how_large_what_it_takes_and_what_to_do() {
        let message = too_large(&record(), None, Some(1_048_588)).to_string();
        for part in ["topic out", "2000000 bytes", "1048588", "kafka-configs --alter --topic out"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        let message = too_large(&record(), None, None).to_string();
        assert!(message.contains("grant DESCRIBE_CONFIGS"), "{message}");
    }
}
