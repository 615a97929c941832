//! Which rows of a column under construction are not NULL.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use std::mem;

/// Which rows are not NULL. As long as none is, only their number is kept.
#[derive(Default)]
pub(super) struct Validity {
    rows: usize,
    nulls: usize,
    /// Empty while there are no NULLs.
    bits: Vec<u8>,
}

impl Validity {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    pub(super) fn push_valid(&mut self) {
        if self.nulls != 0 {
            self.push_bit(true);
        }
        self.rows += 1;
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        if self.nulls == 0 {
            self.begin_bits();
        }
        self.push_bit(false);
        self.nulls += 1;
        self.rows += 1;
    }

    #[inline]
    fn push_bit(&mut self, valid: bool) {
        match self.rows % 8 {
            0 => self.bits.push(u8::from(valid)),
            bit => *self.bits.last_mut().expect("a byte was begun") |= u8::from(valid) << bit,
        }
    }

    /// Writes down that all rows so far are valid.
    #[cold]
    fn begin_bits(&mut self) {
        self.bits.clear();
        self.bits.resize(self.rows / 8, 0xFF);
        if !self.rows.is_multiple_of(8) {
            self.bits.push((1 << (self.rows % 8)) - 1);
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        if rows >= self.rows {
            return;
        }
        self.rows = rows;
        if self.nulls == 0 {
            return;
        }
        self.bits.truncate(rows.div_ceil(8));
        if !rows.is_multiple_of(8) {
            *self.bits.last_mut().expect("there is a byte for the last row") &= (1 << (rows % 8)) - 1;
        }
        let valid: u32 = self.bits.iter().map(|byte| byte.count_ones()).sum();
        self.nulls = rows - valid as usize;
    }

    pub(super) fn take(&mut self) -> Option<NullBuffer> {
        let Self { rows, nulls, bits } = mem::take(self);
        (nulls != 0).then(|| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.len()
    }
}
