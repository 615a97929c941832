//! A worker that stands still for a savepoint: who asked for it and until when, what its commits say then, and the
//! request to write. HTTP asks, the coordinator does; neither waits for the other here. Not here: what makes a
//! savepoint of several workers one (`millrace_protocol::savepoint`).

use crate::error::{Error, Result};
use millrace_protocol::record::Commit;
use millrace_protocol::savepoint::{TaskCut, TaskPart, WorkerCut, WorkerPart};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A worker goes on by itself when it has not been asked again for so long.
pub const LEASE: Duration = Duration::from_secs(30);

/// Where the answer to a request to write goes.
pub type WriteReply = oneshot::Sender<Result<WorkerPart>>;

/// A request to write the worker's tasks at its next commit.
pub struct WriteRequest {
    pub savepoint: String,
    pub location: String,
    pub reply: WriteReply,
}

/// Why a worker does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not run, so it has nothing to stop.
    NotRunning,
    /// Another savepoint is being made.
    Busy { savepoint: String },
    /// It was not asked to stand still for this savepoint, or has gone on since.
    NotPaused,
    /// It was asked, and something still moves.
    NotStill,
}

#[derive(Default)]
pub struct Pause {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The start under which the worker runs; None while it doesn't.
    attempt: Option<Attempt>,
    held: Option<Held>,
}

#[derive(Clone)]
struct Attempt {
    name: String,
    generation: u32,
    parallelism: u32,
}

struct Held {
    savepoint: String,
    /// By the monotonic clock.
    until: Duration,
    /// As of the last commit, if nothing moved in its epoch.
    still: Option<Vec<TaskCut>>,
    write: Option<WriteRequest>,
}

impl Pause {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- for who asks

    /// Asks the worker to stand still, or to go on doing so, and tells how far it is.
    pub fn ask(&self, savepoint: &str, now: Duration) -> Result<WorkerCut, Refusal> {
        let mut state = self.state();
        let attempt = state.attempt.clone().ok_or(Refusal::NotRunning)?;
        let until = now + LEASE;
        let held = match &mut state.held {
            Some(held) if held.savepoint != savepoint => {
                return Err(Refusal::Busy { savepoint: held.savepoint.clone() });
            }
            Some(held) => held,
            none => none.insert(Held { savepoint: savepoint.to_owned(), until, still: None, write: None }),
        };
        held.until = held.until.max(until);
        Ok(WorkerCut {
            attempt: attempt.name,
            generation: attempt.generation,
            parallelism: attempt.parallelism,
            paused: held.still.is_some(),
            tasks: held.still.clone().unwrap_or_default(),
        })
    }

    /// Has the worker write its tasks to a location; the answer comes when they are written.
    pub fn write(&self, savepoint: &str, location: &str) -> Result<oneshot::Receiver<Result<WorkerPart>>, Refusal> {
        let mut state = self.state();
        let held = state.held_for(savepoint)?;
        if held.still.is_none() {
            return Err(Refusal::NotStill);
        }
        let (reply, answer) = oneshot::channel();
        let (savepoint, location) = (savepoint.to_owned(), location.to_owned());
        held.write = Some(WriteRequest { savepoint, location, reply });
        Ok(answer)
    }

    /// Lets the worker go on. That it does already is no mistake.
    pub fn resume(&self, savepoint: &str) {
        let mut state = self.state();
        if state.held_for(savepoint).is_ok() {
            state.held = None;
        }
    }

    /// Keeps it still for good: it is about to stop.
    pub fn keep(&self, savepoint: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let held = state.held_for(savepoint)?;
        if held.still.is_none() {
            return Err(Refusal::NotStill);
        }
        held.until = Duration::MAX;
        Ok(())
    }

    /// The savepoint that the worker stands still for.
    pub fn savepoint(&self) -> Option<String> {
        self.state().held.as_ref().map(|held| held.savepoint.clone())
    }

    // ---- for the worker

    /// The worker runs, under a new start: whoever asked before has to ask again.
    pub fn begin(&self, attempt: &str, generation: u32, parallelism: u32) {
        let attempt = Attempt { name: attempt.to_owned(), generation, parallelism };
        *self.state() = State { attempt: Some(attempt), held: None };
    }

    /// The worker has ended, or starts again.
    pub fn end(&self) {
        *self.state() = State::default();
    }

    /// Whether sources are to stand still. Who has not asked again in time is forgotten.
    pub fn is_wanted(&self, now: Duration) -> bool {
        let mut state = self.state();
        if let Some(held) = state.held.take_if(|held| held.until < now) {
            tracing::warn!(savepoint = %held.savepoint, "nobody asked for the savepoint any more: going on without it");
        }
        state.held.is_some()
    }

    /// A commit has happened: what it says of the exchanges, or nothing where something moved in its epoch.
    pub fn committed(&self, still: Option<Vec<TaskCut>>) {
        if let Some(held) = &mut self.state().held {
            held.still = still;
        }
    }

    pub fn take_write(&self) -> Option<WriteRequest> {
        self.state().held.as_mut().and_then(|held| held.write.take())
    }

    /// The worker's part of a savepoint, for `reply`.
    pub(crate) fn part(&self, tasks: Vec<TaskPart>) -> Result<WorkerPart> {
        let attempt = self.state().attempt.clone();
        let Attempt { name, generation, parallelism } =
            attempt.ok_or_else(|| Error::restart_worker("the worker started again while it wrote a savepoint"))?;
        Ok(WorkerPart { attempt: name, generation, parallelism, tasks })
    }
}

impl State {
    fn held_for(&mut self, savepoint: &str) -> Result<&mut Held, Refusal> {
        if self.attempt.is_none() {
            return Err(Refusal::NotRunning);
        }
        match &mut self.held {
            None => Err(Refusal::NotPaused),
            Some(held) if held.savepoint != savepoint => Err(Refusal::Busy { savepoint: held.savepoint.clone() }),
            Some(held) => Ok(held),
        }
    }
}

/// A task that is to be written, at a commit.
#[derive(Clone, Debug)]
pub struct CommittedTask {
    pub cut: TaskCut,
    pub commit: Commit,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn running() -> Pause {
        let pause = Pause::default();
        pause.begin("start", 3, 4);
        pause
    }

    #[test]
    fn a_worker_is_still_when_a_commit_says_so() {
        let pause = running();
        assert!(!pause.ask("s", NOW).unwrap().paused);
        assert!(pause.is_wanted(NOW));
        pause.committed(None);
        assert_eq!(pause.write("s", "here").err(), Some(Refusal::NotStill));
        pause.committed(Some(vec![TaskCut::default()]));
        let told = pause.ask("s", NOW).unwrap();
        assert_eq!((told.paused, told.tasks.len(), told.generation), (true, 1, 3));
        let _answer = pause.write("s", "here").unwrap();
        assert_eq!(pause.take_write().unwrap().location, "here");
        pause.resume("s");
        assert!(!pause.is_wanted(NOW));
    }

    #[test]
    fn a_lease_that_nobody_renews_ends() {
        let pause = running();
        pause.ask("s", NOW).unwrap();
        pause.ask("s", NOW + LEASE).unwrap();
        assert!(pause.is_wanted(NOW + LEASE * 2));
        assert!(!pause.is_wanted(NOW + LEASE * 2 + Duration::from_millis(1)));
        assert_eq!(pause.write("s", "here").err(), Some(Refusal::NotPaused));
    }

    #[test]
    fn one_savepoint_at_a_time_and_none_over_a_restart() {
        let pause = running();
        pause.ask("first", NOW).unwrap();
        assert_eq!(pause.ask("second", NOW), Err(Refusal::Busy { savepoint: "first".into() }));
        pause.resume("second");
        assert!(pause.is_wanted(NOW), "only who asked lets go");
        pause.committed(Some(Vec::new()));
        let mut answer = pause.write("first", "here").unwrap();
        pause.end();
        assert!(answer.try_recv().is_err());
        assert_eq!(pause.ask("first", NOW), Err(Refusal::NotRunning));
        pause.begin("again", 3, 4);
        assert_eq!(pause.keep("first"), Err(Refusal::NotPaused));
    }

    #[test]
    fn a_worker_that_is_to_stop_does_not_go_on() {
        let pause = running();
        pause.ask("s", NOW).unwrap();
        assert_eq!(pause.keep("s"), Err(Refusal::NotStill));
        pause.committed(Some(Vec::new()));
        pause.keep("s").unwrap();
        assert!(pause.is_wanted(NOW + LEASE * 100));
    }
}
