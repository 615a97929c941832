//! The values that states are made of: how each adds, compares and is written to state.

use crate::error::{Error, Result};
use std::cmp::Ordering;

/// A DECIMAL sum that left 38 digits. No DECIMAL has this value, so it travels in a partial column.
pub(super) const OVERFLOWED: i128 = i128::MAX;
const MAX_DECIMAL: i128 = 10i128.pow(38) - 1;

pub(super) trait Native: Copy + Default + Send + 'static {
    /// As Flink's SUM does: integers wrap around, a DECIMAL that overflowed stays so.
    fn plus(self, other: Self) -> Self;
    /// In SQL's order: NaN is above all numbers.
    fn less(self, other: Self) -> bool;
    /// Whether it is a value, not the mark of an overflow.
    fn is_value(self) -> bool {
        true
    }
    fn write(self, out: &mut Vec<u8>);
    fn read(bytes: &mut &[u8]) -> Result<Self>;
}

pub(super) fn read_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) =
        bytes.split_first_chunk::<N>().ok_or_else(|| Error::fail_job("the state of an aggregate ends early"))?;
    *bytes = tail;
    Ok(*head)
}

macro_rules! encoding {
    () => {
        fn write(self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }

        fn read(bytes: &mut &[u8]) -> Result<Self> {
            read_array(bytes).map(Self::from_le_bytes)
        }
    };
}

macro_rules! integer {
    ($($native:ty),*) => {$(
        impl Native for $native {
            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline]
            fn less(self, other: Self) -> bool {
                self < other
            }

            encoding!();
        }
    )*};
}

macro_rules! float {
    ($($native:ty),*) => {$(
        impl Native for $native {
            #[inline]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline]
            fn less(self, other: Self) -> bool {
                match (self.is_nan(), other.is_nan()) {
                    (true, _) => false,
                    (false, true) => true,
                    (false, false) => self.total_cmp(&other) == Ordering::Less,
                }
            }

            encoding!();
        }
    )*};
}

integer!(i8, i16, i32, i64);
float!(f32, f64);

impl Native for i128 {
    #[inline]
    fn plus(self, other: Self) -> Self {
        match self.checked_add(other) {
            Some(sum) if self != OVERFLOWED && other != OVERFLOWED && sum.abs() <= MAX_DECIMAL => sum,
            _ => OVERFLOWED,
        }
    }

    #[inline]
    fn less(self, other: Self) -> bool {
        self < other
    }

    fn is_value(self) -> bool {
        self != OVERFLOWED
    }

    encoding!();
}
