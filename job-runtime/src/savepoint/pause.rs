//! A worker's part in a savepoint: who asked it to stand still and until when, what its commits say then, the requests
//! to hold its tasks and to write them, and when it goes on. HTTP asks, the coordinator does; neither waits for the
//! other here. Not here: what makes a savepoint of several workers one (`millrace_protocol::savepoint`).

use crate::error::{Error, Result};
use millrace_protocol::record::Commit;
use millrace_protocol::savepoint::{TaskCut, TaskPart, WorkerCut, WorkerPart};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A worker goes on by itself, and lets go of what it holds, when it has not been asked again for so long.
pub const LEASE: Duration = Duration::from_secs(30);

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
    /// It does not hold its tasks for this savepoint.
    NotHeld,
    /// It has been asked for that already.
    Twice,
}

#[derive(Default)]
pub struct Pause {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The start under which the worker runs; None while it doesn't.
    attempt: Option<Attempt>,
    part: Option<Part>,
    /// The last savepoint that the worker went on after. A request that was under way meanwhile does not stop it again.
    over: Option<String>,
}

#[derive(Clone)]
struct Attempt {
    name: String,
    generation: u32,
    parallelism: u32,
}

/// The savepoint that the worker takes part in.
struct Part {
    savepoint: String,
    /// By the monotonic clock. Whoever waits for what is written needs no lease.
    until: Duration,
    stands_still: bool,
    stops: bool,
    /// As of the last commit, if nothing moved in its epoch.
    still: Option<Vec<TaskCut>>,
    hold: Step<HoldRequest>,
    write: Step<WriteRequest>,
}

/// Something that is asked for once.
enum Step<R> {
    Open,
    Asked(R),
    Taken,
}

impl<R> Step<R> {
    fn ask(&mut self, request: R) -> Result<(), Refusal> {
        if !matches!(self, Self::Open) {
            return Err(Refusal::Twice);
        }
        *self = Self::Asked(request);
        Ok(())
    }

    fn take(&mut self) -> Option<R> {
        if !matches!(self, Self::Asked(_)) {
            return None;
        }
        let Self::Asked(request) = std::mem::replace(self, Self::Taken) else { return None };
        Some(request)
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
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
        if state.part.is_none() && state.over.as_deref() != Some(savepoint) {
            state.part = Some(Part::new(savepoint, now + LEASE));
        }
        let Some(part) = &mut state.part else { return Ok(attempt.cut(None)) };
        if part.savepoint != savepoint {
            return Err(Refusal::Busy { savepoint: part.savepoint.clone() });
        }
        part.until = part.until.max(now + LEASE);
        Ok(attempt.cut(part.still.clone().filter(|_| part.stands_still)))
    }

    /// Has the worker hold its tasks as of its next commit; the answer comes when they are held.
    pub fn hold(&self, savepoint: &str) -> Result<oneshot::Receiver<Result<WorkerCut>>, Refusal> {
        let mut state = self.state();
        let part = state.part_for(savepoint)?;
        part.must_be_still()?;
        let (reply, answer) = oneshot::channel();
        part.hold.ask(HoldRequest { savepoint: savepoint.to_owned(), reply })?;
        Ok(answer)
    }

    /// Has the worker write what it holds to a location; the answer comes when that is done.
    pub fn write(&self, savepoint: &str, location: &str) -> Result<oneshot::Receiver<Result<WorkerPart>>, Refusal> {
        let mut state = self.state();
        let part = state.part_for(savepoint)?;
        if part.hold.is_open() {
            return Err(Refusal::NotHeld);
        }
        let (reply, answer) = oneshot::channel();
        part.write.ask(WriteRequest { location: location.to_owned(), reply })?;
        part.settle();
        Ok(answer)
    }

    /// Lets the worker go on; what it holds it keeps. That it has gone on already is no mistake.
    pub fn resume(&self, savepoint: &str) {
        let mut state = self.state();
        match state.part_for(savepoint) {
            Ok(part) if part.stops => {}
            Ok(part) if !part.hold.is_open() => {
                part.stands_still = false;
                part.settle();
            }
            Ok(_) => state.forget(),
            Err(_) => {}
        }
    }

    /// Lets the worker go on and let go of what it holds. That it takes no part is no mistake; one that is about to stop
    /// stops all the same.
    pub fn abandon(&self, savepoint: &str) {
        let mut state = self.state();
        if state.part_for(savepoint).is_ok_and(|part| !part.stops) {
            state.forget();
        }
    }

    /// Keeps it still for good: it is about to stop. One that has not written is not the one that the savepoint is of, even if
    /// it stands still: it has started again, and may have read on.
    pub fn keep(&self, savepoint: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let part = state.part_for(savepoint)?;
        part.must_be_still()?;
        if part.write.is_open() {
            return Err(Refusal::NotHeld);
        }
        part.until = Duration::MAX;
        part.stops = true;
        Ok(())
    }

    /// It could not be stopped: it stands still for as long as it is asked to.
    pub fn keep_no_longer(&self, savepoint: &str, now: Duration) {
        if let Ok(part) = self.state().part_for(savepoint) {
            part.until = now + LEASE;
            part.stops = false;
        }
    }

    /// Of the job that the worker runs.
    pub fn parallelism(&self) -> Result<u32, Refusal> {
        self.state().attempt.as_ref().map(|attempt| attempt.parallelism).ok_or(Refusal::NotRunning)
    }

    /// The savepoint that the worker takes part in.
    pub fn savepoint(&self) -> Option<String> {
        self.state().part.as_ref().map(|part| part.savepoint.clone())
    }

    // ---- for the worker

    /// The worker runs, under a new start: whoever asked before has to ask again.
    pub fn begin(&self, attempt: &str, generation: u32, parallelism: u32) {
        let attempt = Attempt { name: attempt.to_owned(), generation, parallelism };
        *self.state() = State { attempt: Some(attempt), ..State::default() };
    }

    /// The worker has ended, or starts again.
    pub fn end(&self) {
        *self.state() = State::default();
    }

    /// Whether sources are to stand still. Who has not asked again in time is forgotten.
    pub fn is_wanted(&self, now: Duration) -> bool {
        let mut state = self.state();
        if let Some(part) = state.part.as_ref().filter(|part| part.until < now) {
            tracing::warn!(savepoint = %part.savepoint, "nobody asked for the savepoint any more: going on without it");
            state.forget();
        }
        state.part.as_ref().is_some_and(|part| part.stands_still)
    }

    /// A commit has happened: what it says of the exchanges, or nothing where something moved in its epoch.
    pub fn committed(&self, still: Option<Vec<TaskCut>>) {
        if let Some(part) = &mut self.state().part {
            part.still = still;
        }
    }

    pub fn take_hold(&self) -> Option<HoldRequest> {
        self.state().part.as_mut().and_then(|part| part.hold.take())
    }

    /// The request to write what is held for a savepoint.
    pub fn take_write(&self, savepoint: &str) -> Option<WriteRequest> {
        self.state().part_for(savepoint).ok().and_then(|part| part.write.take())
    }

    /// Whether anybody may still want what is held for a savepoint.
    pub fn wants(&self, savepoint: &str) -> bool {
        self.state().part_for(savepoint).is_ok()
    }

    /// What was held for a savepoint is written, or will not be.
    pub fn let_go(&self, savepoint: &str) {
        let mut state = self.state();
        if state.part_for(savepoint).is_ok_and(|part| !part.stands_still) {
            state.forget();
        }
    }

    /// How the worker holds tasks, for a request's `reply`.
    pub(crate) fn cut(&self, tasks: Vec<TaskCut>) -> Result<WorkerCut> {
        self.attempt().map(|attempt| attempt.cut(Some(tasks)))
    }

    /// What the worker has written, for a request's `reply`.
    pub(crate) fn part(&self, tasks: Vec<TaskPart>) -> Result<WorkerPart> {
        let Attempt { name, generation, parallelism } = self.attempt()?;
        Ok(WorkerPart { attempt: name, generation, parallelism, tasks })
    }

    fn attempt(&self) -> Result<Attempt> {
        let attempt = self.state().attempt.clone();
        attempt.ok_or_else(|| Error::restart_worker("the worker started again while a savepoint was made"))
    }
}

impl Attempt {
    fn cut(self, still: Option<Vec<TaskCut>>) -> WorkerCut {
        let Self { name: attempt, generation, parallelism } = self;
        WorkerCut { attempt, generation, parallelism, paused: still.is_some(), tasks: still.unwrap_or_default() }
    }
}

impl State {
    fn part_for(&mut self, savepoint: &str) -> Result<&mut Part, Refusal> {
        if self.attempt.is_none() {
            return Err(Refusal::NotRunning);
        }
        match &mut self.part {
            None => Err(Refusal::NotPaused),
            Some(part) if part.savepoint != savepoint => Err(Refusal::Busy { savepoint: part.savepoint.clone() }),
            Some(part) => Ok(part),
        }
    }

    fn forget(&mut self) {
        self.over = self.part.take().map(|part| part.savepoint);
    }
}

impl Part {
    fn new(savepoint: &str, until: Duration) -> Self {
        let savepoint = savepoint.to_owned();
        Self { savepoint, until, stands_still: true, stops: false, still: None, hold: Step::Open, write: Step::Open }
    }

    fn must_be_still(&self) -> Result<(), Refusal> {
        match &self.still {
            _ if !self.stands_still => Err(Refusal::NotPaused),
            None => Err(Refusal::NotStill),
            Some(_) => Ok(()),
        }
    }

    /// A worker that goes on holds nobody up, so what it writes ends when nobody waits for it.
    fn settle(&mut self) {
        if !self.stands_still && !self.write.is_open() {
            self.until = Duration::MAX;
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
    use tokio::sync::oneshot::error::TryRecvError;

    const NOW: Duration = Duration::from_secs(100);

    fn running() -> Pause {
        let pause = Pause::default();
        pause.begin("start", 3, 4);
        pause
    }

    /// A worker that stands still, and has taken the request to hold its tasks.
    fn holding() -> Pause {
        let pause = running();
        pause.ask("s", NOW).unwrap();
        pause.committed(Some(vec![TaskCut::default()]));
        let _answer = pause.hold("s").unwrap();
        assert_eq!(pause.take_hold().unwrap().savepoint, "s");
        pause
    }

    #[test]
    fn a_worker_is_still_when_a_commit_says_so() {
        let pause = running();
        assert!(!pause.ask("s", NOW).unwrap().paused);
        assert!(pause.is_wanted(NOW));
        pause.committed(None);
        assert_eq!(pause.hold("s").err(), Some(Refusal::NotStill));
        pause.committed(Some(vec![TaskCut::default()]));
        let told = pause.ask("s", NOW).unwrap();
        assert_eq!((told.paused, told.tasks.len(), told.generation), (true, 1, 3));
        assert_eq!(pause.write("s", "here").err(), Some(Refusal::NotHeld));
        let _answer = pause.hold("s").unwrap();
        assert_eq!(pause.hold("s").err(), Some(Refusal::Twice));
        pause.resume("s");
        assert!(!pause.is_wanted(NOW));
    }

    #[test]
    fn a_worker_that_goes_on_writes_what_it_held_for_as_long_as_it_takes() {
        for write_first in [false, true] {
            let pause = holding();
            let answer = write_first.then(|| pause.write("s", "here").unwrap());
            pause.resume("s");
            assert!(!pause.is_wanted(NOW) && pause.wants("s"));
            let _answer = answer.unwrap_or_else(|| pause.write("s", "here").unwrap());
            assert_eq!(pause.take_write("s").unwrap().location, "here");
            assert!(!pause.is_wanted(NOW + LEASE * 100) && pause.wants("s"));
            assert_eq!(pause.savepoint().as_deref(), Some("s"));
            pause.let_go("s");
            assert!(!pause.wants("s"));
        }
    }

    #[test]
    fn a_question_that_was_under_way_when_the_worker_went_on_does_not_stop_it_again() {
        let pause = holding();
        pause.resume("s");
        assert!(!pause.ask("s", NOW).unwrap().paused);
        assert!(!pause.is_wanted(NOW));
        assert_eq!(pause.hold("s").err(), Some(Refusal::NotPaused));
        pause.abandon("s");
        assert!(!pause.ask("s", NOW).unwrap().paused);
        assert!(!pause.is_wanted(NOW) && !pause.wants("s"));
        pause.ask("t", NOW).unwrap();
        assert!(pause.is_wanted(NOW), "the next savepoint");
    }

    #[test]
    fn a_lease_that_nobody_renews_ends() {
        for resumed in [false, true] {
            let pause = holding();
            pause.ask("s", NOW + LEASE).unwrap();
            if resumed {
                pause.resume("s");
            }
            assert_eq!(pause.is_wanted(NOW + LEASE * 2), !resumed);
            assert!(pause.wants("s"));
            assert!(!pause.is_wanted(NOW + LEASE * 2 + Duration::from_millis(1)));
            assert!(!pause.wants("s"), "nobody has asked to write what is held");
            assert_eq!(pause.write("s", "here").err(), Some(Refusal::NotPaused));
        }
    }

    #[test]
    fn one_savepoint_at_a_time_and_none_over_a_restart() {
        let pause = running();
        pause.ask("first", NOW).unwrap();
        let busy = Refusal::Busy { savepoint: "first".into() };
        assert_eq!(pause.ask("second", NOW), Err(busy.clone()));
        pause.resume("second");
        pause.abandon("second");
        assert!(pause.is_wanted(NOW), "only who asked lets go");
        pause.committed(Some(Vec::new()));
        let mut answer = pause.hold("first").unwrap();
        pause.resume("first");
        assert_eq!(pause.ask("second", NOW), Err(busy), "it is still being written");
        pause.end();
        assert_eq!(answer.try_recv().err(), Some(TryRecvError::Closed));
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
        assert_eq!(pause.keep("s"), Err(Refusal::NotHeld));
        let _answer = pause.hold("s").unwrap();
        let _answer = pause.write("s", "here").unwrap();
        pause.let_go("s");
        pause.keep("s").unwrap();
        assert!(pause.is_wanted(NOW + LEASE * 100));
        pause.abandon("s");
        pause.resume("s");
        assert!(pause.is_wanted(NOW), "it would process what the savepoint doesn't know of before it has stopped");
        pause.keep_no_longer("s", NOW);
        assert!(pause.is_wanted(NOW));
        pause.abandon("s");
        assert!(!pause.is_wanted(NOW), "it was not stopped after all");
    }
}
