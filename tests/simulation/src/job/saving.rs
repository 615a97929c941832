//! A worker's tasks as a savepoint's cut has them: held as copies of their stores, and written file by file while the
//! worker goes on; what the runtime's `savepoint/held.rs` and `savepoint/write.rs` do on a thread of their own.

use super::pause::Waiting;
use super::rows::encode_changes;
use crate::disk::{Change, Key, Value};
use crate::storage::SavepointId;
use crate::world::Ctx;
use crate::world::messages::Told;
use millrace_protocol::pause::CommittedTask;
use millrace_protocol::savepoint::TaskPart;
use std::collections::{BTreeMap, VecDeque};

/// Files that are written before the worker does something else.
const FILES_AT_ONCE: usize = 2;

/// A table of a task, which becomes a file.
struct Table {
    task: u32,
    id: u8,
    entries: Vec<Change>,
}

pub struct Held {
    savepoint: SavepointId,
    tables: VecDeque<Table>,
    parts: Vec<TaskPart>,
    /// Who waits for what is written.
    write: Option<Waiting>,
}

fn tables(task: u32, entries: BTreeMap<Key, Value>) -> Vec<Table> {
    let mut tables: BTreeMap<u8, Vec<Change>> = BTreeMap::new();
    entries.into_iter().for_each(|(key, value)| tables.entry(key.0).or_default().push((key, Some(value))));
    tables.into_iter().map(|(id, entries)| Table { task, id, entries }).collect()
}

impl Held {
    /// Holds the tasks as their stores are now, and says so. None where somebody has moved, or a store is of another
    /// commit.
    pub fn hold(ctx: &Ctx, waiting: Waiting, tasks: Option<Vec<CommittedTask>>) -> Option<Self> {
        let Some(tasks) = tasks else {
            ctx.reply(waiting, Err("something moved in the worker"));
            return None;
        };
        let mut held = Self { savepoint: waiting.savepoint(), tables: VecDeque::new(), parts: Vec::new(), write: None };
        for CommittedTask { cut, commit } in tasks {
            let (sequence, entries) = ctx.volume(|volume| {
                let store = volume.store(cut.task).expect("opened at the start");
                (store.applied().map(|applied| applied.commit.sequence), store.entries())
            });
            if sequence != Some(commit.sequence) {
                ctx.reply(waiting, Err("the checkpoint is of another commit"));
                ctx.pause(|pause| pause.let_go(&held.savepoint));
                return None;
            }
            held.tables.extend(tables(cut.task, entries));
            held.parts.push(TaskPart { cut, commit, files: Vec::new() });
        }
        let cut = ctx.pause(|pause| pause.cut(held.parts.iter().map(|part| part.cut.clone()).collect()));
        ctx.reply(waiting, cut.map(Told::Cut).ok_or("the worker has started again"));
        Some(held)
    }

    /// Writes some of what is held, if that is wanted. Returns whether there is more to do.
    pub fn tend(&mut self, ctx: &Ctx) -> bool {
        if self.write.is_none() {
            self.write = ctx.pause(|pause| pause.take_write(&self.savepoint));
        }
        let waits = self.write.is_none() || ctx.is_made(self.savepoint);
        if !ctx.pause(|pause| pause.wants(&self.savepoint)) || !waits {
            self.write = None;
            return self.ended(ctx);
        }
        if self.write.is_none() {
            return true;
        }
        for _ in 0..FILES_AT_ONCE {
            let Some(table) = self.tables.pop_front() else { break };
            self.write_table(ctx, table);
        }
        if !self.tables.is_empty() {
            return true;
        }
        let part = ctx.pause(|pause| pause.part(std::mem::take(&mut self.parts)));
        if let Some(waiting) = self.write.take() {
            ctx.reply(waiting, part.map(Told::Part).ok_or("the worker has started again"));
        }
        self.ended(ctx)
    }

    fn write_table(&mut self, ctx: &Ctx, Table { task, id, entries }: Table) {
        let path = format!("{}/task-{task}/{id}", self.savepoint);
        let file = ctx.storage(|storage| storage.put(path, id, entries.len() as u64, encode_changes(&entries)));
        let part = self.parts.iter_mut().find(|part| part.cut.task == task);
        part.expect("tables are of tasks that are held").files.push(file);
    }

    fn ended(&self, ctx: &Ctx) -> bool {
        ctx.pause(|pause| pause.let_go(&self.savepoint));
        false
    }
}
