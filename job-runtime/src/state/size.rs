//! How large the state of a worker's tasks is on its volume, and whether the job allows that. Not here: how large
//! the operators' memory is.

use super::store::TaskStore;
use crate::condition::Reason;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// As of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSize {
    /// Of all tasks of the worker, on its volume.
    pub bytes: u64,
    pub largest_task_bytes: u64,
    /// A task takes four fifths of what the job allows, or more.
    pub near_limit: bool,
    /// What RocksDB has in memory, for all tasks: blocks and memtables.
    pub rocksdb_memory_bytes: u64,
}

/// Measures after each checkpoint.
pub(super) struct SizeWatch {
    /// Bytes that a task's state may take.
    limit: Option<u64>,
    /// Tasks that were warned of, until they are smaller again.
    near: BTreeSet<u32>,
}

impl SizeWatch {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, near: BTreeSet::new() }
    }

    /// An error where a task's state is larger than the job allows.
    pub(super) fn measure(&mut self, stores: &BTreeMap<u32, TaskStore>) -> Result<StateSize> {
        let mut size = StateSize::default();
        for (&task, store) in stores {
            let bytes = self.measure_task(task, store)?;
            size.bytes += bytes;
            size.largest_task_bytes = size.largest_task_bytes.max(bytes);
            // Memory is the same of all stores.
            size.rocksdb_memory_bytes = store.memory().used_bytes() as u64;
        }
        size.near_limit = !self.near.is_empty();
        Ok(size)
    }

    fn measure_task(&mut self, task: u32, store: &TaskStore) -> Result<u64> {
        let mut bytes = store.size_bytes()?;
        let Some(limit) = self.limit else { return Ok(bytes) };
        if bytes > limit {
            // Perhaps most of it is deleted, and only takes its place until then.
            tracing::info!(task, bytes, limit, "compacting a state that seems larger than spec.state.sizeLimit");
            store.compact();
            bytes = store.size_bytes()?;
        }
        if bytes > limit {
            return Err(Error::user_fault(format!(
                "the state of task {task} takes {bytes} bytes on its volume, and spec.state.sizeLimit allows {limit}: raise \
                 the limit, and the volume's size if need be, or let the job keep less: shorter windows, fewer keys. \
                 Nothing is lost; with a higher limit the job goes on from its last commit"
            ))
            .because(Reason::StateTooLarge));
        }
        if bytes < limit / 5 * 4 {
            self.near.remove(&task);
        } else if self.near.insert(task) {
            tracing::warn!(
                task,
                bytes,
                limit,
                "the state has four fifths of what spec.state.sizeLimit allows; above it the job stops"
            );
        }
        Ok(bytes)
    }
}
