//! What clients do when the broker that they ask is not the one to ask any more.

use super::admin::AdminClient;
use super::consumer::ConsumerSettings;
use super::role::Role;
use super::{ClientOptions, PartitionConsumer};
use crate::job::Kafka;
use millrace_broker::{ApiKey, Broker, BrokerConfig, ResponseError, Times};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A broker in this process, with one topic.
struct Cluster {
    broker: Broker,
    options: ClientOptions,
    admin: AdminClient,
    _directory: TempDir,
    _runtime: Runtime,
}

const TOPIC: &str = "events";

impl Cluster {
    fn start() -> Self {
        let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = BrokerConfig { listen, data_dir: directory.path().to_owned(), ..BrokerConfig::default() };
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        let bootstrap_servers = broker.address().to_string();
        let options = ClientOptions::of_job(&Kafka { bootstrap_servers, options: Default::default(), replication: 1 });
        let admin = AdminClient::new(&options).unwrap();
        admin.create(TOPIC, 1, 1, &[]).unwrap();
        Self { broker, options, admin, _directory: directory, _runtime: runtime }
    }
}

#[test]
fn who_does_not_answer_where_a_partition_ends_is_asked_again() {
    let cluster = Cluster::start();
    let settings = ConsumerSettings {
        group_id: "test".into(),
        isolation_level: "read_uncommitted".into(),
        queued_bytes: 1 << 20,
        role: Role::Savepoint,
    };
    let consumer = PartitionConsumer::new(&cluster.options, &settings).unwrap();
    assert_eq!(consumer.watermarks(TOPIC, 0).unwrap(), (0, 0));
    // Both offsets are asked for.
    cluster.broker.faults().drop_requests(ApiKey::ListOffsets, Times::Next(2));
    assert_eq!(consumer.watermarks(TOPIC, 0).unwrap(), (0, 0));
}

#[test]
fn who_does_not_lead_a_partition_any_more_is_not_asked_to_delete_again_before_it_is_looked_up() {
    let cluster = Cluster::start();
    let (admin, faults) = (&cluster.admin, cluster.broker.faults());
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
