//! A transactional producer on the model log, with the habits of librdkafka: partitions are added once per
//! transaction, batches are sent along the way, EndTxn is retried silently until the transaction's timeout.

use super::task::Outgoing;
use super::worker::Place;
use crate::log::{LogError, Micros, ProducerId, Result, TopicPartition};
use crate::world::{Ctx, MILLISECOND};
use millrace_protocol::record::LogRecord;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// After this long without an answer the client asks again.
const REQUEST_TIMEOUT: Micros = 60 * MILLISECOND;
const RETRY: Micros = 3 * MILLISECOND;
/// Records in one request.
const REQUEST_RECORDS: usize = 6;

/// What is known of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Committed, by the only EndTxn that was ever sent.
    Clean,
    /// Committed, and another copy of the EndTxn may still be under way.
    Retried,
    /// Committed or not.
    Unknown,
}

/// An EndTxn whose answer is awaited.
pub struct Ending {
    commit: bool,
    attempts: u32,
    request: u64,
    asked_at: Micros,
    deadline: Micros,
    /// When to ask again, where the broker said to.
    again_at: Option<Micros>,
}

pub struct Producer {
    transactional_id: String,
    id: ProducerId,
    added: BTreeSet<TopicPartition>,
    unsent: VecDeque<Outgoing>,
    /// By task: the offset of its commit record in the transaction.
    pub delivered: BTreeMap<u32, i64>,
    /// Bytes in the transaction.
    pub produced: usize,
    failed: bool,
}

/// Registers a transactional id, which fences whoever had it.
pub async fn register(ctx: &Ctx, transactional_id: &str) -> Result<Producer> {
    let timeout = ctx.settings().transaction_timeout;
    loop {
        match ctx.call(|log, now| log.init_producer(transactional_id, timeout, now)).await {
            Ok(_) if ctx.loses_registration() => ctx.sleep(REQUEST_TIMEOUT).await,
            Ok(id) => {
                ctx.event("registered", &[id.id as i64, i64::from(id.epoch)]);
                return Ok(Producer::new(transactional_id, id));
            }
            Err(LogError::Concurrent) => ctx.sleep(RETRY).await,
            Err(error) => return Err(error),
        }
    }
}

impl Producer {
    fn new(transactional_id: &str, id: ProducerId) -> Self {
        Self {
            transactional_id: transactional_id.to_owned(),
            id,
            added: BTreeSet::new(),
            unsent: VecDeque::new(),
            delivered: BTreeMap::new(),
            produced: 0,
            failed: false,
        }
    }

    /// The next transaction. The broker hears of it with its first record.
    pub fn begin(&mut self) {
        self.added.clear();
        self.delivered.clear();
        self.produced = 0;
    }

    pub fn send(&mut self, outgoing: Outgoing) {
        self.produced += outgoing.value.len();
        self.unsent.push_back(outgoing);
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends one request's worth of what waits.
    pub async fn send_some(&mut self, ctx: &Ctx) -> Result<()> {
        let Some(first) = self.unsent.front().map(|outgoing| outgoing.to) else { return Ok(()) };
        if !self.added.contains(&first) {
            self.add_partition(ctx, first).await?;
        }
        let same = self.unsent.iter().take(REQUEST_RECORDS).take_while(|outgoing| outgoing.to == first).count();
        let batch: Vec<Outgoing> = self.unsent.drain(..same).collect();
        let (transactional_id, id) = (self.transactional_id.as_str(), self.id);
        let values: Vec<_> = batch.iter().map(|outgoing| outgoing.value.clone()).collect();
        match ctx.call_produce(|log, now| log.produce(transactional_id, id, first, values, now)).await {
            Ok(offset) => {
                for (offset, outgoing) in (offset..).zip(batch) {
                    if let Some(task) = outgoing.commit_of {
                        self.delivered.insert(task, offset);
                    }
                }
            }
            Err(LogError::Failed) => self.failed = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn add_partition(&mut self, ctx: &Ctx, at: TopicPartition) -> Result<()> {
        let (transactional_id, id) = (self.transactional_id.as_str(), self.id);
        loop {
            match ctx.call(|log, now| log.add_partitions(transactional_id, id, &[at], now)).await {
                Ok(()) => break,
                Err(LogError::Concurrent) => ctx.sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
        self.added.insert(at);
        Ok(())
    }

    /// Sends everything, and checks every delivery.
    pub async fn flush(&mut self, ctx: &Ctx) -> Result<()> {
        while self.has_unsent() {
            self.send_some(ctx).await?;
        }
        if self.failed { Err(LogError::Failed) } else { Ok(()) }
    }

    /// Writes a record to the log of every task of a place, in a transaction of its own.
    pub async fn write_alone(&mut self, ctx: &Ctx, place: &Place, record: &LogRecord<'_>) -> Result<CommitOutcome> {
        self.begin();
        for task in place.assignment.tasks() {
            let to = place.topics.task_log(task);
            self.send(Outgoing { to, value: record.encode().into(), commit_of: None });
        }
        self.flush(ctx).await?;
        Ok(self.end_and_wait(ctx, true).await)
    }

    /// Asks for the end of the transaction.
    pub fn end(&self, ctx: &Ctx, commit: bool) -> Ending {
        let now = ctx.now();
        let deadline = now + ctx.settings().transaction_timeout;
        let request = ctx.send_end_txn(&self.transactional_id, self.id, commit, 1);
        Ending { commit, attempts: 1, request, asked_at: now, deadline, again_at: None }
    }

    /// Looks for the answer, and asks again where none has come.
    pub fn poll_end(&self, ctx: &Ctx, ending: &mut Ending) -> Option<CommitOutcome> {
        let now = ctx.now();
        let outcome = match ctx.answer(ending.request) {
            Some(Ok(())) if ending.attempts == 1 => CommitOutcome::Clean,
            Some(Ok(())) => CommitOutcome::Retried,
            Some(Err(LogError::Concurrent)) => {
                ending.again_at = Some(now + RETRY);
                return None;
            }
            Some(Err(_)) => CommitOutcome::Unknown,
            None if now >= ending.deadline => CommitOutcome::Unknown,
            None => {
                let again = ending.again_at.unwrap_or(ending.asked_at + REQUEST_TIMEOUT);
                if now >= again {
                    ending.attempts += 1;
                    ending.again_at = None;
                    ending.asked_at = now;
                    ending.request = ctx.send_end_txn(&self.transactional_id, self.id, ending.commit, ending.attempts);
                }
                return None;
            }
        };
        ctx.event("ended", &[i64::from(ending.commit), i64::from(ending.attempts), outcome as i64]);
        ctx.end_txn_over(self.id, outcome != CommitOutcome::Unknown);
        Some(outcome)
    }

    /// Ends the transaction, and waits for what is to be known of it.
    pub async fn end_and_wait(&self, ctx: &Ctx, commit: bool) -> CommitOutcome {
        let mut ending = self.end(ctx, commit);
        loop {
            if let Some(outcome) = self.poll_end(ctx, &mut ending) {
                return outcome;
            }
            ctx.sleep(RETRY).await;
        }
    }
}
