//! Partition logs on disk: segment files of record batches, their indexes in memory, and what the
//! log says about producers and transactions.
//!
//! It knows no network, no topics and no coordinator; all its calls block on the file system.

pub(crate) mod batch;
mod index;
mod partition;
mod producers;
mod segment;

pub(crate) use partition::{AppendError, Isolation, Offsets, Partition, ReadError, Retention};
pub(crate) use producers::ProducerError;

#[cfg(test)]
mod recovery_tests;
