//! A worker's part in a savepoint, without IO: who asked it to stand still and until when, what its commits say then,
//! the requests to hold its tasks and to write them, and when it goes on. What makes a savepoint of several workers
//! one is in `savepoint`.
//!
//! The form of a savepoint's name, and of a request that waits for the worker, is its user's. A request that is
//! dropped here is never answered: its form tells whoever waits for it.

use crate::record::Commit;
use crate::savepoint::{TaskCut, TaskPart, WorkerCut, WorkerPart};
use std::time::Duration;

/// Why a worker does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<Id> {
    /// It does not run, so it has nothing to stop.
    NotRunning,
    /// Another savepoint is being made.
    Busy { savepoint: Id },
    /// It was not asked to stand still for this savepoint, or has gone on since.
    NotPaused,
    /// It was asked, and something still moves.
    NotStill,
    /// It does not hold its tasks for this savepoint.
    NotHeld,
    /// It has been asked for that already.
    Twice,
}

/// Where a worker is in a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In none, or it has gone on.
    None,
    StandsStill,
    /// It stands still, and what it holds is being written or is.
    Writes,
    Stops,
}

/// A task that is to be written, at a commit.
#[derive(Clone, Debug)]
pub struct CommittedTask {
    pub cut: TaskCut,
    pub commit: Commit,
}

pub struct Pause<Id, Hold, Write> {
    /// A worker goes on by itself, and lets go of what it holds, when it has not been asked again for so long.
    lease: Duration,
    /// The start under which the worker runs; None while it doesn't.
    attempt: Option<Attempt>,
    part: Option<Part<Id, Hold, Write>>,
    /// The last savepoint that the worker went on after. A request that was under way meanwhile does not stop it again.
    over: Option<Id>,
}

struct Attempt {
    name: String,
    generation: u32,
    parallelism: u32,
}

/// The savepoint that the worker takes part in.
struct Part<Id, Hold, Write> {
    savepoint: Id,
    /// By a monotonic clock. Whoever waits for what is written needs no lease.
    until: Duration,
    stands_still: bool,
    stops: bool,
    /// As of the last commit, if nothing moved in its epoch.
    still: Option<Vec<TaskCut>>,
    hold: Step<Hold>,
    write: Step<Write>,
}

/// Something that is asked for once.
enum Step<R> {
    Open,
    Asked(R),
    Taken,
}

impl<R> Step<R> {
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

impl<Id: Clone + PartialEq, Hold, Write> Pause<Id, Hold, Write> {
    pub fn new(lease: Duration) -> Self {
        Self { lease, attempt: None, part: None, over: None }
    }

    // ---- for who asks

    /// Asks the worker to stand still, or to go on doing so, and tells how far it is.
    pub fn ask(&mut self, savepoint: &Id, now: Duration) -> Result<WorkerCut, Refusal<Id>> {
        let attempt = self.attempt.as_ref().ok_or(Refusal::NotRunning)?;
        let until = now + self.lease;
        if self.part.is_none() && self.over.as_ref() != Some(savepoint) {
            self.part = Some(Part::new(savepoint.clone(), until));
        }
        let Some(part) = &mut self.part else { return Ok(attempt.cut(None)) };
        if part.savepoint != *savepoint {
            return Err(Refusal::Busy { savepoint: part.savepoint.clone() });
        }
        part.until = part.until.max(until);
        Ok(attempt.cut(part.still.clone().filter(|_| part.stands_still)))
    }

    /// Has the worker hold its tasks as of its next commit. The request is made only where it is not refused.
    pub fn hold(&mut self, savepoint: &Id, request: impl FnOnce() -> Hold) -> Result<(), Refusal<Id>> {
        let part = self.part_for(savepoint)?;
        part.must_be_still()?;
        if !part.hold.is_open() {
            return Err(Refusal::Twice);
        }
        part.hold = Step::Asked(request());
        Ok(())
    }

    /// Has the worker write what it holds. The request is made only where it is not refused.
    pub fn write(&mut self, savepoint: &Id, request: impl FnOnce() -> Write) -> Result<(), Refusal<Id>> {
        let part = self.part_for(savepoint)?;
        if part.hold.is_open() {
            return Err(Refusal::NotHeld);
        }
        if !part.write.is_open() {
            return Err(Refusal::Twice);
        }
        part.write = Step::Asked(request());
        part.settle();
        Ok(())
    }

    /// Lets the worker go on; what it holds it keeps. That it has gone on already is no mistake.
    pub fn resume(&mut self, savepoint: &Id) {
        match self.part_for(savepoint) {
            Ok(part) if part.stops => {}
            Ok(part) if !part.hold.is_open() => {
                part.stands_still = false;
                part.settle();
            }
            Ok(_) => self.forget(),
            Err(_) => {}
        }
    }

    /// Lets the worker go on and let go of what it holds. That it takes no part is no mistake; one that is about to stop
    /// stops all the same.
    pub fn abandon(&mut self, savepoint: &Id) {
        if self.part_for(savepoint).is_ok_and(|part| !part.stops) {
            self.forget();
        }
    }

    /// Keeps it still for good: it is about to stop. One that has not written is not the one that the savepoint is of, even if
    /// it stands still: it has started again, and may have read on.
    pub fn keep(&mut self, savepoint: &Id) -> Result<(), Refusal<Id>> {
        let part = self.part_for(savepoint)?;
        part.must_be_still()?;
        if part.write.is_open() {
            return Err(Refusal::NotHeld);
        }
        part.until = Duration::MAX;
        part.stops = true;
        Ok(())
    }

    /// It could not be stopped: it stands still for as long as it is asked to.
    pub fn keep_no_longer(&mut self, savepoint: &Id, now: Duration) {
        let until = now + self.lease;
        if let Ok(part) = self.part_for(savepoint) {
            part.until = until;
            part.stops = false;
        }
    }

    /// Of the job that the worker runs.
    pub fn parallelism(&self) -> Result<u32, Refusal<Id>> {
        self.attempt.as_ref().map(|attempt| attempt.parallelism).ok_or(Refusal::NotRunning)
    }

    /// The savepoint that the worker takes part in.
    pub fn savepoint(&self) -> Option<&Id> {
        self.part.as_ref().map(|part| &part.savepoint)
    }

    pub fn phase(&self) -> Phase {
        match &self.part {
            Some(part) if part.stops => Phase::Stops,
            Some(Part { stands_still: true, write: Step::Taken, .. }) => Phase::Writes,
            Some(part) if part.stands_still => Phase::StandsStill,
            _ => Phase::None,
        }
    }

    // ---- for the worker

    /// The worker runs, under a new start: whoever asked before has to ask again.
    pub fn begin(&mut self, attempt: &str, generation: u32, parallelism: u32) {
        self.end();
        self.attempt = Some(Attempt { name: attempt.to_owned(), generation, parallelism });
    }

    /// The worker has ended, or starts again.
    pub fn end(&mut self) {
        (self.attempt, self.part, self.over) = (None, None, None);
    }

    pub fn runs(&self) -> bool {
        self.attempt.is_some()
    }

    /// Whether sources are to stand still.
    pub fn is_wanted(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.stands_still)
    }

    /// Who has not asked again in time is forgotten. Returns the savepoint that the worker goes on without.
    pub fn expire(&mut self, now: Duration) -> Option<Id> {
        self.part.as_ref().filter(|part| part.until < now)?;
        self.forget();
        self.over.clone()
    }

    /// A commit has happened: what it says of the exchanges, or nothing where something moved in its epoch.
    pub fn committed(&mut self, still: Option<Vec<TaskCut>>) {
        if let Some(part) = &mut self.part {
            part.still = still;
        }
    }

    pub fn take_hold(&mut self) -> Option<Hold> {
        self.part.as_mut().and_then(|part| part.hold.take())
    }

    /// The request to write what is held for a savepoint.
    pub fn take_write(&mut self, savepoint: &Id) -> Option<Write> {
        self.part_for(savepoint).ok().and_then(|part| part.write.take())
    }

    /// Whether anybody may still want what is held for a savepoint.
    pub fn wants(&mut self, savepoint: &Id) -> bool {
        self.part_for(savepoint).is_ok()
    }

    /// What was held for a savepoint is written, or will not be.
    pub fn let_go(&mut self, savepoint: &Id) {
        if self.part_for(savepoint).is_ok_and(|part| !part.stands_still) {
            self.forget();
        }
    }

    /// How the worker holds tasks, if it runs.
    pub fn cut(&self, tasks: Vec<TaskCut>) -> Option<WorkerCut> {
        self.attempt.as_ref().map(|attempt| attempt.cut(Some(tasks)))
    }

    /// What the worker has written, if it runs.
    pub fn part(&self, tasks: Vec<TaskPart>) -> Option<WorkerPart> {
        let Attempt { name, generation, parallelism } = self.attempt.as_ref()?;
        Some(WorkerPart { attempt: name.clone(), generation: *generation, parallelism: *parallelism, tasks })
    }

    fn part_for(&mut self, savepoint: &Id) -> Result<&mut Part<Id, Hold, Write>, Refusal<Id>> {
        if self.attempt.is_none() {
            return Err(Refusal::NotRunning);
        }
        match &mut self.part {
            None => Err(Refusal::NotPaused),
            Some(part) if part.savepoint != *savepoint => Err(Refusal::Busy { savepoint: part.savepoint.clone() }),
            Some(part) => Ok(part),
        }
    }

    fn forget(&mut self) {
        self.over = self.part.take().map(|part| part.savepoint);
    }
}

impl Attempt {
    fn cut(&self, still: Option<Vec<TaskCut>>) -> WorkerCut {
        let Self { name, generation, parallelism } = self;
        WorkerCut {
            attempt: name.clone(),
            generation: *generation,
            parallelism: *parallelism,
            paused: still.is_some(),
            tasks: still.unwrap_or_default(),
        }
    }
}

impl<Id, Hold, Write> Part<Id, Hold, Write> {
    fn new(savepoint: Id, until: Duration) -> Self {
        Self { savepoint, until, stands_still: true, stops: false, still: None, hold: Step::Open, write: Step::Open }
    }

    fn must_be_still(&self) -> Result<(), Refusal<Id>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::{Rc, Weak};

    const LEASE: Duration = Duration::from_secs(30);
    const NOW: Duration = Duration::from_secs(100);

    /// A request is a token: who made it sees whether the machine, or who has taken it, still has it.
    type Requests = Pause<&'static str, Rc<()>, Rc<()>>;

    fn ask_to_hold(pause: &mut Requests, savepoint: &'static str) -> Result<Weak<()>, Refusal<&'static str>> {
        let request = Rc::new(());
        let waits = Rc::downgrade(&request);
        pause.hold(&savepoint, || request).map(|()| waits)
    }

    fn ask_to_write(pause: &mut Requests, savepoint: &'static str) -> Result<(), Refusal<&'static str>> {
        pause.write(&savepoint, Rc::default)
    }

    fn is_wanted(pause: &mut Requests, now: Duration) -> bool {
        pause.expire(now);
        pause.is_wanted()
    }

    fn running() -> Requests {
        let mut pause = Pause::new(LEASE);
        pause.begin("start", 3, 4);
        pause
    }

    /// A worker that stands still, and has taken the request to hold its tasks.
    fn holding() -> Requests {
        let mut pause = running();
        pause.ask(&"s", NOW).unwrap();
        pause.committed(Some(vec![TaskCut::default()]));
        ask_to_hold(&mut pause, "s").unwrap();
        assert!(pause.take_hold().is_some());
        pause
    }

    #[test]
    fn a_worker_is_still_when_a_commit_says_so() {
        let mut pause = running();
        assert!(!pause.ask(&"s", NOW).unwrap().paused);
        assert!(pause.is_wanted());
        pause.committed(None);
        assert_eq!(ask_to_hold(&mut pause, "s").err(), Some(Refusal::NotStill));
        pause.committed(Some(vec![TaskCut::default()]));
        let told = pause.ask(&"s", NOW).unwrap();
        assert_eq!((told.paused, told.tasks.len(), told.generation), (true, 1, 3));
        assert_eq!(ask_to_write(&mut pause, "s"), Err(Refusal::NotHeld));
        ask_to_hold(&mut pause, "s").unwrap();
        assert_eq!(ask_to_hold(&mut pause, "s").err(), Some(Refusal::Twice));
        pause.resume(&"s");
        assert!(!pause.is_wanted());
    }

    #[test]
    fn a_worker_that_goes_on_writes_what_it_held_for_as_long_as_it_takes() {
        for write_first in [false, true] {
            let mut pause = holding();
            if write_first {
                ask_to_write(&mut pause, "s").unwrap();
            }
            pause.resume(&"s");
            assert!(!pause.is_wanted() && pause.wants(&"s"));
            if !write_first {
                ask_to_write(&mut pause, "s").unwrap();
            }
            assert_eq!(ask_to_write(&mut pause, "s"), Err(Refusal::Twice));
            assert!(pause.take_write(&"s").is_some());
            assert_eq!(pause.expire(NOW + LEASE * 100), None);
            assert!(pause.wants(&"s"));
            assert_eq!(pause.savepoint(), Some(&"s"));
            pause.let_go(&"s");
            assert!(!pause.wants(&"s"));
        }
    }

    #[test]
    fn a_question_that_was_under_way_when_the_worker_went_on_does_not_stop_it_again() {
        let mut pause = holding();
        pause.resume(&"s");
        assert!(!pause.ask(&"s", NOW).unwrap().paused);
        assert!(!pause.is_wanted());
        assert_eq!(ask_to_hold(&mut pause, "s").err(), Some(Refusal::NotPaused));
        pause.abandon(&"s");
        assert!(!pause.ask(&"s", NOW).unwrap().paused);
        assert!(!pause.is_wanted() && !pause.wants(&"s"));
        pause.ask(&"t", NOW).unwrap();
        assert!(pause.is_wanted(), "the next savepoint");
    }

    #[test]
    fn a_lease_that_nobody_renews_ends() {
        for resumed in [false, true] {
            let mut pause = holding();
            pause.ask(&"s", NOW + LEASE).unwrap();
            if resumed {
                pause.resume(&"s");
            }
            assert_eq!(pause.expire(NOW + LEASE * 2), None);
            assert_eq!(pause.is_wanted(), !resumed);
            assert!(pause.wants(&"s"));
            assert_eq!(pause.expire(NOW + LEASE * 2 + Duration::from_millis(1)), Some("s"));
            assert!(!pause.wants(&"s"), "nobody has asked to write what is held");
            assert_eq!(ask_to_write(&mut pause, "s"), Err(Refusal::NotPaused));
        }
    }

    #[test]
    fn one_savepoint_at_a_time_and_none_over_a_restart() {
        let mut pause = running();
        pause.ask(&"first", NOW).unwrap();
        let busy = Refusal::Busy { savepoint: "first" };
        assert_eq!(pause.ask(&"second", NOW), Err(busy.clone()));
        pause.resume(&"second");
        pause.abandon(&"second");
        assert!(pause.is_wanted(), "only who asked lets go");
        pause.committed(Some(Vec::new()));
        let waits = ask_to_hold(&mut pause, "first").unwrap();
        pause.resume(&"first");
        assert_eq!(pause.ask(&"second", NOW), Err(busy), "it is still being written");
        assert!(waits.upgrade().is_some());
        pause.end();
        assert!(waits.upgrade().is_none(), "nobody will answer");
        assert_eq!(pause.ask(&"first", NOW), Err(Refusal::NotRunning));
        pause.begin("again", 3, 4);
        assert_eq!(pause.keep(&"first"), Err(Refusal::NotPaused));
    }

    #[test]
    fn a_worker_that_is_to_stop_does_not_go_on() {
        let mut pause = running();
        pause.ask(&"s", NOW).unwrap();
        assert_eq!(pause.keep(&"s"), Err(Refusal::NotStill));
        pause.committed(Some(Vec::new()));
        assert_eq!(pause.keep(&"s"), Err(Refusal::NotHeld));
        ask_to_hold(&mut pause, "s").unwrap();
        ask_to_write(&mut pause, "s").unwrap();
        pause.let_go(&"s");
        pause.keep(&"s").unwrap();
        assert!(is_wanted(&mut pause, NOW + LEASE * 100));
        pause.abandon(&"s");
        pause.resume(&"s");
        assert!(pause.is_wanted(), "it would process what the savepoint doesn't know of before it has stopped");
        assert_eq!(pause.phase(), Phase::Stops);
        pause.keep_no_longer(&"s", NOW);
        assert!(is_wanted(&mut pause, NOW));
        pause.abandon(&"s");
        assert!(!pause.is_wanted(), "it was not stopped after all");
    }
}
