//! The start of a worker: performs what the protocol's start machine asks for, with Kafka and the stores on
//! the volume.

use super::covers::tail_bytes;
use super::lanes::{Hand, put_beside};
use super::log::{self, LogReader, PATIENCE, transaction_timeout};
use super::recover::{Origin, Recovered, ranges, recover};
use super::silence::{Ends, SILENCE};
use super::standby::Standby;
use super::succession::succeed;
use crate::archive::Archive;
use crate::control::WorkerControl;
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::kafka::admin::{AdminClient, retrying};
use crate::kafka::size::TopicLimits;
use crate::kafka::{ClientOptions, ProducerSettings, TransactionalProducer};
use crate::savepoint::restore::Savepoint;
use crate::state::store::TaskStore;
use millrace_protocol::assignment::Assignment;
use millrace_protocol::record::{Claim, Commit, LogRecord};
use millrace_protocol::recover::LogRange;
use millrace_protocol::replay::Portion;
use millrace_protocol::start::{Claimant, Effect, Event, Standing, StartMachine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Less than this of one task is not worth a write.
const PORTION_BYTES: usize = 256 << 10;
/// Workers that are fenced side by side.
const FENCED_AT_ONCE: usize = 8;

/// A worker that holds its tasks, with their state at the last commit.
pub struct Started {
    pub producer: Arc<TransactionalProducer>,
    /// Everything by task.
    pub stores: BTreeMap<u32, TaskStore>,
    /// Offset of our claim in the task's log.
    pub claims: BTreeMap<u32, i64>,
    /// The task's last commit; None for one that never committed.
    pub commits: BTreeMap<u32, Option<Commit>>,
    /// Names this start.
    pub attempt: String,
    /// Log records read to get here, and what they take.
    pub replayed: u64,
    pub replayed_bytes: u64,
    /// The commit in what each task's state came from, before the tail of its log; None where that was empty.
    pub bases: BTreeMap<u32, Option<u64>>,
    /// From where the state came, before the tail of the log.
    pub origins: BTreeMap<u32, Origin>,
    /// Of the images that were loaded.
    pub image_bytes: u64,
    /// What the log has since its last cover, estimated.
    pub log_tails: BTreeMap<u32, u64>,
    /// What tasks without a commit start from.
    pub savepoint: Option<Savepoint>,
    /// Tasks of which the archive has a checkpoint that is damaged.
    pub damaged: BTreeSet<u32>,
}

/// What a start needs to know.
pub struct StartRequest<'a> {
    pub job: &'a Job,
    pub cluster: &'a ClientOptions,
    pub admin: &'a AdminClient,
    pub archive: Option<&'a Archive>,
    /// Says whether it waits, and is told; it has the clock.
    pub worker: &'a WorkerControl,
    /// Who starts: the same holder may take over from itself at once.
    pub holder: &'a str,
    pub assignment: Assignment,
    /// What the topics that the worker writes take.
    pub limits: &'a TopicLimits,
}

impl StartRequest<'_> {
    pub(super) fn clock(&self) -> &dyn Clock {
        self.worker.clock.as_ref()
    }
}

pub fn start_worker(request: &StartRequest<'_>) -> Result<Started> {
    let topic = request.job.identity.log_topic();
    log::ensure_topic(request.admin, request.clock(), request.job, &topic, request.assignment.parallelism)?;
    // If another holder has to be waited for, it is while its state is read.
    let logs = ranges(request, request.assignment.tasks())?;
    let ends = Ends::of(&logs, request);
    let Recovered { mut stores, origins, image_bytes, damaged } = recover(request, &logs)?;
    let savepoint = load_savepoint(request, &mut stores)?;
    let attempt = uuid::Uuid::new_v4().to_string();
    let me = Claimant {
        generation: request.job.identity.generation,
        assignment: request.assignment,
        holder: request.holder.to_owned(),
        attempt: attempt.clone(),
        transactional_id: request.job.identity.transactional_id(request.assignment.ordinal),
    };
    let applied = stores.iter().map(|(&task, store)| (task, store.applied()));
    let bases = applied.clone().map(|(task, applied)| (task, applied.map(|applied| applied.commit.sequence))).collect();
    let (machine, effects) = StartMachine::new(me, applied);
    let mut start = Start::new(request, machine, ends);
    let apply = |store: &mut TaskStore, (Portion { changes, applied }, standing)| {
        let changes = changes.iter().map(Vec::as_slice);
        match standing {
            Standing::Final => store.apply(changes, applied),
            Standing::Ahead => store.apply_ahead(changes, applied.commit.sequence),
        }
    };
    put_beside(&mut stores, request.job.threads(), apply, |apply| start.run(effects, apply))?;
    let commits = stores.iter().map(|(&task, s)| (task, s.applied().map(|a| a.commit.clone()))).collect();
    let (claims, replayed, log_tails) = (start.machine.claims(), start.replayed, start.log_tails(&logs));
    let replayed_bytes = start.bytes.values().sum();
    let producer = start.into_producer();
    Ok(Started {
        producer,
        stores,
        claims,
        commits,
        attempt,
        replayed,
        replayed_bytes,
        bases,
        origins,
        image_bytes,
        log_tails,
        savepoint,
        damaged,
    })
}

/// Whoever has this transactional id can't commit any more.
fn fence(job: &Job, cluster: &ClientOptions, clock: &dyn Clock, id: &str) -> Result<()> {
    let settings = ProducerSettings::for_fencing(transaction_timeout(job));
    let fence = TransactionalProducer::new(cluster, id, &settings)?;
    retrying(PATIENCE, clock, || fence.init_transactions(Duration::from_secs(10)))?;
    tracing::info!(transactional_id = %id, "fenced an earlier worker");
    Ok(())
}

/// Gives tasks that have no state yet that of the savepoint which the job starts from.
fn load_savepoint(request: &StartRequest<'_>, stores: &mut BTreeMap<u32, TaskStore>) -> Result<Option<Savepoint>> {
    let Some(location) = &request.job.restore_from else { return Ok(None) };
    if stores.values().all(|store| store.applied().is_some()) {
        return Ok(None);
    }
    let savepoint = Savepoint::open(location, &request.job.kafka, &request.job.plan)?;
    succeed(request, &savepoint)?;
    let mut empty = BTreeMap::new();
    for (&task, store) in stores.iter_mut().filter(|(_, store)| store.applied().is_none()) {
        if store.base()?.is_none() {
            // Perhaps it was begun before.
            store.clear()?;
            empty.insert(task, store);
        }
    }
    if empty.is_empty() {
        return Ok(Some(savepoint));
    }
    let tasks: Vec<u32> = empty.keys().copied().collect();
    let entries = savepoint.load(empty, request.assignment.parallelism)?;
    for task in &tasks {
        stores[task].loaded(&savepoint.manifest.savepoint)?;
    }
    tracing::info!(?tasks, entries, %location, "restored from a savepoint");
    Ok(Some(savepoint))
}

/// Performs a start; what the logs add up to it gives away.
pub(super) struct Start<'a> {
    request: &'a StartRequest<'a>,
    machine: StartMachine,
    /// As they were before anything was read, until that was looked at.
    ends: Option<Ends>,
    producer: Option<Arc<TransactionalProducer>>,
    replay: Option<LogReader>,
    replayed: u64,
    /// By task: bytes of changes and commits that the replay has read.
    bytes: BTreeMap<u32, u64>,
}

/// Takes changes of a task, with what its state then amounts to.
pub(super) type Apply<'f> = Hand<'f, (Portion, Standing)>;

impl<'a> Start<'a> {
    pub(super) fn new(request: &'a StartRequest<'a>, machine: StartMachine, ends: Ends) -> Self {
        Self { request, machine, ends: Some(ends), producer: None, replay: None, replayed: 0, bytes: BTreeMap::new() }
    }

    /// Once it has run.
    pub(super) fn into_producer(self) -> Arc<TransactionalProducer> {
        self.producer.expect("registered before it claimed")
    }

    pub(super) fn run(&mut self, mut effects: Vec<Effect>, apply: &mut Apply<'_>) -> Result<()> {
        while let Some(effect) = effects.pop() {
            debug_assert!(effects.is_empty(), "a start does one thing after the other");
            effects = match effect {
                Effect::Scan => self.scan()?,
                Effect::Watch { holder } => self.watch(&holder, apply)?,
                Effect::ReadAhead => self.read_ahead(apply)?,
                Effect::Fence { ids } => self.fence(ids)?,
                Effect::Register => self.register()?,
                Effect::Claim(claim) => self.claim(claim)?,
                Effect::Replay => self.replay(apply)?,
            };
        }
        Ok(())
    }

    fn reader(&self, isolation_level: &str) -> Result<LogReader> {
        let StartRequest { job, cluster, assignment, .. } = self.request;
        let from = assignment.tasks().map(|task| (task, self.machine.start_offset(task)));
        LogReader::new(job, cluster, isolation_level, from)
    }

    fn scan(&mut self) -> Result<Vec<Effect>> {
        let mut reader = self.reader("read_uncommitted")?;
        reader.read_to_end(&mut |task, offset, record| Ok(self.machine.scanned(task, offset, &record)?))?;
        Ok(self.machine.step(Event::Scanned))
    }

    /// Meanwhile it is read what is committed, which nobody takes back, whoever has the tasks.
    fn watch(&mut self, holder: &str, apply: &mut Apply<'_>) -> Result<Vec<Effect>> {
        let now = Ends::now(self.request)?;
        let before = self.ends.take().filter(|ends| ends.are(&now)).unwrap_or(now);
        while self.request.clock().monotonic() < before.at + SILENCE {
            self.replay_some(apply)?;
        }
        let grew = !Ends::now(self.request)?.are(&before);
        if grew {
            tracing::warn!(%holder, "this worker's place is held by another process that still commits; waiting for it to end");
        }
        Ok(self.machine.step(Event::Watched { grew }))
    }

    /// Whoever has the tasks goes on meanwhile.
    fn read_ahead(&mut self, apply: &mut Apply<'_>) -> Result<Vec<Effect>> {
        while !self.replay.as_ref().is_some_and(LogReader::has_ended) {
            self.replay_some(apply)?;
        }
        let standby = Standby::new(self.request.worker);
        while self.machine.takes_over() && standby.goes_on()? {
            self.replay_some(apply)?;
        }
        Ok(self.machine.step(Event::HasReadAhead))
    }

    /// Some at a time: a log that was last cut many generations ago names their workers one by one, and each takes a client
    /// that has to find its way.
    fn fence(&mut self, ids: BTreeSet<String>) -> Result<Vec<Effect>> {
        let StartRequest { job, cluster, .. } = *self.request;
        let clock = self.request.clock();
        let ids: Vec<String> = ids.into_iter().collect();
        for ids in ids.chunks(FENCED_AT_ONCE) {
            std::thread::scope(|scope| {
                let fences = ids.iter().map(|id| scope.spawn(move || fence(job, cluster, clock, id)));
                let fences: Vec<_> = fences.collect();
                let ended = |fence: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                    fence.join().unwrap_or_else(|_| Err(Error::fail_job("a thread that fences a worker panicked")))
                };
                fences.into_iter().try_for_each(ended)
            })?;
        }
        Ok(self.machine.step(Event::Fenced))
    }

    fn register(&mut self) -> Result<Vec<Effect>> {
        let StartRequest { job, cluster, assignment, limits, .. } = self.request;
        let id = job.identity.transactional_id(assignment.ordinal);
        let settings = ProducerSettings::new(transaction_timeout(job), job.memory.epoch, limits);
        let producer = TransactionalProducer::new(cluster, &id, &settings)?;
        retrying(PATIENCE, self.request.clock(), || producer.init_transactions(Duration::from_secs(10)))?;
        self.producer = Some(producer);
        Ok(self.machine.step(Event::Registered))
    }

    fn claim(&mut self, claim: Claim) -> Result<Vec<Effect>> {
        let StartRequest { job, assignment, .. } = self.request;
        let record = LogRecord::Claim(claim).encode();
        let records = assignment.tasks().map(|task| (task, record.clone()));
        let producer = self.producer.as_ref().expect("registered before it claims");
        let topic = job.identity.log_topic();
        log::commit_alone(producer, &topic, records, "could not claim the tasks", transaction_timeout(job))?;
        Ok(self.machine.step(Event::Claimed))
    }

    fn replay(&mut self, apply: &mut Apply<'_>) -> Result<Vec<Effect>> {
        let deadline = self.request.clock().monotonic() + PATIENCE;
        while !self.machine.has_read_own_claims() {
            if self.replay_some(apply)? == 0 && self.request.clock().monotonic() > deadline {
                // A transaction of somebody else may hold the last stable offset back; starting again
                // scans and fences anew.
                return Err(Error::restart_worker("the task logs did not become readable up to this worker's claim"));
            }
        }
        for task in self.request.assignment.tasks() {
            if let Some(portion) = self.machine.take_rest(task) {
                apply(task, (portion, Standing::Final))?;
            }
        }
        Ok(self.machine.reclaim())
    }

    /// Goes on with the replay for as much as there is at once; the number of records.
    fn replay_some(&mut self, apply: &mut Apply<'_>) -> Result<u64> {
        let mut reader = match self.replay.take() {
            Some(reader) => reader,
            None => self.reader("read_committed")?,
        };
        let portion_bytes = self.portion_bytes();
        let (machine, bytes) = (&mut self.machine, &mut self.bytes);
        let read = reader.read_some(&mut |task, offset, record| {
            *bytes.entry(task).or_default() += tail_bytes(&record);
            machine.replayed(task, offset, &record)?;
            match machine.take(task, portion_bytes) {
                Some(taken) => apply(task, taken),
                None => Ok(()),
            }
        })?;
        self.replay = Some(reader);
        self.replayed += read;
        Ok(read)
    }

    /// Of a task, at once. No epoch takes memory yet; there is a portion for each task, and two on their way to each thread
    /// that applies them.
    fn portion_bytes(&self) -> usize {
        let StartRequest { job, assignment, .. } = self.request;
        (job.memory.epoch / (assignment.tasks().count() + 2 * job.threads())).max(PORTION_BYTES)
    }

    /// About how much the logs have since their starts, where their last covers are: what was read of it, and for
    /// the rest as much an offset as that.
    fn log_tails(&self, logs: &BTreeMap<u32, LogRange>) -> BTreeMap<u32, u64> {
        let claims = self.machine.claims();
        let tail = |(&task, log): (&u32, &LogRange)| {
            let (from, read) = (self.machine.start_offset(task), self.bytes.get(&task).copied().unwrap_or(0));
            let offsets = (claims[&task] + 1 - from).max(1) as u64;
            let unread = from.saturating_sub(log.start).max(0) as u64;
            (task, read + (u128::from(read) * u128::from(unread) / u128::from(offsets)) as u64)
        };
        logs.iter().map(tail).collect()
    }
}
