//! Whoever wants savepoints of a job, and starts others from them: what an operator and people do. A job that stopped
//! with a savepoint goes on as its next incarnation, with other numbers of tasks and workers; of one that did not stop
//! a second job is made beside it.

use super::driver::{Driver, Outcome};
use super::jobs::{Job, JobId};
use super::process::Process;
use super::{Item, MILLISECOND, SECOND, World};
use crate::job::restore::{Origin, Predecessor};
use crate::storage::SavepointId;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How often somebody looks whether all workers run, before a savepoint is wanted all the same.
const PATIENCE: u32 = 40;
/// So many times hardly anything goes wrong meanwhile.
const CALM: SavepointId = 12;

/// What a run wants of savepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    /// So many times the job stops with a savepoint and goes on from that.
    Incarnations(u32),
    /// A second job starts from a savepoint of the first, which goes on.
    SecondJob,
}

pub(crate) struct Savepoints {
    /// Those that are being made, and by whom.
    pub drivers: BTreeMap<SavepointId, Driver>,
    begun: SavepointId,
    /// One that nobody waits for any more.
    left: Option<SavepointId>,
    /// Jobs that were started from one.
    pub restored: u32,
    /// How often somebody still looks.
    patience: u32,
}

impl Default for Savepoints {
    fn default() -> Self {
        Self { drivers: BTreeMap::new(), begun: 0, left: None, restored: 0, patience: PATIENCE }
    }
}

impl World {
    fn wants_more(&self) -> bool {
        match self.settings.savepoints {
            Wanted::Nothing => false,
            Wanted::Incarnations(times) => self.savepoints.restored < times,
            Wanted::SecondJob => self.savepoints.restored == 0,
        }
    }

    /// Now and then somebody wants a savepoint, or starts a job from one.
    pub(crate) fn want_savepoint(&mut self) {
        if !self.wants_more() || self.all_finished() {
            self.trouble.calm = false;
            return;
        }
        if self.settings.savepoints == Wanted::SecondJob && self.random.one_in(3) && self.start_second_job() {
            return;
        }
        let job = self.saved_job();
        if self.savepoints.patience > 0 && self.savepoints.drivers.is_empty() && !self.all_run(job) {
            if self.savepoints.patience == PATIENCE && self.savepoints.begun < CALM {
                self.calm();
            }
            self.savepoints.patience -= 1;
            return self.after(20 * MILLISECOND, 120 * MILLISECOND, Item::Savepoint);
        }
        self.after(200 * MILLISECOND, 900 * MILLISECOND, Item::Savepoint);
        if self.jobs[job].stopped_with.is_some() {
            return;
        }
        // Mostly nobody asks while somebody else's is being made.
        if self.savepoints.drivers.is_empty() || (!self.trouble.quiet && self.random.one_in(10)) {
            self.begin_savepoint(job);
        }
    }

    /// The job of which savepoints are made.
    fn saved_job(&self) -> JobId {
        match self.settings.savepoints {
            Wanted::SecondJob => 0,
            Wanted::Nothing | Wanted::Incarnations(_) => self.jobs.len() - 1,
        }
    }

    /// Whether a worker runs in every place, as far as one can see.
    fn all_run(&self, job: JobId) -> bool {
        let Job { generation, replicas, .. } = self.jobs[job];
        let here = |p: &Process, ordinal: u32| (p.job, p.generation, p.ordinal) == (job, generation, ordinal);
        let runs = |p: &Process| p.alive && p.pause.runs();
        (0..replicas).all(|ordinal| self.processes.iter().any(|p| here(p, ordinal) && runs(p)))
    }

    fn begin_savepoint(&mut self, job: JobId) {
        self.savepoints.patience = PATIENCE;
        // A few that don't stop the job are made between those that are to.
        let stop = self.settings.savepoints != Wanted::SecondJob && !self.random.one_in(8);
        // Now and then somebody forgets a worker.
        let forgotten = usize::from(self.random.one_in(16));
        let workers = (self.jobs[job].replicas as usize - forgotten).max(1);
        self.savepoints.begun += 1;
        let savepoint = self.savepoints.begun;
        self.event(0, "savepoint", &[savepoint as i64, job as i64, i64::from(stop)]);
        let longest = if self.random.one_in(6) { 400 } else { 6_000 };
        let deadline = self.now() + self.random.between(200, longest) * MILLISECOND;
        let left = self.savepoints.left.take().filter(|_| !self.random.one_in(3));
        self.arm_savepoint(stop);
        self.begin(Driver::begin(job, savepoint, workers, stop, (self.now(), deadline)), left);
    }

    /// Somebody who makes a savepoint is gone, half-way.
    pub(crate) fn savepoint_left(&mut self, savepoint: SavepointId) {
        let Some(driver) = self.savepoints.drivers.remove(&savepoint) else { return };
        self.savepoints.left = Some(savepoint);
        self.trouble.calm = false;
        self.start_missing(driver.job);
    }

    pub(crate) fn savepoint_over(&mut self, savepoint: SavepointId, outcome: Outcome) {
        let Some(Driver { job, stop, began, .. }) = self.savepoints.drivers.remove(&savepoint) else { return };
        self.event(0, "savepoint over", &[savepoint as i64, outcome as i64]);
        self.trouble.calm = false;
        if stop && outcome == Outcome::Made {
            let stopped = |p: &Process| p.stops_saved == Some(savepoint) || (!p.alive && p.started < began);
            let all_stopped = self.processes.iter().filter(|p| p.job == job).all(stopped);
            self.jobs[job].went_on |= !all_stopped;
            self.jobs[job].stopped_with = Some(savepoint);
            // Until somebody acts on it, whoever is killed is started again.
            self.after(0, 400 * MILLISECOND, Item::Succeed(job));
        } else {
            self.start_missing(job);
        }
    }

    // ---- jobs that start from savepoints

    /// The job has stopped with a savepoint: another incarnation goes on from there.
    pub(crate) fn succeed(&mut self, job: JobId) {
        let savepoint = self.jobs[job].stopped_with.and_then(|savepoint| self.storage.manifest(savepoint));
        let savepoint = savepoint.expect("the job has stopped with it");
        self.jobs[job].ended = true;
        self.trouble.forget_rescale(job);
        self.savepoints.drivers.retain(|_, driver| driver.job != job);
        for pid in 0..self.processes.len() {
            if self.processes[pid].alive && self.processes[pid].job == job {
                // A node that is out of reach takes its time.
                let longest = if self.random.one_in(4) { 6 * SECOND } else { 200 * MILLISECOND };
                self.after(0, longest, Item::Kill(pid));
            }
        }
        let earlier = self.jobs[..=job].iter();
        let replaces = earlier.map(|j| Predecessor { job: j.number, topics: j.topics, tasks: j.tasks }).collect();
        let output = self.jobs[job].topics.output;
        let next = self.restore(Origin { savepoint, replaces });
        self.jobs[next].topics.output = output;
        let last = |ordinal| self.processes.iter().rposition(|p| p.job == job && p.ordinal == ordinal && !p.is_twin);
        let volumes = (0..self.jobs[next].replicas).map(|o| last(o).map(|pid| self.processes[pid].volume));
        let volumes = volumes.collect();
        self.start_on(next, volumes);
    }

    /// Starts a job of its own from a savepoint, if there is one.
    pub(crate) fn start_second_job(&mut self) -> bool {
        if self.settings.savepoints != Wanted::SecondJob || self.savepoints.restored > 0 {
            return false;
        }
        let savepoints = self.storage.savepoints();
        let Some(&savepoint) = self.random.pick(&savepoints) else { return false };
        let savepoint = self.storage.manifest(savepoint).expect("it is one of them");
        let job = self.restore(Origin { savepoint, replaces: Vec::new() });
        let volumes = vec![None; self.jobs[job].replicas as usize];
        self.start_on(job, volumes);
        true
    }

    fn restore(&mut self, origin: Origin) -> JobId {
        let tasks = self.random.between(1, u64::from(self.settings.sources).min(6)) as u32;
        self.savepoints.restored += 1;
        self.trouble.calm = false;
        let savepoint = origin.savepoint.savepoint;
        self.arm_restore(!origin.replaces.is_empty());
        let job = self.create_job(tasks, Some(Rc::new(origin)));
        self.event(0, "restore", &[job as i64, savepoint as i64, i64::from(tasks)]);
        job
    }

    /// Starts what has stopped for a savepoint that did not come about: nobody knows where it is.
    fn start_missing(&mut self, job: JobId) {
        let Job { generation, replicas, .. } = self.jobs[job];
        for ordinal in 0..replicas {
            let here = |p: &Process| (p.job, p.generation, p.ordinal) == (job, generation, ordinal);
            let last = self.processes.iter().rposition(|p| here(p) && !p.is_twin);
            if let Some(pid) = last.filter(|pid| !self.processes[*pid].alive) {
                self.restart(pid);
            }
        }
    }
}
