//! What the operator is told when it starts.

use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces it serves; empty: all of them.
    pub namespaces: Vec<String>,
    /// Of the job runtime, for jobs that name none.
    pub image: String,
    /// Where metrics and probes are served.
    pub listen: SocketAddr,
    /// Whether another replica of the operator may run: then one of them leads.
    pub leader_election: Option<LeaderElection>,
    /// How often a running job's lag and checkpoints go into its status, at most.
    pub status_interval: Duration,
    /// How often it is looked whether the source topics have grown.
    pub topics_interval: Duration,
}

#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// Where the Lease is.
    pub namespace: String,
    /// Of this replica: its pod's name.
    pub identity: String,
}
