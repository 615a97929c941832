//! State that is in its task's store only, because memory is short: how an operator reads it back, and how it knows
//! what the store has already. Not here: which entries are spilled, and when, which is each operator's own business
//! (`operators/spilled.rs` has what those have in common).

use super::{TableId, append_key};
use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Of state, for each operator of a task. Reading takes a second for some thirty megabytes, in which the worker does nothing.
const READ_AT_START: usize = 4 << 20;

/// Takes a key's place among those asked for, and its value.
pub type Found<'a> = dyn FnMut(usize, &[u8]) -> Result<()> + 'a;
/// Takes a whole key and its value; whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool> + 'a;

/// Reads a store while changes are applied to it.
pub trait StateReader: Send + Sync {
    /// Calls `found` for each key that there is. The keys are whole, and sorted.
    fn get_many(&self, keys: &[&[u8]], found: &mut Found<'_>) -> Result<()>;

    /// Calls `visit` for the entries whose keys begin with `prefix`, in order, from the key `from` on.
    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<()>;
}

/// How far a store has come, in commits of its task. Only the order of commits is in it, so that every side can be
/// behind and none is ever ahead.
#[derive(Debug, Default)]
pub struct StoreProgress {
    /// The commit that the task prepares, or has prepared last.
    prepared: AtomicU64,
    /// The store has all changes of the commits up to this one.
    applied: AtomicU64,
    /// An operator waits for this commit to be applied.
    wanted: AtomicU64,
}

impl StoreProgress {
    pub fn set_prepared(&self, sequence: u64) {
        self.prepared.store(sequence, Ordering::Relaxed);
    }

    pub fn set_applied(&self, sequence: u64) {
        // What was applied is seen by whoever sees this.
        self.applied.store(sequence, Ordering::Release);
    }

    /// Whether somebody waits for changes that are not applied yet.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > self.applied.load(Ordering::Relaxed)
    }
}

/// What all operators of a worker may have in memory of their state.
#[derive(Debug)]
pub struct OperatorMemory {
    limit: usize,
    /// Who share it.
    operators: usize,
    used: AtomicUsize,
}

impl OperatorMemory {
    /// `limit` bytes for so many operators. State that is taken out of use takes its place until the store has it, so
    /// that half of it is what is in use.
    pub fn new(limit: usize, operators: usize) -> Self {
        Self { limit: limit / 2, operators: operators.max(1), used: AtomicUsize::new(0) }
    }

    fn share(&self) -> usize {
        self.limit / self.operators
    }
}

/// An operator's way to the store of its task, and its part in the memory of all.
pub struct Spill {
    reader: Arc<dyn StateReader>,
    progress: Arc<StoreProgress>,
    memory: Arc<OperatorMemory>,
    /// What the operator has of the memory.
    reported: usize,
}

impl Spill {
    pub fn new(reader: Arc<dyn StateReader>, progress: Arc<StoreProgress>, memory: Arc<OperatorMemory>) -> Self {
        Self { reader, progress, memory, reported: 0 }
    }

    pub fn reader(&self) -> &dyn StateReader {
        self.reader.as_ref()
    }

    /// Bytes of state that an operator reads when it starts: what is left of the memory, its share in any case, and no more
    /// than takes a moment. The rest is read when it is touched, which costs no more than reading all of it first.
    pub fn room_at_start(&self) -> usize {
        let used = self.memory.used.load(Ordering::Relaxed);
        self.memory.limit.saturating_sub(used).max(self.memory.share()).min(READ_AT_START)
    }

    /// Says how much the operator has in memory.
    pub fn report(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.reported, bytes);
        // Others report at the same time, and the sum of all reports is right whatever their order.
        self.memory.used.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether the operator has to take some of what it reported out of use: only where all together have too much, and
    /// it has its share or more, as then at least one has.
    pub fn is_too_much(&self) -> bool {
        self.memory.used.load(Ordering::Relaxed) > self.memory.limit && self.reported >= self.memory.share()
    }

    /// The commit that the current snapshot is of.
    pub fn prepared(&self) -> u64 {
        self.progress.prepared.load(Ordering::Relaxed)
    }

    /// The store has the changes of all commits up to this one.
    pub fn applied(&self) -> u64 {
        self.progress.applied.load(Ordering::Acquire)
    }

    /// Asks for this commit to be applied when it has happened, and not only at the next checkpoint.
    pub fn want(&self, sequence: u64) {
        self.progress.wanted.fetch_max(sequence, Ordering::Relaxed);
    }

    /// The value of one entry.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = None;
        self.reader.get_many(&[key], &mut |_, found| {
            value = Some(found.to_vec());
            Ok(())
        })?;
        Ok(value)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.reported, Ordering::Relaxed);
    }
}

/// The whole key of an entry, in place of what `out` holds.
pub fn whole_key(operator: u32, table: TableId, group: u16, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    append_key(operator, table, group, key, out);
}

/// Keys to look for at once, each with what the caller knows it by.
#[derive(Default)]
pub struct Lookup {
    bytes: Vec<u8>,
    /// Where each key is, and its name.
    keys: Vec<(std::ops::Range<usize>, u32)>,
}

impl Lookup {
    pub fn add(&mut self, operator: u32, table: TableId, group: u16, key: &[u8], name: u32) {
        let start = self.bytes.len();
        append_key(operator, table, group, key, &mut self.bytes);
        self.keys.push((start..self.bytes.len(), name));
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Calls `found` with the name of each key that there is, and its value. In any order.
    pub fn read(mut self, reader: &dyn StateReader, found: &mut dyn FnMut(u32, &[u8]) -> Result<()>) -> Result<()> {
        /// Looked for at once: as much as still pays to sort, of which not all values are in memory at a time.
        const KEYS: usize = 4096;
        let bytes = &self.bytes;
        self.keys.sort_unstable_by(|(a, _), (b, _)| bytes[a.clone()].cmp(&bytes[b.clone()]));
        for keys in self.keys.chunks(KEYS) {
            let sorted: Vec<&[u8]> = keys.iter().map(|(range, _)| &bytes[range.clone()]).collect();
            reader.get_many(&sorted, &mut |place, value| found(keys[place].1, value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl StateReader for Nothing {
        fn get_many(&self, _keys: &[&[u8]], _found: &mut Found<'_>) -> Result<()> {
            Ok(())
        }

        fn scan(&self, _prefix: &[u8], _from: &[u8], _visit: &mut Visit<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_who_has_more_than_its_share_gives_memory_back_and_only_when_all_have_too_much() {
        let memory = Arc::new(OperatorMemory::new(200, 4));
        let operator = || Spill::new(Arc::new(Nothing), Arc::default(), memory.clone());
        let (mut large, mut small) = (operator(), operator());
        assert_eq!(large.room_at_start(), 100);
        large.report(90);
        assert!(!large.is_too_much(), "the others have nothing");
        assert_eq!(small.room_at_start(), 25, "its share, whatever the others have");
        small.report(20);
        assert!(!small.is_too_much());
        assert!(large.is_too_much());
        large.report(30);
        assert!(!large.is_too_much());
        drop(large);
        assert_eq!(small.room_at_start(), 80);
        drop(small);
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }
}
