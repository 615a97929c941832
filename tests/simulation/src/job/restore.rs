//! From a savepoint to the tasks of a new incarnation, whatever their number: which entries are a task's, and where it
//! goes on reading; what the runtime's `savepoint/restore.rs` does.

use super::Topics;
use super::rows::decode_changes;
use super::succession::succeed;
use super::task::{SCAN, task_of_entry};
use super::worker::{Failure, Place};
use crate::disk::{Change, Identity, Store};
use crate::storage::Manifest;
use crate::world::{Ctx, Step};
use millrace_protocol::assignment::task_of_partition;
use millrace_protocol::record::SourcePosition;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a job starts from.
#[derive(Debug)]
pub struct Origin {
    pub savepoint: Rc<Manifest>,
    /// Earlier incarnations, which end before this one begins; none for a job of its own.
    pub replaces: Vec<Predecessor>,
}

#[derive(Clone, Copy, Debug)]
pub struct Predecessor {
    pub job: u32,
    pub topics: Topics,
    pub tasks: u32,
}

impl Origin {
    /// Where a task of `parallelism` goes on reading the sources.
    pub fn positions(&self, task: u32, parallelism: u32) -> Vec<SourcePosition> {
        let all = self.savepoint.tasks.iter().flat_map(|part| &part.commit.positions);
        let own = |p: &&SourcePosition| p.operator == SCAN && task_of_partition(p.partition, parallelism) == task;
        all.filter(own).cloned().collect()
    }
}

/// Gives tasks that have no state yet that of the savepoint which the job starts from.
pub async fn restore(ctx: &Ctx, place: &Place, attempt: u64) -> Result<(), Failure> {
    let Some(origin) = &place.origin else { return Ok(()) };
    let uncommitted = |ctx: &Ctx, task: u32| ctx.volume(|v| v.store(task).is_none_or(|s| s.applied().is_none()));
    if !place.assignment.tasks().any(|task| uncommitted(ctx, task)) {
        return Ok(());
    }
    succeed(ctx, place, origin, attempt).await?;
    ctx.enter(Some(Step::Restore));
    let mut empty = BTreeSet::new();
    for task in place.assignment.tasks().filter(|task| uncommitted(ctx, *task)) {
        if ctx.volume(|volume| volume.store(task).is_none_or(|store| store.base().is_none())) {
            // Perhaps it was begun before.
            let identity = Identity { job: 1, incarnation: place.job, task };
            ctx.volume(|volume| volume.put_store(task, Store::new(identity)));
            empty.insert(task);
        }
    }
    if empty.is_empty() {
        return Ok(());
    }
    for file in origin.savepoint.tasks.iter().flat_map(|part| &part.files) {
        ctx.reach_storage().await;
        let Some(bytes) = ctx.storage(|storage| storage.get(file)) else {
            return Err(Failure::Damaged(file.path.clone()));
        };
        let entries = decode_changes(&bytes);
        for task in &empty {
            let is_own = |(key, _): &&Change| task_of_entry(key, place.assignment.parallelism) == Some(*task);
            let own: Vec<Change> = entries.iter().filter(is_own).copied().collect();
            ctx.volume(|volume| volume.store(*task).expect("made above").write(own, None));
        }
    }
    ctx.reach_storage().await;
    for task in empty {
        ctx.volume(|volume| volume.store(task).expect("made above").loaded(origin.savepoint.savepoint));
        ctx.event("restored", &[i64::from(task), origin.savepoint.savepoint as i64]);
    }
    Ok(())
}
