//! What clients do when the broker that they ask is not the one to ask any more.

use super::admin::AdminClient;
use super::consumer::ConsumerSettings;
use super::role::Role;
use super::{ClientOptions, PartitionConsumer};
use crate::job::Kafka;
use millrace_broker::{ApiKey, Broker, BrokerConfig, Faults, ResponseError, Times};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A broker in this process, until this is dropped.
pub(crate) struct Cluster {
    pub(crate) kafka: Kafka,
    pub(crate) admin: AdminClient,
    /// The broker's is in it; the rest is the test's.
    pub(crate) directory: TempDir,
    broker: Option<Broker>,
    runtime: Runtime,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = BrokerConfig { listen, data_dir: directory.path().join("broker"), ..BrokerConfig::default() };
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        let bootstrap_servers = broker.address().to_string();
        let kafka = Kafka { bootstrap_servers, options: Default::default(), replication: 1 };
        let admin = AdminClient::new(&ClientOptions::of_job(&kafka)).unwrap();
        Self { kafka, admin, directory, broker: Some(broker), runtime }
    }

    fn faults(&self) -> &Faults {
        self.broker.as_ref().expect("until it is dropped").faults()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            let _ = self.runtime.block_on(broker.shutdown());
        }
    }
}

const TOPIC: &str = "events";

#[test]
fn who_does_not_answer_where_a_partition_ends_is_asked_again() {
    let cluster = Cluster::start();
    cluster.admin.create(TOPIC, 1, 1, &[]).unwrap();
    let settings = ConsumerSettings {
        group_id: "test".into(),
        isolation_level: "read_uncommitted".into(),
        queued_bytes: 1 << 20,
        role: Role::Savepoint,
    };
    let consumer = PartitionConsumer::new(&ClientOptions::of_job(&cluster.kafka), &settings).unwrap();
    assert_eq!(consumer.watermarks(TOPIC, 0).unwrap(), (0, 0));
    // Both offsets are asked for.
    cluster.faults().drop_requests(ApiKey::ListOffsets, Times::Next(2));
    assert_eq!(consumer.watermarks(TOPIC, 0).unwrap(), (0, 0));
}

#[test]
fn who_does_not_lead_a_partition_any_more_is_not_asked_to_delete_again_before_it_is_looked_up() {
    let cluster = Cluster::start();
    let (admin, faults) = (&cluster.admin, cluster.faults());
    admin.create(TOPIC, 1, 1, &[]).unwrap();
    let before = [(TOPIC.to_owned(), 0, 0)];
    admin.delete_records(&before).unwrap();
    let looked_up = || faults.seen(ApiKey::Metadata);
    let at_first = looked_up();
    admin.delete_records(&before).unwrap();
    let usual = looked_up() - at_first;
    faults.refuse(ApiKey::DeleteRecords, ResponseError::NotLeaderOrFollower);
    let at_first = looked_up();
    admin.delete_records(&before).unwrap_err();
    assert!(looked_up() - at_first > usual, "{usual} requests as a rule");
    faults.clear();
    admin.delete_records(&before).unwrap();
}
