//! A window while it is emitted: in pieces, and, where it takes more than one, in an order that a restart
//! finds again.

use super::table::Table;

pub(super) struct Firing {
    pub(super) window_end: i64,
    pub(super) table: Table,
    /// The slice that `table` was, when the window is the last one of its only slice.
    pub(super) slice_end: Option<i64>,
    order: Vec<u32>,
    next: usize,
    /// Groups of a chunk.
    rows: usize,
}

impl Firing {
    /// `rows`: the groups of a chunk. `after`: the key of the last group emitted before a restart.
    pub(super) fn new(
        window_end: i64,
        table: Table,
        slice_end: Option<i64>,
        rows: usize,
        after: Option<&[u8]>,
    ) -> Self {
        let order = order(&table, rows);
        let next = after.map_or(0, |key| {
            let emitted = (crate::key::hash(key), key);
            order.partition_point(|&group| (table.interner.hash(group), table.interner.key(group)) <= emitted)
        });
        Self { window_end, table, slice_end, order, next, rows }
    }

    /// The groups to emit next; none when the window is done.
    pub(super) fn chunk(&self) -> &[u32] {
        &self.order[self.next..(self.next + self.rows).min(self.order.len())]
    }

    pub(super) fn emitted(&mut self, groups: usize) {
        self.next += groups;
    }

    /// The key of the last group emitted, for the cursor; None before the first.
    pub(super) fn last_key(&self) -> Option<&[u8]> {
        let last = self.next.checked_sub(1)?;
        Some(self.table.interner.key(self.order[last]))
    }
}

/// By hash, then key: cheaper to sort than the keys, and as stable. What fits one batch is never cut.
fn order(table: &Table, rows: usize) -> Vec<u32> {
    let groups = 0..table.len() as u32;
    if table.len() <= rows {
        return groups.collect();
    }
    let interner = &table.interner;
    let mut order: Vec<(u64, u32)> = groups.map(|group| (interner.hash(group), group)).collect();
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| interner.key(a.1).cmp(interner.key(b.1))));
    order.into_iter().map(|(_, group)| group).collect()
}
