//! Exactly once: the task log's records, the start of a worker (claim, fence, replay) and its epochs.
//!
//! `record` is the log's format, `start` brings a worker to where its last commit left it, `epoch` is the
//! state machine of commits, `coordinator` drives it with the real producer.

pub mod record;
pub mod start;
pub mod epoch;
pub mod gate;
pub mod coordinator;
