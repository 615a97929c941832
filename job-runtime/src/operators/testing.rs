//! What the tests of operators share: an output that collects, and a state that takes a commit and gives
//! it back.

use super::{Context, Output, Progress};
use crate::batch::{Batch, FailedRow, FailureReason, Origin, SourceRecords};
use crate::env::Clock;
use crate::error::Result;
use crate::state::{Change, EntryVisitor, KEY_PREFIX, StateChanges, StateEntries};
use arrow_array::UInt32Array;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Collected {
    pub(super) batches: Vec<Batch>,
    pub(super) failed: Vec<FailedRow>,
}

impl Collected {
    pub(super) fn failures(&self) -> Vec<(FailureReason, &str)> {
        self.failed.iter().map(|row| (row.reason, row.message.as_str())).collect()
    }

    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(Batch::num_rows).sum()
    }
}

impl Output for Collected {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }

    fn fail(&mut self, row: FailedRow) -> Result<()> {
        self.failed.push(row);
        Ok(())
    }
}

pub(super) fn context(clock: &dyn Clock, progress: Progress) -> Context<'_> {
    Context { clock, progress }
}

pub(super) fn event(watermark: i64) -> Progress {
    Progress { event: watermark, ..Progress::START }
}

/// The state of one operator, as its commits have made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Store(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

impl Store {
    pub(super) fn apply(&mut self, changes: &StateChanges) {
        for change in StateChanges::parse(changes.as_bytes()) {
            match change.expect("these are our own bytes") {
                Change::Put(key, value) => {
                    self.0.insert(key.to_vec(), value.to_vec());
                }
                Change::Delete(key) => {
                    self.0.remove(key);
                }
                Change::DeletePrefix(prefix) => self.0.retain(|key, _| !key.starts_with(prefix)),
            }
        }
    }
}

impl StateEntries for Store {
    fn for_each(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()> {
        for (key, value) in &self.0 {
            let group = u16::from_be_bytes([key[5], key[6]]);
            visit(key[4], group, &key[KEY_PREFIX..], value)?;
        }
        Ok(())
    }
}

/// Records of one partition; the payload of each is its number.
pub(super) struct TestRecords {
    pub(super) topic: &'static str,
    pub(super) partition: i32,
}

impl SourceRecords for TestRecords {
    fn topic(&self) -> &str {
        self.topic
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self, record: usize) -> i64 {
        record as i64
    }

    fn key(&self, _record: usize) -> Option<&[u8]> {
        None
    }

    fn payload(&self, _record: usize) -> Option<&[u8]> {
        None
    }
}

pub(super) fn origin(topic: &'static str, partition: i32, rows: usize) -> Origin {
    Origin { records: Arc::new(TestRecords { topic, partition }), index: UInt32Array::from_iter_values(0..rows as u32) }
}
