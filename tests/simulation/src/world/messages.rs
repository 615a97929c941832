//! What whoever makes a savepoint asks the workers for, and what they answer, over a network that loses, delays and
//! repeats both. A worker is asked by its place in the job, as by the name of a pod: who answers is whoever is there.

use super::driver::Driver;
use super::jobs::JobId;
use super::process::{Process, Publishing};
use super::{Fault, Item, MILLISECOND, Pid, SECOND, Step, World};
use crate::job::pause::{About, Reply, Waiting};
use crate::log::Micros;
use crate::storage::{Manifest, SavepointId};
use millrace_protocol::pause::Refusal;
use millrace_protocol::savepoint::{TaskPart, WorkerCut, WorkerPart};
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub enum Ask {
    StandStill,
    Hold,
    Write,
    Publish(Rc<Vec<TaskPart>>),
    Resume,
    Abandon,
    Stop,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub job: JobId,
    pub savepoint: SavepointId,
    /// The worker's place.
    pub worker: usize,
    pub ask: Ask,
}

/// What a worker says when it has done what it was asked.
#[derive(Clone, Debug)]
pub enum Told {
    Cut(WorkerCut),
    Part(WorkerPart),
    Published,
    /// It has heard that it may go on, or is to stop.
    Heard,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub savepoint: SavepointId,
    pub worker: usize,
    /// What it was asked.
    pub ask: Ask,
    pub told: Result<Told, String>,
}

/// A copy of a request under way that arrives when the worker is in this step.
pub(crate) struct LateRequest {
    request: Request,
    step: Step,
    expires: Micros,
}

impl World {
    // ---- requests

    pub(crate) fn send_request(&mut self, request: Request) {
        let there = self.random.between(300, 4_000);
        if let Some(pid) = self.worker_at(&request) {
            if self.strikes_call(pid, Fault::LostRequest) {
                let Request { savepoint, worker, ask, .. } = request;
                return self.hears_nothing(savepoint, worker, ask);
            }
            if let Some(now) = self.step_of(pid)
                && let Some(step) = self.disarm(Fault::LateRequest, now)
            {
                let expires = self.now() + 3 * SECOND;
                self.late_requests.push(LateRequest { request: request.clone(), step, expires });
            }
        }
        self.after(there, there, Item::Request(request));
    }

    /// Whoever asked gives up on the connection after a while.
    fn hears_nothing(&mut self, savepoint: SavepointId, worker: usize, ask: Ask) {
        let answer = Answer { savepoint, worker, ask, told: Err("no answer".to_owned()) };
        self.after(300 * MILLISECOND, 2 * SECOND, Item::Answer(answer, None));
    }

    /// Whoever answers by the name of a place: mostly the process that was started there last.
    fn worker_at(&mut self, request: &Request) -> Option<Pid> {
        let here = |p: &Process| p.alive && p.job == request.job && p.ordinal as usize == request.worker;
        let there: Vec<Pid> = (0..self.processes.len()).filter(|pid| here(&self.processes[*pid])).collect();
        if self.random.one_in(8) { self.random.pick(&there).copied() } else { there.last().copied() }
    }

    pub(crate) fn request_arrives(&mut self, request: Request) {
        let Request { savepoint, worker, ref ask, .. } = request;
        let Some(pid) = self.worker_at(&request) else {
            self.send_answer(
                None,
                Answer { savepoint, worker, ask: request.ask, told: Err("nobody is there".to_owned()) },
            );
            return;
        };
        if let Some((_, until)) = self.processes[pid].paused {
            self.at(until.max(self.now() + MILLISECOND), Item::Request(request));
            return;
        }
        let gone = self.gone.clone();
        let waiting = |about| Waiting::new(Reply { savepoint, worker, about }, &gone);
        let now = Duration::from_micros(self.now());
        let pause = &mut self.processes[pid].pause;
        let told: Result<Option<Told>, Refusal<SavepointId>> = match ask {
            Ask::StandStill => pause.ask(&savepoint, now).map(|cut| Some(Told::Cut(cut))),
            Ask::Hold => pause.hold(&savepoint, || waiting(About::Hold)).map(|()| None),
            Ask::Write => pause.write(&savepoint, || waiting(About::Write)).map(|()| None),
            Ask::Publish(parts) => {
                let parts = parts.clone();
                self.processes[pid].publishing = Some(Publishing { waiting: waiting(About::Publish), parts });
                // It looks whether everything is there, in a store that may be slow.
                let longest = if self.random.one_in(3) { 2_500 } else { 60 };
                self.after(5 * MILLISECOND, longest * MILLISECOND, Item::Publish(pid));
                Ok(None)
            }
            Ask::Resume => {
                pause.resume(&savepoint);
                Ok(Some(Told::Heard))
            }
            Ask::Abandon => {
                pause.abandon(&savepoint);
                Ok(Some(Told::Heard))
            }
            Ask::Stop => pause.keep(&savepoint).map(|()| {
                self.processes[pid].stops_saved = Some(savepoint);
                Some(Told::Heard)
            }),
        };
        let told = match told {
            Ok(None) => return,
            Ok(Some(told)) => Ok(told),
            Err(refusal) => Err(format!("{refusal:?}")),
        };
        self.send_answer(Some(pid), Answer { savepoint, worker, ask: request.ask, told });
    }

    /// Copies of requests that were under way for long may arrive now that `pid` is where it is.
    pub(crate) fn late_requests(&mut self, pid: Pid) {
        if self.late_requests.is_empty() {
            return;
        }
        let (now, step) = (self.now(), self.step_of(pid));
        self.late_requests.retain(|late| late.expires > now);
        let process = &self.processes[pid];
        let place = (process.job, process.ordinal as usize);
        let fits = |l: &LateRequest| Some(l.step) == step && (l.request.job, l.request.worker) == place;
        if let Some(at) = self.late_requests.iter().position(fits)
            && self.random.one_in(3)
        {
            let LateRequest { request, step, .. } = self.late_requests.remove(at);
            self.took_effect(pid, Fault::LateRequest, step);
            self.request_arrives(request);
        }
    }

    // ---- answers

    /// A request that has waited for the worker is answered.
    pub(crate) fn reply(&mut self, pid: Pid, waiting: Waiting, told: Result<Told, &str>) {
        self.send_reply(Some(pid), waiting.answer(), told.map_err(str::to_owned));
    }

    fn send_reply(&mut self, pid: Option<Pid>, reply: Reply, told: Result<Told, String>) {
        let ask = match reply.about {
            About::Hold => Ask::Hold,
            About::Write => Ask::Write,
            About::Publish => Ask::Publish(Rc::default()),
        };
        self.send_answer(pid, Answer { savepoint: reply.savepoint, worker: reply.worker, ask, told });
    }

    /// Tells those whose requests nobody will answer any more.
    pub(crate) fn refuse_gone(&mut self) {
        let gone = std::mem::take(&mut *self.gone.borrow_mut());
        for reply in gone {
            self.send_reply(None, reply, Err("the worker has ended or given the savepoint up".to_owned()));
        }
    }

    fn send_answer(&mut self, pid: Option<Pid>, answer: Answer) {
        let back = self.random.between(300, 4_000);
        if let Some(pid) = pid {
            if self.strikes_call(pid, Fault::LostAnswer) {
                return self.hears_nothing(answer.savepoint, answer.worker, answer.ask);
            }
            if let Some(step) = self.step_of(pid).filter(|_| self.strikes_silently(pid, Fault::LateAnswer)) {
                let late = self.random.between(20, 300) * MILLISECOND;
                self.after(late, late, Item::Answer(answer.clone(), Some((pid, step))));
                if self.random.one_in(2) {
                    return;
                }
            }
        }
        self.after(back, back, Item::Answer(answer, None));
    }

    /// An answer comes to whoever makes the savepoint, if anybody still does.
    pub(crate) fn answer_arrives(&mut self, answer: Answer, late: Option<(Pid, Step)>) {
        let Some(driver) = self.savepoints.drivers.get(&answer.savepoint) else { return };
        let job = driver.job;
        if let Some((pid, step)) = late {
            self.took_effect(pid, Fault::LateAnswer, step);
        }
        if !self.driver_dies(answer.savepoint, job) {
            self.drive(answer.savepoint, |driver: &mut Driver, now| driver.hear(answer, now));
        }
    }

    // ---- publishing

    /// The manifest is written by the process that was asked to, whatever its worker does meanwhile.
    pub(crate) fn publish(&mut self, pid: Pid) {
        if let Some((_, until)) = self.processes[pid].paused {
            self.at(until.max(self.now() + MILLISECOND), Item::Publish(pid));
            return;
        }
        let Some(Publishing { waiting, parts }) = self.processes[pid].publishing.take() else { return };
        let told = self.write_manifest(pid, waiting.savepoint(), &parts);
        self.reply(pid, waiting, told.as_ref().map(|()| Told::Published).map_err(String::as_str));
    }

    fn write_manifest(&mut self, pid: Pid, savepoint: SavepointId, parts: &[TaskPart]) -> Result<(), String> {
        let job = self.job_of(&self.processes[pid]).number;
        let published = self.storage.publish(Manifest { savepoint, job, tasks: parts.to_vec() });
        self.event(pid, "manifest", &[savepoint as i64, i64::from(published.is_ok())]);
        published
    }

    /// A process that was to publish dies: the manifest may be there all the same.
    pub(crate) fn publishes_no_more(&mut self, pid: Pid) {
        let Some(Publishing { waiting, parts }) = self.processes[pid].publishing.take() else { return };
        if self.random.one_in(2) {
            // Nobody hears how it went.
            let _ = self.write_manifest(pid, waiting.savepoint(), &parts);
        }
    }
}
