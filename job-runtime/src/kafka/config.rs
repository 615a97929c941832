//! How to reach a Kafka cluster, and the client settings that all of Millrace's clients share.

use crate::job::Kafka;
use millrace_planner::secret::Options;
use rdkafka::ClientConfig;

/// One cluster: addresses and security.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientOptions {
    pub bootstrap_servers: String,
    pub options: Options,
}

impl ClientOptions {
    pub fn of_job(kafka: &Kafka) -> Self {
        Self { bootstrap_servers: kafka.bootstrap_servers.clone(), options: kafka.options.clone() }
    }

    /// As whom it is entered, for people: None where nobody asks.
    pub fn identity(&self) -> Option<String> {
        let user = self.options.get("sasl.username")?;
        let mechanism = self.options.get("sasl.mechanism").map_or("PLAIN", String::as_str);
        Some(format!("user {user} ({mechanism})"))
    }

    /// A configuration with these options; what the caller sets on it afterwards wins, since
    /// correctness rests on it.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in self.options.iter() {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "millrace")
            // One broker's end must not fill the log: reconnecting is librdkafka's task.
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.propagation.max.ms", "10000");
        config
    }
}
