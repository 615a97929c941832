//! The jobs of a run: the first, and those that start from a savepoint of it.

use super::World;
use super::process::Process;
use crate::job::restore::Origin;
use crate::job::worker::transactional_id;
use crate::job::{EXCHANGES, OUTPUT_PARTITIONS, Topics};
use crate::storage::SavepointId;
use millrace_protocol::start::LAST_GENERATION;
use std::rc::Rc;

/// A job's place in the world's list.
pub(crate) type JobId = usize;

/// A job as whoever runs it sees it.
pub(crate) struct Job {
    /// From 1.
    pub number: u32,
    pub topics: Topics,
    pub tasks: u32,
    pub generation: u32,
    pub replicas: u32,
    /// What it starts from.
    pub origin: Option<Rc<Origin>>,
    /// It has stopped with a savepoint: nobody starts its workers any more.
    pub ended: bool,
    /// A savepoint, after which nothing should be read any more.
    pub stopped_with: Option<SavepointId>,
    /// Somebody was not told to stop, or was started once more.
    pub went_on: bool,
}

impl World {
    /// Makes a job and its topics.
    pub(crate) fn create_job(&mut self, tasks: u32, origin: Option<Rc<Origin>>) -> JobId {
        let number = self.jobs.len() as u32 + 1;
        let topics = Topics::of(number);
        self.log.create(topics.task_log, tasks);
        (0..EXCHANGES).for_each(|exchange| self.log.create(topics.exchanges[exchange], tasks));
        self.log.create(topics.output, OUTPUT_PARTITIONS);
        let replicas = self.random.between(1, u64::from(tasks)) as u32;
        self.jobs.push(Job {
            number,
            topics,
            tasks,
            generation: 1,
            replicas,
            origin,
            ended: false,
            stopped_with: None,
            went_on: false,
        });
        self.jobs.len() - 1
    }

    pub(crate) fn job_of(&self, process: &Process) -> &Job {
        &self.jobs[process.job]
    }

    pub(crate) fn transactional_id(&self, process: &Process) -> String {
        transactional_id(self.job_of(process).number, process.generation, process.ordinal)
    }

    /// Under which it ends the logs of earlier jobs.
    pub(crate) fn transactional_ids_of_the_end(&self, process: &Process) -> Vec<String> {
        let earlier = self.job_of(process).origin.iter().flat_map(|origin| &origin.replaces);
        earlier.map(|earlier| transactional_id(earlier.job, LAST_GENERATION, process.ordinal)).collect()
    }

    /// Whether a process is of its job's generation.
    pub(crate) fn is_current(&self, process: &Process) -> bool {
        process.generation == self.job_of(process).generation
    }

    /// Whether a worker that has stopped with a savepoint is left as it is.
    pub(crate) fn stays_stopped(&self, process: &Process) -> bool {
        let Some(savepoint) = process.stops_saved else { return false };
        self.savepoints.drivers.contains_key(&savepoint) || self.job_of(process).stopped_with == Some(savepoint)
    }

    /// Whether every place of every job's current generation has done all its work; what has stopped for good has.
    pub(crate) fn all_finished(&self) -> bool {
        (0..self.jobs.len()).all(|job| self.jobs[job].ended || self.has_finished(job))
    }

    fn has_finished(&self, job: JobId) -> bool {
        let Job { generation, replicas, .. } = self.jobs[job];
        (0..replicas).all(|ordinal| {
            let here = |p: &Process| (p.job, p.generation, p.ordinal) == (job, generation, ordinal);
            let last = self.processes.iter().rev().find(|p| here(p) && !p.is_twin);
            last.is_some_and(|p| p.finished) || self.processes.iter().any(|p| here(p) && p.is_twin && p.finished)
        })
    }
}
