//! What the tests of operators share: an output that collects, and a state that takes a commit and gives
//! it back.

use super::{Context, Output, Progress};
use crate::batch::{Batch, FailedRow, FailureReason, Origin, SourceRecords};
use crate::env::Clock;
use crate::error::Result;
use crate::state::spill::{Found, OperatorMemory, Spill, StateReader, StoreProgress, Visit};
use crate::state::{Change, EntryVisitor, KEY_PREFIX, StateChanges, StateEntries};
use arrow_array::UInt32Array;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

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
    fn for_each_while(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()> {
        for (key, value) in &self.0 {
            let group = u16::from_be_bytes([key[5], key[6]]);
            if !visit(key[4], group, &key[KEY_PREFIX..], value)? {
                break;
            }
        }
        Ok(())
    }
}

impl StateReader for Mutex<Store> {
    fn get_many(&self, keys: &[&[u8]], found: &mut Found<'_>) -> Result<()> {
        assert!(keys.is_sorted());
        let store = self.lock().unwrap();
        let places = keys.iter().enumerate();
        places.filter_map(|(place, key)| Some((place, store.0.get(*key)?))).try_for_each(|(place, v)| found(place, v))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let store = self.lock().unwrap();
        let from = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in store.0.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(prefix)) {
            if !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }
}

/// How an operator is tested that may keep only so much in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spilling {
    pub(super) budget: usize,
    /// So many commits are not applied yet.
    pub(super) lag: usize,
}

pub(super) fn spilling() -> impl Strategy<Value = Spilling> {
    let budget = prop_oneof![Just(0), Just(10_000), 0usize..40_000];
    (budget, 0usize..4).prop_map(|(budget, lag)| Spilling { budget, lag })
}

/// The store that it spills to, some commits behind.
pub(super) struct SpillStore {
    spilling: Spilling,
    store: Arc<Mutex<Store>>,
    progress: Arc<StoreProgress>,
    memory: Arc<OperatorMemory>,
    sequence: u64,
    waiting: VecDeque<(u64, StateChanges)>,
}

impl SpillStore {
    /// As a start finds it: all is applied that was committed.
    pub(super) fn new(spilling: Spilling, committed: &Store) -> Self {
        let store = Arc::new(Mutex::new(committed.clone()));
        let memory = Arc::new(OperatorMemory::new(spilling.budget, 1));
        Self { spilling, store, progress: Arc::default(), memory, sequence: 0, waiting: VecDeque::new() }
    }

    pub(super) fn spill(&self) -> Spill {
        Spill::new(self.store.clone(), self.progress.clone(), self.memory.clone())
    }

    /// Before a snapshot.
    pub(super) fn prepare(&mut self) {
        self.sequence += 1;
        self.progress.set_prepared(self.sequence);
    }

    /// After it, with the changes.
    pub(super) fn committed(&mut self, changes: StateChanges) {
        self.waiting.push_back((self.sequence, changes));
        while self.waiting.len() > self.spilling.lag {
            let (sequence, changes) = self.waiting.pop_front().expect("not empty");
            self.store.lock().unwrap().apply(&changes);
            self.progress.set_applied(sequence);
        }
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
