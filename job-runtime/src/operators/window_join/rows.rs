//! Rows of one window, both sides, in memory: kept as the batches they came in, with each row's key and its number, and
//! how many of them the state has. Not here: rows that are in the store only (`window.rs`), and their emission
//! (`firing.rs`).

use crate::error::{ErrorContext, ErrorKind, Result};
use crate::key::EncodedKeys;
use crate::operators::interner::Interner;
use crate::row::RowWriter;
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave_record_batch;

/// Batches of fewer rows than this are put together: each costs memory of its own.
const BATCH_ROWS: usize = 8192;
/// So many small batches are put together at the latest.
const SMALL_BATCHES: usize = 32;

#[derive(Default)]
pub(super) struct Rows {
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
    /// For each row its key, as the interner numbers them.
    pub(super) groups: Vec<u32>,
    /// For each row its number among all that have come.
    numbers: Vec<u64>,
    /// How many rows, in the order in which they stand here, the state has.
    given: usize,
}

impl Rows {
    /// Adds rows with these keys, which are numbered from `arrivals` on.
    pub(super) fn add(&mut self, side: usize, rows: RecordBatch, keys: &EncodedKeys, arrivals: u64) -> Result<()> {
        let mut groups = Vec::new();
        self.interner.intern_all(keys, &mut groups);
        let side = &mut self.sides[side];
        side.groups.append(&mut groups);
        side.numbers.extend(arrivals..arrivals + rows.num_rows() as u64);
        side.push(rows)
    }

    /// Takes a row back from the state, whose rows of one key come in the order of their numbers. The row itself
    /// comes with a later call of `push`.
    pub(super) fn restore(&mut self, side: usize, key: &[u8], number: u64) {
        let (group, _) = self.interner.intern(key, crate::key::hash(key));
        let side = &mut self.sides[side];
        side.groups.push(group);
        side.numbers.push(number);
        side.given += 1;
    }

    /// Adds all rows of others, which came later.
    pub(super) fn append(&mut self, others: Rows) -> Result<()> {
        for (side, other) in others.sides.iter().enumerate() {
            debug_assert!(other.given == 0 || self.sides[side].given == self.sides[side].numbers.len());
            let count = other.numbers.len();
            self.take(side, &others.interner, other, &(0..count as u32).collect::<Vec<_>>())?;
            self.sides[side].given += other.given;
        }
        Ok(())
    }

    /// Adds some rows of another side, of which they are, in the order in which they stand there.
    pub(super) fn take(&mut self, side: usize, interner: &Interner, other: &Side, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let starts = other.batch_starts();
        let places: Vec<_> = rows.iter().map(|&row| place(&starts, row)).collect();
        let batches: Vec<&RecordBatch> = other.batches.iter().collect();
        let taken = interleave_record_batch(&batches, &places).or_kind(ErrorKind::FailJob, "keeping rows")?;
        let this = &mut self.sides[side];
        for &row in rows {
            let group = other.groups[row as usize];
            this.groups.push(self.interner.intern(interner.key(group), interner.hash(group)).0);
            this.numbers.push(other.numbers[row as usize]);
        }
        this.push(taken)
    }

    /// Gives every row that the state doesn't have: the side, the key and its hash, the number, and the row.
    pub(super) fn take_new(&mut self, mut give: impl FnMut(usize, &[u8], u64, u64, &[u8])) -> Result<()> {
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
                        let (key, hash) = (self.interner.key(group), self.interner.hash(group));
                        give(number, key, hash, side.numbers[row], &bytes);
                    }
                    side.given = end;
                }
                first = end;
            }
        }
        Ok(())
    }

    /// Gives every row that the state has of a side: the key and its hash, and the number.
    pub(super) fn given(&self, side: usize, mut give: impl FnMut(&[u8], u64, u64)) {
        let side = &self.sides[side];
        for (&group, &number) in side.groups.iter().zip(&side.numbers).take(side.given) {
            give(self.interner.key(group), self.interner.hash(group), number);
        }
    }

    /// About what `take_new` will give, if a row is like another.
    pub(super) fn new_bytes(&self) -> usize {
        let new = |side: &Side| side.memory_bytes() / side.numbers.len().max(1) * (side.numbers.len() - side.given);
        self.sides.iter().map(new).sum()
    }

    pub(super) fn has_given(&self) -> bool {
        self.sides.iter().any(|side| side.given > 0)
    }

    /// Whether the state has all of it.
    pub(super) fn is_all_given(&self) -> bool {
        self.sides.iter().all(|side| side.given == side.numbers.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sides.iter().all(|side| side.numbers.is_empty())
    }

    /// Forgets the rows, and remembers which there were.
    pub(super) fn drop_batches(&mut self) {
        self.sides.iter_mut().for_each(|side| side.batches = Vec::new());
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

    /// The least number of a row that is here. The store has what came before only where it has it alone.
    pub(super) fn first_number(&self) -> u64 {
        self.numbers.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// The first row of each batch.
    pub(super) fn batch_starts(&self) -> Vec<usize> {
        let starts = self.batches.iter().scan(0, |first, batch| {
            let this = *first;
            *first += batch.num_rows();
            Some(this)
        });
        starts.collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let batches = self.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        batches + self.groups.capacity() * size_of::<u32>() + self.numbers.capacity() * size_of::<u64>()
    }
}

/// Batch and row, where batches start so.
pub(super) fn place(batch_starts: &[usize], row: u32) -> (usize, usize) {
    let row = row as usize;
    let batch = batch_starts.partition_point(|&first| first <= row) - 1;
    (batch, row - batch_starts[batch])
}
