//! Whether a cluster lets a client in. Its calls only time out where the cluster refuses who they are, while the reason
//! is told to whoever listens: here a client that does nothing else, before those that work are made.

use super::ClientOptions;
use super::native::{ErrorBuffer, millis, pointed_text};
use crate::condition::Reason;
use crate::env::Clock;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a cluster may be out of reach.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a broker has refused us: another may be in better order, where it is its certificate.
const GRACE: Duration = Duration::from_secs(2);
/// Between two visits of a cluster that has refused us.
const PAUSE: Duration = Duration::from_secs(1);
/// One try.
const TRY: Duration = Duration::from_millis(250);

/// Returns once the cluster answers. That it refuses us is the user's to mend; that it is out of reach may pass.
pub fn check(cluster: &ClientOptions, clock: &dyn Clock) -> Result<()> {
    let visitor = Visitor::new(cluster)?;
    let begun = clock.monotonic();
    let mut refused_at = None;
    loop {
        if visitor.is_let_in() {
            return Ok(());
        }
        let (now, heard) = (clock.monotonic(), visitor.heard());
        if let Some(refusal) = heard.refusal {
            let since = *refused_at.get_or_insert(now);
            if now >= since + GRACE {
                let message = refused(cluster, refusal.code, &refusal.text);
                return Err(Error::user_fault(message).because(Reason::AccessRefused));
            }
        } else if now >= begun + PATIENCE {
            let last = heard.last.map_or_else(|| "no answer".to_owned(), |last| last.text);
            return Err(Error::retry(format!("could not reach Kafka at {}: {last}", cluster.bootstrap_servers)));
        }
    }
}

/// Asks again while the cluster refuses us, for at most `patience`, and as long as `goes_on` says so of the refusal.
pub fn await_entry(
    patience: Duration,
    clock: &dyn Clock,
    mut goes_on: impl FnMut(&Error) -> bool,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = clock.monotonic() + patience;
    loop {
        match check() {
            Err(error) if error.kind == ErrorKind::UserFault && clock.monotonic() < deadline && goes_on(&error) => {
                clock.sleep(PAUSE);
            }
            other => return other,
        }
    }
}

fn refused(cluster: &ClientOptions, code: RDKafkaErrorCode, reason: &str) -> String {
    let remedy = if code == RDKafkaErrorCode::SSL {
        "check that its port speaks TLS, and the certificates: spec.kafka.tls, or 'properties.ssl.*' of the table"
    } else {
        "check user name, password and mechanism: the Secret of spec.kafka.sasl, or 'properties.sasl.*' of the table"
    };
    format!(
        "Kafka at {} does not let the job in{}: {reason}; {remedy}",
        cluster.bootstrap_servers,
        cluster.identity().map_or_else(String::new, |identity| format!(" as {identity}"))
    )
}

/// An error of the client, in its words.
#[derive(Clone, Debug)]
struct Said {
    code: RDKafkaErrorCode,
    text: String,
}

/// What a client has said so far.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// The first that says that we, or the broker, are not who is expected.
    refusal: Option<Said>,
    last: Option<Said>,
}

type Listener = Mutex<Heard>;

/// A client that only looks whether it is let in.
struct Visitor {
    client: NonNull<sys::rd_kafka_t>,
    /// Its client ends before it.
    listener: Box<Listener>,
}

impl Visitor {
    fn new(cluster: &ClientOptions) -> Result<Self> {
        let native = cluster
            .client_config()
            .create_native_config()
            .or_kind(ErrorKind::UserFault, format!("the options for Kafka at {}", cluster.bootstrap_servers))?;
        let listener = Box::<Listener>::default();
        let mut buffer = ErrorBuffer::new();
        let (text, size) = buffer.pointer();
        // SAFETY: the configuration is duplicated because rd_kafka_new takes what it is given when it succeeds, while
        // `native` frees its own. The listener outlives the client.
        let client = unsafe {
            let own = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_opaque(own, std::ptr::from_ref(listener.as_ref()).cast_mut().cast());
            sys::rd_kafka_conf_set_error_cb(own, Some(on_error));
            sys::rd_kafka_conf_set_log_cb(own, Some(ignore));
            let client = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, own, text, size);
            if client.is_null() {
                sys::rd_kafka_conf_destroy(own);
            }
            client
        };
        let client = NonNull::new(client).ok_or_else(|| {
            let servers = &cluster.bootstrap_servers;
            Error::user_fault(format!("could not create a client for Kafka at {servers}: {}", buffer.message()))
        })?;
        Ok(Self { client, listener })
    }

    /// Asks which brokers there are, for a short time.
    fn is_let_in(&self) -> bool {
        let mut metadata = std::ptr::null();
        // SAFETY: the client is alive; what it answers is freed, once.
        unsafe {
            let client = self.client.as_ptr();
            let code = sys::rd_kafka_metadata(client, 0, std::ptr::null_mut(), &mut metadata, millis(TRY));
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            // Calls back with errors; a client without a broker fails at once, and has to be waited for here.
            let wait = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Duration::ZERO } else { TRY / 5 };
            sys::rd_kafka_poll(client, millis(wait));
            code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        }
    }

    fn heard(&self) -> Heard {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_destroy(self.client.as_ptr()) };
    }
}

/// Whether an error says that the cluster does not let us in, or is not who it should be, and if so, by which code. In
/// TLS 1.3 a broker looks at our certificate when the connection is made already: that it is refused then comes as the end
/// of the connection.
pub(super) fn refusal_in(code: RDKafkaErrorCode, text: &str) -> Option<RDKafkaErrorCode> {
    use RDKafkaErrorCode::*;
    match code {
        Authentication | SSL | SaslAuthenticationFailed | UnsupportedSASLMechanism | IllegalSASLState => Some(code),
        BrokerTransportFailure if tls_alert(text).is_some_and(|alert| ALERTS_THAT_REFUSE.contains(&alert)) => Some(SSL),
        _ => None,
    }
}

/// The alerts of TLS about certificates and access, from bad_certificate to access_denied, and certificate_required
/// (RFC 8446, section 6.2).
const ALERTS_THAT_REFUSE: [u32; 8] = [42, 43, 44, 45, 46, 48, 49, 116];

/// The alert of TLS that OpenSSL names in an error.
fn tls_alert(text: &str) -> Option<u32> {
    let (_, behind) = text.split_once("SSL alert number ")?;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

unsafe extern "C" fn on_error(_client: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: librdkafka passes a string that lives for the call, and the visitor's listener.
    let (text, listener) = unsafe { (pointed_text(reason), &*opaque.cast::<Listener>()) };
    let code = RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN).into();
    let refusal = refusal_in(code, &text).map(|code| Said { code, text: text.clone() });
    let mut heard = listener.lock().unwrap_or_else(PoisonError::into_inner);
    heard.refusal = heard.refusal.take().or(refusal);
    // That all brokers are down follows from what was said of each.
    if code != RDKafkaErrorCode::AllBrokersDown {
        heard.last = Some(Said { code, text });
    }
}

/// What it logs it also calls back with.
unsafe extern "C" fn ignore(
    _client: *const sys::rd_kafka_t,
    _level: c_int,
    _facility: *const c_char,
    _text: *const c_char,
) {
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_refusal_says_where_as_whom_and_what_to_do_and_never_the_password() {
        let options = [("sasl.username", "jim"), ("sasl.password", "hawkins"), ("sasl.mechanism", "SCRAM-SHA-512")];
        let options: BTreeMap<_, _> = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let cluster = ClientOptions { bootstrap_servers: "k:9093".into(), options: options.into() };
        let message = refused(&cluster, RDKafkaErrorCode::Authentication, "invalid credentials");
        for part in ["k:9093", "user jim (SCRAM-SHA-512)", "invalid credentials", "spec.kafka.sasl"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        assert!(!format!("{message}{cluster:?}").contains("hawkins"), "{message} {cluster:?}");
        let message = refused(&cluster, RDKafkaErrorCode::SSL, "certificate verify failed");
        assert!(message.contains("spec.kafka.tls"), "{message}");
    }

    #[test]
    fn a_connection_that_ends_with_an_alert_about_the_certificate_is_a_refusal() {
        use RDKafkaErrorCode::{BrokerTransportFailure, SSL};
        let ends = |alert: &str| {
            let text = format!(
                "ssl://k:9093/1: Disconnected: error:0A000412:SSL routines::ssl/tls alert: {alert} (after 3ms)"
            );
            refusal_in(BrokerTransportFailure, &text)
        };
        assert_eq!(ends("SSL alert number 42"), Some(SSL));
        assert_eq!(ends("SSL alert number 116"), Some(SSL));
        // An internal error of the broker, and the end of a connection.
        assert_eq!(ends("SSL alert number 80"), None);
        assert_eq!(ends("unexpected eof while reading"), None);
    }

    #[test]
    fn a_cluster_that_refuses_is_asked_again_for_a_while_and_one_out_of_reach_is_not() {
        let clock = crate::env::ManualClock::default();
        let (asked, told) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let refuse = || {
            asked.set(asked.get() + 1);
            Err(Error::user_fault("refused"))
        };
        let tell = |_: &Error| {
            told.set(told.get() + 1);
            true
        };
        let outcome = await_entry(3 * PAUSE, &clock, tell, refuse);
        assert_eq!(outcome.unwrap_err().kind, ErrorKind::UserFault);
        assert_eq!((asked.get(), told.get()), (4, 3));
        let outcome = await_entry(Duration::ZERO, &clock, |_| panic!("there is no time to go on"), refuse);
        assert_eq!((outcome.is_err(), asked.get()), (true, 5));
        let outcome = await_entry(PAUSE, &clock, |_| panic!("it is not refused"), || Err(Error::retry("gone")));
        assert_eq!(outcome.unwrap_err().kind, ErrorKind::Retry);
        await_entry(PAUSE, &clock, |_| false, || Ok(())).expect("let in");
    }
}
