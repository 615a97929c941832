//! Brings committed changes to the volume, off the data path: one thread collects the commits of all
//! tasks, and at each checkpoint interval writes their sum to RocksDB and flushes it. A key that changed
//! in every commit of the interval is written once, one that came and went leaves no value behind. Where an operator
//! waits to let go of what the store has (`spill.rs`), the sum is written at once.

use super::StateChanges;
use super::size::{SizeWatch, StateSize};
use super::store::TaskStore;
use crate::env::Clock;
use crate::error::{Error, Result};
use millrace_protocol::record::Commit;
use millrace_protocol::replay::Applied;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the checkpointer is told.
enum Message {
    /// The changes of a commit that has happened.
    Committed { task: u32, changes: StateChanges, commit: Commit },
    /// Make durable what has been handed over; the offsets are those at which a start from it begins to read.
    Checkpoint { read_from: BTreeMap<u32, i64>, done: Done },
    /// Look at the stores as the last checkpoint has left them.
    Inspect(Inspection),
}

/// Told when a checkpoint is durable, with the stores as they are then.
type Done = Box<dyn FnOnce(CheckpointDone, &BTreeMap<u32, TaskStore>) + Send>;
type Inspection = Box<dyn FnOnce(&BTreeMap<u32, TaskStore>) + Send>;

/// A checkpoint as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointDone {
    /// Epoch milliseconds at its end.
    pub at: i64,
    pub duration_millis: u64,
    /// Bytes of state changes that it wrote, before coalescing.
    pub bytes: usize,
    /// How large the state is now.
    pub state: StateSize,
}

/// Under which generation and transactional id a worker commits.
#[derive(Clone, Debug)]
pub struct CommitHolder {
    pub generation: u32,
    pub transactional_id: String,
}

/// The sending end, for the coordinator.
pub struct Checkpointer {
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<Result<()>>>,
    backlog: Arc<Backlog>,
}

/// Changes that wait while a checkpoint is being written. Beyond a limit the coordinator waits, which in the end slows
/// the sources.
struct Backlog {
    limit: usize,
    bytes: Mutex<usize>,
    taken: Condvar,
}

impl Backlog {
    /// Waits for room, as long as somebody takes from it.
    fn wait(&self, is_served: impl Fn() -> bool) {
        const LOOK: Duration = Duration::from_millis(100);
        let mut bytes = self.bytes.lock().expect("nobody panics while it holds it");
        while *bytes > self.limit && is_served() {
            bytes = self.taken.wait_timeout(bytes, LOOK).expect("nobody panics while it holds it").0;
        }
    }

    fn add(&self, bytes: usize) {
        *self.bytes.lock().expect("nobody panics while it holds it") += bytes;
    }

    fn take(&self, bytes: usize) {
        *self.bytes.lock().expect("nobody panics while it holds it") -= bytes;
        self.taken.notify_one();
    }
}

impl Checkpointer {
    /// Stores by task, each of which may take `size_limit` bytes; everything committed from now on is of this holder.
    /// Changes of so many bytes may wait, `backlog`.
    pub fn start(
        stores: BTreeMap<u32, TaskStore>,
        size_limit: Option<u64>,
        backlog: usize,
        holder: CommitHolder,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut watch = SizeWatch::new(size_limit);
        watch.measure(&stores)?;
        let (sender, receiver) = channel();
        let backlog = Arc::new(Backlog { limit: backlog, bytes: Mutex::new(0), taken: Condvar::new() });
        let served = backlog.clone();
        let thread = std::thread::Builder::new()
            .name("checkpointer".into())
            .spawn(move || run(stores, watch, &holder, &receiver, &served, clock.as_ref()))
            .map_err(|e| Error::fail_job("could not start the checkpointer's thread").caused_by(e))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), backlog })
    }

    pub fn committed(&mut self, task: u32, changes: StateChanges, commit: Commit) -> Result<()> {
        self.backlog.wait(|| self.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
        self.backlog.add(changes.as_bytes().len());
        self.send(Message::Committed { task, changes, commit })
    }

    /// Returns at once; `done` is called on the checkpointer's thread.
    pub fn checkpoint(
        &mut self,
        read_from: BTreeMap<u32, i64>,
        done: impl FnOnce(CheckpointDone, &BTreeMap<u32, TaskStore>) + Send + 'static,
    ) -> Result<()> {
        self.send(Message::Checkpoint { read_from, done: Box::new(done) })
    }

    /// Returns at once; `look` is called on the checkpointer's thread, which meanwhile does nothing else.
    pub fn inspect(&mut self, look: impl FnOnce(&BTreeMap<u32, TaskStore>) + Send + 'static) -> Result<()> {
        self.send(Message::Inspect(Box::new(look)))
    }

    /// Waits for all that was handed over.
    pub fn finish(mut self) -> Result<()> {
        self.join()
    }

    fn send(&mut self, message: Message) -> Result<()> {
        let sent = self.sender.as_ref().is_some_and(|s| s.send(message).is_ok());
        if sent { Ok(()) } else { self.join().and(Err(Error::fail_job("the checkpointer has ended"))) }
    }

    fn join(&mut self) -> Result<()> {
        self.sender = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::fail_job("the checkpointer's thread panicked")),
        }
    }
}

impl Drop for Checkpointer {
    /// RocksDB's directory must be free before the worker starts again.
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "checkpointer");
        }
    }
}

/// What was committed of one task since the last checkpoint.
#[derive(Default)]
struct Pending {
    /// Not yet in its store.
    changes: Vec<StateChanges>,
    commit: Option<Commit>,
    bytes: usize,
}

fn run(
    mut stores: BTreeMap<u32, TaskStore>,
    mut watch: SizeWatch,
    holder: &CommitHolder,
    receiver: &Receiver<Message>,
    backlog: &Backlog,
    clock: &dyn Clock,
) -> Result<()> {
    let mut pending: BTreeMap<u32, Pending> = BTreeMap::new();
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Committed { task, changes, commit } => {
                let (store, pending) = (stores.get_mut(&task), pending.entry(task).or_default());
                let bytes = changes.as_bytes().len();
                pending.bytes += bytes;
                let sequence = commit.sequence;
                pending.commit = Some(commit);
                if !changes.is_empty() {
                    pending.changes.push(changes);
                }
                if let Some(store) = store.filter(|store| store.progress().is_wanted()) {
                    let changes = std::mem::take(&mut pending.changes);
                    store.apply_ahead(changes.iter().map(StateChanges::as_bytes), sequence)?;
                }
                backlog.take(bytes);
            }
            Message::Checkpoint { read_from, done } => {
                let start = clock.monotonic();
                let mut bytes = 0;
                for (task, Pending { changes, commit, bytes: size }) in std::mem::take(&mut pending) {
                    let (store, commit) = match (stores.get_mut(&task), commit) {
                        (Some(store), Some(commit)) => (store, commit),
                        _ => continue,
                    };
                    bytes += size;
                    let CommitHolder { generation, transactional_id } = holder.clone();
                    let applied = Applied { log_offset: read_from[&task], commit, generation, transactional_id };
                    store.apply(changes.iter().map(StateChanges::as_bytes), applied)?;
                    store.checkpoint()?;
                }
                let duration_millis = (clock.monotonic() - start).as_millis() as u64;
                let state = watch.measure(&stores)?;
                done(CheckpointDone { at: clock.now_millis(), duration_millis, bytes, state }, &stores);
            }
            Message::Inspect(look) => look(&stores),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::ManualClock;
    use crate::error::ErrorKind;
    use crate::state::spill::{OperatorMemory, whole_key};
    use crate::state::store::StoreMemory;
    use std::path::Path;

    /// About 400 kB, of which nothing compresses.
    fn much() -> StateChanges {
        let mut changes = StateChanges::default();
        for i in 0..4000u32 {
            let hash = |j: u32| crate::key::hash(&(i * 12 + j).to_be_bytes()).to_be_bytes();
            changes.put(7, 1, 3, &i.to_be_bytes(), &(0..12).flat_map(hash).collect::<Vec<u8>>());
        }
        changes
    }

    fn start(directory: &Path, size_limit: Option<u64>) -> Result<Checkpointer> {
        let store = TaskStore::open(directory, "uid", 1, 0, &StoreMemory::new(8 << 20, 1))?;
        let holder = CommitHolder { generation: 1, transactional_id: "id".into() };
        Checkpointer::start([(0, store)].into(), size_limit, 1 << 20, holder, ManualClock::at(0))
    }

    /// The size after a checkpoint of these changes.
    fn checkpoint(checkpointer: &mut Checkpointer, changes: StateChanges, sequence: u64) -> Option<StateSize> {
        checkpointer.committed(0, changes, Commit { claim: 0, sequence, positions: Vec::new() }).unwrap();
        let (sender, receiver) = channel();
        let read_from = [(0, sequence as i64)].into();
        checkpointer.checkpoint(read_from, move |done, _| sender.send(done.state).expect("somebody waits")).unwrap();
        receiver.recv().ok()
    }

    #[test]
    fn a_state_near_its_limit_is_warned_of_until_it_is_small_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpointer = start(directory.path(), Some(490_000)).unwrap();
        let size = checkpoint(&mut checkpointer, much(), 1).expect("within the limit");
        assert!(size.near_limit && size.bytes > 392_000 && size.bytes == size.largest_task_bytes, "{size:?}");
        assert!(size.rocksdb_memory_bytes > 0, "{size:?}");
        checkpointer.finish().unwrap();
        let mut checkpointer = start(directory.path(), Some(4_000_000)).unwrap();
        let size = checkpoint(&mut checkpointer, StateChanges::default(), 2).expect("within the limit");
        assert!(!size.near_limit, "{size:?}");
        checkpointer.finish().unwrap();
    }

    #[test]
    fn a_state_above_its_limit_stops_the_job_until_the_limit_is_raised() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpointer = start(directory.path(), Some(100_000)).unwrap();
        assert_eq!(checkpoint(&mut checkpointer, much(), 1), None);
        let error = checkpointer.finish().expect_err("above its limit");
        assert_eq!(error.kind, ErrorKind::UserFault, "{error}");
        assert!(error.to_string().contains("spec.state.sizeLimit allows 100000: raise the limit"), "{error}");
        let error = start(directory.path(), Some(100_000)).err().expect("it still is");
        assert_eq!(error.kind, ErrorKind::UserFault, "{error}");
        start(directory.path(), Some(1_000_000)).unwrap().finish().unwrap();
        start(directory.path(), None).unwrap().finish().unwrap();
    }

    #[test]
    fn a_commit_that_an_operator_waits_for_is_applied_before_the_next_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let store = TaskStore::open(directory.path(), "uid", 1, 0, &StoreMemory::new(8 << 20, 1)).unwrap();
        let spill = store.spill(&Arc::new(OperatorMemory::new(0, 1)));
        let holder = CommitHolder { generation: 1, transactional_id: "id".into() };
        let mut checkpointer =
            Checkpointer::start([(0, store)].into(), None, 1 << 20, holder, ManualClock::at(0)).unwrap();
        let commit = |sequence| Commit { claim: 0, sequence, positions: Vec::new() };
        let mut first = StateChanges::default();
        first.put(7, 1, 3, b"first", b"");
        checkpointer.committed(0, first, commit(1)).unwrap();
        let mut key = Vec::new();
        whole_key(7, 1, 3, b"first", &mut key);
        let look = |checkpointer: &mut Checkpointer| {
            let (sender, receiver) = channel();
            checkpointer.inspect(move |_| sender.send(()).expect("somebody waits")).unwrap();
            receiver.recv().unwrap();
            (spill.applied(), spill.get(&key).unwrap().is_some())
        };
        assert_eq!(look(&mut checkpointer), (0, false));
        spill.want(2);
        checkpointer.committed(0, StateChanges::default(), commit(2)).unwrap();
        assert_eq!(look(&mut checkpointer), (2, true));
        assert!(checkpoint(&mut checkpointer, StateChanges::default(), 3).is_some());
        assert_eq!(look(&mut checkpointer), (3, true));
        checkpointer.finish().unwrap();
    }

    #[test]
    fn changes_wait_for_room_while_the_checkpointer_is_busy() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpointer = start(directory.path(), None).unwrap();
        let (release, busy) = channel::<()>();
        checkpointer.inspect(move |_| busy.recv().expect("the test lets go")).unwrap();
        let commit = |sequence| Commit { claim: 0, sequence, positions: Vec::new() };
        // Each is 400 kB; with three the backlog of 1 MB is full.
        (1..=3).for_each(|sequence| checkpointer.committed(0, much(), commit(sequence)).unwrap());
        let (sender, done) = channel();
        let waiting = std::thread::spawn(move || {
            checkpointer.committed(0, much(), commit(4)).unwrap();
            sender.send(()).expect("somebody waits");
            checkpointer
        });
        assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "it has not taken the others");
        release.send(()).unwrap();
        done.recv().unwrap();
        waiting.join().unwrap().finish().unwrap();
    }

    #[test]
    fn what_is_deleted_does_not_count_against_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpointer = start(directory.path(), Some(600_000)).unwrap();
        for round in 0..10 {
            // Each round replaces the one before.
            let mut changes = StateChanges::default();
            changes.delete_prefix(7, 1, 3, b"");
            checkpoint(&mut checkpointer, changes, 2 * round + 1).expect("within the limit");
            checkpoint(&mut checkpointer, much(), 2 * round + 2).expect("within the limit");
        }
        checkpointer.finish().unwrap();
    }
}
