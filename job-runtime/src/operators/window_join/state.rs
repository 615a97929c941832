//! The state tables of the operator: their keys and values, both ways.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1, rows of the left side | window end (i64, big-endian, sign flipped), canonical key, number (u32, big-endian) | the row, see `row.rs` |
//! | 2, rows of the right side | the same | the same |
//! | 3, cursor | nothing; under the first key group of the task | see [`Cursor`] |
//!
//! The number counts the rows of one side, window and key from 0, in the order in which they came. Entries of 1
//! and 2 are under the key group of the canonical key, or under 0 where the join has no keys.

use crate::error::{Error, Result};
use crate::state::TableId;
use std::ops::Range;

/// The rows of each side.
pub(super) const ROWS: [TableId; 2] = [1, 2];
pub(super) const CURSOR: TableId = 3;

const CURSOR_VERSION: u8 = 1;

pub(super) fn row_key(window_end: i64, key: &[u8], number: u32, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&(window_end ^ i64::MIN).to_be_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Window end, canonical key and number.
pub(super) fn parse_row_key(bytes: &[u8]) -> Result<(i64, &[u8], u32)> {
    let corrupt = || Error::fail_job("the state of a window join has a key that is too short");
    let (window_end, rest) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    let (key, number) = rest.split_last_chunk().ok_or_else(corrupt)?;
    Ok((i64::from_be_bytes(*window_end) ^ i64::MIN, key, u32::from_be_bytes(*number)))
}

/// How far the task has fired, so that no pair is emitted twice and what was late stays late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The key groups that it speaks for: those of the task that wrote it.
    pub(super) groups: Range<u16>,
    /// Every window that ends up to here, in local milliseconds, has fired.
    pub(super) passed: i64,
    /// A window that is only emitted in part.
    pub(super) firing: Option<Position>,
}

/// Where the emission of a window stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) window_end: i64,
    /// Of this key so many pairs have been emitted; of keys before it, in firing order, all.
    pub(super) key: Vec<u8>,
    pub(super) pairs: u64,
}

impl Cursor {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&self.groups.start.to_le_bytes());
        bytes.extend_from_slice(&self.groups.end.to_le_bytes());
        bytes.extend_from_slice(&self.passed.to_le_bytes());
        if let Some(Position { window_end, key, pairs }) = &self.firing {
            bytes.extend_from_slice(&window_end.to_le_bytes());
            bytes.extend_from_slice(&pairs.to_le_bytes());
            bytes.extend_from_slice(key);
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let parse = || {
            let rest = bytes.strip_prefix(&[CURSOR_VERSION])?;
            let (start, rest) = rest.split_first_chunk()?;
            let (end, rest) = rest.split_first_chunk()?;
            let (passed, rest) = rest.split_first_chunk()?;
            let firing = match rest {
                [] => None,
                _ => {
                    let (window_end, rest) = rest.split_first_chunk()?;
                    let (pairs, key) = rest.split_first_chunk()?;
                    let (window_end, pairs) = (i64::from_le_bytes(*window_end), u64::from_le_bytes(*pairs));
                    Some(Position { window_end, key: key.to_vec(), pairs })
                }
            };
            let groups = u16::from_le_bytes(*start)..u16::from_le_bytes(*end);
            Some(Self { groups, passed: i64::from_le_bytes(*passed), firing })
        };
        parse().ok_or_else(|| Error::fail_job("the cursor of a window join is not of this version"))
    }
}
