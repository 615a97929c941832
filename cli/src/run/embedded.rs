//! The broker inside this process, for those who have no Kafka at hand.

use crate::report::Failure;
use millrace_broker::{Broker, BrokerConfig};
use millrace_launch::topics::PARTITIONS;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) struct EmbeddedBroker {
    broker: Broker,
}

impl EmbeddedBroker {
    pub(super) async fn start(listen: SocketAddr, data_dir: PathBuf) -> Result<Self, Failure> {
        let config = BrokerConfig {
            listen,
            data_dir: data_dir.clone(),
            auto_create_topics: true,
            default_partitions: PARTITIONS,
            ..BrokerConfig::default()
        };
        let broker = Broker::start(config).await.map_err(|error| {
            Failure::user(format!(
                "could not start the embedded broker on {listen} with its data in {}: {error}. If a Kafka (or another \
                 millrace) is there already, use it with --kafka {listen}, or choose another address with --broker-listen",
                data_dir.display()
            ))
        })?;
        Ok(Self { broker })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        let stopped = self.broker.shutdown().await;
        stopped.map_err(|error| Failure::Job(format!("the embedded broker did not stop in order: {error}")))
    }
}
