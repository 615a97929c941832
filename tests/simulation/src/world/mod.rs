//! Everything around the workers: time, the network, volumes, whoever starts and kills processes, the
//! input, and what goes wrong. One thread, one seed, one order of events.

pub mod faults;
pub mod process;
mod jobs;
mod network;
pub mod messages;
mod driver;
pub mod savepoints;
mod input;
mod supervisor;
mod trouble;
pub mod run;

pub use faults::{Fault, Step, Table};
pub use network::EndTxn;
pub use process::Ctx;
pub use run::{Report, simulate};

use crate::disk::Volume;
use crate::job::SOURCE;
use crate::job::pause::Gone;
use crate::log::{Log, Micros};
use crate::random::Random;
use crate::storage::{SavepointId, Storage};
use crate::trace::Trace;
use jobs::{Job, JobId};
use messages::{Answer, LateRequest, Request};
use network::Network;
use process::Process;
use savepoints::{Savepoints, Wanted};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use trouble::Trouble;

pub const MILLISECOND: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;

pub type Pid = usize;

/// What a run is about, drawn from its seed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the first job.
    pub tasks: u32,
    pub sources: u32,
    pub commit_interval: Micros,
    pub checkpoint_interval: Micros,
    pub transaction_timeout: Micros,
    pub savepoints: Wanted,
    /// How many faults have to take effect; no run has fewer than 20.
    pub faults: u64,
}

impl Settings {
    fn draw(random: &mut Random) -> Self {
        let tasks = random.between(1, 6) as u32;
        Self {
            tasks,
            sources: tasks + random.below(3) as u32,
            commit_interval: random.between(40, 150) * MILLISECOND,
            checkpoint_interval: random.between(200, 900) * MILLISECOND,
            transaction_timeout: 2_500 * MILLISECOND,
            faults: random.between(20, 40),
            savepoints: match random.below(10) {
                0..6 => Wanted::Nothing,
                6..8 => Wanted::Incarnations(random.between(1, 2) as u32),
                _ => Wanted::SecondJob,
            },
        }
    }
}

/// What happens without a process doing it.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Wake(Pid),
    Arrive(EndTxn),
    Start(supervisor::Start),
    Kill(Pid),
    Stop(Pid),
    Request(Request),
    /// Late, if it was held up when a worker was in a step.
    Answer(Answer, Option<(Pid, Step)>),
    Publish(Pid),
    Tick(SavepointId),
    Savepoint,
    Succeed(JobId),
    Input,
    Arm,
}

pub struct World {
    pub(crate) clock: Rc<Cell<Micros>>,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) processes: Vec<Process>,
    pub(crate) network: Network,
    pub(crate) trouble: Trouble,
    pub(crate) storage: Storage,
    pub(crate) jobs: Vec<Job>,
    pub(crate) savepoints: Savepoints,
    pub(crate) late_requests: Vec<LateRequest>,
    /// Requests that waited for workers who are no more.
    pub(crate) gone: Gone,
    /// Once the input is closed: it ends where it is.
    pub(crate) closed: bool,
    /// By source partition: the latest time of a row.
    pub(crate) times: Vec<i64>,
    queue: BTreeMap<(Micros, u64), Item>,
    enqueued: u64,
    holders: u64,
}

impl World {
    fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::draw(&mut random);
        let mut log = Log::default();
        log.create(SOURCE, settings.sources);
        let tasks = settings.tasks;
        let mut world = Self {
            clock: Rc::default(),
            trace: Trace::new(prints),
            log,
            volumes: Vec::new(),
            processes: Vec::new(),
            network: Network::default(),
            trouble: Trouble::default(),
            storage: Storage::default(),
            jobs: Vec::new(),
            savepoints: Savepoints::default(),
            late_requests: Vec::new(),
            gone: Gone::default(),
            closed: false,
            times: vec![0; settings.sources as usize],
            queue: BTreeMap::new(),
            enqueued: 0,
            holders: 0,
            settings,
            random,
        };
        world.create_job(tasks, None);
        world
    }

    pub fn now(&self) -> Micros {
        self.clock.get()
    }

    pub(crate) fn at(&mut self, time: Micros, item: Item) {
        self.enqueued += 1;
        self.queue.insert((time, self.enqueued), item);
    }

    pub(crate) fn after(&mut self, low: Micros, high: Micros, item: Item) {
        let time = self.now() + self.random.between(low, high);
        self.at(time, item);
    }

    fn next(&mut self) -> Option<Item> {
        let ((time, _), item) = self.queue.pop_first()?;
        self.clock.set(time);
        Some(item)
    }

    pub(crate) fn new_holder(&mut self) -> String {
        self.holders += 1;
        format!("holder-{}", self.holders)
    }

    pub(crate) fn event(&mut self, pid: Pid, name: &str, arguments: &[i64]) {
        let now = self.now();
        self.trace.event(now, pid as u64, name, arguments);
    }
}
