//! What a client hears of being refused while it runs: a password that was changed, a certificate that has expired. Its
//! calls and fetches only go on waiting. Not here: whether a client is let in at all (`access.rs`).

use super::access::refusal_in;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After a refusal, a client that has not been refused again for so long is let in. It is quiet about the same refusal
/// for half of it.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A cluster refuses a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In the client's words.
    pub reason: String,
    /// From the first time that it was refused to the last.
    pub lasts: Duration,
}

/// The context of a client, which keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Heard since the last look.
    heard: Option<String>,
    current: Option<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    reason: String,
    first: Duration,
    last: Duration,
}

impl Refusals {
    fn hear(&self, reason: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(reason.to_owned());
    }

    /// The refusal that holds at this time.
    pub(super) fn now(&self, now: Duration) -> Option<Refusal> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.current.take_if(|current| now >= current.last + FORGOTTEN);
        if let Some(reason) = state.heard.take() {
            let first = state.current.as_ref().map_or(now, |current| current.first);
            state.current = Some(Current { reason, first, last: now });
        }
        let current = state.current.as_ref()?;
        Some(Refusal { reason: current.reason.clone(), lasts: current.last - current.first })
    }
}

impl ClientContext for Refusals {
    /// As the producer's lines: what passes by itself is no error.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "kafka", "{facility}: {text}");
            }
            RDKafkaLogLevel::Warning => tracing::info!(target: "kafka", "{facility}: {text}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "kafka", "{facility}: {text}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code().is_some_and(|code| refusal_in(code, reason).is_some()) {
            self.hear(reason);
        }
    }
}

impl ConsumerContext for Refusals {}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refusal(reason: &str, lasts: u64) -> Option<Refusal> {
        Some(Refusal { reason: reason.to_owned(), lasts: seconds(lasts) })
    }

    #[test]
    fn a_refusal_lasts_from_the_first_to_the_last_and_is_forgotten_when_none_follows() {
        let refusals = Refusals::default();
        assert_eq!(refusals.now(seconds(5)), None);
        refusals.hear("wrong password");
        assert_eq!(refusals.now(seconds(10)), refusal("wrong password", 0));
        assert_eq!(refusals.now(seconds(40)), refusal("wrong password", 0));
        refusals.hear("still wrong");
        assert_eq!(refusals.now(seconds(50)), refusal("still wrong", 40));
        assert_eq!(refusals.now(seconds(109)), refusal("still wrong", 40));
        assert_eq!(refusals.now(seconds(110)), None);
        refusals.hear("wrong again");
        assert_eq!(refusals.now(seconds(111)), refusal("wrong again", 0));
    }

    #[test]
    fn only_what_refuses_the_client_is_a_refusal() {
        use rdkafka::types::RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, SSL};
        for (code, refuses) in
            [(Authentication, true), (SSL, true), (BrokerTransportFailure, false), (AllBrokersDown, false)]
        {
            let refusals = Refusals::default();
            refusals.error(KafkaError::Global(code), "said");
            assert_eq!(refusals.now(seconds(0)).is_some(), refuses, "{code:?}");
        }
    }
}
