//! What window operators have in common when they fire: how much leaves at once, and the cursor in their state
//! that says how far they have come, so that nothing fires twice and what was late stays late.

use super::state_table::{Scope, StateTable, time_field, times};
use crate::error::{Error, Result};
use crate::state::TableId;
use std::ops::Range;

const CURSOR_VERSION: u8 = 2;

/// How results leave.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of a batch.
    pub rows: usize,
    /// What a call of `advance` may emit before it gives the runtime a chance to commit.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 8192, bytes: 4 << 20 }
    }
}

/// How far a task has fired. Its entry has no key and is under the task's first key group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The key groups that it speaks for: those of the task that wrote it.
    pub(super) groups: Range<u16>,
    /// Every window that ends up to here, in local milliseconds, has fired.
    pub(super) passed: i64,
    /// Rows that have come and are, or were, kept one by one; 0 for who keeps none.
    pub(super) arrivals: u64,
    /// A window that is only emitted in part, and where that stopped, in the operator's own words.
    pub(super) firing: Option<(i64, Vec<u8>)>,
}

impl Cursor {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&self.groups.start.to_le_bytes());
        bytes.extend_from_slice(&self.groups.end.to_le_bytes());
        bytes.extend_from_slice(&self.passed.to_le_bytes());
        bytes.extend_from_slice(&self.arrivals.to_le_bytes());
        if let Some((window_end, place)) = &self.firing {
            bytes.extend_from_slice(&window_end.to_le_bytes());
            bytes.extend_from_slice(place);
        }
        bytes
    }

    /// The cursor of a task with these key groups.
    pub(super) fn read(bytes: &[u8], groups: &Range<u16>) -> Result<Self> {
        let cursor = Self::parse(bytes).ok_or_else(unknown_version)?;
        if cursor.groups != *groups {
            return Err(Error::fail_job(format!(
                "the windows' state is of the key groups {:?} and the task has {groups:?}: a change of parallelism needs a \
                 savepoint",
                cursor.groups
            )));
        }
        Ok(cursor)
    }

    /// The same for a task with other key groups.
    pub(super) fn of_groups(self, groups: Range<u16>) -> Self {
        Self { groups, ..self }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[CURSOR_VERSION])?;
        let (start, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (passed, rest) = rest.split_first_chunk()?;
        let (arrivals, rest) = rest.split_first_chunk()?;
        let firing = match rest {
            [] => None,
            _ => {
                let (window_end, place) = rest.split_first_chunk()?;
                Some((i64::from_le_bytes(*window_end), place.to_vec()))
            }
        };
        let groups = u16::from_le_bytes(*start)..u16::from_le_bytes(*end);
        let (passed, arrivals) = (i64::from_le_bytes(*passed), u64::from_le_bytes(*arrivals));
        Some(Self { groups, passed, arrivals, firing })
    }
}

/// The cursor as a table of state.
pub(super) fn cursor_table(id: TableId, window: &str) -> StateTable {
    StateTable {
        id,
        name: "cursor",
        scope: Scope::Cursor,
        layout: format!("cursor {CURSOR_VERSION}, {window}"),
        fields: vec![time_field("passed")],
        decode: Box::new(|entries| {
            let cursors = entries.iter().map(|(_, value)| Cursor::parse(value).ok_or_else(unknown_version));
            Ok(vec![times(cursors.map(|cursor| Ok(cursor?.passed)).collect::<Result<_>>()?)])
        }),
    }
}

/// The cursors of the tasks of a consistent cut, for a task with these key groups. They say the same, or the cut is
/// none: then nobody knows what the windows of the new task are.
pub(crate) fn merge_cursors(values: &[&[u8]], groups: &Range<u16>) -> Result<Option<Vec<u8>>> {
    let cursors = values.iter().map(|value| Cursor::parse(value).ok_or_else(unknown_version));
    let cursors = cursors.collect::<Result<Vec<_>>>()?;
    let Some(first) = cursors.first() else { return Ok(None) };
    if cursors.iter().any(|cursor| (cursor.passed, &cursor.firing) != (first.passed, &None)) {
        return Err(Error::fail_job(
            "the tasks of a window operator have not come equally far, so this is no state that windows can go on from",
        ));
    }
    // A key's rows are all of one task, which has counted them.
    let arrivals = cursors.iter().map(|cursor| cursor.arrivals).max().unwrap_or_default();
    Ok(Some(Cursor { arrivals, ..first.clone() }.of_groups(groups.clone()).write()))
}

fn unknown_version() -> Error {
    Error::fail_job("the cursor of a window operator is not of this version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_written_and_only_for_its_key_groups() {
        for firing in [None, Some((5, b"place".to_vec())), Some((-1, Vec::new()))] {
            let cursor = Cursor { groups: 256..512, passed: -7, arrivals: 11, firing };
            assert_eq!(Cursor::read(&cursor.write(), &(256..512)).unwrap(), cursor);
            let error = Cursor::read(&cursor.write(), &(0..256)).unwrap_err();
            assert!(error.to_string().contains("needs a savepoint"), "{error}");
        }
        assert!(Cursor::read(&[CURSOR_VERSION + 1], &(0..1)).is_err());
    }
}
