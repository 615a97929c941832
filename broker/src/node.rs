//! The one broker of its cluster: what all request handlers work on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::faults::Faults;
use crate::groups::Groups;
use crate::journal::Journal;
use crate::topics::Topics;
use crate::transactions::Transactions;

/// The id that this broker has in its cluster of one.
pub(crate) const NODE_ID: BrokerId = BrokerId(1);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) cluster_id: Uuid,
    pub(crate) host: StrBytes,
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<Journal>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) transactions: Transactions,
    pub(crate) groups: Groups,
    pub(crate) faults: Faults,
}

/// What handlers need of the broker's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) auto_create_topics: bool,
    pub(crate) default_partitions: i32,
    pub(crate) max_fetch_bytes: usize,
    pub(crate) transaction_max_timeout: Duration,
}

impl Node {
    pub(crate) fn port(&self) -> i32 {
        i32::from(self.address.port())
    }

    pub(crate) fn cluster_id(&self) -> StrBytes {
        self.cluster_id.to_string().into()
    }
}
