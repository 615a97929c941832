//! An embedded broker that speaks Kafka's protocol: topics on disk, consumer groups, idempotent
//! producers and transactions, in the process that starts it.
//!
//! **It is for laptops and tests, never for production**: one process, one copy of the data, no
//! authentication. What it does, it does as Kafka does: the same conformance suite runs against both.
//! What it leaves out is listed in `docs/embedded-broker.md`.
//!
//! ```no_run
//! # async fn example() -> Result<(), millrace_broker::BrokerError> {
//! use millrace_broker::{Broker, BrokerConfig};
//!
//! let config = BrokerConfig { data_dir: "data".into(), ..BrokerConfig::default() };
//! let broker = Broker::start(config).await?;
//! println!("bootstrap.servers={}", broker.address());
//! broker.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod api_versions;
mod background;
mod clock;
mod data_dir;
mod faults;
mod groups;
mod handlers;
mod image;
mod journal;
mod log;
mod node;
mod server;
mod stop;
mod topic_configs;
mod topics;
mod transactions;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use data_dir::DataDirError;
pub use faults::{Faults, Hold, Times};
pub use journal::JournalError;
/// What requests are refused with.
pub use kafka_protocol::error::ResponseError;
/// The kinds of requests, by which faults are set.
pub use kafka_protocol::messages::ApiKey;

use data_dir::DataDir;
use groups::Groups;
use image::Record;
use journal::Journal;
use node::{Node, Settings};
use stop::Stop;
use topic_configs::TopicDefaults;
use topics::Topics;
use transactions::Transactions;

/// How a broker is set up. The default listens on 127.0.0.1:9092.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where it listens; port 0 takes a free one. Default: `127.0.0.1:9092`.
    pub listen: SocketAddr,
    /// The host name that clients are told to connect to. Default: the address listened on.
    pub advertised_host: Option<String>,
    /// Where topics and metadata are kept; one process at a time owns it. Default: `millrace-data`.
    pub data_dir: PathBuf,
    /// Whether asking for an unknown topic makes it. Default: false.
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator does not say (`num.partitions`). Default: 1.
    pub default_partitions: i32,
    /// Size at which a new segment is begun, in bytes, where the topic does not say. Default: 256 MiB.
    pub segment_bytes: i32,
    /// How long records are kept where the topic does not say; `None` is forever. Default: 7 days.
    pub retention: Option<Duration>,
    /// Largest record batch, in bytes, where the topic does not say. Default: Kafka's 1048588.
    pub max_message_bytes: i32,
    /// Largest answer to a fetch, in bytes (a single larger batch is still sent): with the number of
    /// connections, this bounds the broker's memory. Default: 16 MiB.
    pub max_fetch_bytes: usize,
    /// Longest transaction timeout that a producer may ask for. Default: 15 minutes.
    pub transaction_max_timeout: Duration,
    /// How long the first members of a group wait for others. Default: 100 ms.
    pub group_initial_rebalance_delay: Duration,
    /// How often records outside transactions are synced to the disk. Default: 500 ms.
    pub flush_interval: Duration,
    /// How often retention is looked at. Default: 5 s.
    pub retention_check_interval: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised_host: None,
            data_dir: PathBuf::from("millrace-data"),
            auto_create_topics: false,
            default_partitions: 1,
            segment_bytes: 256 * 1024 * 1024,
            retention: Some(Duration::from_secs(7 * 24 * 60 * 60)),
            max_message_bytes: 1_048_588,
            max_fetch_bytes: 16 * 1024 * 1024,
            transaction_max_timeout: Duration::from_secs(15 * 60),
            group_initial_rebalance_delay: Duration::from_millis(100),
            flush_interval: Duration::from_millis(500),
            retention_check_interval: Duration::from_secs(5),
        }
    }
}

/// Why a broker cannot start, or did not stop cleanly.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the data directory cannot be used: {0}")]
    DataDir(#[from] DataDirError),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
    #[error("the logs cannot be opened: {0}")]
    Storage(#[from] io::Error),
    #[error("a task of the broker was cut off: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A running broker. Dropping it stops it too, without waiting for that.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    stop: Stop,
    server: JoinHandle<()>,
    background: JoinHandle<()>,
}

impl Broker {
    /// Opens the data directory, ends what a crash left open, and listens. It runs on the tokio
    /// runtime that this is called in.
    pub async fn start(config: BrokerConfig) -> Result<Broker, BrokerError> {
        let listen = |source| BrokerError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let node = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || open(config, address)).await??
        };
        let node = Arc::new(node);
        let (stop, stopped) = Stop::new();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&node), stopped.clone()));
        let background = tokio::spawn(background::run(
            Arc::clone(&node),
            stopped,
            config.flush_interval,
            config.retention_check_interval,
        ));
        tracing::info!(
            %address,
            data_dir = %config.data_dir.display(),
            "embedded Kafka-protocol broker started: for laptops and tests, never for production"
        );
        Ok(Broker { node, stop, server, background })
    }

    /// The address it listens on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.node.address
    }

    /// The faults that tests inject.
    pub fn faults(&self) -> &Faults {
        &self.node.faults
    }

    /// Closes all connections, makes everything durable and lets the data directory go. Transactions
    /// that are open are aborted at the next start.
    pub async fn shutdown(self) -> Result<(), BrokerError> {
        self.stop.stop();
        self.server.await?;
        self.background.await?;
        // A request that was cut off may still be at work on a blocking thread, for a moment.
        while Arc::strong_count(&self.node) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let node = self.node;
        tokio::task::spawn_blocking(move || background::flush(&node)).await?;
        Ok(())
    }
}

/// Everything that blocks in a start.
fn open(config: BrokerConfig, address: SocketAddr) -> Result<Node, BrokerError> {
    let dir = DataDir::open(&config.data_dir)?;
    let journal = Arc::new(Journal::open(&dir.journal())?);
    let cluster_id = match journal.read(|image| image.cluster) {
        Some(id) => id,
        None => {
            let id = Uuid::new_v4();
            journal.append(Record::Cluster { id })?;
            id
        }
    };
    let topics = Arc::new(Topics::open(dir, Arc::clone(&journal), topic_defaults(&config))?);
    let transactions = Transactions::open(Arc::clone(&journal), Arc::clone(&topics), config.transaction_max_timeout)?;
    let host = config.advertised_host.unwrap_or_else(|| reachable(address.ip()).to_string());
    Ok(Node {
        settings: Settings {
            auto_create_topics: config.auto_create_topics,
            default_partitions: config.default_partitions.max(1),
            max_fetch_bytes: config.max_fetch_bytes.max(1),
            transaction_max_timeout: config.transaction_max_timeout,
        },
        cluster_id,
        host: host.into(),
        address,
        journal,
        topics,
        transactions,
        groups: Groups::new(config.group_initial_rebalance_delay),
        faults: Faults::default(),
    })
}

fn topic_defaults(config: &BrokerConfig) -> TopicDefaults {
    let mut defaults = TopicDefaults::default();
    defaults.set("segment.bytes", config.segment_bytes);
    defaults.set("max.message.bytes", config.max_message_bytes);
    let retention = config.retention.map_or(-1, |keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    defaults.set("retention.ms", retention);
    defaults
}

/// An address that a client on this machine can connect to.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    }
}
