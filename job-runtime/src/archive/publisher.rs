//! Publishes checkpoints on a thread of its own, one after the other, so that neither commits nor checkpoints of the
//! volume wait for the store. What a checkpoint is, is fixed before: by hard links of RocksDB's files.

use super::Archive;
use super::task::{Published, TaskArchive};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::state::store::TaskStore;
use millrace_protocol::replay::Applied;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Where files of checkpoints are held, in the state directory, until the store has them.
const HOLDING: &str = "archiving";

enum Request {
    Publish {
        task: u32,
        directory: PathBuf,
        applied: Applied,
    },
    /// The record of the last one is committed.
    Committed {
        task: u32,
    },
}

/// What became of a task's checkpoint.
pub struct Outcome {
    pub task: u32,
    pub published: Result<Published>,
}

/// The sending end, for the coordinator. When it is dropped the thread ends after the checkpoint that it is at; what it
/// does until then disturbs nobody (`task.rs`).
pub struct Publisher {
    requests: Sender<Request>,
    outcomes: Receiver<Outcome>,
    /// For what fails before it gets to the thread.
    failures: Sender<Outcome>,
    holding: PathBuf,
}

/// Asks for checkpoints to be published, from where the stores are.
#[derive(Clone)]
pub struct PublishRequests {
    requests: Sender<Request>,
    failures: Sender<Outcome>,
    holding: PathBuf,
}

impl Publisher {
    /// `claims`: of the worker's tasks. `damaged`: tasks of which the store has checkpoints that are.
    pub fn start(
        archive: &Archive,
        state_directory: &Path,
        claims: &BTreeMap<u32, i64>,
        damaged: &BTreeSet<u32>,
    ) -> Result<Self> {
        let holding = state_directory.join(HOLDING);
        clear(&holding)?;
        let task = |(&task, &claim): (&u32, &i64)| (task, archive.task(task, claim, !damaged.contains(&task)));
        let mut tasks: BTreeMap<u32, TaskArchive> = claims.iter().map(task).collect();
        let (requests, asked) = channel::<Request>();
        let (failures, outcomes) = channel();
        let sender = failures.clone();
        std::thread::Builder::new()
            .name("archive".into())
            .spawn(move || {
                while let Ok(request) = asked.recv() {
                    if let Some(outcome) = perform(&mut tasks, request)
                        && sender.send(outcome).is_err()
                    {
                        return;
                    }
                }
            })
            .map_err(|e| Error::fail_job("could not start the thread that publishes checkpoints").caused_by(e))?;
        Ok(Self { requests, outcomes, failures, holding })
    }

    pub fn requests(&self) -> PublishRequests {
        let (requests, failures, holding) = (self.requests.clone(), self.failures.clone(), self.holding.clone());
        PublishRequests { requests, failures, holding }
    }

    /// The log names what was published last of a task; what is superfluous with it may be deleted.
    pub fn committed(&self, task: u32) {
        // Without the thread the worker is ending.
        let _ = self.requests.send(Request::Committed { task });
    }

    /// What has become of a request, if something has.
    pub fn next(&self) -> Result<Option<Outcome>> {
        match self.outcomes.try_recv() {
            Ok(outcome) => Ok(Some(outcome)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::fail_job("the thread that publishes checkpoints has ended")),
        }
    }
}

impl PublishRequests {
    /// Asks for the store as it is now, which may go on when this returns.
    pub fn publish(&self, task: u32, store: &TaskStore) {
        let directory = self.holding.join(format!("task-{task}"));
        let held = self.hold(store, &directory);
        // Without a thread the worker is ending.
        let _ = match held {
            Ok(applied) => self.requests.send(Request::Publish { task, directory, applied }).is_ok(),
            Err(error) => self.failures.send(Outcome { task, published: Err(error) }).is_ok(),
        };
    }

    fn hold(&self, store: &TaskStore, directory: &Path) -> Result<Applied> {
        let applied = store.applied().cloned().ok_or_else(|| Error::retry("there is no state yet"))?;
        clear(directory)?;
        std::fs::create_dir_all(&self.holding)
            .or_kind(ErrorKind::RestartWorker, format!("could not make {}", self.holding.display()))?;
        store.link_checkpoint(directory)?;
        Ok(applied)
    }
}

fn perform(tasks: &mut BTreeMap<u32, TaskArchive>, request: Request) -> Option<Outcome> {
    match request {
        Request::Publish { task, directory, applied } => {
            let archive = tasks.get_mut(&task).expect("checkpoints are of the worker's tasks");
            let published = archive.publish(&directory, &applied);
            // Files that RocksDB has deleted since take space until then.
            let cleared = clear(&directory);
            Some(Outcome { task, published: published.and_then(|published| cleared.map(|()| published)) })
        }
        Request::Committed { task } => {
            let archive = tasks.get_mut(&task).expect("checkpoints are of the worker's tasks");
            if let Err(error) = archive.committed() {
                // The next one finds it.
                tracing::warn!(task, %error, "the archive keeps checkpoints that nobody needs any more");
            }
            None
        }
    }
}

fn clear(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::restart_worker(format!("could not remove {}", directory.display())).caused_by(error))
        }
        _ => Ok(()),
    }
}
