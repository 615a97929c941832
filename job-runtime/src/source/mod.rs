//! Where rows come from. A source belongs to one thread and reads for all of its tasks; what it yields are
//! decoded batches, each of one partition, and news about partitions.

pub mod startup;
pub mod metadata;
pub mod kafka;
pub mod discovery;
mod idleness;
mod datagen;
mod values;

pub use datagen::DatagenSource;
pub use idleness::Inquiry;
pub use kafka::{AssignedPartition, KafkaSource};
pub use values::ValuesSource;

use crate::batch::{Batch, FailedRow};
use crate::error::Result;
use crate::operators::ActiveInput;
use millrace_planner::plan::NodeId;
use millrace_protocol::record::SourcePosition;
use std::time::Duration;

/// Rows of one partition, in its order.
pub struct SourceBatch {
    pub scan: NodeId,
    pub task: u32,
    pub batch: Batch,
    /// Records of this range that are no rows.
    pub failed: Vec<FailedRow>,
    pub partition: PartitionId,
    /// Where reading goes on after these rows.
    pub next: i64,
    pub records: u64,
    pub bytes: u64,
}

/// A partition of a source: a topic's, or a generator's share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    pub topic: String,
    pub partition: i32,
}

/// A partition that was not there when the worker started, for the source of its task's thread.
pub struct AddedPartition {
    pub scan: NodeId,
    pub position: SourcePosition,
}

/// One scan of the plan, for the tasks of one thread.
pub trait Source: Send {
    /// The scan it reads.
    fn scan(&self) -> NodeId;

    /// Reads what is there, waiting for at most `timeout` for the first of it.
    fn poll(&mut self, timeout: Duration, batches: &mut Vec<SourceBatch>) -> Result<()>;

    /// Whether a task's share has been read to its bounded end. False for ever when unbounded.
    fn finished(&self, task: u32) -> bool;

    /// The partitions of a task, with their idleness.
    fn active_inputs(&self, task: u32) -> Vec<ActiveInput<'_>>;

    /// Nobody reads it for a while: until somebody does again none of its partitions is idle.
    fn stand_still(&mut self) {}

    /// Positions that moved without rows (the bounded end, markers), since the last call.
    fn take_positions(&mut self) -> Vec<(u32, PartitionId, i64)> {
        Vec::new()
    }

    /// Starts to read a partition that was not there before.
    fn add_partition(&mut self, partition: AssignedPartition) -> Result<()>;
}
