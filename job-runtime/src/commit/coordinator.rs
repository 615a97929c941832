//! Drives the epochs of a worker: performs what the epoch machine says, with the real producer, the
//! checkpointer and the consumers' group offsets.

use super::covers::Covers;
use super::epoch_memory::EpochMemory;
use super::gate::{EpochGate, Prepared, Report};
use super::log::{self, transaction_timeout};
use super::refused::too_large;
use crate::condition::Reason;
use crate::control::StopRequest;
use crate::env::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::Router;
use crate::job::Job;
use crate::kafka::admin::{AdminClient, retrying};
use crate::kafka::delivery::Undelivered;
use crate::kafka::refusal::Refusal;
use crate::kafka::size::TopicLimits;
use crate::kafka::{ACCESS_PATIENCE, CommitOutcome, PartitionConsumer};
use crate::metrics::{Metrics, PartitionStatus, TaskStatus};
use crate::savepoint::held::HeldTasks;
use crate::savepoint::pause::{CommittedTask, HoldRequest, Pause};
use crate::state::StateChanges;
use crate::state::checkpointer::Checkpointer;
use crate::watch::CommitUnderWay;
use millrace_protocol::assignment::Assignment;
use millrace_protocol::epoch::{Effect, EpochMachine, EpochSettings, Event};
use millrace_protocol::record::{LogRecord, Release};
use millrace_protocol::recover::LogRange;
use millrace_protocol::savepoint::TaskCut;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often the coordinator looks at what has no event of its own: stop requests, bytes produced.
const LOOK: Duration = Duration::from_millis(20);
/// How often the clients of the sources are heard.
const SERVE: Duration = Duration::from_secs(1);
/// How often lag is measured and group offsets are committed.
const GROUP_OFFSETS: Duration = Duration::from_secs(1);
/// How long the ends of the logs are asked for, while a broker that is gone is replaced.
const ENDS_PATIENCE: Duration = Duration::from_secs(30);

/// How a worker's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every bounded input has ended, and all of its results are committed.
    Finished,
    /// Somebody asked for it; a later start goes on from here.
    Stopped,
}

/// A Kafka scan as lag tools see it.
pub struct ScanOffsets {
    pub table: String,
    pub consumer: Arc<PartitionConsumer>,
    /// Whether the user named a group, whose offsets are then committed.
    pub has_group: bool,
}

pub struct Coordinator<'a> {
    pub job: &'a Job,
    pub attempt: String,
    pub log: Arc<str>,
    pub assignment: Assignment,
    /// Reads the ends of the task logs.
    pub log_consumer: Arc<PartitionConsumer>,
    /// By the scan's operator id.
    pub scans: BTreeMap<u32, ScanOffsets>,
    /// Operator ids of the exchanges that this worker reads.
    pub exchanges: Vec<u32>,
    /// What the topics of sinks took when the worker started.
    pub limits: TopicLimits,
    pub admin: Arc<AdminClient>,
    pub gate: Arc<EpochGate>,
    pub router: Router,
    pub reports: Receiver<Report>,
    pub memory: Arc<EpochMemory>,
    pub stop: Arc<StopRequest>,
    pub pause: Arc<Pause>,
    pub checkpointer: Checkpointer,
    pub covers: Covers,
    pub under_way: Arc<CommitUnderWay>,
    /// By task: where a start from the next checkpoint begins to read the log; at first behind our claims.
    pub read_from: BTreeMap<u32, i64>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// What the coordinator remembers between effects.
#[derive(Default)]
struct Progressing {
    prepared: Vec<Prepared>,
    ended_at: Duration,
    offsets_at: Duration,
    served_at: Duration,
    outcome: Option<Outcome>,
    stop_seen: bool,
    end_seen: bool,
    /// A savepoint's request to hold the tasks, until the checkpoint that it waits for.
    hold: Option<HoldRequest>,
    held: Option<HeldTasks>,
}

impl Coordinator<'_> {
    /// Runs until the job has ended. The transaction of epoch 1 is open.
    pub fn run(mut self) -> Result<Outcome> {
        match self.run_epochs() {
            Ok(outcome) => self.checkpointer.finish().map(|()| outcome),
            Err(error) => Err(self.explained(error)),
        }
    }

    /// What an error is about: a record that is refused loses the transaction, whose calls then only say that it is
    /// lost.
    fn explained(&self, error: Error) -> Error {
        if error.kind != ErrorKind::RestartWorker {
            return error;
        }
        let Some(record) = self.gate.producer().undelivered().filter(Undelivered::is_too_large) else { return error };
        let now = self.admin.max_message_bytes(&record.topic).unwrap_or_default();
        too_large(&record, self.limits.0.get(&record.topic).copied(), now)
    }

    fn run_epochs(&mut self) -> Result<Outcome> {
        let settings = EpochSettings {
            tasks: self.assignment.tasks().count() as u32,
            commit_interval: self.job.commit_interval,
            checkpoint_interval: self.job.checkpoint_interval,
            epoch_bytes: self.job.memory.epoch,
            pending_bytes: self.job.memory.rocksdb,
        };
        let mut machine = EpochMachine::new(settings, self.clock.monotonic());
        let mut progressing = Progressing::default();
        loop {
            let wait = machine.wait(self.clock.monotonic()).unwrap_or(LOOK).min(LOOK);
            let event = self.next_event(wait, &mut progressing)?;
            self.serve_sources(&mut progressing)?;
            self.gate.producer().check()?;
            let mut effects = machine.step(event, self.clock.monotonic());
            while !effects.is_empty() {
                let mut following = Vec::new();
                for effect in effects {
                    following.extend(self.perform(effect, &mut progressing, &mut machine)?);
                }
                effects = following;
            }
            if let Some(outcome) = progressing.outcome {
                return Ok(outcome);
            }
            // A transaction is open whenever events are waited for.
            self.covers.write(self.gate.producer())?;
        }
    }

    /// Hears whether the sources' clusters still let us in: their clients would wait for ever.
    fn serve_sources(&self, progressing: &mut Progressing) -> Result<()> {
        let now = self.clock.monotonic();
        if now < progressing.served_at + SERVE {
            return Ok(());
        }
        progressing.served_at = now;
        for scan in self.scans.values() {
            let warn = |warning| self.metrics.conditions.set_warning(Reason::AccessRefused, &scan.table, warning);
            let Some(Refusal { reason, lasts }) = scan.consumer.serve(now) else {
                warn(None);
                continue;
            };
            let error = Error::user_fault(format!(
                "Kafka has not let the job read table {} since {} s: {reason}; give it the credentials that are valid now",
                scan.table,
                lasts.as_secs()
            ))
            .because(Reason::AccessRefused);
            warn(Some(error.to_string()));
            if lasts >= ACCESS_PATIENCE {
                return Err(error);
            }
        }
        Ok(())
    }

    fn next_event(&self, wait: Duration, progressing: &mut Progressing) -> Result<Event> {
        self.gate.set_paused(self.pause.is_wanted(self.clock.monotonic()));
        match self.reports.recv_timeout(wait) {
            Ok(Report::Failed(error)) => return Err(error),
            Ok(Report::Prepared(prepared)) => {
                let event = Event::Prepared {
                    wrote: prepared.commit.is_some(),
                    change_bytes: prepared.changes.as_bytes().len(),
                    finished: prepared.finished,
                };
                progressing.prepared.push(prepared);
                return Ok(event);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::fail_job("every thread of the worker has ended"));
            }
            Ok(Report::Full) | Err(RecvTimeoutError::Timeout) => {}
        }
        if !progressing.stop_seen && self.stop.is_made() {
            progressing.stop_seen = true;
            return Ok(Event::StopRequested);
        }
        if !progressing.end_seen && self.gate.inputs_ended() == self.assignment.tasks().count() as u64 {
            progressing.end_seen = true;
            return Ok(Event::InputEnded);
        }
        self.tend_held(progressing);
        if progressing.held.is_none()
            && let Some(request) = self.pause.machine().take_hold()
        {
            progressing.hold = Some(request);
            return Ok(Event::CheckpointRequested);
        }
        Ok(Event::Tick { produced: self.memory.open_bytes() })
    }

    fn perform(
        &mut self,
        effect: Effect,
        progressing: &mut Progressing,
        machine: &mut EpochMachine,
    ) -> Result<Vec<Effect>> {
        match effect {
            Effect::EndEpoch { epoch, heartbeat, .. } => {
                progressing.ended_at = self.clock.monotonic();
                self.under_way.begin(progressing.ended_at);
                self.gate.request_end(epoch, heartbeat);
                self.router.wake_all();
            }
            Effect::Commit { epoch, release } => {
                let retried = self.commit(release)?;
                self.gate.set_committed(epoch);
                self.pause.machine().committed(still(&progressing.prepared));
                let (at, now) = (self.clock.now_millis(), self.clock.monotonic());
                self.metrics.committed(at, (now - progressing.ended_at).as_secs_f64());
                self.covers.committed(at);
                return Ok(machine.step(Event::Committed { retried }, self.clock.monotonic()));
            }
            Effect::Open { epoch, reuse } => {
                self.under_way.end();
                self.memory.begin();
                if reuse {
                    // What was committed before still holds.
                    self.pause.machine().committed(still(&progressing.prepared));
                    progressing.prepared.clear();
                } else {
                    self.gate.producer().begin()?;
                }
                self.gate.set_open(epoch);
                self.router.wake_all();
            }
            Effect::Apply { checkpoint, .. } => self.apply(checkpoint, progressing)?,
            Effect::Restart => {
                return Err(Error::restart_worker(
                    "the commit happened, but a copy of its request may still arrive: claiming the tasks again",
                ));
            }
            Effect::Done { finished } => {
                progressing.outcome = Some(if finished { Outcome::Finished } else { Outcome::Stopped });
            }
        }
        Ok(Vec::new())
    }

    /// Whether the request had to be repeated.
    fn commit(&mut self, release: bool) -> Result<bool> {
        let producer = self.gate.producer();
        if release {
            let record = LogRecord::Release(Release { attempt: self.attempt.clone() }).encode();
            log::write(producer, &self.log, self.assignment.tasks().map(|task| (task, record.clone())))?;
        }
        match producer.commit(transaction_timeout(self.job)) {
            CommitOutcome::Clean => Ok(false),
            CommitOutcome::Retried => Ok(true),
            CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => Err(error),
        }
    }

    /// After a commit: its changes to the checkpointer, its positions to lag tools.
    fn apply(&mut self, checkpoint: bool, progressing: &mut Progressing) -> Result<()> {
        let now = self.clock.monotonic();
        let offsets_due = checkpoint || now >= progressing.offsets_at + GROUP_OFFSETS;
        let mut positions: BTreeMap<u32, Vec<(String, i32, i64)>> = BTreeMap::new();
        let hold = progressing.hold.take_if(|_| checkpoint).map(|h| (h, committed_tasks(&progressing.prepared)));
        for prepared in progressing.prepared.drain(..) {
            let Prepared { task, commit, changes, .. } = prepared;
            let Some(commit) = commit else { continue };
            if offsets_due {
                for p in &commit.positions {
                    positions.entry(p.operator).or_default().push((p.topic.clone(), p.partition, p.offset));
                }
            }
            self.metrics.set_task(TaskStatus { task, sequence: commit.sequence });
            self.covers.wrote(task, changes.as_bytes().len());
            self.checkpointer.committed(task, changes, commit)?;
        }
        if offsets_due {
            progressing.offsets_at = now;
            self.tell_offsets(&positions);
        }
        if checkpoint {
            let logs = self.log_ranges()?;
            let ends = logs.iter().map(|(&task, log)| (task, log.end)).collect();
            let read_from = std::mem::replace(&mut self.read_from, ends);
            let cover = self.covers.at_checkpoint(now, &logs, self.admin.clone());
            let (metrics, admin) = (self.metrics.clone(), self.admin.clone());
            let received: Vec<_> = self.exchanges.iter().filter_map(|id| positions.remove(id)).flatten().collect();
            self.checkpointer.checkpoint(read_from, move |done, stores| {
                metrics.checkpointed(done.at, done.duration_millis as f64 / 1000.0, done.state);
                cover(stores);
                // What is received and committed is never read again. The next checkpoint tries again.
                if !received.is_empty()
                    && let Err(error) = admin.delete_records(&received)
                {
                    tracing::warn!(%error, "exchanges keep what was received");
                }
            })?;
            if let Some((request, tasks)) = hold {
                progressing.held = self.hold_tasks(request, tasks)?;
            }
        }
        Ok(())
    }

    /// Holds the tasks for a savepoint as the checkpoint just asked for has them. What is committed next reaches the
    /// stores behind it, on the same thread.
    fn hold_tasks(&mut self, request: HoldRequest, tasks: Option<Vec<CommittedTask>>) -> Result<Option<HeldTasks>> {
        let Some(tasks) = tasks else {
            // Whoever asked has gone meanwhile where that is so.
            let _ = request.reply.send(Err(Error::retry("something moved in the worker: ask it to stand still first")));
            return Ok(None);
        };
        let (held, holding) = HeldTasks::start(self.job, self.pause.clone(), request, tasks)?;
        self.checkpointer.inspect(move |stores| holding.show(stores))?;
        Ok(Some(held))
    }

    /// Passes requests on to who holds the tasks, and lets go of what nobody wants any more.
    fn tend_held(&self, progressing: &mut Progressing) {
        let Some(held) = &mut progressing.held else { return };
        let request = self.pause.machine().take_write(held.savepoint());
        if let Some(request) = request {
            held.write(request);
        }
        if !self.pause.machine().wants(held.savepoint()) {
            held.give_up();
        }
        if held.has_ended() {
            self.pause.machine().let_go(held.savepoint());
            progressing.held = None;
        }
    }

    fn tell_offsets(&self, positions: &BTreeMap<u32, Vec<(String, i32, i64)>>) {
        for (operator, positions) in positions {
            let Some(scan) = self.scans.get(operator) else { continue };
            if scan.has_group
                && let Err(error) = scan.consumer.commit_group_offsets(positions)
            {
                // Only lag tools read them; the next ones replace them.
                tracing::warn!(%error, "group offsets");
            }
            for (topic, partition, position) in positions {
                let lag = scan.consumer.cached_end(topic, *partition).map(|end| (end - position).max(0));
                self.metrics.set_partition(topic, *partition, PartitionStatus { position: *position, lag });
            }
        }
    }

    /// What there is of the task logs. Their ends are where the next checkpoint says that a start begins to read. Not
    /// this one, since somebody may have claimed the tasks after its commit. The next one is only made after a commit
    /// of our own, which shows that nobody had, now.
    fn log_ranges(&self) -> Result<BTreeMap<u32, LogRange>> {
        let range = |task| {
            let ask = || self.log_consumer.watermarks(&self.log, task as i32);
            retrying(ENDS_PATIENCE, self.clock.as_ref(), ask).map(|(start, end)| (task, LogRange { start, end }))
        };
        self.assignment
            .tasks()
            .map(range)
            .collect::<Result<_>>()
            .map_err(|e| Error::restart_worker("could not read the ends of the task logs").caused_by(e))
    }
}

/// What the tasks' commits say of the exchanges, if nothing moved in the epoch of any.
fn still(prepared: &[Prepared]) -> Option<Vec<TaskCut>> {
    prepared.iter().map(|task| task.still.clone()).collect()
}

/// The same with the commits, where every task has one.
fn committed_tasks(prepared: &[Prepared]) -> Option<Vec<CommittedTask>> {
    let committed = |task: &Prepared| Some(CommittedTask { cut: task.still.clone()?, commit: task.commit.clone()? });
    prepared.iter().map(committed).collect()
}

/// Changes that nobody keeps.
impl Prepared {
    pub fn unchanged(task: u32, finished: bool) -> Self {
        Self { task, commit: None, changes: StateChanges::default(), finished, still: None }
    }
}
