//! A window while it is emitted: in pieces, and, where it takes more than one, in an order that a restart
//! finds again. What is not all in memory comes in parts.

use super::slice::{ByKeyGroup, Slice};
use super::table::Table;
use crate::operators::spilled::firing_rank;
use std::ops::Range;

pub(super) struct Firing {
    pub(super) window_end: i64,
    /// The window's only slice, when it is the slice's last window: it fires as it is.
    pub(super) slice: Option<Slice>,
    /// In place of it: what fires now.
    part: Option<Table>,
    /// What fires after that.
    pub(super) rest: Option<Rest>,
    order: Vec<u32>,
    next: usize,
    /// The key of the last group that was emitted.
    last: Option<Vec<u8>>,
    /// Groups of a chunk.
    rows: usize,
}

/// Parts that are not read yet.
pub(super) struct Rest {
    pub(super) parts: ByKeyGroup,
    pub(super) groups: Range<u16>,
}

impl Firing {
    /// `rows`: the groups of a chunk. `after`: the key of the last group emitted before a restart.
    pub(super) fn of_slice(window_end: i64, slice: Slice, rows: usize, after: Option<&[u8]>) -> Self {
        Self::new(window_end, Some(slice), None, None, rows, after)
    }

    pub(super) fn of_table(window_end: i64, table: Table, rows: usize, after: Option<&[u8]>) -> Self {
        Self::new(window_end, None, Some(table), None, rows, after)
    }

    /// The parts of these key groups are still to be read.
    pub(super) fn in_parts(
        window_end: i64,
        parts: ByKeyGroup,
        groups: Range<u16>,
        rows: usize,
        after: Option<&[u8]>,
    ) -> Self {
        Self::new(window_end, None, None, Some(Rest { parts, groups }), rows, after)
    }

    fn new(
        window_end: i64,
        slice: Option<Slice>,
        part: Option<Table>,
        rest: Option<Rest>,
        rows: usize,
        after: Option<&[u8]>,
    ) -> Self {
        let last = after.map(<[u8]>::to_vec);
        let mut firing = Self { window_end, slice, part, rest, order: Vec::new(), next: 0, last, rows };
        firing.put_in_order();
        firing
    }

    /// Goes on with this part.
    pub(super) fn set_part(&mut self, part: Table) {
        self.part = Some(part);
        self.put_in_order();
    }

    /// What fires now is cut into pieces in this order; what is one piece, and all there is, is never cut.
    fn put_in_order(&mut self) {
        self.next = 0;
        self.order.clear();
        let Some(table) = self.slice.as_ref().map(Slice::table).or(self.part.as_ref()) else { return };
        self.order.extend(0..table.len() as u32);
        if table.len() <= self.rows && self.rest.is_none() && self.last.is_none() {
            return;
        }
        let interner = &table.interner;
        let place = |group: u32| (firing_rank(interner.hash(group)), interner.key(group));
        // Two keys of one rank hardly ever meet, so ranks are sorted where they are.
        let mut ranked: Vec<(u64, u32)> = self.order.iter().map(|&group| (place(group).0, group)).collect();
        ranked.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| interner.key(a.1).cmp(interner.key(b.1))));
        self.order.clear();
        self.order.extend(ranked.into_iter().map(|(_, group)| group));
        if let Some(last) = &self.last {
            let emitted = (firing_rank(crate::key::hash(last)), last.as_slice());
            self.next = self.order.partition_point(|&group| place(group) <= emitted);
        }
    }

    /// What the groups are of.
    pub(super) fn table(&self) -> &Table {
        let table = self.slice.as_ref().map(Slice::table).or(self.part.as_ref());
        table.expect("a chunk is of a table")
    }

    /// The groups to emit next; none when this part is done.
    pub(super) fn chunk(&self) -> &[u32] {
        &self.order[self.next..(self.next + self.rows).min(self.order.len())]
    }

    pub(super) fn emitted(&mut self, groups: usize) {
        self.next += groups;
        if let Some(&group) = self.next.checked_sub(1).and_then(|last| self.order.get(last)) {
            self.last = Some(self.table().interner.key(group).to_vec());
        }
    }

    /// The key of the last group emitted, for the cursor; None before the first.
    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.last.as_deref()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let slice = self.slice.as_ref().map_or(0, Slice::memory_bytes);
        let part = self.part.as_ref().map_or(0, Table::memory_bytes);
        let rest = self.rest.as_ref().map_or(0, |rest| rest.parts.memory_bytes());
        slice + part + rest + self.order.capacity() * size_of::<u32>()
    }
}
