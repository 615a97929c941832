//! The groups of one slice: those in use in memory, and, where memory is short, older ones that are in the state's store
//! only, or on their way there. Of a group that is in several places the one in use is the newest, and then the frozen
//! one.

use super::state;
use super::table::{Layout, Table};
use crate::error::Result;
use crate::key::KeyEncoder;
use crate::operators::dead_keys::delete_all;
use crate::operators::spilled::{Frozen, KeyGroupSet};
use crate::state::spill::{Lookup, Spill, whole_key};
use crate::state::{KEY_PREFIX, StateChanges};
use arrow_array::RecordBatch;
use std::cell::RefCell;

/// Where the groups of an operator are that are not in memory.
pub(super) struct Spilled<'a> {
    pub(super) operator: u32,
    pub(super) layout: &'a Layout,
    /// None: all groups are in memory.
    pub(super) spill: Option<&'a Spill>,
}

pub(super) struct Slice {
    pub(super) end: i64,
    table: Table,
    frozen: Option<Frozen<Table>>,
    /// The key groups of which the store may have groups that are not in memory.
    stored: KeyGroupSet,
}

/// The groups of a table, and its distinct values, by key group.
struct Index {
    groups: Vec<(u16, u32)>,
    values: Vec<(u16, u8, u32)>,
}

impl Slice {
    pub(super) fn new(end: i64, layout: &Layout) -> Result<Self> {
        Ok(Self { end, table: Table::new(layout)?, frozen: None, stored: KeyGroupSet::default() })
    }

    /// What is in memory and in use.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Whether all of it is in its table.
    pub(super) fn is_whole(&self) -> bool {
        self.frozen.is_none() && self.stored.is_empty()
    }

    /// The store has groups of this key group.
    pub(super) fn set_stored(&mut self, group: u16) {
        self.stored.insert(group);
    }

    /// Adds the partial results of `rows`, which are all of this slice.
    pub(super) fn merge_rows(
        &mut self,
        spilled: &Spilled<'_>,
        encoder: &mut KeyEncoder,
        groups: &mut Vec<u32>,
        rows: &RecordBatch,
    ) -> Result<()> {
        let known = self.table.len();
        self.table.intern_rows(spilled.layout, encoder, groups, rows)?;
        let Some(spill) = spilled.spill.filter(|_| !self.is_whole()) else {
            return self.table.merge_rows(groups, rows, None);
        };
        self.bring_back(known, spilled, spill)?;
        let Self { end, table, frozen, stored } = self;
        let frozen = frozen.as_ref().map(|frozen| &frozen.state);
        let scratch = RefCell::new(Vec::new());
        table.merge_rows(
            groups,
            rows,
            Some(&|call, values| {
                let (mut seen, mut lookup, mut key) =
                    (vec![false; values.len()], Lookup::default(), scratch.borrow_mut());
                for (place, value) in values.iter().enumerate() {
                    let Some((group, hash, value)) = *value else { continue };
                    let key_group = spilled.layout.key_group(hash);
                    if frozen.is_some_and(|frozen| frozen.has_value(group, hash, call, value, &mut key)) {
                        seen[place] = true;
                    } else if stored.contains(key_group) {
                        state::value_key(*end, group, call, value, &mut key);
                        lookup.add(spilled.operator, state::VALUES, key_group, &key, place as u32);
                    }
                }
                lookup.read(spill.reader(), &mut |place, _| {
                    seen[place as usize] = true;
                    Ok(())
                })?;
                Ok(seen)
            }),
        )
    }

    /// Gives the groups from number `first` on, which are new in memory, what there is of them elsewhere.
    fn bring_back(&mut self, first: usize, spilled: &Spilled<'_>, spill: &Spill) -> Result<()> {
        let (mut lookup, mut key, mut value) = (Lookup::default(), Vec::new(), Vec::new());
        for group in first as u32..self.table.len() as u32 {
            let hash = self.table.interner.hash(group);
            let key_group = spilled.layout.key_group(hash);
            let frozen = self.frozen.as_ref().map(|frozen| &frozen.state);
            let found = frozen.and_then(|frozen| frozen.value_of(self.table.interner.key(group), hash, &mut value));
            if found.is_some() {
                self.table.read(group, &value)?;
            } else if self.stored.contains(key_group) {
                state::group_key(self.end, self.table.interner.key(group), &mut key);
                lookup.add(spilled.operator, state::GROUPS, key_group, &key, group);
            }
        }
        lookup.read(spill.reader(), &mut |group, value| self.table.read(group, value))
    }

    /// Adds what has changed since the last call.
    pub(super) fn take_changes(&mut self, spilled: &Spilled<'_>, changes: &mut StateChanges) {
        let (operator, layout) = (spilled.operator, spilled.layout);
        let mut key = Vec::new();
        self.table.take_changes(|group, hash, value| {
            state::group_key(self.end, group, &mut key);
            changes.put(operator, state::GROUPS, layout.key_group(hash), &key, value);
        });
        self.table.take_new_values(|group, hash, call, value| {
            state::value_key(self.end, group, call, value, &mut key);
            changes.put(operator, state::VALUES, layout.key_group(hash), &key, &[]);
        });
    }

    /// Whether the state has anything of it.
    pub(super) fn is_persisted(&self) -> bool {
        !self.is_whole() || self.table.persisted().next().is_some()
    }

    /// Deletes all that the state has of it.
    pub(super) fn delete(mut self, spilled: &Spilled<'_>, changes: &mut StateChanges) {
        let (operator, layout) = (spilled.operator, spilled.layout);
        let prefix = state::slice_prefix(self.end);
        if self.is_whole() {
            let mut key = Vec::new();
            delete_all(changes, operator, state::GROUPS, &prefix, |give| {
                for (group, hash) in self.table.persisted() {
                    state::group_key(self.end, group, &mut key);
                    give(layout.key_group(hash), &key);
                }
            });
            delete_all(changes, operator, state::VALUES, &prefix, |give| {
                for (group, hash, call, value) in self.table.persisted_values() {
                    state::value_key(self.end, group, call, value, &mut key);
                    give(layout.key_group(hash), &key);
                }
            });
            return;
        }
        let in_memory = self.frozen.iter().map(|frozen| &frozen.state).chain([&self.table]);
        for (_, hash) in in_memory.flat_map(Table::persisted) {
            self.stored.insert(layout.key_group(hash));
        }
        for group in self.stored.iter() {
            changes.delete_prefix(operator, state::GROUPS, group, &prefix);
            if self.table.has_distinct() {
                changes.delete_prefix(operator, state::VALUES, group, &prefix);
            }
        }
    }

    /// Takes everything out of use that is in memory, right after `take_changes`. Once the store has it all,
    /// `let_go` forgets it.
    pub(super) fn freeze(&mut self, layout: &Layout, spill: &Spill) -> Result<()> {
        if self.frozen.is_none() && self.table.len() > 0 {
            debug_assert!(!self.table.is_changed(), "only what the state has may be let go");
            let table = std::mem::replace(&mut self.table, Table::new(layout)?);
            self.frozen = Some(Frozen::new(table, spill));
        }
        Ok(())
    }

    /// Forgets what was frozen, if the store has it.
    pub(super) fn let_go(&mut self, layout: &Layout, spill: &Spill) {
        if let Some(frozen) = self.frozen.take_if(|frozen| frozen.is_in_store(spill)) {
            frozen.state.persisted().for_each(|(_, hash)| self.stored.insert(layout.key_group(hash)));
        }
    }

    /// Takes what is frozen into use again.
    pub(super) fn thaw(&mut self) -> Result<()> {
        let Some(Frozen { state, .. }) = self.frozen.take() else { return Ok(()) };
        let mut scratch = Vec::new();
        (0..state.len() as u32).try_for_each(|group| self.table.take_older(&state, group, &mut scratch))?;
        self.table.take_values(&state, state.value_numbers().map(|(call, value, _)| (call, value)));
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.frozen.iter().map(|frozen| frozen.state.memory_bytes()).sum::<usize>()
    }
}

/// Reads slices key group by key group, from memory and store together. The slices don't change meanwhile, and
/// nothing of them is frozen.
pub(super) struct ByKeyGroup {
    indexes: Vec<(i64, Index)>,
    with_values: bool,
}

impl ByKeyGroup {
    /// `with_values`: what the slices have of distinct values is needed, and not only what they amount to.
    pub(super) fn new<'a>(slices: impl Iterator<Item = &'a Slice>, layout: &Layout, with_values: bool) -> Self {
        let indexes = slices.map(|slice| (slice.end, Index::new(slice.table(), layout, with_values)));
        Self { indexes: indexes.collect(), with_values }
    }

    pub(super) fn has_one_slice(&self) -> bool {
        self.indexes.len() == 1
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let bytes = self.indexes.iter().map(|(_, index)| {
            index.groups.capacity() * size_of::<(u16, u32)>() + index.values.capacity() * size_of::<(u16, u8, u32)>()
        });
        bytes.sum()
    }

    /// The ends of its slices.
    pub(super) fn slices(&self) -> impl Iterator<Item = i64> {
        self.indexes.iter().map(|(end, _)| *end)
    }

    /// Puts all groups of a slice that are of this key group into `table`, which has none of them.
    pub(super) fn read(&self, slice: &Slice, group: u16, spilled: &Spilled<'_>, table: &mut Table) -> Result<()> {
        let mut scratch = Vec::new();
        let index = self.indexes.iter().find(|(end, _)| *end == slice.end).map(|(_, index)| index);
        if let Some(index) = index {
            for &(_, number) in equal_range(&index.groups, |entry| entry.0, group) {
                table.take_older(slice.table(), number, &mut scratch)?;
            }
            let values = equal_range(&index.values, |entry| entry.0, group);
            table.take_values(slice.table(), values.iter().map(|&(_, call, value)| (call, value)));
        }
        let Some(spill) = spilled.spill.filter(|_| slice.stored.contains(group)) else { return Ok(()) };
        let mut prefix = Vec::new();
        whole_key(spilled.operator, state::GROUPS, group, &state::slice_prefix(slice.end), &mut prefix);
        spill.reader().scan(&prefix, &prefix, &mut |key, value| {
            table.restore_older(&key[prefix.len()..], value)?;
            Ok(true)
        })?;
        if !self.with_values {
            return Ok(());
        }
        whole_key(spilled.operator, state::VALUES, group, &state::slice_prefix(slice.end), &mut prefix);
        spill.reader().scan(&prefix, &prefix, &mut |key, _| {
            let (_, key, call, value) = state::parse_value_key(&key[KEY_PREFIX..])?;
            table.restore_value(key, call, value)?;
            Ok(true)
        })
    }
}

impl Index {
    fn new(table: &Table, layout: &Layout, with_values: bool) -> Self {
        let key_group = |group: u32| layout.key_group(table.interner.hash(group));
        let mut groups: Vec<_> = (0..table.len() as u32).map(|group| (key_group(group), group)).collect();
        groups.sort_unstable();
        let mut values = Vec::new();
        if with_values {
            values.extend(table.value_numbers().map(|(call, value, group)| (key_group(group), call, value)));
            values.sort_unstable();
        }
        Self { groups, values }
    }
}

/// The entries of one key group, of all in the order of key groups.
fn equal_range<T>(entries: &[T], key_group: impl Fn(&T) -> u16, group: u16) -> &[T] {
    let start = entries.partition_point(|entry| key_group(entry) < group);
    let end = entries.partition_point(|entry| key_group(entry) <= group);
    &entries[start..end]
}
