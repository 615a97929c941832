//! The state tables of the operator: their keys and values, both ways.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1, rows of the left side | window end (i64, big-endian, sign flipped), canonical key, number (u64, big-endian) | the row, see `row.rs` |
//! | 2, rows of the right side | the same | the same |
//! | 3, cursor | nothing; under the first key group of the task | see `window_progress.rs`, and [`Position`] |
//!
//! The number counts the rows of the task in the order in which they came; the cursor has how many there were.
//! Entries of 1 and 2 are under the key group of the canonical key, or under 0 where the join has no keys.

use crate::error::{Error, Result};
use crate::state::TableId;

/// The rows of each side.
pub(super) const ROWS: [TableId; 2] = [1, 2];
pub(super) const CURSOR: TableId = 3;

/// Length of what every key of a window begins with.
pub(super) const WINDOW_PREFIX: usize = 8;

/// What every key of a window begins with.
pub(super) fn window_prefix(window_end: i64) -> [u8; WINDOW_PREFIX] {
    (window_end ^ i64::MIN).to_be_bytes()
}

pub(super) fn row_key(window_end: i64, key: &[u8], number: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&window_prefix(window_end));
    out.extend_from_slice(key);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Window end, canonical key and number.
pub(super) fn parse_row_key(bytes: &[u8]) -> Result<(i64, &[u8], u64)> {
    let corrupt = || Error::fail_job("the state of a window join has a key that is too short");
    let (window_end, rest) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    let (key, number) = rest.split_last_chunk().ok_or_else(corrupt)?;
    Ok((i64::from_be_bytes(*window_end) ^ i64::MIN, key, u64::from_be_bytes(*number)))
}

/// Where the emission of a window stopped, in the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The last key of which pairs have been emitted, and how many; of keys before it, in firing order, all.
    pub(super) key: Vec<u8>,
    pub(super) pairs: u64,
}

impl Position {
    pub(super) fn write(&self) -> Vec<u8> {
        [&self.pairs.to_le_bytes(), self.key.as_slice()].concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let (pairs, key) =
            bytes.split_first_chunk().ok_or_else(|| Error::fail_job("the cursor of a window join is cut off"))?;
        Ok(Self { key: key.to_vec(), pairs: u64::from_le_bytes(*pairs) })
    }
}
