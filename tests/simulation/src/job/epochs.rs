//! Runs a worker's tasks and performs what the epoch machine says, as the runtime's `commit/coordinator.rs`
//! does: the tasks compute on while a commit is under way, and what they write is held back.

use super::images::Images;
use super::pause::{Pause, Waiting};
use super::producer::{CommitOutcome, Ending, Producer};
use super::rows::{Message, Row};
use super::saving::Held;
use super::start::Started;
use super::task::{Leaving, Prepared, Task, exchange_offset};
use super::worker::{Failure, Place};
use super::{EXCHANGES, SOURCE};
use crate::log::{Isolation, LogError, Micros, TopicPartition};
use crate::world::{Ctx, MILLISECOND, Step};
use millrace_protocol::epoch::{Effect, EpochMachine, EpochSettings, Event};
use millrace_protocol::pause::{CommittedTask, Phase};
use millrace_protocol::record::{Commit, LogRecord, Release};
use millrace_protocol::replay::Applied;
use millrace_protocol::savepoint::TaskCut;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Of a partition, read at once.
const FETCH_RECORDS: usize = 8;
/// Writes held back above which nothing more is read.
const HELD_WRITES: usize = 150;
const BUSY: Micros = 5 * MILLISECOND;
const IDLE: Micros = 12 * MILLISECOND;
/// What a sync of the disk takes.
const SYNC: Micros = 3 * MILLISECOND;

/// How a worker's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    Stopped,
}

struct Running<'a> {
    ctx: &'a Ctx,
    place: &'a Place,
    attempt: String,
    producer: Producer,
    tasks: BTreeMap<u32, Task>,
    machine: EpochMachine,
    leaving: Leaving,
    /// Of the epoch that ends, or is being committed.
    prepared: Vec<Prepared>,
    committing: Option<Ending>,
    /// By task: the offset of its last commit record.
    delivered: BTreeMap<u32, i64>,
    /// By task: its last commit of this run.
    commits: BTreeMap<u32, Commit>,
    /// By task: what its volume has, and does not say before the next checkpoint.
    ahead: BTreeMap<u32, Applied>,
    /// Whether the tasks' writes may go into the transaction.
    open: bool,
    /// By exchange: whether memory may be used, since everything sent through Kafka was received.
    caught_up: [bool; EXCHANGES],
    images: Images,
    /// Sources are to stand still, for a savepoint.
    paused: bool,
    /// Something came from a source in this epoch.
    fed: bool,
    /// A savepoint's request to hold the tasks, until the checkpoint that it waits for.
    hold: Option<Waiting>,
    held: Option<Held>,
    outcome: Option<Outcome>,
}

pub async fn run(ctx: &Ctx, place: &Place, started: Started) -> Result<Outcome, Failure> {
    let settings = ctx.settings();
    let machine = EpochMachine::new(
        EpochSettings {
            tasks: started.claims.len() as u32,
            commit_interval: Duration::from_micros(settings.commit_interval),
            checkpoint_interval: Duration::from_micros(settings.checkpoint_interval),
            epoch_bytes: 6_000,
            pending_bytes: 16_000,
        },
        ctx.time(),
    );
    let restore = |(&task, &claim): (&u32, &i64)| {
        let (state, commit) = ctx.volume(|volume| {
            let store = volume.store(task).expect("opened at the start");
            let state = store.read();
            if state.is_none() {
                store.mark();
            }
            (state, store.applied().map(|applied| applied.commit.clone()))
        });
        let state = state.ok_or(Failure::Restart("the state on the volume fails its checksums"))?;
        let begun = || place.origin.iter().flat_map(|o| o.positions(task, place.assignment.parallelism)).collect();
        let (sequence, positions) = commit.map_or_else(|| (0, begun()), |commit| (commit.sequence, commit.positions));
        let from = (sequence, positions.as_slice());
        Ok((task, Task::new(task, place.assignment, place.topics, settings.sources, claim, state, from)))
    };
    let mut running = Running {
        ctx,
        place,
        attempt: started.attempt.clone(),
        tasks: started.claims.iter().map(restore).collect::<Result<_, Failure>>()?,
        images: Images::new(&started, place.topics),
        producer: started.producer,
        machine,
        leaving: Leaving::default(),
        prepared: Vec::new(),
        committing: None,
        delivered: BTreeMap::new(),
        commits: BTreeMap::new(),
        ahead: BTreeMap::new(),
        open: true,
        caught_up: [false; EXCHANGES],
        paused: false,
        fed: false,
        hold: None,
        held: None,
        outcome: None,
    };
    let Place { generation, assignment, .. } = place;
    ctx.pause(|pause| pause.begin(&running.attempt, *generation, assignment.parallelism));
    running.producer.begin();
    running.run().await
}

impl Running<'_> {
    async fn run(&mut self) -> Result<Outcome, Failure> {
        let mut stop_seen = false;
        loop {
            self.paused = self.ctx.pause(|pause| {
                pause.expire(self.ctx.time());
                pause.is_wanted()
            });
            self.tend_held();
            self.enter_step();
            let event = if let Some(retried) = self.committed()? {
                Event::Committed { retried }
            } else if !stop_seen && self.ctx.stop_requested() {
                stop_seen = true;
                Event::StopRequested
            } else if let Some(waiting) = self.take_hold() {
                self.hold = Some(waiting);
                Event::CheckpointRequested
            } else {
                Event::Tick { produced: self.producer.produced }
            };
            self.step(event).await?;
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
            self.enter_step();
            let worked = self.read()?;
            self.drain();
            if self.open {
                self.send_some().await?;
                self.write_image().await?;
            }
            self.ctx.sleep(if worked { BUSY } else { IDLE }).await;
        }
    }

    /// Writes some of what the tasks have written.
    async fn send_some(&mut self) -> Result<(), Failure> {
        self.leaving.writes.drain(..).for_each(|outgoing| self.producer.send(outgoing));
        Ok(self.producer.send_some(self.ctx).await?)
    }

    /// Writes some parts of an image, if one is being made.
    async fn write_image(&mut self) -> Result<(), Failure> {
        let Some(parts) = self.images.next_parts() else { return Ok(()) };
        self.enter(Step::Image);
        parts.into_iter().for_each(|part| self.producer.send(part));
        self.send_some().await
    }

    fn enter_step(&self) {
        self.enter(if self.committing.is_some() {
            Step::Committing
        } else if self.caught_up == [true; EXCHANGES] {
            Step::Open
        } else {
            Step::CatchUp
        });
    }

    /// What is done for a savepoint is a step of that.
    fn enter(&self, step: Step) {
        let phase = self.ctx.pause(|pause| pause.phase());
        let between = matches!(step, Step::Open | Step::CatchUp);
        self.ctx.enter(Some(match phase {
            Phase::Stops => Step::StopSaved,
            _ if self.hold.is_some() => Step::Hold,
            _ if between && self.held.is_some() => Step::Write,
            Phase::Writes if between => Step::Publish,
            Phase::StandsStill if between => Step::StandStill,
            _ => step,
        }));
    }

    async fn step(&mut self, event: Event) -> Result<(), Failure> {
        let mut effects: VecDeque<Effect> = self.machine.step(event, self.ctx.time()).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::EndEpoch { heartbeat, .. } => {
                    for prepared in self.end_epoch(heartbeat) {
                        effects.extend(self.machine.step(prepared, self.ctx.time()));
                    }
                }
                Effect::Commit { release, .. } => self.commit(release).await?,
                Effect::Open { reuse, .. } => {
                    if reuse {
                        // What was committed before still holds.
                        self.ctx.pause(|pause| pause.committed(still(&self.prepared)));
                        self.prepared.clear();
                    } else {
                        self.producer.begin();
                    }
                    self.open = true;
                    // The client sends by itself, sooner or later.
                    if self.ctx.sends_at_once() {
                        self.send_some().await?;
                    }
                }
                Effect::Apply { checkpoint, .. } => self.apply(checkpoint).await?,
                Effect::Restart => return Err(Failure::Restart("the epoch was committed by a retried request")),
                Effect::Done { finished } => {
                    self.outcome = Some(if finished { Outcome::Finished } else { Outcome::Stopped });
                }
            }
        }
        Ok(())
    }

    // ---- rows

    /// Reads what may be read: an exchange once those after it are caught up, sources after all exchanges.
    fn read(&mut self) -> Result<bool, Failure> {
        let mut worked = false;
        if self.leaving.writes.len() > HELD_WRITES {
            return Ok(worked);
        }
        for exchange in (0..EXCHANGES).rev() {
            for task in self.place.assignment.tasks() {
                worked |= self.read_exchange(exchange, task)?;
            }
            self.drain();
            if !self.catch_up(exchange) {
                return Ok(worked);
            }
        }
        if self.paused {
            return Ok(worked);
        }
        for task in self.place.assignment.tasks() {
            worked |= self.read_sources(task)?;
        }
        Ok(worked)
    }

    /// Whether memory between this worker's tasks may be used.
    fn catch_up(&mut self, exchange: usize) -> bool {
        if !self.caught_up[exchange] {
            let received = |from: &Task, to: &Task| to.received(exchange, from.id) == from.sent(exchange, to.id);
            self.caught_up[exchange] = self.tasks.values().all(|to| self.tasks.values().all(|from| received(from, to)));
        }
        self.caught_up[exchange]
    }

    fn read_exchange(&mut self, exchange: usize, id: u32) -> Result<bool, Failure> {
        let task = self.tasks.get_mut(&id).expect("a task of this worker");
        let at = TopicPartition { topic: self.place.topics.exchanges[exchange], partition: id };
        let position = task.exchange_position(exchange);
        let fetch = self.ctx.fetched(|log| log.fetch(at, position, Isolation::ReadCommitted, FETCH_RECORDS));
        let Some(fetched) = fetch.transpose()? else { return Ok(false) };
        for record in &fetched.records {
            task.record(exchange, Message::decode(&record.value), record.offset + 1, &mut self.leaving)?;
        }
        task.passed(exchange, fetched.next);
        Ok(!fetched.records.is_empty())
    }

    fn read_sources(&mut self, id: u32) -> Result<bool, Failure> {
        let task = self.tasks.get_mut(&id).expect("a task of this worker");
        let mut worked = false;
        for (partition, position) in task.sources() {
            let at = TopicPartition { topic: SOURCE, partition };
            let closed = self.ctx.source_ended();
            let fetch = self.ctx.fetched(|log| -> Result<_, LogError> {
                let fetched = log.fetch(at, position, Isolation::ReadCommitted, FETCH_RECORDS)?;
                let ended = closed && fetched.next == log.end_offset(at);
                Ok((fetched, ended))
            });
            let Some((fetched, ended)) = fetch.transpose()? else { continue };
            let rows: Vec<Row> = fetched.records.iter().map(|record| Row::decode(&record.value)).collect();
            worked |= !rows.is_empty();
            if ended || !rows.is_empty() {
                self.fed = true;
                task.source(partition, rows, fetched.next, ended, &mut self.leaving);
            }
        }
        Ok(worked)
    }

    /// Hands on what goes through memory, downstream first.
    fn drain(&mut self) {
        loop {
            let [first, second] = &mut self.leaving.memory;
            let Some(envelope) = second.pop_front().or_else(|| first.pop_front()) else { return };
            let task = self.tasks.get_mut(&envelope.to).expect("memory leads to this worker's tasks");
            task.envelope(envelope, &mut self.leaving);
        }
    }

    // ---- epochs

    fn end_epoch(&mut self, heartbeat: bool) -> Vec<Event> {
        self.enter(Step::Ending);
        self.drain();
        let fed = std::mem::take(&mut self.fed);
        let still = self.paused && !fed;
        let mut events = Vec::new();
        for task in self.tasks.values_mut() {
            let prepared = task.prepare(heartbeat, still, &mut self.leaving);
            events.push(Event::Prepared {
                wrote: prepared.commit.is_some(),
                change_bytes: prepared.changes.len() * 50,
                finished: prepared.finished,
            });
            self.prepared.push(prepared);
        }
        self.leaving.writes.drain(..).for_each(|outgoing| self.producer.send(outgoing));
        events
    }

    /// Asks for the commit. From here on what the tasks write is held back.
    async fn commit(&mut self, release: bool) -> Result<(), Failure> {
        self.open = false;
        if release {
            let value: std::rc::Rc<[u8]> =
                LogRecord::Release(Release { attempt: self.attempt.clone() }).encode().into();
            for task in self.place.assignment.tasks() {
                let to = self.place.topics.task_log(task);
                self.producer.send(super::task::Outgoing { to, value: value.clone(), commit_of: None });
            }
        }
        if let Err(error) = self.producer.flush(self.ctx).await {
            self.abort(error).await;
            return Err(error.into());
        }
        self.enter(Step::Committing);
        self.committing = Some(self.producer.end(self.ctx, true));
        Ok(())
    }

    /// What can be aborted is, so that nobody waits for its timeout; a new producer follows in any case.
    async fn abort(&mut self, error: LogError) {
        if error == LogError::Failed {
            self.ctx.event("abort", &[]);
            self.producer.end_and_wait(self.ctx, false).await;
        }
    }

    /// Whether the commit under way has happened, and whether its EndTxn was retried.
    fn committed(&mut self) -> Result<Option<bool>, Failure> {
        let Some(ending) = &mut self.committing else { return Ok(None) };
        let Some(outcome) = self.producer.poll_end(self.ctx, ending) else { return Ok(None) };
        if outcome == CommitOutcome::Unknown {
            return Err(Failure::Restart("nobody knows whether the epoch is committed"));
        }
        self.delivered = std::mem::take(&mut self.producer.delivered);
        self.committing = None;
        self.ctx.pause(|pause| pause.committed(still(&self.prepared)));
        Ok(Some(outcome == CommitOutcome::Retried))
    }

    /// After a commit: its changes go to the volume, with the offset in the same write.
    async fn apply(&mut self, checkpoint: bool) -> Result<(), Failure> {
        let held = committed_tasks(&self.prepared);
        for Prepared { task, commit, changes, .. } in std::mem::take(&mut self.prepared) {
            let Some(commit) = commit else { continue };
            let applied = Applied {
                log_offset: self.delivered[&task] + 1,
                commit: commit.clone(),
                generation: self.place.generation,
                transactional_id: self.place.transactional_id(),
            };
            self.images.wrote(task, changes.len());
            // As where memory is short: what the volume has of these, it says at the next checkpoint.
            let (ahead, said) = match commit.sequence % 3 {
                0 => (Some(applied), None),
                _ => (None, Some(applied)),
            };
            self.ctx.volume(|volume| volume.store(task).expect("opened").write(changes, said));
            match ahead {
                Some(applied) => self.ahead.insert(task, applied),
                None => self.ahead.remove(&task),
            };
            self.commits.insert(task, commit);
        }
        self.images.committed(self.ctx);
        if !checkpoint {
            return Ok(());
        }
        self.checkpoint().await?;
        if let Some(waiting) = self.hold.take() {
            self.held = Held::hold(self.ctx, waiting, held);
        }
        Ok(())
    }

    // ---- savepoints

    /// The request to hold the tasks; a worker that commits takes none, nor one that holds them already.
    fn take_hold(&self) -> Option<Waiting> {
        if self.committing.is_some() || self.hold.is_some() || self.held.is_some() {
            return None;
        }
        self.ctx.pause(Pause::take_hold)
    }

    fn tend_held(&mut self) {
        self.held.take_if(|held| !held.tend(self.ctx));
    }

    // ---- checkpoints

    /// Makes durable what was applied, then deletes what nobody will read again.
    async fn checkpoint(&mut self) -> Result<(), Failure> {
        self.enter(Step::Checkpoint);
        self.ctx.sleep(SYNC).await;
        let ahead = std::mem::take(&mut self.ahead);
        self.ctx.volume(|volume| {
            for (task, applied) in ahead {
                volume.store(task).expect("opened").write(Vec::new(), Some(applied));
            }
            self.tasks.keys().for_each(|task| volume.store(*task).expect("opened at the start").sync());
        });
        self.ctx.checkpointed();
        self.images.checkpointed(self.ctx);
        self.images.cut(self.ctx).await?;
        self.enter(Step::Checkpoint);
        for (exchange, topic) in self.place.topics.exchanges.into_iter().enumerate() {
            for (task, commit) in &self.commits {
                let Some(before) = exchange_offset(commit, exchange) else { continue };
                let at = TopicPartition { topic, partition: *task };
                self.ctx.call(|log, _| log.delete_records(at, before)).await?;
            }
        }
        Ok(())
    }
}

/// What the tasks' commits say of the exchanges, if nothing was fed in by any.
fn still(prepared: &[Prepared]) -> Option<Vec<TaskCut>> {
    prepared.iter().map(|task| task.still.clone()).collect()
}

/// The same with the commits, where every task has one.
fn committed_tasks(prepared: &[Prepared]) -> Option<Vec<CommittedTask>> {
    let committed = |task: &Prepared| Some(CommittedTask { cut: task.still.clone()?, commit: task.commit.clone()? });
    prepared.iter().map(committed).collect()
}
