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
pub mod start;
pub mod images;
pub mod epochs;
pub mod worker;

pub use rows::{Message, Row};

/// Topics of the model log.
pub const SOURCE: u16 = 0;
pub const TASK_LOG: u16 = 1;
pub const EXCHANGES: [u16; 2] = [2, 3];
pub const OUTPUT: u16 = 4;
pub const OUTPUT_PARTITIONS: u32 = 2;

/// How far the rows of a partition may be out of order, in event time.
pub const DISORDER: i64 = 40;
/// Length of a window, in event time.
pub const WINDOW: i64 = 100;
