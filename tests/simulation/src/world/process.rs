//! A process as the world sees it, and the world as a process sees it: a clock, a network, a volume.

use super::jobs::JobId;
use super::messages::Told;
use super::network::EndTxn;
use super::{Fault, MILLISECOND, Pid, Settings, Step, World};
use crate::disk::Volume;
use crate::job::pause::{Pause, Waiting};
use crate::log::{Log, LogError, Micros, ProducerId, Result};
use crate::storage::{SavepointId, Storage};
use millrace_protocol::savepoint::TaskPart;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A worker's process.
pub(crate) struct Process {
    pub job: JobId,
    pub generation: u32,
    pub ordinal: u32,
    pub replicas: u32,
    pub volume: usize,
    pub started: Micros,
    pub alive: bool,
    /// Where it is in the protocol; None between two attempts.
    pub step: Option<Step>,
    /// Since which step it stands still, and until when.
    pub paused: Option<(Step, Micros)>,
    /// In which step it was asked to stop.
    pub stop: Option<Step>,
    /// With which savepoint it was told to stop.
    pub stops_saved: Option<SavepointId>,
    /// Its part in savepoints.
    pub pause: Pause,
    /// The manifest that it is writing.
    pub publishing: Option<Publishing>,
    /// The step of the process in whose place this is a second one, until that has had an effect.
    pub twin_at: Option<Step>,
    pub is_twin: bool,
    pub slow_until: Micros,
    pub finished: bool,
}

/// A request to make a savepoint of what all have written.
pub(crate) struct Publishing {
    pub waiting: Waiting,
    pub parts: Rc<Vec<TaskPart>>,
}

/// What a process has of the world.
#[derive(Clone)]
pub struct Ctx {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) pid: Pid,
    clock: Rc<Cell<Micros>>,
    wake: Rc<Cell<Micros>>,
}

/// Ready when the time has come.
struct Sleep {
    until: Micros,
    clock: Rc<Cell<Micros>>,
    wake: Rc<Cell<Micros>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.get() >= self.until {
            return Poll::Ready(());
        }
        self.wake.set(self.until);
        Poll::Pending
    }
}

impl Ctx {
    pub(crate) fn new(world: &Rc<RefCell<World>>, pid: Pid, wake: Rc<Cell<Micros>>) -> Self {
        let clock = world.borrow().clock.clone();
        Self { world: world.clone(), pid, clock, wake }
    }

    pub fn now(&self) -> Micros {
        self.clock.get()
    }

    /// The same, as the protocol's machines take it.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.now())
    }

    pub async fn sleep(&self, duration: Micros) {
        Sleep { until: self.now() + duration, clock: self.clock.clone(), wake: self.wake.clone() }.await;
    }

    /// The pause between two attempts: often so short that whoever was fenced is back while others start.
    pub fn backoff(&self) -> Micros {
        let mut world = self.world.borrow_mut();
        let longest = if world.random.one_in(2) { 3 } else { 30 };
        world.random.between(500, longest * MILLISECOND)
    }

    /// Whether what waited for a transaction is sent before anything else is done.
    pub fn sends_at_once(&self) -> bool {
        self.world.borrow_mut().random.one_in(2)
    }

    pub fn settings(&self) -> Settings {
        self.world.borrow().settings.clone()
    }

    pub fn enter(&self, step: Option<Step>) {
        let mut world = self.world.borrow_mut();
        if world.processes[self.pid].step == step {
            return;
        }
        world.processes[self.pid].step = step;
        world.event(self.pid, "step", &[step.map_or(-1, |step| step as i64)]);
        if matches!(step, Some(Step::Watch | Step::Register)) {
            world.twin_noticed(self.pid);
        }
    }

    pub fn step(&self) -> Option<Step> {
        self.world.borrow().processes[self.pid].step
    }

    pub fn event(&self, name: &str, arguments: &[i64]) {
        self.world.borrow_mut().event(self.pid, name, arguments);
    }

    pub fn remark(&self, text: impl FnOnce() -> String) {
        let world = self.world.borrow();
        world.trace.remark(world.now(), self.pid as u64, text);
    }

    pub fn stop_requested(&self) -> bool {
        let process = &self.world.borrow().processes[self.pid];
        process.stop.is_some() || process.stops_saved.is_some()
    }

    pub fn volume<T>(&self, use_it: impl FnOnce(&mut Volume) -> T) -> T {
        let mut world = self.world.borrow_mut();
        let volume = world.processes[self.pid].volume;
        use_it(&mut world.volumes[volume])
    }

    /// The state of some tasks is durable on the volume.
    pub fn checkpointed(&self) {
        self.world.borrow_mut().checkpointed(self.pid);
    }

    /// All claims of a start are committed.
    pub fn claimed(&self) {
        self.world.borrow_mut().claimed(self.pid);
    }

    // ---- savepoints

    pub fn pause<T>(&self, use_it: impl FnOnce(&mut Pause) -> T) -> T {
        use_it(&mut self.world.borrow_mut().processes[self.pid].pause)
    }

    /// Answers a request that has waited for the worker.
    pub fn reply(&self, waiting: Waiting, told: std::result::Result<Told, &str>) {
        self.world.borrow_mut().reply(self.pid, waiting, told);
    }

    /// Whether whoever has asked still waits for answers.
    pub fn is_made(&self, savepoint: SavepointId) -> bool {
        self.world.borrow().savepoints.drivers.contains_key(&savepoint)
    }

    pub fn storage<T>(&self, use_it: impl FnOnce(&mut Storage) -> T) -> T {
        use_it(&mut self.world.borrow_mut().storage)
    }

    /// The way to the store and back.
    pub async fn reach_storage(&self) {
        let way = self.world.borrow_mut().latency(self.pid);
        self.sleep(way).await;
    }

    // ---- the broker

    /// Reads what the client has fetched ahead: nothing, while the broker doesn't serve it.
    pub fn fetched<T>(&self, ask: impl FnOnce(&mut Log) -> T) -> Option<T> {
        let mut world = self.world.borrow_mut();
        let now = world.now();
        if world.processes[self.pid].slow_until > now {
            return None;
        }
        world.log.advance(now);
        Some(ask(&mut world.log))
    }

    /// Whether the source partition ends here.
    pub fn source_ended(&self) -> bool {
        self.world.borrow().closed
    }

    /// One request to the broker, and its answer.
    pub async fn call<T>(&self, ask: impl FnOnce(&mut Log, Micros) -> Result<T>) -> Result<T> {
        let there = self.world.borrow_mut().latency(self.pid);
        self.sleep(there).await;
        let (answer, back) = {
            let mut world = self.world.borrow_mut();
            let now = world.now();
            world.log.advance(now);
            let answer = ask(&mut world.log, now);
            (answer, world.latency(self.pid))
        };
        self.sleep(back).await;
        answer
    }

    /// A request that carries a batch.
    pub async fn call_produce<T>(&self, ask: impl FnOnce(&mut Log, Micros) -> Result<T>) -> Result<T> {
        if self.world.borrow_mut().strikes_call(self.pid, Fault::FailedProduce) {
            self.sleep(20 * MILLISECOND).await;
            return Err(LogError::Failed);
        }
        self.call(ask).await
    }

    /// Whether the answer to a registration that has happened gets lost.
    pub fn loses_registration(&self) -> bool {
        self.world.borrow_mut().strikes_call(self.pid, Fault::LostRegistration)
    }

    /// Sends an EndTxn, whose answer is asked for by the number returned.
    pub fn send_end_txn(&self, transactional_id: &str, producer: ProducerId, commit: bool, attempt: u32) -> u64 {
        let mut world = self.world.borrow_mut();
        let transactional_id = transactional_id.into();
        world.send_end_txn(EndTxn { transactional_id, producer, commit, sender: self.pid, request: 0 }, attempt)
    }

    pub fn answer(&self, request: u64) -> Option<Result<()>> {
        let mut world = self.world.borrow_mut();
        let now = world.now();
        world.network.answer(request, now)
    }

    /// The client waits for no more answers about this transaction.
    pub fn end_txn_over(&self, producer: ProducerId, known: bool) {
        self.world.borrow_mut().end_txn_over(self.pid, producer, known);
    }
}
