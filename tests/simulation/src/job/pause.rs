//! A worker's part in a savepoint, as the runtime's `savepoint/pause.rs` has it: who asked it to stand still and until
//! when, what its commits say then, the requests to hold its tasks and to write them, and when it goes on. Requests
//! that wait for the worker are answered by it, or refused when it ends.

use crate::log::Micros;
use crate::storage::SavepointId;
use crate::world::SECOND;
use millrace_protocol::savepoint::{TaskCut, TaskPart, WorkerCut, WorkerPart};

/// A worker goes on by itself, and lets go of what it holds, when it has not been asked again for so long.
pub const LEASE: Micros = SECOND;

/// Who waits for an answer: the driver of a savepoint, which knows the worker by its place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub savepoint: SavepointId,
    pub worker: usize,
    pub about: About,
}

/// What takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Hold,
    Write,
    Publish,
}

/// Why a worker does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not run, so it has nothing to stop.
    NotRunning,
    /// Another savepoint is being made.
    Busy,
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
    /// It still stands still.
    HasWritten,
    Stops,
}

#[derive(Default)]
pub struct Pause {
    /// The start under which the worker runs; None while it doesn't.
    attempt: Option<Attempt>,
    part: Option<Part>,
    /// The last savepoint that the worker went on after. A request that was under way meanwhile does not stop it again.
    over: Option<SavepointId>,
    /// Requests that wait for the worker.
    waiting: Vec<Reply>,
    /// Those that it will not answer.
    gone: Vec<Reply>,
}

struct Attempt {
    name: String,
    generation: u32,
    parallelism: u32,
}

/// The savepoint that the worker takes part in.
struct Part {
    savepoint: SavepointId,
    /// Whoever waits for what is written needs no lease.
    until: Micros,
    stands_still: bool,
    stops: bool,
    /// As of the last commit, if nothing moved in its epoch.
    still: Option<Vec<TaskCut>>,
    hold: Step,
    write: Step,
}

/// Something that is asked for once.
#[derive(Clone, Copy)]
enum Step {
    Open,
    Asked(Reply),
    Taken,
}

impl Step {
    fn ask(&mut self, reply: Reply) -> Result<(), Refusal> {
        let Self::Open = self else { return Err(Refusal::Twice) };
        *self = Self::Asked(reply);
        Ok(())
    }

    fn take(&mut self) -> Option<Reply> {
        let Self::Asked(reply) = *self else { return None };
        *self = Self::Taken;
        Some(reply)
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}

impl Pause {
    // ---- for who asks

    /// Asks the worker to stand still, or to go on doing so, and tells how far it is.
    pub fn ask(&mut self, savepoint: SavepointId, now: Micros) -> Result<WorkerCut, Refusal> {
        let Some(attempt) = &self.attempt else { return Err(Refusal::NotRunning) };
        if self.part.is_none() && self.over != Some(savepoint) {
            self.part = Some(Part::new(savepoint, now + LEASE));
        }
        let Some(part) = &mut self.part else { return Ok(attempt.cut(None)) };
        if part.savepoint != savepoint {
            return Err(Refusal::Busy);
        }
        part.until = part.until.max(now + LEASE);
        Ok(attempt.cut(part.still.clone().filter(|_| part.stands_still)))
    }

    /// Has the worker hold its tasks as of its next commit.
    pub fn hold(&mut self, reply: Reply) -> Result<(), Refusal> {
        let part = self.part_for(reply.savepoint)?;
        part.must_be_still()?;
        part.hold.ask(reply)?;
        self.waiting.push(reply);
        Ok(())
    }

    /// Has the worker write what it holds.
    pub fn write(&mut self, reply: Reply) -> Result<(), Refusal> {
        let part = self.part_for(reply.savepoint)?;
        if part.hold.is_open() {
            return Err(Refusal::NotHeld);
        }
        part.write.ask(reply)?;
        part.settle();
        self.waiting.push(reply);
        Ok(())
    }

    /// Lets the worker go on; what it holds it keeps.
    pub fn resume(&mut self, savepoint: SavepointId) {
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

    /// Lets the worker go on and let go of what it holds. One that is about to stop stops all the same.
    pub fn abandon(&mut self, savepoint: SavepointId) {
        if self.part_for(savepoint).is_ok_and(|part| !part.stops) {
            self.forget();
        }
    }

    /// Keeps it still for good: it is about to stop.
    pub fn keep(&mut self, savepoint: SavepointId) -> Result<(), Refusal> {
        let part = self.part_for(savepoint)?;
        part.must_be_still()?;
        part.until = Micros::MAX;
        part.stops = true;
        Ok(())
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
        self.gone.append(&mut self.waiting);
    }

    /// Whether sources are to stand still. Who has not asked again in time is forgotten.
    pub fn is_wanted(&mut self, now: Micros) -> bool {
        if self.part.as_ref().is_some_and(|part| part.until < now) {
            self.forget();
        }
        self.part.as_ref().is_some_and(|part| part.stands_still)
    }

    pub fn runs(&self) -> bool {
        self.attempt.is_some()
    }

    pub fn phase(&self) -> Phase {
        match &self.part {
            Some(part) if part.stops => Phase::Stops,
            Some(Part { stands_still: true, write: Step::Taken, .. }) => Phase::HasWritten,
            Some(part) if part.stands_still => Phase::StandsStill,
            _ => Phase::None,
        }
    }

    /// A commit has happened: what it says of the exchanges, or nothing where something moved in its epoch.
    pub fn committed(&mut self, still: Option<Vec<TaskCut>>) {
        if let Some(part) = &mut self.part {
            part.still = still;
        }
    }

    pub fn take_hold(&mut self) -> Option<Reply> {
        self.part.as_mut().and_then(|part| part.hold.take())
    }

    pub fn take_write(&mut self, savepoint: SavepointId) -> Option<Reply> {
        self.part_for(savepoint).ok().and_then(|part| part.write.take())
    }

    /// Whether anybody may still want what is held for a savepoint.
    pub fn wants(&mut self, savepoint: SavepointId) -> bool {
        self.part_for(savepoint).is_ok()
    }

    /// What was held for a savepoint is written, or will not be.
    pub fn let_go(&mut self, savepoint: SavepointId) {
        if self.part_for(savepoint).is_ok_and(|part| !part.stands_still) {
            self.forget();
        }
    }

    /// How the worker holds tasks.
    pub fn cut(&self, tasks: Vec<TaskCut>) -> Option<WorkerCut> {
        self.attempt.as_ref().map(|attempt| attempt.cut(Some(tasks)))
    }

    /// What the worker has written.
    pub fn part(&self, tasks: Vec<TaskPart>) -> Option<WorkerPart> {
        let Attempt { name, generation, parallelism } = self.attempt.as_ref()?;
        let (generation, parallelism) = (*generation, *parallelism);
        Some(WorkerPart { attempt: name.clone(), generation, parallelism, tasks })
    }

    // ---- for who carries answers

    pub fn waits(&mut self, reply: Reply) {
        self.waiting.push(reply);
    }

    /// Whether a request still waits to be answered; it doesn't any more afterwards.
    pub fn answered(&mut self, reply: Reply) -> bool {
        let at = self.waiting.iter().position(|waiting| *waiting == reply);
        at.map(|at| self.waiting.remove(at)).is_some()
    }

    pub fn take_gone(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.gone)
    }

    fn part_for(&mut self, savepoint: SavepointId) -> Result<&mut Part, Refusal> {
        if self.attempt.is_none() {
            return Err(Refusal::NotRunning);
        }
        match &mut self.part {
            None => Err(Refusal::NotPaused),
            Some(part) if part.savepoint != savepoint => Err(Refusal::Busy),
            Some(part) => Ok(part),
        }
    }

    fn forget(&mut self) {
        let Some(part) = self.part.take() else { return };
        for step in [part.hold, part.write] {
            if let Step::Asked(reply) = step
                && self.answered(reply)
            {
                self.gone.push(reply);
            }
        }
        self.over = Some(part.savepoint);
    }
}

impl Attempt {
    fn cut(&self, still: Option<Vec<TaskCut>>) -> WorkerCut {
        let (attempt, generation, parallelism) = (self.name.clone(), self.generation, self.parallelism);
        WorkerCut { attempt, generation, parallelism, paused: still.is_some(), tasks: still.unwrap_or_default() }
    }
}

impl Part {
    fn new(savepoint: SavepointId, until: Micros) -> Self {
        let (hold, write) = (Step::Open, Step::Open);
        Self { savepoint, until, stands_still: true, stops: false, still: None, hold, write }
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
            self.until = Micros::MAX;
        }
    }
}
