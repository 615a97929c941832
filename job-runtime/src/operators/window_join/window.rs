//! The rows of one window, both sides: kept as the batches they came in, with each row's key as a number, and how
//! many of them the state has. Not here: their emission (`firing.rs`).

use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::EncodedKeys;
use crate::operators::interner::Interner;
use crate::row::RowWriter;
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

/// Batches of fewer rows than this are put together: each costs memory of its own.
const BATCH_ROWS: usize = 8192;
/// So many small batches are put together at the latest.
const SMALL_BATCHES: usize = 32;

#[derive(Default)]
pub(super) struct Window {
    /// The keys of both sides.
    pub(super) interner: Interner,
    pub(super) sides: [Side; 2],
}

#[derive(Default)]
pub(super) struct Side {
    /// In the order in which the rows came.
    pub(super) batches: Vec<RecordBatch>,
    /// The last batches, until they are put together.
    small: usize,
    small_rows: usize,
    /// For each row the number of its key.
    pub(super) groups: Vec<u32>,
    /// How many rows the state has: it has them in the order in which they came.
    given: usize,
    /// By key, how many rows the state has.
    given_of: Vec<u32>,
}

/// A window that has fired, and of which the state still has rows.
pub(super) struct DeadWindow {
    pub(super) window_end: i64,
    interner: Interner,
    given_of: [Vec<u32>; 2],
}

impl Window {
    /// Adds rows with these keys.
    pub(super) fn add(&mut self, side: usize, rows: RecordBatch, keys: &EncodedKeys) -> Result<()> {
        let mut groups = Vec::new();
        self.interner.intern_all(keys, &mut groups);
        self.sides[side].groups.append(&mut groups);
        self.sides[side].push(rows)
    }

    /// Takes a row back from the state, whose rows of one key come in the order of their numbers. The row itself
    /// comes with a later call of `push`.
    pub(super) fn restore(&mut self, side: usize, key: &[u8], number: u32) -> Result<()> {
        let (group, _) = self.interner.intern(key, crate::key::hash(key));
        let side = &mut self.sides[side];
        side.groups.push(group);
        side.given += 1;
        let given = at(&mut side.given_of, group);
        if *given != number {
            return Err(Error::fail_job(format!("the state of a window join lacks row {given} of a key")));
        }
        *given += 1;
        Ok(())
    }

    /// Gives every row that the state doesn't have: the side, the key and its hash, the number, and the row.
    pub(super) fn take_new(&mut self, mut give: impl FnMut(usize, &[u8], u64, u32, &[u8])) -> Result<()> {
        let mut bytes = Vec::new();
        for (number, side) in self.sides.iter_mut().enumerate() {
            let mut first = 0;
            for batch in &side.batches {
                let end = first + batch.num_rows();
                if side.given < end {
                    let writer = RowWriter::new(batch)?;
                    for row in side.given..end {
                        let group = side.groups[row];
                        bytes.clear();
                        writer.write(row - first, &mut bytes);
                        let given = at(&mut side.given_of, group);
                        give(number, self.interner.key(group), self.interner.hash(group), *given, &bytes);
                        *given += 1;
                    }
                    side.given = end;
                }
                first = end;
            }
        }
        Ok(())
    }

    /// What is left to do when it has fired: nothing where the state never had any of it.
    pub(super) fn into_dead(self, window_end: i64) -> Option<DeadWindow> {
        let given_of = self.sides.map(|side| side.given_of);
        let is_given = given_of.iter().any(|given| !given.is_empty());
        is_given.then_some(DeadWindow { window_end, interner: self.interner, given_of })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.interner.memory_bytes() + self.sides.iter().map(Side::memory_bytes).sum::<usize>()
    }
}

impl Side {
    /// Adds the rows of groups that were added before.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        let count = rows.num_rows();
        self.batches.push(rows);
        if count >= BATCH_ROWS {
            // What came before stays in its place.
            (self.small, self.small_rows) = (0, 0);
            return Ok(());
        }
        self.small += 1;
        self.small_rows += count;
        if self.small < SMALL_BATCHES && self.small_rows < BATCH_ROWS {
            return Ok(());
        }
        let small = self.batches.split_off(self.batches.len() - self.small);
        (self.small, self.small_rows) = (0, 0);
        let together = concat_batches(&small[0].schema(), &small).or_kind(ErrorKind::FailJob, "keeping rows")?;
        self.batches.push(together);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let batches = self.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        batches + (self.groups.capacity() + self.given_of.capacity()) * size_of::<u32>()
    }
}

impl DeadWindow {
    /// Gives every row that the state has of a side: the key and its hash, and the number.
    pub(super) fn rows(&self, side: usize, mut give: impl FnMut(&[u8], u64, u32)) {
        for (group, &given) in (0..).zip(&self.given_of[side]) {
            (0..given).for_each(|number| give(self.interner.key(group), self.interner.hash(group), number));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let given: usize = self.given_of.iter().map(Vec::capacity).sum();
        self.interner.memory_bytes() + given * size_of::<u32>()
    }
}

/// The count of a group, of which there may be none yet.
fn at(counts: &mut Vec<u32>, group: u32) -> &mut u32 {
    let group = group as usize;
    if counts.len() <= group {
        counts.resize(group + 1, 0);
    }
    &mut counts[group]
}
