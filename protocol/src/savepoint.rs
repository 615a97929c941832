//! A savepoint, as a state machine without IO: when the workers of a job stand still and nothing is under way
//! between their tasks, what their commits say belongs together, and is written.
//!
//! There are no markers in the data: workers stop their sources at the end of an epoch and go on receiving from
//! each other and committing. Both ends of every exchange count its records in their commits; where all counts
//! agree and nobody feeds anything in, the channels are empty. Then each worker holds its tasks as they are; the
//! same arithmetic over what is held says whether it may become a savepoint: a worker that has started again in
//! between shows, by its attempt and in the counts of the others. What is held does not change any more, so the
//! workers may go on while it is written.
//!
//! Whoever drives this asks the workers, writes the manifest, and keeps time. Workers that hear nothing for
//! their lease go on by themselves, so that a driver that dies holds nothing up.

use crate::record::Commit;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Records of one exchange, by task at the other end.
pub type Counts = BTreeMap<u32, u64>;

/// What a task's commit says of its exchanges, by the exchange's operator id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskCut {
    pub task: u32,
    /// Of the commit.
    pub sequence: u64,
    /// By task downstream.
    pub sent: BTreeMap<u32, Counts>,
    /// By task upstream.
    pub received: BTreeMap<u32, Counts>,
}

/// A worker that was asked to stand still, or to hold its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerCut {
    /// Names the start under which it works.
    pub attempt: String,
    pub generation: u32,
    pub parallelism: u32,
    /// An epoch in which its sources stood still is committed; `tasks` is as of that commit. What is held always is.
    pub paused: bool,
    pub tasks: Vec<TaskCut>,
}

/// A file of a savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilePart {
    pub operator: u32,
    pub table: u8,
    /// Below the savepoint's location.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// A task as a savepoint has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPart {
    pub cut: TaskCut,
    pub commit: Commit,
    pub files: Vec<FilePart>,
}

/// What a worker has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPart {
    pub attempt: String,
    pub generation: u32,
    pub parallelism: u32,
    pub tasks: Vec<TaskPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker, by its place in the list, was asked and has answered.
    Told {
        worker: usize,
        cut: WorkerCut,
    },
    /// A worker could not be asked, or refuses to stand still.
    NotTold {
        worker: usize,
        why: String,
    },
    /// A worker holds its tasks as of a commit.
    Held {
        worker: usize,
        cut: WorkerCut,
    },
    /// A worker has written what it held.
    Written {
        worker: usize,
        part: WorkerPart,
    },
    /// A worker does not hold or write what it should.
    Failed {
        worker: usize,
        why: String,
    },
    /// The manifest is durable.
    Published,
    PublishFailed {
        why: String,
    },
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a worker to stand still, or to go on doing so, and what its commits say.
    Ask {
        worker: usize,
    },
    /// Have a worker hold its tasks.
    Hold {
        worker: usize,
    },
    /// Have a worker write what it holds.
    Write {
        worker: usize,
    },
    /// Write the manifest of all parts, in the order of their tasks.
    Publish {
        parts: Vec<TaskPart>,
    },
    /// Tell a worker that it may go on; it does so by itself when that does not reach it. What it holds it keeps.
    Resume {
        worker: usize,
    },
    /// Tell a worker to let go of what it holds, and to go on.
    Abandon {
        worker: usize,
    },
    /// Tell a worker to stop.
    Stop {
        worker: usize,
    },
    Done,
    /// Nothing was published that may be used, and the job goes on.
    Abandoned {
        why: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pausing,
    Holding,
    /// The workers go on, unless they are to stop.
    Writing,
    Publishing,
    Ended,
}

#[derive(Debug)]
pub struct SavepointMachine {
    workers: usize,
    stop: bool,
    deadline: Duration,
    state: State,
    cuts: BTreeMap<usize, WorkerCut>,
    held: BTreeMap<usize, WorkerCut>,
    parts: BTreeMap<usize, WorkerPart>,
    /// What speaks against using the savepoint with which the job is to stop, whatever becomes of its manifest.
    gone_on: Option<String>,
    /// What is in the way, for the message when time is up.
    waiting_for: String,
}

impl SavepointMachine {
    /// `stop`: the job ends with the savepoint. Until `deadline` the manifest has to be under way.
    pub fn new(workers: usize, stop: bool, deadline: Duration) -> (Self, Vec<Effect>) {
        let machine = Self {
            workers,
            stop,
            deadline,
            state: State::Pausing,
            cuts: BTreeMap::new(),
            held: BTreeMap::new(),
            parts: BTreeMap::new(),
            gone_on: None,
            waiting_for: "the workers to answer".to_owned(),
        };
        let effects = machine.all(|worker| Effect::Ask { worker });
        (machine, effects)
    }

    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        match (event, self.state) {
            (_, State::Ended) => Vec::new(),
            (Event::Failed { worker, why }, State::Pausing | State::Holding | State::Writing) => {
                self.abandon(format!("worker {worker}: {why}"))
            }
            (Event::NotTold { worker, why }, _) if self.stands_still() => {
                self.abandon(format!("worker {worker}: {why}"))
            }
            (Event::PublishFailed { why }, State::Publishing) => self.abandon(why),
            (Event::Published, State::Publishing) => self.done(),
            (Event::Told { worker, cut }, State::Pausing) => self.told(worker, cut),
            (Event::Told { worker, cut }, _) if self.stands_still() => self.still_the_same(worker, &cut),
            (Event::Told { worker, cut }, State::Publishing) if self.stop => self.still_while_published(worker, &cut),
            (Event::NotTold { worker, why }, State::Publishing) if self.stop => {
                self.gone_on.get_or_insert(format!("worker {worker}: {why}"));
                Vec::new()
            }
            (Event::Held { worker, cut }, State::Holding) => self.held(worker, cut),
            (Event::Written { worker, part }, State::Writing) => self.written(worker, part),
            (Event::Tick, State::Pausing | State::Holding | State::Writing) if now >= self.deadline => {
                self.abandon(format!("it was not done in time; it waited for {}", self.waiting_for))
            }
            (Event::Tick, _) if self.stands_still() => self.all(|worker| Effect::Ask { worker }),
            // The manifest may be there already, so nothing ends it any more; but nobody's lease may end either.
            (Event::Tick, State::Publishing) if self.stop => self.all(|worker| Effect::Ask { worker }),
            // Told twice, or after the fact.
            (_, State::Pausing | State::Holding | State::Writing | State::Publishing) => Vec::new(),
        }
    }

    /// Whether the workers are to stand still now: all the time if they are to stop afterwards, otherwise until all
    /// hold what is to be written.
    fn stands_still(&self) -> bool {
        match self.state {
            State::Pausing | State::Holding => true,
            State::Writing => self.stop,
            // Nothing ends it any more: what is heard then counts when the manifest is there.
            State::Publishing | State::Ended => false,
        }
    }

    fn all(&self, effect: impl Fn(usize) -> Effect) -> Vec<Effect> {
        (0..self.workers).map(effect).collect()
    }

    fn told(&mut self, worker: usize, cut: WorkerCut) -> Vec<Effect> {
        self.cuts.insert(worker, cut);
        if self.cuts.len() < self.workers {
            return Vec::new();
        }
        if let Some(moving) = self.cuts.iter().find(|(_, cut)| !cut.paused) {
            self.waiting_for = format!("worker {} to stand still", moving.0);
            return Vec::new();
        }
        let places: Vec<_> = self.cuts.values().map(|c| (c.generation, c.parallelism)).collect();
        let tasks: Vec<&TaskCut> = self.cuts.values().flat_map(|cut| &cut.tasks).collect();
        match one_job(&places).and_then(|parallelism| check(parallelism, &tasks)) {
            Err(Inconsistent::Tasks(why)) => self.abandon(why),
            Err(Inconsistent::UnderWay(what)) => {
                self.waiting_for = what;
                Vec::new()
            }
            Ok(()) => {
                self.state = State::Holding;
                self.waiting_for = "the workers to hold their tasks".to_owned();
                self.all(|worker| Effect::Hold { worker })
            }
        }
    }

    fn still_the_same(&mut self, worker: usize, cut: &WorkerCut) -> Vec<Effect> {
        if cut.paused && cut.attempt == self.cuts[&worker].attempt {
            return Vec::new();
        }
        self.abandon(format!("worker {worker} has gone on or started again while the savepoint was made"))
    }

    /// A worker that has gone on refuses to stop. One that has started again may have read on and stand still since, for
    /// the same savepoint: it would stop, behind what is saved.
    fn still_while_published(&mut self, worker: usize, cut: &WorkerCut) -> Vec<Effect> {
        if !cut.paused || cut.attempt != self.held[&worker].attempt {
            self.gone_on.get_or_insert(format!("worker {worker} has gone on or started again"));
        }
        Vec::new()
    }

    fn held(&mut self, worker: usize, cut: WorkerCut) -> Vec<Effect> {
        if cut.attempt != self.cuts[&worker].attempt {
            return self.abandon(format!("worker {worker} has started again while the savepoint was made"));
        }
        self.held.insert(worker, cut);
        if self.held.len() < self.workers {
            return Vec::new();
        }
        let places: Vec<_> = self.held.values().map(|cut| (cut.generation, cut.parallelism)).collect();
        let tasks: Vec<&TaskCut> = self.held.values().flat_map(|cut| &cut.tasks).collect();
        match one_job(&places).and_then(|parallelism| check(parallelism, &tasks)) {
            Err(Inconsistent::Tasks(why) | Inconsistent::UnderWay(why)) => {
                self.abandon(format!("what the workers hold does not belong together: {why}"))
            }
            Ok(()) => {
                self.state = State::Writing;
                self.waiting_for = "the workers to write".to_owned();
                let mut effects = self.all(|worker| Effect::Write { worker });
                if !self.stop {
                    effects.extend(self.all(|worker| Effect::Resume { worker }));
                }
                effects
            }
        }
    }

    fn written(&mut self, worker: usize, part: WorkerPart) -> Vec<Effect> {
        let held = &self.held[&worker];
        if part.attempt != held.attempt || !part.tasks.iter().map(|task| &task.cut).eq(&held.tasks) {
            return self.abandon(format!("worker {worker} has written something else than it held"));
        }
        self.parts.insert(worker, part);
        if self.parts.len() < self.workers {
            return Vec::new();
        }
        let mut parts: Vec<TaskPart> = self.parts.values().flat_map(|p| p.tasks.clone()).collect();
        parts.sort_by_key(|part| part.cut.task);
        self.state = State::Publishing;
        vec![Effect::Publish { parts }]
    }

    fn done(&mut self) -> Vec<Effect> {
        if let Some(why) = self.gone_on.take() {
            return self
                .abandon(format!("the savepoint is complete, and must not be used: {why} while it was published"));
        }
        self.state = State::Ended;
        let mut effects = if self.stop { self.all(|worker| Effect::Stop { worker }) } else { Vec::new() };
        effects.push(Effect::Done);
        effects
    }

    fn abandon(&mut self, why: String) -> Vec<Effect> {
        self.state = State::Ended;
        let mut effects = self.all(|worker| Effect::Abandon { worker });
        effects.push(Effect::Abandoned { why });
        effects
    }
}

/// Why tasks are no cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inconsistent {
    /// Some task is missing or there twice, which waiting does not mend.
    Tasks(String),
    /// Records have been sent that are not received.
    UnderWay(String),
}

/// The parallelism of workers, of which generation and parallelism are given, if they are of one job.
fn one_job(places: &[(u32, u32)]) -> Result<u32, Inconsistent> {
    let first = places[0];
    match places.iter().find(|place| **place != first) {
        None => Ok(first.1),
        Some((generation, parallelism)) => Err(Inconsistent::Tasks(format!(
            "the workers are not of one generation: one is of generation {}, {} tasks in all, another of {generation}, \
             {parallelism} tasks",
            first.0, first.1
        ))),
    }
}

/// Whether these are all tasks of a job, with nothing under way between them.
pub fn check(parallelism: u32, tasks: &[&TaskCut]) -> Result<(), Inconsistent> {
    let by_task: BTreeMap<u32, &TaskCut> = tasks.iter().map(|cut| (cut.task, *cut)).collect();
    if by_task.len() != tasks.len() {
        return Err(Inconsistent::Tasks("two workers have the same task: name each worker once".to_owned()));
    }
    if let Some(missing) = (0..parallelism).find(|task| !by_task.contains_key(task)) {
        return Err(Inconsistent::Tasks(format!(
            "no worker has task {missing} of {parallelism}: every worker of the job has to take part"
        )));
    }
    for (&from, sender) in &by_task {
        for (&to, receiver) in &by_task {
            let exchanges: BTreeSet<u32> = sender.sent.keys().chain(receiver.received.keys()).copied().collect();
            for exchange in exchanges {
                let (sent, received) = (count(&sender.sent, exchange, to), count(&receiver.received, exchange, from));
                if sent != received {
                    return Err(Inconsistent::UnderWay(format!(
                        "task {to} to receive what task {from} has sent it ({received} of {sent} records of exchange \
                         {exchange})"
                    )));
                }
            }
        }
    }
    Ok(())
}

fn count(counts: &BTreeMap<u32, Counts>, exchange: u32, task: u32) -> u64 {
    counts.get(&exchange).and_then(|c| c.get(&task)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
