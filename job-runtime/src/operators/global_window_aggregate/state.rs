//! The state tables of the operator: their keys and values, both ways.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1, groups | slice end (i64, big-endian, sign flipped), canonical key | version, every call's accumulator |
//! | 2, distinct values | slice end, length of the key (u32, big-endian), canonical key, call (u8), canonical value | nothing |
//! | 3, cursor | nothing; under the first key group of the task | see `window_progress.rs`; a window that fires stopped after this canonical key |
//!
//! Entries of 1 and 2 are under the key group of the canonical key.

use crate::error::{Error, Result};
use crate::state::TableId;

pub(super) const GROUPS: TableId = 1;
pub(super) const VALUES: TableId = 2;
pub(super) const CURSOR: TableId = 3;

/// Length of what every key of a slice begins with.
pub(super) const SLICE_PREFIX: usize = 8;

/// What every key of a slice begins with.
pub(super) fn slice_prefix(slice_end: i64) -> [u8; SLICE_PREFIX] {
    (slice_end ^ i64::MIN).to_be_bytes()
}

pub(super) fn group_key(slice_end: i64, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&slice_prefix(slice_end));
    out.extend_from_slice(key);
}

pub(super) fn parse_group_key(bytes: &[u8]) -> Result<(i64, &[u8])> {
    let (slice_end, key) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    Ok((i64::from_be_bytes(*slice_end) ^ i64::MIN, key))
}

pub(super) fn value_key(slice_end: i64, key: &[u8], call: u8, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&slice_prefix(slice_end));
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
