//! A model of Kafka as far as the commit protocol leans on it: topics in partitions, transactions by
//! producer epoch, what readers of either isolation level see, and how much of a log is left. Every call
//! takes effect at one instant; who calls, when, and whether the answer arrives is the world's business.
//! `conformance` says what it has in common with a real broker.

mod partition;
mod coordinator;

pub use coordinator::{ProducerId, Settling};
pub use partition::{Isolation, Record};

use coordinator::Coordinator;
use partition::Partition;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Simulated time, in microseconds since the run began.
pub type Micros = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: u16,
    pub partition: u32,
}

/// What a broker answers instead of doing what it was asked, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// CONCURRENT_TRANSACTIONS: the transaction before is still being ended; ask again.
    Concurrent,
    /// PRODUCER_FENCED, INVALID_PRODUCER_EPOCH: somebody has registered the id since.
    Fenced,
    /// INVALID_TXN_STATE: no transaction is under way, or the partition isn't part of it.
    InvalidState,
    /// OFFSET_OUT_OF_RANGE.
    OutOfRange,
    /// The request was not served, and the client has given up on it.
    Failed,
}

pub type Result<T, E = LogError> = std::result::Result<T, E>;

pub struct Fetched {
    pub records: Vec<Record>,
    /// Where to go on: behind control records and aborted ones, too.
    pub next: i64,
}

#[derive(Default)]
pub struct Log {
    partitions: BTreeMap<TopicPartition, Partition>,
    coordinator: Coordinator,
}

impl Log {
    pub fn create(&mut self, topic: u16, partitions: u32) {
        for partition in 0..partitions {
            self.partitions.entry(TopicPartition { topic, partition }).or_default();
        }
    }

    fn partition(&mut self, at: TopicPartition) -> &mut Partition {
        self.partitions.get_mut(&at).expect("topics are created before they are used")
    }

    fn read(&self, at: TopicPartition) -> &Partition {
        self.partitions.get(&at).expect("topics are created before they are used")
    }

    /// Lets time pass: transactions time out, and markers that are on their way arrive.
    pub fn advance(&mut self, now: Micros) {
        while let Some((at, id, commit)) = self.coordinator.due(now) {
            self.partition(at).end_transaction(id, commit);
        }
    }

    /// InitProducerId: whoever had this transactional id can't write any more, and its transaction is
    /// aborted.
    pub fn init_producer(&mut self, transactional_id: &str, timeout: Micros, now: Micros) -> Result<ProducerId> {
        self.advance(now);
        self.coordinator.init(transactional_id, timeout, now)
    }

    pub fn add_partitions(
        &mut self,
        transactional_id: &str,
        producer: ProducerId,
        partitions: &[TopicPartition],
        now: Micros,
    ) -> Result<()> {
        self.advance(now);
        self.coordinator.add_partitions(transactional_id, producer, partitions, now)
    }

    /// A batch in a transaction. Returns the offset of its first record. Brokers ask the coordinator whether
    /// the transaction is under way (KIP-890, part 1), so nothing is written outside of one.
    pub fn produce(
        &mut self,
        transactional_id: &str,
        producer: ProducerId,
        at: TopicPartition,
        values: impl IntoIterator<Item = Rc<[u8]>>,
        now: Micros,
    ) -> Result<i64> {
        self.advance(now);
        self.coordinator.verify(transactional_id, producer, at)?;
        let partition = self.partition(at);
        let first = partition.end();
        for value in values {
            partition.append(value, Some(producer.id));
        }
        Ok(first)
    }

    /// A record outside of any transaction.
    pub fn append(&mut self, at: TopicPartition, value: Rc<[u8]>) -> i64 {
        self.partition(at).append(value, None)
    }

    /// EndTxn. The answer comes before the markers are written; `settling` says when they are.
    pub fn end_txn(
        &mut self,
        transactional_id: &str,
        producer: ProducerId,
        commit: bool,
        settling: Settling,
        now: Micros,
    ) -> Result<()> {
        self.advance(now);
        self.coordinator.end(transactional_id, producer, commit, settling, now)
    }

    /// Lets the transaction under way time out at once. Returns whether there was one.
    pub fn time_out(&mut self, transactional_id: &str, now: Micros) -> bool {
        self.advance(now);
        self.coordinator.time_out(transactional_id, now)
    }

    /// What is there from `offset` on, at most `max` records. Never jumps forward by itself: reading below
    /// the log's start is an error.
    pub fn fetch(&mut self, at: TopicPartition, offset: i64, isolation: Isolation, max: usize) -> Result<Fetched> {
        let (records, next) = self.read(at).fetch(offset, isolation, max)?;
        Ok(Fetched { records, next })
    }

    pub fn delete_records(&mut self, at: TopicPartition, before: i64) -> Result<()> {
        self.partition(at).delete_before(before)
    }

    pub fn start_offset(&self, at: TopicPartition) -> i64 {
        self.read(at).start()
    }

    pub fn end_offset(&self, at: TopicPartition) -> i64 {
        self.read(at).end()
    }

    pub fn last_stable_offset(&self, at: TopicPartition) -> i64 {
        self.read(at).last_stable()
    }

    /// Whether a transaction is under way, or being ended, anywhere.
    pub fn is_settled(&self) -> bool {
        self.coordinator.is_settled()
    }
}
