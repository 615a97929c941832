//! Whoever starts processes: what an operator and Kubernetes do around workers, with all that goes wrong
//! there. A place is a generation and an ordinal; at best one process is in it.

use super::jobs::{Job, JobId};
use super::process::Process;
use super::{Fault, Item, MILLISECOND, Pid, SECOND, Step, World};
use crate::disk::Volume;
use crate::job::pause::{LEASE, Pause};

#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub job: JobId,
    pub generation: u32,
    pub ordinal: u32,
    pub replicas: u32,
    pub volume: usize,
    /// The step of the process that is there already.
    pub twin_at: Option<Step>,
}

impl World {
    pub(crate) fn new_volume(&mut self) -> usize {
        let holder = self.new_holder();
        self.volumes.push(Volume::new(holder));
        self.volumes.len() - 1
    }

    /// A volume for a further process: empty, or a copy of one, mostly with a holder of its own.
    fn further_volume(&mut self, of: usize) -> usize {
        let volume = self.new_volume();
        if self.random.one_in(2) {
            let holder = self.volumes[volume].holder.clone();
            let mut copy = self.volumes[of].clone();
            copy.settle();
            // A snapshot of a volume names the holder of that day, who may well be at work.
            if !self.random.one_in(4) {
                copy.holder = holder;
            }
            self.volumes[volume] = copy;
        }
        volume
    }

    pub(crate) fn start_generation(&mut self, job: JobId, volumes: Vec<usize>) {
        for (ordinal, volume) in volumes.into_iter().enumerate() {
            let Job { generation, replicas, .. } = self.jobs[job];
            let start = Start { job, generation, ordinal: ordinal as u32, replicas, volume, twin_at: None };
            self.after(0, 200 * MILLISECOND, Item::Start(start));
        }
    }

    /// Makes the process of a start; None if its generation is no longer wanted.
    pub(crate) fn started(&mut self, start: &Start) -> Option<Pid> {
        let in_use = |p: &Process| p.alive && p.volume == start.volume;
        if self.processes.iter().any(in_use) {
            return None;
        }
        self.jobs[start.job].went_on |= self.jobs[start.job].stopped_with.is_some();
        self.processes.push(Process {
            job: start.job,
            generation: start.generation,
            ordinal: start.ordinal,
            replicas: start.replicas,
            volume: start.volume,
            started: self.now(),
            alive: true,
            step: None,
            paused: None,
            stop: None,
            stops_saved: None,
            pause: Pause::new(LEASE),
            publishing: None,
            twin_at: start.twin_at,
            is_twin: start.twin_at.is_some(),
            slow_until: 0,
            finished: false,
        });
        let pid = self.processes.len() - 1;
        self.event(pid, "start", &[i64::from(start.generation), i64::from(start.ordinal), i64::from(start.replicas)]);
        Some(pid)
    }

    /// Starts a process that has ended again, if anybody still wants it.
    pub(crate) fn restart(&mut self, pid: Pid) {
        let process = &self.processes[pid];
        let start = Start {
            job: process.job,
            generation: process.generation,
            ordinal: process.ordinal,
            replicas: process.replicas,
            volume: process.volume,
            twin_at: None,
        };
        let lingers = !self.trouble.quiet && self.random.one_in(2);
        if self.processes[pid].is_twin
            || self.jobs[start.job].ended
            || (!self.is_current(&self.processes[pid]) && !lingers)
        {
            return;
        }
        let longest = if self.random.one_in(2) { 8 } else { 150 };
        self.after(MILLISECOND, longest * MILLISECOND, Item::Start(start));
    }

    pub(crate) fn kill(&mut self, pid: Pid) {
        let process = &mut self.processes[pid];
        process.alive = false;
        let volume = process.volume;
        self.volumes[volume].settle();
        self.died(pid);
    }

    /// No more answers are waited for.
    pub(crate) fn died(&mut self, pid: Pid) {
        self.event(pid, "died", &[]);
        self.publishes_no_more(pid);
        self.processes[pid].pause.end();
        self.network.held.iter_mut().filter(|held| held.copy.sender == pid).for_each(|held| held.over = true);
    }

    /// A second process in the place of `pid`.
    pub(crate) fn start_twin(&mut self, pid: Pid, step: Step) {
        let process = &self.processes[pid];
        let (job, generation, ordinal, replicas) = (process.job, process.generation, process.ordinal, process.replicas);
        let volume = self.further_volume(process.volume);
        let start = Start { job, generation, ordinal, replicas, volume, twin_at: Some(step) };
        self.after(0, MILLISECOND, Item::Start(start));
    }

    /// A twin has met the process in its place, or fences it.
    pub(crate) fn twin_noticed(&mut self, pid: Pid) {
        if let Some(step) = self.processes[pid].twin_at.take() {
            self.took_effect(pid, Fault::Twin, step);
            self.after(200 * MILLISECOND, 4 * SECOND, Item::Kill(pid));
        }
    }

    /// A new generation, mostly with another number of workers. Of the old ones some are stopped, some killed, some
    /// die later, some stay.
    pub(crate) fn rescale(&mut self, job: JobId) {
        let Job { tasks, replicas: before, generation, .. } = self.jobs[job];
        let (generation, mut replicas) = (generation + 1, before);
        while replicas == before && !self.random.one_in(4) {
            replicas = self.random.between(1, u64::from(tasks)) as u32;
        }
        (self.jobs[job].generation, self.jobs[job].replicas) = (generation, replicas);
        self.event(0, "rescale", &[job as i64, i64::from(generation), i64::from(replicas)]);
        let mut volumes = Vec::new();
        for ordinal in 0..replicas {
            let last = self.processes.iter().rposition(|p| p.job == job && p.ordinal == ordinal && !p.is_twin);
            volumes.push(last.map(|pid| self.processes[pid].volume));
        }
        for pid in 0..self.processes.len() {
            if !self.processes[pid].alive || self.processes[pid].job != job {
                continue;
            }
            match self.random.below(5) {
                0 | 1 => self.kill(pid),
                2 => {
                    self.after(0, 50 * MILLISECOND, Item::Stop(pid));
                    self.after(300 * MILLISECOND, SECOND, Item::Kill(pid));
                }
                3 => self.after(0, 2 * SECOND, Item::Kill(pid)),
                _ => {}
            }
        }
        self.start_on(job, volumes);
    }

    /// Starts a job's generation on the volumes that are there, as far as nobody uses them.
    pub(crate) fn start_on(&mut self, job: JobId, volumes: Vec<Option<usize>>) {
        let mut fresh = Vec::new();
        for volume in volumes {
            let used = |v: &usize| self.processes.iter().any(|p| p.alive && p.volume == *v);
            fresh.push(match volume {
                Some(volume) if !used(&volume) => volume,
                Some(volume) => self.further_volume(volume),
                None => self.new_volume(),
            });
        }
        self.start_generation(job, fresh);
    }
}

impl World {
    /// Whether a process is in the place of a start that is no twin's.
    pub(crate) fn is_taken(&self, start: &Start) -> bool {
        let place = |p: &Process| (p.job, p.generation, p.ordinal);
        let same = |p: &Process| p.alive && !p.is_twin && place(p) == (start.job, start.generation, start.ordinal);
        start.twin_at.is_none() && self.processes.iter().any(same)
    }
}
