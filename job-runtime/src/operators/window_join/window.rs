//! One window: its rows in memory, and, where memory is short, older ones that are in the state's store only, or on
//! their way there.

use super::rows::Rows;
use super::state;
use crate::error::Result;
use crate::key::key_group;
use crate::operators::dead_keys::delete_all;
use crate::operators::spilled::{Frozen, KeyGroupSet};
use crate::row::RowReader;
use crate::state::spill::{Spill, whole_key};
use crate::state::{KEY_PREFIX, StateChanges};
use arrow_schema::SchemaRef;

/// Rows and bytes that are read into one batch.
const MOST: (usize, usize) = (8192, 16 << 20);

/// Where the rows of an operator are.
pub(super) struct Spilled<'a> {
    pub(super) operator: u32,
    pub(super) has_keys: bool,
    pub(super) schemas: [SchemaRef; 2],
    /// None: all rows are in memory.
    pub(super) spill: Option<&'a Spill>,
}

impl Spilled<'_> {
    pub(super) fn key_group(&self, hash: u64) -> u16 {
        key_group_of_row(self.has_keys, hash)
    }
}

/// The key group of a row's state. Without keys all is task 0's.
fn key_group_of_row(has_keys: bool, hash: u64) -> u16 {
    if has_keys { key_group(hash) } else { 0 }
}

pub(super) struct Window {
    pub(super) end: i64,
    pub(super) rows: Rows,
    frozen: Option<Frozen<Rows>>,
    /// The key groups of which the store may have rows that are not in memory.
    stored: KeyGroupSet,
}

/// Reads rows of the state into batches.
pub(super) struct RowsReader([RowReader; 2]);

impl RowsReader {
    pub(super) fn new(schemas: &[SchemaRef; 2]) -> Result<Self> {
        let [left, right] = schemas;
        Ok(Self([RowReader::new(left.clone())?, RowReader::new(right.clone())?]))
    }

    pub(super) fn read(&mut self, side: usize, key: &[u8], number: u64, row: &[u8], rows: &mut Rows) -> Result<()> {
        let reader = &mut self.0[side];
        rows.restore(side, key, number);
        reader.read(row)?;
        if reader.len() >= MOST.0 || reader.bytes() >= MOST.1 {
            rows.sides[side].push(reader.finish()?)?;
        }
        Ok(())
    }

    /// What was read is then complete.
    pub(super) fn finish(&mut self, rows: &mut Rows) -> Result<()> {
        for (side, reader) in self.0.iter_mut().enumerate() {
            if !reader.is_empty() {
                rows.sides[side].push(reader.finish()?)?;
            }
        }
        Ok(())
    }
}

impl Window {
    pub(super) fn new(end: i64) -> Self {
        Self { end, rows: Rows::default(), frozen: None, stored: KeyGroupSet::default() }
    }

    /// Whether all of it is in its rows.
    pub(super) fn is_whole(&self) -> bool {
        self.frozen.is_none() && self.stored.is_empty()
    }

    /// The store has rows of this key group.
    pub(super) fn set_stored(&mut self, group: u16) {
        self.stored.insert(group);
    }

    /// Adds rows that have come since the last call.
    pub(super) fn take_changes(&mut self, spilled: &Spilled<'_>, changes: &mut StateChanges) -> Result<()> {
        let mut row_key = Vec::new();
        let end = self.end;
        self.rows.take_new(|side, key, hash, number, row| {
            state::row_key(end, key, number, &mut row_key);
            changes.put(spilled.operator, state::ROWS[side], spilled.key_group(hash), &row_key, row);
        })
    }

    /// Takes everything out of use that is in memory, right after `take_changes`. Once the store has it all,
    /// `let_go` forgets it.
    pub(super) fn freeze(&mut self, spill: &Spill) {
        if self.frozen.is_none() && !self.rows.is_empty() {
            debug_assert!(self.rows.is_all_given(), "only what the state has may be let go");
            self.frozen = Some(Frozen::new(std::mem::take(&mut self.rows), spill));
        }
    }

    /// Forgets what was frozen, if the store has it.
    pub(super) fn let_go(&mut self, has_keys: bool, spill: &Spill) {
        if let Some(frozen) = self.frozen.take_if(|frozen| frozen.is_in_store(spill)) {
            (0..2).for_each(|side| {
                frozen.state.given(side, |_, hash, _| self.stored.insert(key_group_of_row(has_keys, hash)));
            });
        }
    }

    /// Takes what is frozen into use again.
    pub(super) fn thaw(&mut self) -> Result<()> {
        let Some(Frozen { state: mut older, .. }) = self.frozen.take() else { return Ok(()) };
        older.append(std::mem::take(&mut self.rows))?;
        self.rows = older;
        Ok(())
    }

    /// Whether the state has anything of it.
    pub(super) fn is_persisted(&self) -> bool {
        !self.is_whole() || self.rows.has_given()
    }

    /// Forgets what only a window needs that has not fired.
    pub(super) fn into_dead(mut self) -> Option<Self> {
        self.rows.drop_batches();
        self.is_persisted().then_some(self)
    }

    /// Deletes all that the state has of it.
    pub(super) fn delete(mut self, spilled: &Spilled<'_>, changes: &mut StateChanges) {
        let prefix = state::window_prefix(self.end);
        for (side, table) in state::ROWS.into_iter().enumerate().filter(|_| self.is_whole()) {
            let mut row_key = Vec::new();
            delete_all(changes, spilled.operator, table, &prefix, |give| {
                self.rows.given(side, |key, hash, number| {
                    state::row_key(self.end, key, number, &mut row_key);
                    give(spilled.key_group(hash), &row_key);
                });
            });
        }
        if self.is_whole() {
            return;
        }
        let in_memory = self.frozen.iter().map(|frozen| &frozen.state).chain([&self.rows]);
        for rows in in_memory {
            (0..2).for_each(|side| rows.given(side, |_, hash, _| self.stored.insert(spilled.key_group(hash))));
        }
        for group in self.stored.iter() {
            state::ROWS.iter().for_each(|&table| changes.delete_prefix(spilled.operator, table, group, &prefix));
        }
    }

    /// Puts what the store alone has of a key group into `rows`: of each side what is numbered below `first`, the least
    /// number in memory. What is in memory may be in the store as well.
    fn read_stored(&self, group: u16, first: [u64; 2], spilled: &Spilled<'_>, rows: &mut Rows) -> Result<()> {
        let Some(spill) = spilled.spill.filter(|_| self.stored.contains(group)) else { return Ok(()) };
        let mut reader = RowsReader::new(&spilled.schemas)?;
        let mut prefix = Vec::new();
        for (side, table) in state::ROWS.into_iter().enumerate() {
            whole_key(spilled.operator, table, group, &state::window_prefix(self.end), &mut prefix);
            spill.reader().scan(&prefix, &prefix, &mut |key, row| {
                let (_, key, number) = state::parse_row_key(&key[KEY_PREFIX..])?;
                if number < first[side] {
                    reader.read(side, key, number, row, rows)?;
                }
                Ok(true)
            })?;
        }
        reader.finish(rows)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.frozen.iter().map(|frozen| frozen.state.memory_bytes()).sum::<usize>()
    }
}

/// Reads a window key group by key group, from memory and store together. The window doesn't change meanwhile, and
/// nothing of it is frozen.
pub(super) struct ByKeyGroup {
    /// Rows in memory by key group, of both sides.
    rows: [Vec<(u16, u32)>; 2],
    /// The least numbers of these.
    first: [u64; 2],
}

impl ByKeyGroup {
    pub(super) fn new(window: &Window, spilled: &Spilled<'_>) -> Self {
        let rows = [0, 1].map(|side| {
            let groups = window.rows.sides[side].groups.iter();
            let key_group = |group: &u32| spilled.key_group(window.rows.interner.hash(*group));
            let mut rows: Vec<(u16, u32)> = groups.map(key_group).zip(0..).collect();
            rows.sort_unstable();
            rows
        });
        Self { rows, first: [0, 1].map(|side: usize| window.rows.sides[side].first_number()) }
    }

    /// Adds all rows of a key group to `rows`.
    pub(super) fn read(&self, window: &Window, group: u16, spilled: &Spilled<'_>, rows: &mut Rows) -> Result<()> {
        window.read_stored(group, self.first, spilled, rows)?;
        for (side, in_memory) in self.rows.iter().enumerate() {
            let start = in_memory.partition_point(|(of, _)| *of < group);
            let end = in_memory.partition_point(|(of, _)| *of <= group);
            let numbers: Vec<u32> = in_memory[start..end].iter().map(|(_, row)| *row).collect();
            rows.take(side, &window.rows.interner, &window.rows.sides[side], &numbers)?;
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.iter().map(|rows| rows.capacity() * size_of::<(u16, u32)>()).sum()
    }
}
