//! A window while it is emitted: the pairs of its rows with equal keys, in pieces, and, where it takes more than
//! one, in an order that a restart finds again. What is not all in memory comes in parts. Not here: what becomes of a
//! pair (`mod.rs`).

use super::rows::{Rows, Side, place};
use super::state::Position;
use super::window::{ByKeyGroup, Window};
use crate::error::{Error, Result};
use crate::operators::spilled::firing_rank;
use crate::operators::window_progress::Limits;
use std::ops::Range;

pub(super) struct Firing {
    pub(super) window: Window,
    /// In place of the window's rows: those that fire now.
    part: Option<Rows>,
    /// What fires after that.
    pub(super) rest: Option<Rest>,
    lists: [Lists; 2],
    /// The keys that both sides have.
    order: Vec<u32>,
    /// The key to go on with, and how many of its pairs have been emitted.
    next: usize,
    pairs: u64,
    /// For the cursor.
    position: Option<Position>,
    /// The position is of before a restart, and what fires first has its key.
    resumes: bool,
    limits: Limits,
    /// Pairs of a chunk.
    rows: usize,
}

/// Parts that are not read yet.
pub(super) struct Rest {
    pub(super) parts: ByKeyGroup,
    pub(super) groups: Range<u16>,
}

/// The rows of one side by their key.
#[derive(Default)]
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
    /// The last key, and how many of its pairs have been emitted then.
    last: (usize, u64),
    /// Whether these are all.
    is_whole: bool,
}

impl Firing {
    /// `from`: where the emission stopped before a restart.
    pub(super) fn whole(window: Window, limits: Limits, from: Option<Position>) -> Result<Self> {
        Self::new(window, None, limits, from)
    }

    /// The parts of these key groups are still to be read.
    pub(super) fn in_parts(window: Window, rest: Rest, limits: Limits, from: Option<Position>) -> Result<Self> {
        Self::new(window, Some(rest), limits, from)
    }

    fn new(window: Window, rest: Option<Rest>, limits: Limits, position: Option<Position>) -> Result<Self> {
        let part = rest.is_some().then(Rows::default);
        let lists = [Lists::default(), Lists::default()];
        let (resumes, order) = (position.is_some(), Vec::new());
        let mut firing =
            Self { window, part, rest, lists, order, next: 0, pairs: 0, position, resumes, limits, rows: 1 };
        if firing.part.is_none() {
            firing.put_in_order()?;
        }
        Ok(firing)
    }

    /// Goes on with this part.
    pub(super) fn set_part(&mut self, part: Rows) -> Result<()> {
        self.part = Some(part);
        self.put_in_order()
    }

    /// What fires now is cut into pieces in this order; what is one piece, and all there is, is never cut.
    fn put_in_order(&mut self) -> Result<()> {
        let rows = self.part.as_ref().unwrap_or(&self.window.rows);
        let groups = rows.interner.len();
        self.lists = [0, 1].map(|side: usize| Lists::new(&rows.sides[side], groups));
        self.rows = chunk_rows(rows, self.limits);
        let lists = &self.lists;
        self.order = (0..groups as u32).filter(|&group| lists.iter().all(|list| !list.of(group).is_empty())).collect();
        (self.next, self.pairs) = (0, 0);
        let all: u64 = self.order.iter().map(|&group| self.pairs_of(group)).sum();
        if all <= self.rows as u64 && self.rest.is_none() && self.position.is_none() {
            return Ok(());
        }
        let place = |group: u32| (firing_rank(rows.interner.hash(group)), rows.interner.key(group));
        self.order.sort_unstable_by(|&a, &b| place(a).cmp(&place(b)));
        let Some(position) = &self.position else { return Ok(()) };
        let at = (firing_rank(crate::key::hash(&position.key)), position.key.as_slice());
        self.next = self.order.partition_point(|&group| place(group) < at);
        let found = self.order.get(self.next).copied().filter(|&group| place(group) == at);
        let all = found.map(|group| self.pairs_of(group));
        if std::mem::take(&mut self.resumes) && all.is_none_or(|all| all < position.pairs) {
            return Err(Error::fail_job("a window join stopped at rows that its state doesn't have"));
        }
        if let Some(all) = all {
            (self.next, self.pairs) =
                if position.pairs == all { (self.next + 1, 0) } else { (self.next, position.pairs) };
        }
        Ok(())
    }

    fn pairs_of(&self, group: u32) -> u64 {
        self.lists.iter().map(|list| list.of(group).len() as u64).product()
    }

    /// What fires now.
    pub(super) fn rows(&self) -> &Rows {
        self.part.as_ref().unwrap_or(&self.window.rows)
    }

    /// Whether this part is done.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.order.len()
    }

    /// The pairs to emit next.
    pub(super) fn chunk(&self) -> Chunk {
        let mut sides = [Vec::with_capacity(self.rows), Vec::with_capacity(self.rows)];
        let (mut last, mut is_whole) = ((self.next, self.pairs), false);
        for at in self.next..self.order.len() {
            let group = self.order[at];
            let [left, right] = [0, 1].map(|side: usize| self.lists[side].of(group));
            let all = left.len() as u64 * right.len() as u64;
            let first = if at == self.next { self.pairs } else { 0 };
            let end = all.min(first + (self.rows - sides[0].len()) as u64);
            let width = right.len() as u64;
            let (mut at_left, mut at_right) = ((first / width) as usize, (first % width) as usize);
            for _ in first..end {
                sides[0].push(self.lists[0].place(left[at_left]));
                sides[1].push(self.lists[1].place(right[at_right]));
                at_right += 1;
                if at_right == right.len() {
                    (at_left, at_right) = (at_left + 1, 0);
                }
            }
            (last, is_whole) = ((at, end), end == all);
            if sides[0].len() == self.rows {
                break;
            }
        }
        Chunk { sides, last, is_whole }
    }

    pub(super) fn emitted(&mut self, chunk: &Chunk) {
        let (at, pairs) = chunk.last;
        let Some(&group) = self.order.get(at) else { return };
        self.position = Some(Position { key: self.rows().interner.key(group).to_vec(), pairs });
        (self.next, self.pairs) = if chunk.is_whole { (at + 1, 0) } else { (at, pairs) };
    }

    /// For the cursor; None before the first pair is emitted.
    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let lists = self.lists.iter().map(|list| list.starts.capacity() + list.rows.capacity()).sum::<usize>();
        let part = self.part.as_ref().map_or(0, Rows::memory_bytes);
        let rest = self.rest.as_ref().map_or(0, |rest| rest.parts.memory_bytes());
        self.window.memory_bytes() + part + rest + (lists + self.order.capacity()) * size_of::<u32>()
    }
}

/// Pairs of a batch: a long row that joins many others is copied for each of them.
fn chunk_rows(rows: &Rows, limits: Limits) -> usize {
    let row_bytes = |side: &Side| side.memory_bytes() / side.groups.len().max(1);
    let pair = rows.sides.iter().map(row_bytes).sum::<usize>();
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
        Self { starts, rows, batches: side.batch_starts() }
    }

    fn of(&self, group: u32) -> &[u32] {
        let group = group as usize;
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    fn place(&self, row: u32) -> (usize, usize) {
        place(&self.batches, row)
    }
}
