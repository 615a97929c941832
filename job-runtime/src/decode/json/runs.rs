//! Rows of any number of parts each: the bytes of a string, the elements of an ARRAY, the entries of a MAP.
//! Parts are appended, then the row is ended; what was not ended can be taken back.

use super::validity::Validity;
use arrow_array::{ArrayRef, BinaryArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use std::mem;
use std::sync::Arc;

/// What every column under construction can do, whatever it holds.
pub(super) trait Rows {
    fn rows(&self) -> usize;
    fn append_null(&mut self);
    /// Keeps the first `rows` rows. Also takes back what a row that failed halfway has left behind.
    fn truncate(&mut self, rows: usize);
    fn memory_bytes(&self) -> usize;
}

/// What the rows of [`Runs`] consist of.
pub(super) trait Parts {
    fn count(&self) -> usize;
    /// Keeps the first `count`.
    fn truncate(&mut self, count: usize);
    fn memory_bytes(&self) -> usize;
}

/// Rows of any number of parts each.
#[derive(Default)]
pub(super) struct Runs<P> {
    pub(super) parts: P,
    offsets: Offsets,
    validity: Validity,
}

/// UTF-8 if the column is text.
pub(super) type Bytes = Runs<Vec<u8>>;

/// Where the parts of each row end.
#[derive(Default)]
struct Offsets {
    ends: Vec<i32>,
}

impl Offsets {
    /// Where the parts of row `rows` begin, if it is the next.
    fn start(&self, rows: usize) -> usize {
        rows.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |&end| end as usize)
    }

    /// False: the offset doesn't fit, the batch is too large.
    #[inline(always)]
    #[must_use]
    fn push(&mut self, end: usize) -> bool {
        let fits = end <= i32::MAX as usize;
        if fits {
            self.ends.push(end as i32);
        }
        fits
    }

    fn push_empty(&mut self) {
        let end = self.ends.last().copied().unwrap_or(0);
        self.ends.push(end);
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        // SAFETY: the offsets begin with zero, and each end is the count of parts, of which there are only
        // more between pushes; whatever takes parts back takes the ends back too.
        unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets)) }
    }

    fn memory_bytes(&self) -> usize {
        self.ends.len() * size_of::<i32>()
    }
}

impl<P: Parts> Runs<P> {
    pub(super) fn new(parts: P) -> Self {
        Self { parts, offsets: Offsets::default(), validity: Validity::default() }
    }

    /// Ends the row whose parts were appended. False: the batch is too large.
    #[inline(always)]
    #[must_use]
    pub(super) fn end_row(&mut self) -> bool {
        let fits = self.offsets.push(self.parts.count());
        if fits {
            self.validity.push_valid();
        }
        fits
    }

    /// Where the row that is not ended yet begins.
    pub(super) fn unended(&self) -> usize {
        self.offsets.start(self.validity.rows())
    }

    /// The parts are the caller's to take.
    pub(super) fn take(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        (self.offsets.take(), self.validity.take())
    }
}

impl<P: Parts> Rows for Runs<P> {
    fn rows(&self) -> usize {
        self.validity.rows()
    }

    fn append_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.ends.truncate(rows);
        self.validity.truncate(rows);
        self.parts.truncate(self.offsets.start(rows));
    }

    fn memory_bytes(&self) -> usize {
        self.parts.memory_bytes() + self.offsets.memory_bytes() + self.validity.memory_bytes()
    }
}

impl Bytes {
    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.parts[self.offsets.start(row)..self.offsets.start(row + 1)]
    }

    /// The next batch will be about as long.
    fn take_bytes(&mut self) -> Buffer {
        let room = Vec::with_capacity(self.parts.len());
        Buffer::from_vec(mem::replace(&mut self.parts, room))
    }

    pub(super) fn finish_binary(&mut self) -> ArrayRef {
        let ((offsets, nulls), data) = (self.take(), self.take_bytes());
        Arc::new(BinaryArray::new(offsets, data, nulls))
    }

    pub(super) fn finish_text(&mut self) -> ArrayRef {
        let ((offsets, nulls), data) = (self.take(), self.take_bytes());
        debug_assert!(StringArray::try_new(offsets.clone(), data.clone(), nulls.clone()).is_ok());
        // SAFETY: the data is strings one behind the other that `Cursor::string` has passed as UTF-8,
        // unescaped into whole characters, and ASCII; the offsets stand between them and end at its length.
        Arc::new(unsafe { StringArray::new_unchecked(offsets, data, nulls) })
    }
}

impl Parts for Vec<u8> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }

    fn truncate(&mut self, count: usize) {
        Vec::truncate(self, count);
    }

    fn memory_bytes(&self) -> usize {
        self.len()
    }
}
