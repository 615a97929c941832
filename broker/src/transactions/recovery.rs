//! What a restart does with the transactions it finds: decided commits are finished, all others are
//! aborted and their producers fenced.
//!
//! A producer may outlive the broker. It must not go on with a transaction of which this process has
//! lost the partition list, and its raised epoch sees to that.

use std::collections::HashMap;
use std::io;

use super::record;
use crate::clock::now_ms;
use crate::image::{Phase, TransactionImage};
use crate::journal::Journal;
use crate::log::Partition;
use crate::log::batch::Marker;
use crate::topics::Topics;

/// Ends every transaction that is open in the journal or in a log; answers where the ids stand.
pub(super) fn recover(
    journal: &Journal,
    topics: &Topics,
    mut images: HashMap<String, TransactionImage>,
) -> io::Result<HashMap<String, TransactionImage>> {
    for (id, image) in &mut images {
        match image.phase {
            Phase::PrepareCommit => {
                end_everywhere(topics, image, Marker::Commit)?;
                image.phase = Phase::CompleteCommit;
            }
            Phase::Ongoing => {
                image.previous_epoch = image.epoch;
                image.epoch = image.epoch.saturating_add(1);
                journal.append(record(id, image))?;
                end_everywhere(topics, image, Marker::Abort)?;
                image.phase = Phase::CompleteAbort;
                tracing::info!(transactional_id = id, "aborted a transaction that the last run left open");
            }
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => continue,
        }
        image.partitions.clear();
        image.offsets.clear();
        journal.append(record(id, image))?;
    }
    abort_unknown(topics)?;
    journal.sync()?;
    Ok(images)
}

fn end_everywhere(topics: &Topics, image: &TransactionImage, marker: Marker) -> io::Result<()> {
    each_partition(topics, |partition, segment_bytes| {
        if partition.has_open_transaction(image.producer_id) {
            let producer = (image.producer_id, image.epoch);
            partition.append_marker(producer, marker, now_ms(), segment_bytes)?;
        }
        Ok(())
    })
}

/// Aborts what no transactional id accounts for: the journal's last records were lost with the machine.
fn abort_unknown(topics: &Topics) -> io::Result<()> {
    each_partition(topics, |partition, segment_bytes| {
        for producer in partition.open_transactions() {
            partition.append_marker(producer, Marker::Abort, now_ms(), segment_bytes)?;
        }
        Ok(())
    })
}

fn each_partition(topics: &Topics, mut visit: impl FnMut(&Partition, u64) -> io::Result<()>) -> io::Result<()> {
    for topic in topics.all() {
        let segment_bytes = topic.configs().segment_bytes;
        for partition in topic.partitions() {
            visit(&partition, segment_bytes)?;
        }
    }
    Ok(())
}
