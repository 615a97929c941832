//! A worker's tasks as a savepoint's cut has them: held by a thread that writes them, while the worker goes on. What
//! is held are snapshots of the stores, so what the worker does next changes nothing in it.

use super::pause::{CommittedTask, HoldRequest, Pause, WriteRequest};
use super::write::{WriteTasks, write_tasks};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::state::image::ImageSource;
use crate::state::snapshot::StoreSnapshot;
use crate::state::store::TaskStore;
use millrace_protocol::savepoint::TaskCut;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

type Stores = BTreeMap<u32, ImageSource>;

/// The thread that holds and writes; it ends with the writing, or when this is dropped.
pub struct HeldTasks {
    savepoint: String,
    requests: Option<Sender<WriteRequest>>,
    given_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// To be shown the stores once, by the thread that writes to them.
pub struct Holding {
    stores: SyncSender<Stores>,
    held: Receiver<()>,
}

impl HeldTasks {
    /// Starts the thread. It holds the tasks, which are as of their commits, as soon as it is shown the stores.
    pub fn start(
        job: &Job,
        pause: Arc<Pause>,
        request: HoldRequest,
        tasks: Vec<CommittedTask>,
    ) -> Result<(Self, Holding)> {
        let (stores, shown) = sync_channel(1);
        let (holds, held) = sync_channel(1);
        let (requests, asked) = channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let savepoint = request.savepoint.clone();
        let keeper = Keeper { job: job.clone(), pause, tasks, given_up: given_up.clone() };
        let thread = std::thread::Builder::new()
            .name("savepoint".into())
            .spawn(move || {
                // Where nobody shows the stores the worker is ending.
                if let Ok(stores) = shown.recv() {
                    keeper.keep(request, &stores, &holds, &asked);
                }
            })
            .map_err(|e| Error::fail_job("could not start the thread that writes a savepoint").caused_by(e))?;
        let held_tasks = Self { savepoint, requests: Some(requests), given_up, thread: Some(thread) };
        Ok((held_tasks, Holding { stores, held }))
    }

    pub fn savepoint(&self) -> &String {
        &self.savepoint
    }

    /// Returns at once; the request's `reply` is told when all is written.
    pub fn write(&self, request: WriteRequest) {
        // A thread that has ended is soon seen to have, and whoever asked hears so.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
    }

    /// Returns at once; the thread ends soon.
    pub fn give_up(&mut self) {
        self.given_up.store(true, Ordering::Release);
        self.requests = None;
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for HeldTasks {
    /// RocksDB's directory must be free before the worker starts again.
    fn drop(&mut self) {
        self.give_up();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that writes a savepoint panicked");
        }
    }
}

impl Holding {
    /// Returns when the tasks are held, whatever becomes of them.
    pub fn show(self, stores: &BTreeMap<u32, TaskStore>) {
        let stores = stores.iter().map(|(&task, store)| (task, store.image_source())).collect();
        if self.stores.send(stores).is_ok() {
            let _ = self.held.recv();
        }
    }
}

/// What the thread knows.
struct Keeper {
    job: Job,
    pause: Arc<Pause>,
    tasks: Vec<CommittedTask>,
    given_up: Arc<AtomicBool>,
}

impl Keeper {
    fn keep(self, request: HoldRequest, stores: &Stores, held: &SyncSender<()>, asked: &Receiver<WriteRequest>) {
        let snapshots: BTreeMap<u32, StoreSnapshot<'_>> =
            stores.iter().map(|(&task, store)| (task, store.snapshot())).collect();
        let _ = held.send(());
        let HoldRequest { savepoint, reply } = request;
        let cuts = self.cuts(&snapshots);
        let is_held = cuts.is_ok();
        // Whoever has gone meanwhile does not ask to write either.
        let _ = reply.send(cuts.and_then(|cuts| self.pause.cut(cuts)));
        let Some(WriteRequest { location, reply }) = is_held.then(|| asked.recv().ok()).flatten() else { return };
        let wanted = || !self.given_up.load(Ordering::Acquire) && !reply.is_closed();
        let tasks = self.tasks.clone();
        let written =
            write_tasks(&WriteTasks { job: &self.job, savepoint, location, tasks, wanted: &wanted }, &snapshots);
        let _ = reply.send(written.and_then(|tasks| self.pause.part(tasks)));
    }

    /// What the commits say, if the stores are as of these commits.
    fn cuts(&self, snapshots: &BTreeMap<u32, StoreSnapshot<'_>>) -> Result<Vec<TaskCut>> {
        let cut = |CommittedTask { cut, commit }: &CommittedTask| {
            let snapshot = snapshots.get(&cut.task);
            let snapshot = snapshot.ok_or_else(|| Error::fail_job(format!("no store of task {}", cut.task)))?;
            if snapshot.applied()?.is_none_or(|applied| applied.commit.sequence != commit.sequence) {
                return Err(Error::retry(format!("the checkpoint of task {} is of another commit", cut.task)));
            }
            Ok(cut.clone())
        };
        self.tasks.iter().map(cut).collect()
    }
}
