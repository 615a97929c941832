//! Rows on their way to the task that owns their key. Inside one worker they go through memory; what travels
//! beside them (progress, ends of epochs) keeps its place between them, so a receiver knows that it has
//! everything of an epoch. To a task of another worker they go through Kafka, in the sender's transaction,
//! and arrive like the records of a source.

mod partitioner;
mod router;
mod catch_up;
mod record;
mod outbound;
mod inbound;
mod step;

pub use catch_up::CatchUp;
pub use inbound::{Arrival, Inbound};
pub use outbound::Outbound;
pub use partitioner::Partitioner;
pub use record::ExchangeRecord;
pub use router::{Inbox, Router};
pub use step::{ExchangeStep, state_tables};

use crate::job::JobIdentity;
use crate::operators::Progress;
use arrow_array::RecordBatch;
use millrace_planner::plan::{Node, NodeId};
use xxhash_rust::xxh3::xxh3_64;

/// A message from one task to another (or to itself) through an exchange.
pub struct Envelope {
    pub exchange: NodeId,
    pub from: u32,
    pub to: u32,
    pub payload: Payload,
}

pub enum Payload {
    Rows(RecordBatch),
    Progress(Progress),
    /// The sender's epoch has ended; what follows is of the next.
    EndOfEpoch(u64),
}

impl Envelope {
    /// What it counts for in the limits on memory in flight.
    pub fn bytes(&self) -> usize {
        match &self.payload {
            Payload::Rows(rows) => rows.get_array_memory_size(),
            Payload::Progress(_) | Payload::EndOfEpoch(_) => 0,
        }
    }
}

impl JobIdentity {
    /// The topic of an exchange: another schema gets another topic.
    pub fn exchange_topic(&self, exchange: &Node) -> String {
        let schema = serde_json::to_vec(&exchange.schema).expect("plain data always serialises");
        format!("{}.x.{}.{:08x}", self.topic_prefix(), exchange.operator_id, xxh3_64(&schema) as u32)
    }
}
