//! Whoever makes a savepoint, the command or the operator: performs what the protocol's machine asks for, as the
//! runtime's `launch/src/savepoint.rs` does over HTTP. It may die at any moment.

use super::jobs::JobId;
use super::messages::{Answer, Ask, Request, Told};
use super::process::Process;
use super::{Fault, Item, MILLISECOND, Pid, SECOND, World};
use crate::log::Micros;
use crate::storage::SavepointId;
use millrace_protocol::savepoint::{Effect, Event, SavepointMachine};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How often the workers are asked how far they are.
const TICK: Micros = 40 * MILLISECOND;
/// How long a worker may take to hear that it goes on or stops.
const HEARING: Micros = SECOND;

pub(crate) struct Driver {
    pub job: JobId,
    pub savepoint: SavepointId,
    /// The job ends with the savepoint.
    pub stop: bool,
    pub began: Micros,
    workers: usize,
    machine: SavepointMachine,
    /// What the machine asked for first, until it is done.
    first: Vec<Effect>,
    /// Workers that were told to go on or to stop, and are not known to have heard it.
    telling: BTreeSet<usize>,
    /// A worker would not, or has not heard it: of interest where it was to stop.
    refused: bool,
    /// Once the machine has ended: whether there is a savepoint, and since when.
    ended: Option<(bool, Micros)>,
}

/// How making a savepoint came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Made,
    /// It is complete, and must not be used: somebody went on after it.
    MustNotBeUsed,
    NotMade,
}

impl Driver {
    pub(crate) fn begin(
        job: JobId,
        savepoint: SavepointId,
        workers: usize,
        stop: bool,
        (began, deadline): (Micros, Micros),
    ) -> Self {
        let (machine, first) = SavepointMachine::new(workers, stop, Duration::from_micros(deadline));
        Self {
            job,
            savepoint,
            stop,
            began,
            workers,
            machine,
            first,
            telling: BTreeSet::new(),
            refused: false,
            ended: None,
        }
    }

    fn step(&mut self, event: Event, now: Micros) -> Vec<Effect> {
        self.machine.step(event, Duration::from_micros(now))
    }

    fn tick(&mut self, now: Micros) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.first);
        if effects.is_empty() {
            effects = self.step(Event::Tick, now);
        }
        effects
    }

    pub(crate) fn hear(&mut self, Answer { worker, ask, told, .. }: Answer, now: Micros) -> Vec<Effect> {
        let event = match (ask, told) {
            (Ask::StandStill, Ok(Told::Cut(cut))) => Event::Told { worker, cut },
            (Ask::StandStill, Err(why)) => Event::NotTold { worker, why },
            (Ask::Hold, Ok(Told::Cut(cut))) => Event::Held { worker, cut },
            (Ask::Write, Ok(Told::Part(part))) => Event::Written { worker, part },
            (Ask::Hold | Ask::Write, Err(why)) => Event::Failed { worker, why },
            (Ask::Publish(_), Ok(_)) => Event::Published,
            (Ask::Publish(_), Err(why)) => Event::PublishFailed { why },
            (Ask::Resume | Ask::Abandon | Ask::Stop, told) => {
                self.telling.remove(&worker);
                self.refused |= told.is_err();
                return Vec::new();
            }
            (ask, told) => unreachable!("{told:?} is no answer to {ask:?}"),
        };
        self.step(event, now)
    }

    /// How it came out, when that is known.
    fn outcome(&self, now: Micros) -> Option<Outcome> {
        let (made, since) = self.ended?;
        let unheard = !self.telling.is_empty();
        if unheard && now < since + HEARING {
            return None;
        }
        Some(match made {
            false => Outcome::NotMade,
            true if self.stop && (unheard || self.refused) => Outcome::MustNotBeUsed,
            true => Outcome::Made,
        })
    }
}

impl World {
    /// Begins to make a savepoint. Workers that still stand still for `left`, of which nobody else will hear any more, let
    /// go of it first.
    pub(crate) fn begin(&mut self, driver: Driver, left: Option<SavepointId>) {
        let Driver { job, savepoint, workers, .. } = driver;
        self.savepoints.drivers.insert(savepoint, driver);
        let Some(left) = left else { return self.after(0, 0, Item::Tick(savepoint)) };
        for worker in 0..workers {
            self.send_request(Request { job, savepoint: left, worker, ask: Ask::Abandon });
        }
        self.after(10 * MILLISECOND, 10 * MILLISECOND, Item::Tick(savepoint));
    }

    /// Lets whoever makes a savepoint take a step, and does what follows.
    pub(crate) fn drive(&mut self, savepoint: SavepointId, step: impl FnOnce(&mut Driver, Micros) -> Vec<Effect>) {
        let now = self.now();
        let Some(driver) = self.savepoints.drivers.get_mut(&savepoint) else { return };
        let effects = step(driver, now);
        self.perform(savepoint, effects);
        let outcome = self.savepoints.drivers.get(&savepoint).and_then(|driver| driver.outcome(now));
        if let Some(outcome) = outcome {
            self.savepoint_over(savepoint, outcome);
        }
    }

    fn perform(&mut self, savepoint: SavepointId, effects: Vec<Effect>) {
        for effect in effects {
            let now = self.now();
            let Some(driver) = self.savepoints.drivers.get_mut(&savepoint) else { return };
            let job = driver.job;
            if let Effect::Resume { worker } | Effect::Abandon { worker } | Effect::Stop { worker } = effect {
                driver.telling.insert(worker);
            }
            let (worker, ask) = match effect {
                Effect::Ask { worker } => (worker, Ask::StandStill),
                Effect::Hold { worker } => (worker, Ask::Hold),
                Effect::Write { worker } => (worker, Ask::Write),
                // Any worker can publish.
                Effect::Publish { parts } => (0, Ask::Publish(Rc::new(parts))),
                Effect::Resume { worker } => (worker, Ask::Resume),
                Effect::Abandon { worker } => (worker, Ask::Abandon),
                Effect::Stop { worker } => (worker, Ask::Stop),
                Effect::Done => {
                    driver.ended = Some((true, now));
                    continue;
                }
                Effect::Abandoned { why } => {
                    driver.ended = Some((false, now));
                    self.trace.remark(now, 0, || format!("        savepoint {savepoint} is abandoned: {why}"));
                    continue;
                }
            };
            self.send_request(Request { job, savepoint, worker, ask });
        }
    }

    /// Time passes for whoever makes a savepoint.
    pub(crate) fn tick(&mut self, savepoint: SavepointId) {
        let Some(job) = self.savepoints.drivers.get(&savepoint).map(|driver| driver.job) else { return };
        if self.driver_dies(savepoint, job) {
            return;
        }
        self.drive(savepoint, Driver::tick);
        self.after(TICK, TICK, Item::Tick(savepoint));
    }

    /// Whether a fault hits whoever makes the savepoint, while some worker of the job is in the step that it is for.
    pub(crate) fn driver_dies(&mut self, savepoint: SavepointId, job: JobId) -> bool {
        let driver = &self.savepoints.drivers[&savepoint];
        let workers = driver.workers;
        if driver.ended.is_some_and(|(made, _)| !made || !driver.stop) {
            // What it still has to do changes nothing.
            return false;
        }
        let asked = |p: &Process| p.alive && p.job == job && (p.ordinal as usize) < workers;
        let asked: Vec<Pid> = (0..self.processes.len()).filter(|pid| asked(&self.processes[*pid])).collect();
        if !asked.into_iter().any(|pid| self.strikes_call(pid, Fault::DriverDies)) {
            return false;
        }
        self.event(0, "driver died", &[savepoint as i64]);
        self.savepoint_left(savepoint);
        true
    }
}
