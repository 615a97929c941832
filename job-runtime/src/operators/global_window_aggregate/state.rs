//! The state tables of the operator: their keys and values, both ways.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1, groups | slice end (i64, big-endian, sign flipped), canonical key | version, every plain call's accumulator |
//! | 2, distinct values | slice end, length of the key (u32, big-endian), canonical key, call (u8), canonical value | nothing |
//! | 3, cursor | nothing; under the first key group of the task | see [`Cursor`] |
//!
//! Entries of 1 and 2 are under the key group of the canonical key.

use crate::error::{Error, Result};
use crate::state::TableId;
use std::ops::Range;

pub(super) const GROUPS: TableId = 1;
pub(super) const VALUES: TableId = 2;
pub(super) const CURSOR: TableId = 3;

const CURSOR_VERSION: u8 = 1;

pub(super) fn group_key(slice_end: i64, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&(slice_end ^ i64::MIN).to_be_bytes());
    out.extend_from_slice(key);
}

pub(super) fn parse_group_key(bytes: &[u8]) -> Result<(i64, &[u8])> {
    let (slice_end, key) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    Ok((i64::from_be_bytes(*slice_end) ^ i64::MIN, key))
}

pub(super) fn value_key(slice_end: i64, key: &[u8], call: u8, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&(slice_end ^ i64::MIN).to_be_bytes());
    out.extend_from_slice(&u32::try_from(key.len()).expect("a key is below 4 GiB").to_be_bytes());
    out.extend_from_slice(key);
    out.push(call);
    out.extend_from_slice(value);
}

/// Slice end, canonical key, call and value.
pub(super) fn parse_value_key(bytes: &[u8]) -> Result<(i64, &[u8], u8, &[u8])> {
    let (slice_end, rest) = parse_group_key(bytes)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(corrupt)?;
    let (call, value) = rest.split_first().ok_or_else(corrupt)?;
    Ok((slice_end, key, *call, value))
}

fn corrupt() -> Error {
    Error::fail_job("the state of a windowed aggregation has a key that is too short")
}

/// How far the task has fired, so that nothing fires twice and what was late stays late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The key groups that it speaks for: those of the task that wrote it.
    pub(super) groups: Range<u16>,
    /// Every window that ends up to here, in local milliseconds, has fired.
    pub(super) passed: i64,
    /// A window of which only the groups up to this key, in firing order, have been emitted.
    pub(super) firing: Option<(i64, Vec<u8>)>,
}

impl Cursor {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&self.groups.start.to_le_bytes());
        bytes.extend_from_slice(&self.groups.end.to_le_bytes());
        bytes.extend_from_slice(&self.passed.to_le_bytes());
        if let Some((window_end, key)) = &self.firing {
            bytes.extend_from_slice(&window_end.to_le_bytes());
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
                    let (window_end, key) = rest.split_first_chunk()?;
                    Some((i64::from_le_bytes(*window_end), key.to_vec()))
                }
            };
            let groups = u16::from_le_bytes(*start)..u16::from_le_bytes(*end);
            Some(Self { groups, passed: i64::from_le_bytes(*passed), firing })
        };
        parse().ok_or_else(|| Error::fail_job("the cursor of a windowed aggregation is not of this version"))
    }
}
