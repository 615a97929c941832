//! Deletes what the state has of a window that is over: all keys of a table that begin with the window's end. A
//! key group with many of them gets one change, one with few a change for each.

use crate::key::KEY_GROUPS;
use crate::state::{StateChanges, TableId};

/// A deleted range costs RocksDB more than a few deleted keys: it is looked for at every read.
const BY_NAME: u32 = 8;

/// `keys` gives each key that the state has, with its key group; each begins with `prefix`. It is called twice.
pub(super) fn delete_all(
    changes: &mut StateChanges,
    operator: u32,
    table: TableId,
    prefix: &[u8],
    mut keys: impl FnMut(&mut dyn FnMut(u16, &[u8])),
) {
    let mut counts = vec![0u32; KEY_GROUPS as usize];
    keys(&mut |group, _| counts[usize::from(group)] += 1);
    for (group, _) in (0..).zip(&counts).filter(|(_, count)| **count > BY_NAME) {
        changes.delete_prefix(operator, table, group, prefix);
    }
    keys(&mut |group, key| {
        if counts[usize::from(group)] <= BY_NAME {
            changes.delete(operator, table, group, key);
        }
    });
}
