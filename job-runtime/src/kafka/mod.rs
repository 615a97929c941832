//! Kafka's client as the runtime needs it: a batch consumer, a transactional producer that knows how its
//! commit went, and the few admin calls. All of librdkafka's raw API is in here; what is Kafka to Millrace
//! (positions, the log, fencing) is not.

mod native;
pub mod config;
pub mod access;
pub mod size;
pub mod refusal;
pub mod role;
pub mod consumer;
pub mod delivery;
pub mod producer;
pub mod admin;
mod topic_config;
pub mod replicas;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

/// How long a worker that runs may be refused by a cluster before the job fails: credentials take a while to change
/// everywhere.
pub const ACCESS_PATIENCE: Duration = Duration::from_secs(300);

pub use config::ClientOptions;
pub use consumer::{FetchQueue, Fetched, PartitionConsumer};
pub use producer::{
    CommitOutcome, OutgoingRecord, ProduceScratch, ProducerSettings, ProducerTopic, TransactionalProducer,
};
