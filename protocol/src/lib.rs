//! The commit protocol as data and state machines: which worker owns which task, what a task log says, what one
//! log adds up to, from what a worker's state comes back, how it takes its tasks over, how a log ends for
//! good, what an exchange promises, when epochs end, how far a log may be cut, when a savepoint is one, and a
//! worker's part in it.
//!
//! Nothing here does IO, reads a clock or knows a thread. The runtime performs what the machines ask for
//! with Kafka and a disk; the simulation does the same with a model of both.

pub mod error;
pub mod assignment;
pub mod record;
pub mod replay;
pub mod recover;
pub mod start;
pub mod succession;
pub mod link;
pub mod epoch;
pub mod cover;
pub mod savepoint;
pub mod pause;

pub use error::{ProtocolError, Result};
