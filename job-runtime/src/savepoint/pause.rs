//! A worker's part in a savepoint (`millrace_protocol::pause`), for several threads: HTTP asks, the coordinator does;
//! neither waits for the other here.

use crate::error::{Error, Result};
use millrace_protocol::pause;
use millrace_protocol::savepoint::{TaskCut, TaskPart, WorkerCut, WorkerPart};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

pub use pause::CommittedTask;

/// A worker goes on by itself when it has not been asked again for so long.
const LEASE: Duration = Duration::from_secs(30);

pub type Refusal = pause::Refusal<String>;

/// A request to hold the worker's tasks as of its next commit.
pub struct HoldRequest {
    pub savepoint: String,
    /// Told when they are held.
    pub reply: oneshot::Sender<Result<WorkerCut>>,
}

/// A request to write the tasks that are held.
pub struct WriteRequest {
    pub location: String,
    /// Told when they are written. Whoever does not wait any more does not want them either.
    pub reply: oneshot::Sender<Result<WorkerPart>>,
}

type Machine = pause::Pause<String, HoldRequest, WriteRequest>;

pub struct Pause(Mutex<Machine>);

impl Default for Pause {
    fn default() -> Self {
        Self(Mutex::new(Machine::new(LEASE)))
    }
}

impl Pause {
    /// The machine, for a moment.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the worker hold its tasks as of its next commit; the answer comes when they are held.
    pub fn hold(&self, savepoint: String) -> Result<oneshot::Receiver<Result<WorkerCut>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.machine().hold(&savepoint, || HoldRequest { savepoint: savepoint.clone(), reply })?;
        Ok(answer)
    }

    /// Has the worker write what it holds to a location; the answer comes when that is done.
    pub fn write(
        &self,
        savepoint: &String,
        location: String,
    ) -> Result<oneshot::Receiver<Result<WorkerPart>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.machine().write(savepoint, || WriteRequest { location, reply })?;
        Ok(answer)
    }

    /// Whether sources are to stand still. Who has not asked again in time is forgotten.
    pub fn is_wanted(&self, now: Duration) -> bool {
        let mut machine = self.machine();
        if let Some(savepoint) = machine.expire(now) {
            tracing::warn!(savepoint, "nobody asked for the savepoint any more: going on without it");
        }
        machine.is_wanted()
    }

    /// How the worker holds tasks, for a request's `reply`.
    pub(crate) fn cut(&self, tasks: Vec<TaskCut>) -> Result<WorkerCut> {
        self.machine().cut(tasks).ok_or_else(started_again)
    }

    /// What the worker has written, for a request's `reply`.
    pub(crate) fn part(&self, tasks: Vec<TaskPart>) -> Result<WorkerPart> {
        self.machine().part(tasks).ok_or_else(started_again)
    }
}

fn started_again() -> Error {
    Error::restart_worker("the worker started again while a savepoint was made")
}
