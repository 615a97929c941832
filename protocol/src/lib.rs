//! The commit protocol as data and state machines: which worker owns which task, what a task log says, how
//! a worker takes its tasks over, what one log adds up to, what an exchange promises, when epochs end, when a savepoint is one.
//!
//! Nothing here does IO, reads a clock or knows a thread. The runtime performs what the machines ask for
//! with Kafka and a disk; the simulation does the same with a model of both.

pub mod error;
pub mod assignment;
pub mod record;
pub mod replay;
pub mod start;
pub mod link;
pub mod epoch;
pub mod savepoint;

pub use error::{ProtocolError, Result};
