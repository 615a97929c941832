//! Keyed state: what operators hand over at a commit, and how they get it back. Not here: the log
//! (`commit/`), which makes it durable.
//!
//! A key is `operator id (u32) | table (u8) | key group (u16) | the table's own key`, all big-endian, so
//! that a key group of one table is a contiguous range.

use crate::error::{Error, Result};

mod coalesce;
pub(crate) use coalesce::end_of_prefix;
pub mod volume;
pub mod corruption;
pub mod store;
pub mod snapshot;
pub mod image;
pub mod size;
pub mod spill;
pub mod checkpointer;

/// A state table of an operator; the numbers are persisted and never reused.
pub type TableId = u8;

/// A change of state. Keys are whole: operator id, table and key group are in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
    /// Of every key that begins so.
    DeletePrefix(&'a [u8]),
}

/// In place of a value's length: the key is a prefix, and every key that begins with it goes.
const PREFIX_MARK: u32 = u32::MAX;

/// Changes of one task between two commits, in the order made; the last one of a key counts.
/// Laid out as the log's Batch record has them: `u32 key length, key, u32 value length + 1, or 0 for a
/// delete, or u32::MAX for a delete of all that begins with the key, value`, little-endian lengths.
#[derive(Default)]
pub struct StateChanges {
    bytes: Vec<u8>,
    count: usize,
}

impl StateChanges {
    pub fn put(&mut self, operator: u32, table: TableId, group: u16, key: &[u8], value: &[u8]) {
        self.key(operator, table, group, key);
        self.value(value);
    }

    /// An entry as a store has it, with its whole key.
    pub fn put_entry(&mut self, key: &[u8], value: &[u8]) {
        self.begin(key.len());
        self.bytes.extend_from_slice(key);
        self.value(value);
    }

    pub fn delete(&mut self, operator: u32, table: TableId, group: u16, key: &[u8]) {
        self.key(operator, table, group, key);
        self.bytes.extend_from_slice(&0u32.to_le_bytes());
    }

    /// Deletes every key of a table and key group that begins with `prefix`; what is put later stays.
    pub fn delete_prefix(&mut self, operator: u32, table: TableId, group: u16, prefix: &[u8]) {
        self.key(operator, table, group, prefix);
        self.bytes.extend_from_slice(&PREFIX_MARK.to_le_bytes());
    }

    fn key(&mut self, operator: u32, table: TableId, group: u16, key: &[u8]) {
        self.begin(KEY_PREFIX + key.len());
        append_key(operator, table, group, key, &mut self.bytes);
    }

    /// A change, whose whole key follows.
    fn begin(&mut self, key_length: usize) {
        let length = u32::try_from(key_length).expect("a key of state is below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.count += 1;
    }

    fn value(&mut self, value: &[u8]) {
        let length = u32::try_from(value.len() + 1).ok().filter(|&length| length != PREFIX_MARK);
        let length = length.expect("a value of state is below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts and deletes; a delete of a prefix is one.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Reads changes back.
    pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Result<Change<'_>>> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let change = parse_change(&mut rest);
            if change.is_none() {
                rest = &[];
            }
            Some(change.ok_or_else(|| Error::fail_job("a batch of state changes is cut off")))
        })
    }

    /// Cuts the changes into pieces of at most `limit` bytes, never within a change. A single change
    /// above the limit is a piece of its own.
    pub fn pieces(&self, limit: usize) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let (mut start, mut end) = (0, 0);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            parse_change(&mut rest).expect("these are our own bytes");
            let next = self.bytes.len() - rest.len();
            if next - start > limit && end > start {
                pieces.push(&self.bytes[start..end]);
                start = end;
            }
            end = next;
        }
        if end > start {
            pieces.push(&self.bytes[start..end]);
        }
        pieces
    }
}

/// One change off the front of `rest`; None where it is cut off.
fn parse_change<'a>(rest: &mut &'a [u8]) -> Option<Change<'a>> {
    let key_length = take_length(rest)? as usize;
    let key = rest.split_off(..key_length)?;
    Some(match take_length(rest)? {
        0 => Change::Delete(key),
        PREFIX_MARK => Change::DeletePrefix(key),
        length => Change::Put(key, rest.split_off(..length as usize - 1)?),
    })
}

fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let bytes = rest.split_off(..4)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

/// Appends the whole key of an entry.
fn append_key(operator: u32, table: TableId, group: u16, key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&operator.to_be_bytes());
    out.push(table);
    out.extend_from_slice(&group.to_be_bytes());
    out.extend_from_slice(key);
}

/// Length of `operator id | table | key group`.
pub const KEY_PREFIX: usize = 7;

/// Takes an entry: its table, key group, the table's own key, and the value. Whether to go on.
pub type EntryVisitor<'a> = dyn FnMut(TableId, u16, &[u8], &[u8]) -> Result<bool> + 'a;

/// The same, of every entry.
pub type EachEntry<'a> = dyn FnMut(TableId, u16, &[u8], &[u8]) -> Result<()> + 'a;

/// The entries of one operator of one task, in the order of their keys.
pub trait StateEntries {
    /// Calls `visit` for one entry after the other, until it has enough.
    fn for_each_while(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()>;

    /// Calls `visit` for every entry.
    fn for_each(&mut self, visit: &mut EachEntry<'_>) -> Result<()> {
        self.for_each_while(&mut |table, group, key, value| visit(table, group, key, value).map(|()| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_between_changes_and_lose_nothing() {
        let mut changes = StateChanges::default();
        for i in 0..100u16 {
            changes.put(1, 2, i, &i.to_be_bytes(), &vec![7; usize::from(i)]);
            changes.delete_prefix(1, 3, i, b"prefix");
        }
        for limit in [1, 64, 1000, 1 << 20] {
            let pieces = changes.pieces(limit);
            assert_eq!(pieces.concat(), changes.as_bytes());
            let count: usize = pieces.iter().map(|p| StateChanges::parse(p).filter(|c| c.is_ok()).count()).sum();
            assert_eq!(count, 200);
            assert!(pieces.iter().all(|p| p.len() <= limit || StateChanges::parse(p).count() == 1));
        }
    }

    #[test]
    fn cut_off_changes_are_an_error() {
        let mut changes = StateChanges::default();
        changes.put(1, 2, 3, b"key", b"value");
        let bytes = &changes.as_bytes()[..changes.as_bytes().len() - 1];
        assert!(StateChanges::parse(bytes).any(|c| c.is_err()));
    }
}
