//! The model job, and how a worker runs it. The data path is small but has every kind of thing that the
//! protocol must get right: two exchanges in a row, counts by key, windows that watermarks close, outputs
//! in the transaction that commits the state.
//!
//! ```text
//! source -> by key -> count -> by bucket -> windows
//!                       |                     |
//!                       +------ output -------+
//! ```

pub mod rows;
pub mod task;
pub mod producer;
pub mod recover;
pub mod succession;
pub mod restore;
pub mod start;
pub mod images;
pub mod pause;
pub mod saving;
pub mod epochs;
pub mod worker;

pub use rows::{Message, Row};

use crate::log::TopicPartition;

/// The topic that every job reads.
pub const SOURCE: u16 = 0;
/// Exchanges of a job.
pub const EXCHANGES: usize = 2;
pub const OUTPUT_PARTITIONS: u32 = 2;
/// Topics of the model log that a job may have of its own.
const TOPICS_PER_JOB: u16 = 10;

/// How far the rows of a partition may be out of order, in event time.
pub const DISORDER: i64 = 40;
/// Length of a window, in event time.
pub const WINDOW: i64 = 100;

/// A job's topics. An incarnation has a log and exchanges of its own, and writes where the one before it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics {
    pub task_log: u16,
    pub exchanges: [u16; EXCHANGES],
    pub output: u16,
}

impl Topics {
    /// Of the job with this number, from 1, with an output of its own.
    pub fn of(number: u32) -> Self {
        let first = number as u16 * TOPICS_PER_JOB;
        Self { task_log: first, exchanges: [first + 1, first + 2], output: first + 3 }
    }

    pub fn task_log(&self, task: u32) -> TopicPartition {
        TopicPartition { topic: self.task_log, partition: task }
    }
}
