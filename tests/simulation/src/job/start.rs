//! Performs what the start machine asks for, with the model log and the model disk, as the runtime's
//! `commit/start.rs` does with Kafka and RocksDB.

use super::producer::{CommitOutcome, Producer, register};
use super::recover::recover;
use super::restore::restore;
use super::rows::decode_changes;
use super::worker::{Failure, Place};
use crate::log::{Isolation, Micros};
use crate::world::{Ctx, MILLISECOND, SECOND, Step};
use millrace_protocol::record::{Commit, LogRecord};
use millrace_protocol::recover::LogRange;
use millrace_protocol::replay::{Applied, Portion};
use millrace_protocol::start::{Claimant, Effect, Event, Standing, StartMachine};
use std::collections::BTreeMap;

/// A holder that has written nothing for this long is taken for gone.
const SILENCE: Micros = 2 * SECOND;
/// How long the logs may take to become readable before the start begins anew.
pub(super) const PATIENCE: Micros = 6 * SECOND;
pub(super) const POLL: Micros = 4 * MILLISECOND;
/// Records asked for at once.
const FETCH_RECORDS: usize = 64;
/// Replayed changes are applied in portions of about this many bytes.
const REPLAY_BYTES: usize = 2048;

/// A worker that holds its tasks, with their state at the last commit on its volume.
pub struct Started {
    /// Names the start.
    pub attempt: String,
    pub producer: Producer,
    /// By task.
    pub claims: BTreeMap<u32, i64>,
    /// What there was of the task's log before.
    pub logs: BTreeMap<u32, LogRange>,
}

/// A start that is under way.
pub(super) struct Starting<'a> {
    ctx: &'a Ctx,
    place: &'a Place,
    machine: StartMachine,
    effects: Vec<Effect>,
    producer: Option<Producer>,
    /// Where the replay reads next, by task.
    next: BTreeMap<u32, i64>,
    /// Where the logs are only ended: the last commit in each, of which the state is not wanted.
    commits: Option<BTreeMap<u32, Commit>>,
}

pub async fn start(ctx: &Ctx, place: &Place, attempt: u64) -> Result<Started, Failure> {
    let logs = recover(ctx, place).await?;
    restore(ctx, place, attempt).await?;
    let tasks: Vec<u32> = place.assignment.tasks().collect();
    let applied: Vec<_> =
        ctx.volume(|v| tasks.iter().map(|t| (*t, v.store(*t).and_then(|s| s.applied().cloned()))).collect());
    let mut starting = Starting::new(ctx, place, attempt, applied.iter().map(|(t, a)| (*t, a.as_ref())));
    starting.run().await?;
    let Starting { machine, producer, .. } = starting;
    let producer = producer.ok_or(Failure::Restart("started without a producer"))?;
    Ok(Started { attempt: format!("{}-{attempt}", ctx.pid), producer, claims: machine.claims(), logs })
}

impl<'a> Starting<'a> {
    /// Of some tasks, each with what there is of it.
    pub(super) fn new<'t>(
        ctx: &'a Ctx,
        place: &'a Place,
        attempt: u64,
        tasks: impl IntoIterator<Item = (u32, Option<&'t Applied>)>,
    ) -> Self {
        let me = Claimant {
            generation: place.generation,
            assignment: place.assignment,
            holder: ctx.volume(|volume| volume.holder.clone()),
            attempt: format!("{}-{attempt}", ctx.pid),
            transactional_id: place.transactional_id(),
        };
        let (machine, effects) = StartMachine::new(me, tasks);
        let next = place.assignment.tasks().map(|t| (t, machine.start_offset(t))).collect();
        Self { ctx, place, machine, effects, producer: None, next, commits: None }
    }

    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        while let Some(effect) = self.effects.pop() {
            self.effects = self.perform(effect).await?;
        }
        Ok(())
    }

    /// Takes the logs for good instead. Returns the last commit in each, as far as it is not among those that are known,
    /// and who may write to the logs.
    pub(super) async fn end_logs(
        mut self,
        known: BTreeMap<u32, Commit>,
    ) -> Result<(Producer, BTreeMap<u32, Commit>), Failure> {
        self.commits = Some(known);
        self.run().await?;
        let producer = self.producer.ok_or(Failure::Restart("ended without a producer"))?;
        Ok((producer, self.commits.unwrap_or_default()))
    }

    fn enter(&self, step: Step) {
        self.ctx.enter(Some(if self.commits.is_some() { Step::Succeed } else { step }));
    }

    async fn perform(&mut self, effect: Effect) -> Result<Vec<Effect>, Failure> {
        match effect {
            Effect::Scan => {
                self.enter(Step::Scan);
                self.scan().await?;
                Ok(self.machine.step(Event::Scanned))
            }
            Effect::Watch { holder } => {
                self.enter(Step::Watch);
                self.ctx.remark(|| format!("watches {holder}"));
                let grew = self.watch().await?;
                Ok(self.machine.step(Event::Watched { grew }))
            }
            Effect::ReadAhead => {
                self.enter(Step::ReadAhead);
                while self.replay_some().await? > 0 {}
                Ok(self.machine.step(Event::HasReadAhead))
            }
            Effect::Fence { ids } => {
                let again = self.producer.is_some();
                self.enter(if again { Step::FenceAgain } else { Step::Fence });
                for id in ids {
                    self.ctx.remark(|| format!("fences {id}"));
                    register(self.ctx, &id).await?;
                }
                Ok(self.machine.step(Event::Fenced))
            }
            Effect::Register => {
                self.enter(Step::Register);
                self.producer = Some(register(self.ctx, &self.place.transactional_id()).await?);
                Ok(self.machine.step(Event::Registered))
            }
            Effect::Claim(claim) => {
                self.enter(Step::Claim);
                self.claim(&LogRecord::Claim(claim)).await?;
                Ok(self.machine.step(Event::Claimed))
            }
            Effect::Replay => {
                self.enter(Step::Replay);
                self.replay().await?;
                Ok(self.machine.reclaim())
            }
        }
    }

    async fn scan(&mut self) -> Result<(), Failure> {
        for task in self.place.assignment.tasks() {
            let log = self.place.topics.task_log(task);
            let end = self.ctx.call(|model, _| Ok(model.end_offset(log))).await?;
            let mut next = self.machine.start_offset(task);
            while next < end {
                let fetch = self.ctx.call(|model, _| model.fetch(log, next, Isolation::ReadUncommitted, FETCH_RECORDS));
                let fetched = fetch.await?;
                for record in &fetched.records {
                    self.machine.scanned(task, record.offset, &LogRecord::decode(&record.value)?)?;
                }
                next = fetched.next;
            }
        }
        Ok(())
    }

    /// Whether any of the logs grows. Meanwhile what is committed is replayed, ahead of the claim.
    async fn watch(&mut self) -> Result<bool, Failure> {
        let before = self.ends().await?;
        let until = self.ctx.now() + SILENCE;
        while self.ctx.now() < until {
            if self.replay_some().await? == 0 {
                self.ctx.sleep(SILENCE / 8).await;
            }
        }
        Ok(self.ends().await? != before)
    }

    async fn ends(&self) -> Result<Vec<i64>, Failure> {
        let tasks: Vec<u32> = self.place.assignment.tasks().collect();
        let ends = self
            .ctx
            .call(|log, _| Ok(tasks.iter().map(|task| log.end_offset(self.place.topics.task_log(*task))).collect()));
        Ok(ends.await?)
    }

    async fn claim(&mut self, record: &LogRecord<'_>) -> Result<(), Failure> {
        let producer = self.producer.as_mut().ok_or(Failure::Restart("claimed without a producer"))?;
        match producer.write_alone(self.ctx, self.place, record).await? {
            CommitOutcome::Clean => {
                if self.commits.is_none() {
                    self.ctx.claimed();
                }
                Ok(())
            }
            // A copy of the EndTxn may be under way, and would end the first epoch's transaction.
            CommitOutcome::Retried => Err(Failure::Restart("the claim was committed by a retried request")),
            CommitOutcome::Unknown => Err(Failure::Restart("nobody knows whether the claim is committed")),
        }
    }

    async fn replay(&mut self) -> Result<(), Failure> {
        let deadline = self.ctx.now() + PATIENCE;
        while !self.machine.has_read_own_claims() {
            if self.replay_some().await? == 0 {
                // A transaction of somebody else may hold the last stable offset back; starting again scans
                // and fences anew.
                if self.ctx.now() > deadline {
                    return Err(Failure::Restart("the task logs did not become readable up to the claim"));
                }
                self.ctx.sleep(POLL).await;
            }
        }
        for task in self.place.assignment.tasks() {
            if let Some(portion) = self.machine.take_rest(task) {
                self.apply(task, portion, Standing::Final);
            }
        }
        Ok(())
    }

    /// Goes on with the replay for as much as a request brings; the offsets that were passed.
    async fn replay_some(&mut self) -> Result<i64, Failure> {
        let mut read = 0;
        for task in self.place.assignment.tasks() {
            let (log, next) = (self.place.topics.task_log(task), self.next[&task]);
            let fetch = self.ctx.call(|model, _| model.fetch(log, next, Isolation::ReadCommitted, FETCH_RECORDS));
            let fetched = fetch.await?;
            for record in &fetched.records {
                self.machine.replayed(task, record.offset, &LogRecord::decode(&record.value)?)?;
            }
            read += fetched.next - next;
            self.next.insert(task, fetched.next);
            if let Some((portion, standing)) = self.machine.take(task, REPLAY_BYTES) {
                self.apply(task, portion, standing);
            }
        }
        Ok(read)
    }

    fn apply(&mut self, task: u32, portion: Portion, standing: Standing) {
        let Portion { changes, applied } = portion;
        if let Some(commits) = &mut self.commits {
            commits.insert(task, applied.commit);
            return;
        }
        let changes = changes.iter().flat_map(|changes| decode_changes(changes)).collect();
        self.ctx.volume(|volume| {
            volume
                .store(task)
                .expect("opened at the start")
                .write(changes, Some(applied).filter(|_| standing == Standing::Final));
        });
    }
}
