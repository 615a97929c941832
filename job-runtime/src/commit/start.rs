//! The start of a worker: take the tasks over from whoever held them, then bring their state to the last
//! commit. In this order: scan the logs for claims, fence their holders, claim, replay up to the claim.
//! What decides that a task is restored is reading one's own claim, not watermark arithmetic.

use super::record::{Batch, Claim, Commit, LogRecord, corrupt};
use crate::batch::SourceRecords;
use crate::env::Clock;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::job::{Job, JobIdentity};
use crate::kafka::admin::{AdminClient, retrying};
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::{ClientOptions, CommitOutcome, FetchQueue, Fetched, PartitionConsumer, TransactionalProducer};
use crate::state::store::{Applied, StoreMemory, TaskStore};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long Kafka may be out of reach before a start is given up (and tried again by the supervisor).
const PATIENCE: Duration = Duration::from_secs(60);
/// A holder that has written nothing for this long is taken for gone.
const SILENCE: Duration = Duration::from_secs(2);
/// Replayed changes are applied to RocksDB in portions of about this size.
const REPLAY_BYTES: usize = 16 << 20;

impl JobIdentity {
    /// First part of the names of the job's own topics.
    pub fn topic_prefix(&self) -> String {
        let uid: String = self.uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}.{}.{uid}.{}", self.namespace, self.name, self.incarnation)
    }

    pub fn log_topic(&self) -> String {
        format!("{}.log", self.topic_prefix())
    }

    pub fn transactional_id(&self, ordinal: u32) -> String {
        format!("{}.{}.{}.{}.{ordinal}", self.namespace, self.uid, self.incarnation, self.generation)
    }
}

/// A worker that holds its tasks, with their state at the last commit.
pub struct Started {
    pub producer: Arc<TransactionalProducer>,
    pub stores: Vec<TaskStore>,
    /// Offset of our claim in each task's log.
    pub claims: Vec<i64>,
    /// Each task's last commit; None for a task that never committed.
    pub commits: Vec<Option<Commit>>,
    /// Names this start in its claim.
    pub attempt: String,
    /// Log records read to get here.
    pub replayed: u64,
}

/// What a start needs to know.
pub struct StartRequest<'a> {
    pub job: &'a Job,
    pub cluster: &'a ClientOptions,
    pub admin: &'a AdminClient,
    pub clock: &'a dyn Clock,
    /// Who starts: the same holder may take over from itself at once.
    pub holder: &'a str,
    pub tasks: u32,
}

/// The parallelism that the job's log fixes; None before the first start.
pub fn log_parallelism(admin: &AdminClient, job: &Job, clock: &dyn Clock) -> Result<Option<u32>> {
    let topic = job.identity.log_topic();
    let found = retrying(PATIENCE, clock, || admin.describe(&topic))?;
    Ok(found.map(|log| log.partitions.len() as u32))
}

pub fn start_worker(request: &StartRequest<'_>) -> Result<Started> {
    let log = request.job.identity.log_topic();
    let memory = StoreMemory::new(request.job.memory.rocksdb, request.tasks);
    let mut stores = Vec::new();
    for task in 0..request.tasks {
        let identity = &request.job.identity;
        stores.push(TaskStore::open(&request.job.state_directory, &identity.uid, identity.incarnation, task, &memory)?);
    }
    let existed = ensure_log(request, &log)?;
    if !existed && stores.iter().any(|s| s.applied().is_some()) {
        return Err(Error::fail_job(format!(
            "the job's log topic {log} is gone while {} holds state of it: restore from a savepoint, or start the job anew \
             with an empty state directory",
            request.job.state_directory.display()
        )));
    }

    take_over(request, &log, &stores)?;
    let transactional_id = request.job.identity.transactional_id(0);
    let producer = TransactionalProducer::new(
        request.cluster,
        &transactional_id,
        transaction_timeout(request.job),
        request.job.memory.epoch,
    )?;
    retrying(PATIENCE, request.clock, || producer.init_transactions(Duration::from_secs(10)))?;
    let attempt = uuid::Uuid::new_v4().to_string();
    claim(request, &log, &producer, &transactional_id, &attempt)?;
    let replay = Replay::new(request, &log, &attempt, &stores)?;
    let (claims, replayed) = replay.run(&mut stores)?;
    let commits = stores.iter().map(|s| s.applied().map(|a| a.commit.clone())).collect();
    Ok(Started { producer, stores, claims, commits, attempt, replayed })
}

/// A transaction lives at most this long without its worker.
pub fn transaction_timeout(job: &Job) -> Duration {
    (job.commit_interval * 4).max(Duration::from_secs(30))
}

/// Makes the log topic, or checks the one there is. Returns whether it was there.
fn ensure_log(request: &StartRequest<'_>, log: &str) -> Result<bool> {
    let describe = || request.admin.describe(log);
    let found = retrying(PATIENCE, request.clock, describe)?;
    let existed = found.is_some();
    if !existed {
        let config = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        let partitions = i32::try_from(request.tasks).expect("at most 1024 tasks");
        let create = || request.admin.create(log, partitions, request.job.kafka.replication, &config);
        retrying(PATIENCE, request.clock, create)?;
    }
    let ready = || describe()?.ok_or_else(|| Error::retry(format!("topic {log} is not there yet")));
    let description = retrying(PATIENCE, request.clock, ready)?;
    if description.partitions.len() != request.tasks as usize {
        return Err(Error::fail_job(format!(
            "the job's log topic {log} has {} partitions, the job {} tasks: the parallelism of a running job changes only \
             through a savepoint",
            description.partitions.len(),
            request.tasks
        )));
    }
    let config = retrying(PATIENCE, request.clock, || request.admin.config(log))?;
    for (option, expected) in [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")] {
        let value = config.get(option).map_or("", String::as_str);
        if value != expected {
            return Err(Error::fail_job(format!(
                "the job's log topic {log} has {option}={value}, which would lose state: set it back to {expected} \
                 (kafka-configs --alter --topic {log} --add-config {option}={expected})"
            )));
        }
    }
    Ok(existed)
}

/// Makes sure that nobody else writes under an earlier claim, or stands down before a later one.
fn take_over(request: &StartRequest<'_>, log: &str, stores: &[TaskStore]) -> Result<()> {
    let identity = &request.job.identity;
    let own = identity.transactional_id(0);
    let mut others = BTreeSet::new();
    loop {
        let mut reader = LogReader::new(request, log, "read_uncommitted", |task| start_offset(&stores[task as usize]))?;
        let mut foreign_holder = None;
        reader.read_to_end(&mut |_, _, record| {
            match record {
                LogRecord::Claim(claim) => {
                    if claim.generation > identity.generation {
                        return Err(stand_down(&claim, identity.generation));
                    }
                    let same_place = claim.generation == identity.generation && claim.ordinal == 0;
                    foreign_holder = (same_place && claim.holder != request.holder).then(|| claim.holder.clone());
                    if claim.transactional_id != own {
                        others.insert(claim.transactional_id);
                    }
                }
                LogRecord::Release(_) => foreign_holder = None,
                LogRecord::Batch(_) | LogRecord::Commit(_) => {}
            }
            Ok(())
        })?;
        match foreign_holder {
            Some(holder) if still_writing(request, &reader, log)? => {
                tracing::warn!(%holder, "this worker's place is held by another process that still commits; waiting for it to end");
            }
            _ => break,
        }
    }
    for id in others {
        let fence = TransactionalProducer::new(request.cluster, &id, transaction_timeout(request.job), 1 << 20)?;
        retrying(PATIENCE, request.clock, || fence.init_transactions(Duration::from_secs(10)))?;
        tracing::info!(transactional_id = %id, "fenced an earlier worker");
    }
    Ok(())
}

fn stand_down(claim: &Claim, generation: u32) -> Error {
    Error::fail_job(format!(
        "generation {} of this job has taken over (by {}); generation {generation} stands down",
        claim.generation, claim.holder
    ))
}

/// Whether any of the logs grows within `SILENCE`.
fn still_writing(request: &StartRequest<'_>, reader: &LogReader, log: &str) -> Result<bool> {
    let ends = || -> Result<Vec<i64>> {
        let end = |task| reader.consumer.watermarks(log, task as i32, Duration::from_secs(10)).map(|(_, end)| end);
        (0..request.tasks).map(end).collect()
    };
    let before = ends()?;
    request.clock.sleep(SILENCE);
    Ok(ends()? != before)
}

fn claim(
    request: &StartRequest<'_>,
    log: &str,
    producer: &Arc<TransactionalProducer>,
    transactional_id: &str,
    attempt: &str,
) -> Result<()> {
    let record = LogRecord::Claim(Claim {
        generation: request.job.identity.generation,
        ordinal: 0,
        holder: request.holder.to_owned(),
        attempt: attempt.to_owned(),
        transactional_id: transactional_id.to_owned(),
    })
    .encode();
    producer.begin()?;
    super::write_to_logs(producer, log, (0..request.tasks).map(|_| record.clone()))?;
    match producer.commit(transaction_timeout(request.job)) {
        CommitOutcome::Clean => Ok(()),
        CommitOutcome::Retried => Err(Error::restart_worker("the claim was committed by a retried request")),
        CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => {
            Err(error.context("could not claim the tasks"))
        }
    }
}

fn start_offset(store: &TaskStore) -> i64 {
    store.applied().map_or(0, |applied| applied.log_offset)
}

/// Reads the logs of all tasks from given offsets.
struct LogReader {
    consumer: Arc<PartitionConsumer>,
    queue: FetchQueue,
    ended: Vec<bool>,
}

impl LogReader {
    fn new(request: &StartRequest<'_>, log: &str, isolation_level: &str, from: impl Fn(u32) -> i64) -> Result<Self> {
        let settings = ConsumerSettings {
            group_id: format!("{}.log-reader", request.job.identity.topic_prefix()),
            isolation_level: isolation_level.to_owned(),
            queued_bytes: request.job.memory.fetch,
        };
        let consumer = PartitionConsumer::new(request.cluster, &settings)?;
        let queue = FetchQueue::new(&consumer, 1024);
        for task in 0..request.tasks {
            consumer.assign(log, task as i32, from(task), &queue)?;
        }
        Ok(Self { consumer, queue, ended: vec![false; request.tasks as usize] })
    }

    /// Calls `visit(task, offset, record)` for what is there now. Returns when every partition's end was
    /// seen, or at the first error.
    fn read_to_end(&mut self, visit: &mut dyn FnMut(u32, i64, LogRecord<'_>) -> Result<()>) -> Result<()> {
        while self.ended.contains(&false) {
            self.read_some(visit)?;
        }
        Ok(())
    }

    fn read_some(&mut self, visit: &mut dyn FnMut(u32, i64, LogRecord<'_>) -> Result<()>) -> Result<u64> {
        let mut fetched = Vec::new();
        self.queue.fetch(Duration::from_millis(5), &mut fetched)?;
        let mut count = 0;
        for item in fetched {
            match item {
                Fetched::EndOfPartition { partition, .. } => self.ended[partition as usize] = true,
                Fetched::Records(records) => {
                    let task = records.partition() as u32;
                    for index in 0..records.len() {
                        let offset = records.offset(index);
                        let payload = records.payload(index).ok_or_else(|| corrupt("a record is empty"))?;
                        let record = LogRecord::decode(payload)
                            .map_err(|e| e.context(format!("task {task}, offset {offset}")))?;
                        visit(task, offset, record)?;
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }
}

/// Brings every store to the last commit before our claim.
struct Replay<'a> {
    request: &'a StartRequest<'a>,
    attempt: &'a str,
    reader: LogReader,
    tasks: Vec<TaskReplay>,
}

#[derive(Default)]
struct TaskReplay {
    /// Offset of the claim whose records follow; None before the first one is known.
    claim: Option<i64>,
    /// Offset of our own claim, once read.
    own: Option<i64>,
    /// Batches whose commit hasn't been read yet.
    batches: Vec<Vec<u8>>,
    /// Committed, not yet in the store.
    committed: Vec<Vec<u8>>,
    committed_bytes: usize,
    applied: Option<Applied>,
}

impl<'a> Replay<'a> {
    fn new(request: &'a StartRequest<'a>, log: &str, attempt: &'a str, stores: &[TaskStore]) -> Result<Self> {
        let reader = LogReader::new(request, log, "read_committed", |task| start_offset(&stores[task as usize]))?;
        let of_store =
            |store: &TaskStore| TaskReplay { claim: store.applied().map(|a| a.commit.claim), ..Default::default() };
        Ok(Self { request, attempt, reader, tasks: stores.iter().map(of_store).collect() })
    }

    fn run(mut self, stores: &mut [TaskStore]) -> Result<(Vec<i64>, u64)> {
        let deadline = self.request.clock.monotonic() + PATIENCE;
        let mut replayed = 0;
        while self.tasks.iter().any(|t| t.own.is_none()) {
            let (tasks, attempt, generation) = (&mut self.tasks, self.attempt, self.request.job.identity.generation);
            let read = self.reader.read_some(&mut |task, offset, record| {
                tasks[task as usize].read(offset, record, attempt, generation)?;
                tasks[task as usize].apply(&mut stores[task as usize], REPLAY_BYTES)
            })?;
            replayed += read;
            if read == 0 && self.request.clock.monotonic() > deadline {
                // A transaction of somebody else may hold the last stable offset back; starting again
                // scans and fences anew.
                return Err(Error::restart_worker("the task logs did not become readable up to this worker's claim"));
            }
        }
        for (task, store) in self.tasks.iter_mut().zip(stores) {
            task.apply(store, 0)?;
        }
        let claims = self.tasks.iter().map(|t| t.own.expect("the loop ends when all are known")).collect();
        Ok((claims, replayed))
    }
}

impl TaskReplay {
    fn read(&mut self, offset: i64, record: LogRecord<'_>, attempt: &str, generation: u32) -> Result<()> {
        match record {
            LogRecord::Claim(claim) if claim.attempt == attempt => self.own = Some(offset),
            _ if self.own.is_some() => return Err(Error::restart_worker("another worker claimed the tasks meanwhile")),
            LogRecord::Claim(claim) if claim.generation > generation => return Err(stand_down(&claim, generation)),
            LogRecord::Claim(_) => self.claim = Some(offset),
            LogRecord::Release(_) => {}
            LogRecord::Batch(Batch { claim, changes }) => {
                self.belongs(claim, offset)?;
                self.batches.push(changes.to_vec());
            }
            LogRecord::Commit(commit) => {
                self.belongs(commit.claim, offset)?;
                self.committed_bytes += self.batches.iter().map(Vec::len).sum::<usize>();
                self.committed.append(&mut self.batches);
                self.applied = Some(Applied { log_offset: offset + 1, commit });
            }
        }
        Ok(())
    }

    fn belongs(&self, claim: i64, offset: i64) -> Result<()> {
        match self.claim {
            Some(current) if current != claim => Err(corrupt(&format!(
                "the record at offset {offset} belongs to the claim at {claim}, not to the one at {current}"
            ))),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, store: &mut TaskStore, threshold: usize) -> Result<()> {
        if self.committed_bytes < threshold {
            return Ok(());
        }
        let Some(applied) = self.applied.take() else { return Ok(()) };
        store.apply(self.committed.iter().map(Vec::as_slice), applied)?;
        self.committed.clear();
        self.committed_bytes = 0;
        Ok(())
    }
}

/// Who works in a state directory: kept there, so that the same directory may claim again at once.
pub fn holder(job: &Job) -> Result<String> {
    let path = job.state_directory.join("holder");
    let operation = || format!("could not read or write {}", path.display());
    std::fs::create_dir_all(&job.state_directory).or_kind(ErrorKind::FailJob, operation())?;
    match std::fs::read_to_string(&path) {
        Ok(holder) if !holder.trim().is_empty() => Ok(holder.trim().to_owned()),
        _ => {
            let holder = uuid::Uuid::new_v4().to_string();
            std::fs::write(&path, &holder).or_kind(ErrorKind::FailJob, operation())?;
            Ok(holder)
        }
    }
}
