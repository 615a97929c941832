//! Exactly once: the task log's records, the start of a worker (claim, fence, replay) and its epochs.
//!
//! `record` is the log's format, `start` brings a worker to where its last commit left it, `epoch` is the
//! state machine of commits, `coordinator` drives it with the real producer.

pub mod record;
pub mod start;
pub mod epoch;
pub mod gate;
pub mod coordinator;

use crate::error::Result;
use crate::kafka::{OutgoingRecord, TransactionalProducer};
use std::sync::Arc;

/// Writes one record to the log of each task, in the order of tasks, into the producer's open transaction.
pub(crate) fn write_to_logs(
    producer: &Arc<TransactionalProducer>,
    log: &str,
    records: impl IntoIterator<Item = Vec<u8>>,
) -> Result<()> {
    let topic = producer.topic(log)?;
    let mut scratch = Default::default();
    for (task, record) in records.into_iter().enumerate() {
        let record = OutgoingRecord { key: None, payload: Some(&record) };
        topic.produce(Some(task as i32), std::iter::once(record), &mut scratch)?;
    }
    Ok(())
}
