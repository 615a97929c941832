//! Images of the tasks' states, in their logs, and cutting these: what the runtime's `commit/covers.rs` does, with
//! a copy of the state where RocksDB has snapshots.

use super::Topics;
use super::rows::encode_changes;
use super::start::Started;
use super::task::Outgoing;
use super::worker::Failure;
use crate::disk::{Change, Key, Value};
use crate::world::{Ctx, Step};
use millrace_protocol::cover::{CoverSettings, TaskCover};
use millrace_protocol::replay::Applied;
use std::collections::{BTreeMap, VecDeque};

/// Entries of a part.
const PART_ENTRIES: usize = 5;
/// Parts that one transaction takes.
const PARTS_PER_EPOCH: usize = 3;
const ENTRY_BYTES: u64 = 50;
const COMMIT_BYTES: u64 = 100;
const SETTINGS: CoverSettings = CoverSettings { tail_bytes_min: 3_000, tail_per_state: 2 };

/// An image that is being written.
struct Copying {
    task: u32,
    parts: VecDeque<(Vec<Change>, Option<Applied>)>,
}

pub struct Images {
    topics: Topics,
    covers: BTreeMap<u32, TaskCover>,
    copying: Option<Copying>,
    /// Of the open transaction.
    parts_left: usize,
}

impl Images {
    pub fn new(started: &Started, topics: Topics) -> Self {
        let cover = |(&task, &claim): (&u32, &i64)| {
            let offsets = (claim - started.logs[&task].start).max(0) as u64;
            (task, TaskCover::new(SETTINGS, claim, offsets * COMMIT_BYTES))
        };
        let covers = started.claims.iter().map(cover).collect();
        Self { topics, covers, copying: None, parts_left: PARTS_PER_EPOCH }
    }

    /// A task has committed so many changes.
    pub fn wrote(&mut self, task: u32, changes: usize) {
        let cover = self.covers.get_mut(&task).expect("a task of this worker");
        cover.wrote(changes as u64 * ENTRY_BYTES + COMMIT_BYTES);
    }

    /// The next parts, as far as the open transaction takes them.
    pub fn next_parts(&mut self) -> Option<Vec<Outgoing>> {
        let copying = self.copying.as_mut().filter(|_| self.parts_left > 0)?;
        let cover = self.covers.get_mut(&copying.task).expect("a task of this worker");
        let to = self.topics.task_log(copying.task);
        let mut records = Vec::new();
        while self.parts_left > 0
            && let Some((entries, last)) = copying.parts.pop_front()
        {
            self.parts_left -= 1;
            let value = cover.part(&encode_changes(&entries), last).encode().into();
            records.push(Outgoing { to, value, commit_of: None });
        }
        if copying.parts.is_empty() {
            self.copying = None;
        }
        Some(records)
    }

    /// What was written so far is committed.
    pub fn committed(&mut self, ctx: &Ctx) {
        self.parts_left = PARTS_PER_EPOCH;
        for (task, cover) in &mut self.covers {
            if let Some(covered) = cover.committed() {
                ctx.event("image", &[i64::from(*task), covered.log_offset]);
            }
        }
    }

    /// The volume has everything durably: begins an image of it, if one is due.
    pub fn checkpointed(&mut self, ctx: &Ctx) {
        for (task, cover) in &mut self.covers {
            let applied = ctx.volume(|volume| volume.store(*task).and_then(|store| store.applied().cloned()));
            applied.iter().for_each(|applied| cover.checkpointed(applied));
        }
        if self.covers.values().any(TaskCover::is_making) {
            return;
        }
        let copy = |task| ctx.volume(|volume| volume.store(task).expect("opened at the start").entries());
        let due = |task: u32, cover: &TaskCover| cover.is_due(copy(task).len() as u64 * ENTRY_BYTES);
        let due = self.covers.iter_mut().filter(|(task, cover)| due(**task, cover));
        let Some((&task, cover)) = due.max_by_key(|(_, cover)| cover.tail_bytes()) else { return };
        let Some(applied) = ctx.volume(|v| v.store(task).and_then(|store| store.applied().cloned())) else { return };
        cover.begin();
        self.copying = Some(Copying { task, parts: parts(copy(task), applied) });
    }

    /// Cuts the logs as far as they are covered.
    pub async fn cut(&self, ctx: &Ctx) -> Result<(), Failure> {
        for (task, cover) in &self.covers {
            let at = self.topics.task_log(*task);
            let start = ctx.fetched(|log| log.start_offset(at)).unwrap_or(0);
            let Some(before) = cover.cut(start) else { continue };
            ctx.enter(Some(Step::Cut));
            ctx.call(|log, _| log.delete_records(at, before)).await?;
            ctx.event("cut", &[i64::from(*task), before]);
        }
        Ok(())
    }
}

/// A state in parts, the last of which says how far it has come.
fn parts(entries: BTreeMap<Key, Value>, applied: Applied) -> VecDeque<(Vec<Change>, Option<Applied>)> {
    let changes: Vec<Change> = entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
    let mut parts: VecDeque<_> = changes.chunks(PART_ENTRIES).map(|part| (part.to_vec(), None)).collect();
    if parts.is_empty() {
        parts.push_back((Vec::new(), None));
    }
    parts.back_mut().expect("it has one").1 = Some(applied);
    parts
}
