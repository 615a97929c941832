//! Rows on their way to the task that owns their key, inside one worker: cut up by key group, carried by
//! an in-memory channel. What travels beside the rows (progress, ends of epochs) keeps its place between
//! them, so a receiver knows that it has everything of an epoch.

mod partitioner;
mod router;

pub use partitioner::Partitioner;
pub use router::{Inbox, Router};

use crate::operators::Progress;
use arrow_array::RecordBatch;
use millrace_planner::plan::NodeId;

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
