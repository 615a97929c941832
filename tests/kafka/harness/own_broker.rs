//! A broker in the test's own process, for what the real one would not do otherwise, and for faults: it obeys.

use super::{Kafka, PATIENCE};
use millrace_broker::{Broker, BrokerConfig, Faults};
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A broker that ends with the test.
pub(crate) struct OwnBroker {
    pub(crate) kafka: Kafka,
    broker: Broker,
    runtime: Runtime,
    /// The broker's is in it; the rest is the test's.
    folder: TempDir,
}

impl OwnBroker {
    /// With these topics, and their numbers of partitions.
    pub(crate) fn start(topics: &[(&str, i32)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = BrokerConfig { listen, data_dir: folder.path().join("broker"), ..BrokerConfig::default() };
        let broker = runtime.block_on(Broker::start(config)).expect("the broker starts");
        let kafka = Kafka::own(broker.address().to_string());
        topics.iter().for_each(|(topic, partitions)| kafka.create(topic, *partitions));
        Self { kafka, broker, runtime, folder }
    }

    pub(crate) fn faults(&self) -> &Faults {
        self.broker.faults()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for what the broker's faults tell.
    pub(crate) fn wait<T>(&self, what: &str, told: impl Future<Output = T>) -> T {
        within_patience(&self.runtime, what, told)
    }

    pub(crate) fn stop(self) {
        within_patience(&self.runtime, "the broker to stop", self.broker.shutdown()).expect("the broker stops");
    }
}

fn within_patience<T>(runtime: &Runtime, what: &str, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
    done.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}
