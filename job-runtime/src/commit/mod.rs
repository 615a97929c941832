//! Exactly once: performs with Kafka and RocksDB what the machines of `millrace-protocol` ask for.
//!
//! `own_topics` are the topics that are the job's own, `log` is that of the task logs, `lanes` put into the stores what was
//! in the logs, `recover` finds a state that a log goes on from, `silence` is what tells that the holder before has gone,
//! `standby` whether it is to go on a while, `start` brings a worker to where its last commit left it under the name that
//! `holder` keeps, `succession` ends the logs of earlier incarnations, `gate` is what threads and coordinator tell each other, `epoch_memory` is what epochs take and may,
//! `covers` writes images and cuts the logs for them, `refused` says what becomes of a record that its topic does not take, `coordinator` ends and commits epochs.

pub mod own_topics;
pub mod log;
pub mod holder;
mod lanes;
pub mod recover;
mod silence;
mod standby;
pub mod start;
mod succession;
pub mod gate;
pub mod epoch_memory;
pub mod covers;
mod refused;
pub mod coordinator;
