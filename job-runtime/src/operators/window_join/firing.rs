//! A window while it is emitted: the pairs of its rows with equal keys, in pieces, and, where it takes more than
//! one, in an order that a restart finds again. Not here: what becomes of a pair (`mod.rs`).

use super::state::Position;
use super::window::{Side, Window};
use crate::error::{Error, Result};
use crate::operators::window_progress::Limits;
use arrow_array::RecordBatch;

pub(super) struct Firing {
    pub(super) window_end: i64,
    pub(super) window: Window,
    lists: [Lists; 2],
    /// The keys that both sides have.
    order: Vec<u32>,
    /// The key to go on with, and how many of its pairs have been emitted.
    next: usize,
    pairs: u64,
    /// Pairs of a chunk.
    rows: usize,
}

/// The rows of one side by their key.
struct Lists {
    /// Where each key's rows begin in `rows`, and where the last one's end.
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// The first row of each batch.
    batches: Vec<usize>,
}

/// Places of rows, batch and row: one pair at each index.
pub(super) struct Chunk {
    pub(super) sides: [Vec<(usize, usize)>; 2],
    next: usize,
    pairs: u64,
}

impl Firing {
    /// `from`: where the emission stopped before a restart.
    pub(super) fn new(window_end: i64, window: Window, limits: Limits, from: Option<&Position>) -> Result<Self> {
        let groups = window.interner.len();
        let lists = [0, 1].map(|side| Lists::new(&window.sides[side], groups));
        let rows = chunk_rows(&window, limits);
        let joined = (0..groups as u32).filter(|&group| lists.iter().all(|list| !list.of(group).is_empty()));
        let mut order: Vec<u32> = joined.collect();
        let pairs_of = |group: u32| lists.iter().map(|list| list.of(group).len() as u64).product::<u64>();
        // By hash, then key: cheaper to sort than the keys, and as stable. What fits one batch is never cut.
        let is_cut = from.is_some() || order.iter().map(|&group| pairs_of(group)).sum::<u64>() > rows as u64;
        let place = |group: u32| (window.interner.hash(group), window.interner.key(group));
        if is_cut {
            order.sort_unstable_by(|&a, &b| place(a).cmp(&place(b)));
        }
        let (mut next, mut pairs) = (0, 0);
        if let Some(position) = from {
            let at = (crate::key::hash(&position.key), position.key.as_slice());
            next = order.partition_point(|&group| place(group) < at);
            pairs = position.pairs;
            if order.get(next).is_none_or(|&group| place(group) != at || pairs_of(group) <= pairs) {
                return Err(Error::fail_job("a window join stopped at rows that its state doesn't have"));
            }
        }
        Ok(Self { window_end, lists, order, next, pairs, rows, window })
    }

    pub(super) fn is_done(&self) -> bool {
        self.next == self.order.len()
    }

    /// The pairs to emit next.
    pub(super) fn chunk(&self) -> Chunk {
        let mut sides = [Vec::with_capacity(self.rows), Vec::with_capacity(self.rows)];
        let (mut next, mut pairs) = (self.next, self.pairs);
        while let Some(&group) = self.order.get(next)
            && sides[0].len() < self.rows
        {
            let [left, right] = [0, 1].map(|side| self.lists[side].of(group));
            let all = left.len() as u64 * right.len() as u64;
            let end = all.min(pairs + (self.rows - sides[0].len()) as u64);
            let width = right.len() as u64;
            let (mut at_left, mut at_right) = ((pairs / width) as usize, (pairs % width) as usize);
            for _ in pairs..end {
                sides[0].push(self.lists[0].place(left[at_left]));
                sides[1].push(self.lists[1].place(right[at_right]));
                at_right += 1;
                if at_right == right.len() {
                    (at_left, at_right) = (at_left + 1, 0);
                }
            }
            (next, pairs) = if end == all { (next + 1, 0) } else { (next, end) };
        }
        Chunk { sides, next, pairs }
    }

    pub(super) fn emitted(&mut self, chunk: &Chunk) {
        (self.next, self.pairs) = (chunk.next, chunk.pairs);
    }

    /// For the cursor; None before the first pair is emitted.
    pub(super) fn position(&self) -> Option<Position> {
        let group = *self.order.get(self.next)?;
        let key = self.window.interner.key(group).to_vec();
        let has_begun = self.next > 0 || self.pairs > 0;
        has_begun.then_some(Position { key, pairs: self.pairs })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let lists = self.lists.iter().map(|list| list.starts.capacity() + list.rows.capacity()).sum::<usize>();
        self.window.memory_bytes() + (lists + self.order.capacity()) * size_of::<u32>()
    }
}

/// Pairs of a batch: a long row that joins many others is copied for each of them.
fn chunk_rows(window: &Window, limits: Limits) -> usize {
    let row_bytes = |side: &Side| {
        let bytes = side.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        bytes / side.groups.len().max(1)
    };
    let pair = window.sides.iter().map(row_bytes).sum::<usize>();
    limits.rows.min(limits.bytes / pair.max(1)).max(1)
}

impl Lists {
    /// Sorts by counting, which keeps the order of the rows of a key.
    fn new(side: &Side, groups: usize) -> Self {
        let mut starts = vec![0_u32; groups + 1];
        side.groups.iter().for_each(|&group| starts[group as usize + 1] += 1);
        (0..groups).for_each(|group| starts[group + 1] += starts[group]);
        let mut ends = starts.clone();
        let mut rows = vec![0_u32; side.groups.len()];
        for (row, &group) in (0..).zip(&side.groups) {
            let end = &mut ends[group as usize];
            rows[*end as usize] = row;
            *end += 1;
        }
        let batches = side.batches.iter().scan(0, |first, batch| {
            let this = *first;
            *first += batch.num_rows();
            Some(this)
        });
        Self { starts, rows, batches: batches.collect() }
    }

    fn of(&self, group: u32) -> &[u32] {
        let group = group as usize;
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let batch = self.batches.partition_point(|&first| first <= row) - 1;
        (batch, row - self.batches[batch])
    }
}
