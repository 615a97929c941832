//! Exactly once: performs with Kafka and RocksDB what the machines of `millrace-protocol` ask for.
//!
//! `log` is the task logs' topic, `start` brings a worker to where its last commit left it, `gate` is what
//! threads and coordinator tell each other, `coordinator` ends and commits epochs.

pub mod log;
pub mod start;
pub mod gate;
pub mod coordinator;
