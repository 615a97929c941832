//! Keyed state: what operators hand over at a commit, and how they get it back. Not here: the log
//! (`commit/`), which makes it durable.
//!
//! A key is `operator id (u32) | table (u8) | key group (u16) | the table's own key`, all big-endian, so
//! that a key group of one table is a contiguous range.

use crate::error::Result;

/// A state table of an operator; the numbers are persisted and never reused.
pub type TableId = u8;

/// Key groups, the unit in which state is assigned to tasks and moved between them.
pub const KEY_GROUPS: u16 = 1024;

/// Changes of one task between two commits, in the order made; the last one of a key counts.
/// Laid out as the log's Batch record has them: `u32 key length, key, u32 value length + 1 or 0 for a
/// delete, value`, little-endian lengths.
#[derive(Default)]
pub struct StateChanges {
    bytes: Vec<u8>,
    count: usize,
}

impl StateChanges {
    pub fn put(&mut self, operator: u32, table: TableId, group: u16, key: &[u8], value: &[u8]) {
        self.key(operator, table, group, key);
        let length = u32::try_from(value.len() + 1).expect("a value of state is below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub fn delete(&mut self, operator: u32, table: TableId, group: u16, key: &[u8]) {
        self.key(operator, table, group, key);
        self.bytes.extend_from_slice(&0u32.to_le_bytes());
    }

    fn key(&mut self, operator: u32, table: TableId, group: u16, key: &[u8]) {
        let length = u32::try_from(KEY_PREFIX + key.len()).expect("a key of state is below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&operator.to_be_bytes());
        self.bytes.push(table);
        self.bytes.extend_from_slice(&group.to_be_bytes());
        self.bytes.extend_from_slice(key);
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts and deletes.
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
}

/// Length of `operator id | table | key group`.
pub const KEY_PREFIX: usize = 7;

/// The entries of one operator of one task, in the order of their keys.
pub trait StateEntries {
    /// Calls `visit(table, group, key, value)` for every entry; `key` is the table's own key.
    fn for_each(&mut self, visit: &mut dyn FnMut(TableId, u16, &[u8], &[u8]) -> Result<()>) -> Result<()>;
}
