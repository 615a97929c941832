//! Users of a Kafka that asks who they are: made, given other passwords, and told what they may do.

use super::wire::ask;
use super::{Kafka, PATIENCE};
use kafka_protocol::messages::CreateAclsRequest;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::protocol::StrBytes;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::ffi::CString;
use std::time::{Duration, Instant};

/// Where users have to say who they are, if there is such a Kafka.
pub(crate) fn sasl_address() -> String {
    std::env::var("MILLRACE_TEST_KAFKA_SASL").expect("run.sh names it beside MILLRACE_TEST_KAFKA")
}

/// Who somebody says to be.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) mechanism: &'static str,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Login {
    /// The one user that there is with PLAIN.
    pub(crate) fn plain() -> Self {
        Self { mechanism: "PLAIN", user: "jim".to_owned(), password: "hawkins".to_owned() }
    }

    /// A user of this test's own.
    pub(crate) fn scram(kafka: &Kafka, mechanism: &'static str) -> Self {
        let login = Self { mechanism, user: kafka.name("user"), password: "a-secret-of-jims".to_owned() };
        login.make(kafka);
        login
    }

    pub(crate) fn with_password(&self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self.clone() }
    }

    /// Makes the user, or gives it this password.
    pub(crate) fn make(&self, kafka: &Kafka) {
        let mechanism = match self.mechanism {
            "SCRAM-SHA-256" => sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_256,
            "SCRAM-SHA-512" => sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
            other => panic!("users of {other} can't be made"),
        };
        let client: AdminClient<DefaultClientContext> = kafka.client().create().expect("an admin client");
        let rk = client.inner().native_ptr();
        let user = CString::new(self.user.as_str()).expect("a name without NUL");
        let millis = i32::try_from(PATIENCE.as_millis()).expect("a few minutes");
        // SAFETY: what is made here is destroyed here, once; the result is read while its event lives.
        let failed = unsafe {
            let (password, none) = (self.password.as_bytes(), std::ptr::null());
            let mut alteration = sys::rd_kafka_UserScramCredentialUpsertion_new(
                user.as_ptr(),
                mechanism,
                4096,
                password.as_ptr(),
                password.len(),
                none,
                0,
            );
            let queue = sys::rd_kafka_queue_new(rk);
            sys::rd_kafka_AlterUserScramCredentials(rk, &mut alteration, 1, std::ptr::null(), queue);
            let event = sys::rd_kafka_queue_poll(queue, millis);
            assert!(!event.is_null(), "no answer about user {}", self.user);
            let result = sys::rd_kafka_event_AlterUserScramCredentials_result(event);
            let mut failed = sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if !failed {
                let mut count = 0;
                let responses = sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &mut count);
                let error = sys::rd_kafka_AlterUserScramCredentials_result_response_error(*responses);
                failed = sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            }
            sys::rd_kafka_event_destroy(event);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_UserScramCredentialAlteration_destroy(alteration);
            failed
        };
        assert!(!failed, "could not make user {}", self.user);
        self.until_known();
    }

    /// The broker answers before it lets the user in.
    fn until_known(&self) {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", sasl_address())
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", self.mechanism)
            .set("sasl.username", &self.user)
            .set("sasl.password", &self.password)
            .set("log_level", "0");
        let end = Instant::now() + PATIENCE;
        let is_let_in = || {
            let client: BaseConsumer = client.create().expect("a client");
            client.fetch_metadata(None, Duration::from_secs(2)).is_ok()
        };
        while !is_let_in() {
            assert!(Instant::now() < end, "waited {PATIENCE:?} for user {} to be let in", self.user);
        }
    }
}

/// What may be allowed, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read = 3,
    Write = 4,
    Describe = 8,
    DescribeConfigs = 10,
}

/// Allows a user these operations on a topic. From then on everybody else, and everything else, is denied there.
pub(crate) fn allow(kafka: &Kafka, topic: &str, user: &str, operations: &[Operation]) {
    const TOPIC: i8 = 2;
    const LITERAL: i8 = 3;
    const ALLOW: i8 = 3;
    let text = |text: String| StrBytes::from_string(text);
    let creation = |operation: &Operation| {
        AclCreation::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic.to_owned()))
            .with_resource_pattern_type(LITERAL)
            .with_principal(text(format!("User:{user}")))
            .with_host(text("*".to_owned()))
            .with_operation(*operation as i8)
            .with_permission_type(ALLOW)
    };
    let request = CreateAclsRequest::default().with_creations(operations.iter().map(creation).collect());
    let any = kafka.bootstrap().split(',').next().unwrap_or_default();
    let results = ask(any, &request, 2).results;
    assert_eq!(results.len(), operations.len());
    results.iter().for_each(|result| assert_eq!(result.error_code, 0, "{:?}", result.error_message));
}
