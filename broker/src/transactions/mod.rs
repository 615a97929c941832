//! The transaction coordinator: who holds a transactional id, which transaction is open, and how one
//! ends exactly once, also when the broker dies in the middle.
//!
//! A commit is decided by one record in the journal, synced after the data of every partition of the
//! transaction. Markers come after it and are written again by a restart where they are missing. An
//! id's lock is held while its transaction ends, so no request ever sees a half-ended one; all calls
//! block.

mod recovery;
mod state;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use crate::clock::now_ms;
use crate::image::{OffsetEntry, Phase, Record, TopicPartition, TransactionImage};
use crate::journal::Journal;
use crate::log::batch::Marker;
use crate::topics::Topics;
use state::{NextEpoch, Transaction};

/// Producer ids are taken from the journal in blocks, so that one id does not cost a record.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// A producer, as every transactional request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdAndEpoch {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// Why a transactional request is refused.
#[derive(Debug)]
pub(crate) enum TransactionError {
    Refused(ResponseError),
    /// The epoch is not the current one. What that is called depends on the request's version.
    Fenced,
    Storage(io::Error),
}

impl From<io::Error> for TransactionError {
    fn from(error: io::Error) -> Self {
        TransactionError::Storage(error)
    }
}

impl TransactionError {
    /// The error code; `knows_fenced` for versions in which `PRODUCER_FENCED` exists.
    pub(crate) fn code(&self, knows_fenced: bool) -> i16 {
        match self {
            TransactionError::Refused(error) => error.code(),
            TransactionError::Fenced if knows_fenced => ResponseError::ProducerFenced.code(),
            TransactionError::Fenced => ResponseError::InvalidProducerEpoch.code(),
            TransactionError::Storage(_) => ResponseError::KafkaStorageError.code(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Transactions {
    journal: Arc<Journal>,
    topics: Arc<Topics>,
    max_timeout: Duration,
    by_id: RwLock<HashMap<String, Arc<Mutex<Transaction>>>>,
    /// The producer ids at hand: next, and end of the block.
    producer_ids: Mutex<(i64, i64)>,
}

impl Transactions {
    /// Brings the coordinator back to what the journal says; see [`recovery`].
    pub(crate) fn open(journal: Arc<Journal>, topics: Arc<Topics>, max_timeout: Duration) -> io::Result<Self> {
        let images = journal.read(|image| image.transactions.clone());
        let recovered = recovery::recover(&journal, &topics, images)?;
        let by_id =
            recovered.into_iter().map(|(id, image)| (id, Arc::new(Mutex::new(Transaction::of(image))))).collect();
        Ok(Transactions { journal, topics, max_timeout, by_id: RwLock::new(by_id), producer_ids: Mutex::new((0, 0)) })
    }

    /// A producer id for a producer without transactions.
    pub(crate) fn new_producer_id(&self) -> io::Result<i64> {
        let mut ids = self.producer_ids.lock().expect("no code panics while it holds the ids");
        if ids.0 == ids.1 {
            let first = self.journal.read(|image| image.next_producer_id);
            let next = first + PRODUCER_ID_BLOCK;
            self.journal.append(Record::ProducerIdsReserved { next })?;
            self.journal.sync()?;
            *ids = (first, next);
        }
        ids.0 += 1;
        Ok(ids.0 - 1)
    }

    /// `InitProducerId` with a transactional id: fences whoever held it, aborts what they left open.
    /// `expected` is what a producer that recovers (KIP-360) thinks it is.
    pub(crate) fn init(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, TransactionError> {
        let timeout = u64::try_from(timeout_ms).unwrap_or(0);
        if timeout == 0 || timeout > self.max_timeout.as_millis() as u64 {
            return Err(TransactionError::Refused(ResponseError::InvalidTransactionTimeout));
        }
        let entry = self.entry(id)?;
        let mut transaction = lock(&entry);
        if transaction.image.phase == Phase::PrepareCommit {
            self.finish_commit(id, &mut transaction)?;
        }
        match transaction.next_epoch(expected).ok_or(TransactionError::Fenced)? {
            NextEpoch::Keep => {}
            NextEpoch::Raise if transaction.image.phase == Phase::Ongoing => {
                self.fence_and_abort(id, &mut transaction)?;
            }
            NextEpoch::Raise => transaction.raise_epoch(),
            NextEpoch::NewProducer => {
                transaction.image.producer_id = self.new_producer_id()?;
                transaction.image.epoch = 0;
                transaction.image.previous_epoch = -1;
            }
        }
        transaction.image.timeout_ms = timeout_ms;
        transaction.image.phase = Phase::Empty;
        self.journal.append(record(id, &transaction.image))?;
        self.journal.sync()?;
        Ok(transaction.producer())
    }

    /// `AddPartitionsToTxn`: begins the transaction where none is open.
    pub(crate) fn add_partitions(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), TransactionError> {
        let entry = self.known(id)?;
        let mut transaction = lock(&entry);
        transaction.check(producer)?;
        self.begin(id, &mut transaction)?;
        transaction.partitions.extend(partitions);
        Ok(())
    }

    /// `AddOffsetsToTxn`.
    pub(crate) fn add_group(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
        group: &str,
    ) -> Result<(), TransactionError> {
        let entry = self.known(id)?;
        let mut transaction = lock(&entry);
        transaction.check(producer)?;
        self.begin(id, &mut transaction)?;
        transaction.groups.insert(group.to_owned());
        Ok(())
    }

    /// `TxnOffsetCommit`: the offsets wait for the end of the transaction.
    pub(crate) fn add_offsets(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
        group: &str,
        offsets: Vec<OffsetEntry>,
    ) -> Result<(), TransactionError> {
        let entry = self.known(id)?;
        let mut transaction = lock(&entry);
        transaction.check(producer)?;
        if transaction.image.phase != Phase::Ongoing || !transaction.groups.contains(group) {
            return Err(TransactionError::Refused(ResponseError::InvalidTxnState));
        }
        transaction.offsets.extend(offsets.into_iter().map(|entry| (group.to_owned(), entry)));
        Ok(())
    }

    /// Runs `write`, which appends records of the transaction to `partition`, if the producer holds
    /// the id and the partition was added. The transaction cannot end meanwhile.
    pub(crate) fn write_in<T>(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partition: &TopicPartition,
        write: impl FnOnce() -> T,
    ) -> Result<T, TransactionError> {
        let entry = self.known(id)?;
        let transaction = lock(&entry);
        transaction.check(producer)?;
        if transaction.image.phase != Phase::Ongoing || !transaction.partitions.contains(partition) {
            return Err(TransactionError::Refused(ResponseError::InvalidTxnState));
        }
        Ok(write())
    }

    /// `EndTxn`. A client that lost the answer may ask again for the same outcome.
    pub(crate) fn end(&self, id: &str, producer: ProducerIdAndEpoch, marker: Marker) -> Result<(), TransactionError> {
        let entry = self.known(id)?;
        let mut transaction = lock(&entry);
        transaction.check(producer)?;
        match (transaction.image.phase, marker) {
            (Phase::Ongoing, Marker::Commit) => self.commit(id, &mut transaction),
            (Phase::Ongoing, Marker::Abort) => Ok(self.abort(id, &mut transaction)?),
            (Phase::PrepareCommit, Marker::Commit) => Ok(self.finish_commit(id, &mut transaction)?),
            (Phase::CompleteCommit, Marker::Commit) | (Phase::CompleteAbort, Marker::Abort) => Ok(()),
            _ => Err(TransactionError::Refused(ResponseError::InvalidTxnState)),
        }
    }

    /// Aborts the transactions that have run out of time, and fences their producers.
    pub(crate) fn abort_expired(&self, now: Instant) {
        let all: Vec<_> = self.read().iter().map(|(id, entry)| (id.clone(), Arc::clone(entry))).collect();
        for (id, entry) in all {
            // One that is busy is being used or ended: it is looked at again soon.
            let Ok(mut transaction) = entry.try_lock() else { continue };
            if !transaction.has_expired(now) {
                continue;
            }
            match self.fence_and_abort(&id, &mut transaction) {
                Ok(()) => tracing::info!(transactional_id = id, "aborted a transaction that timed out"),
                Err(error) => {
                    tracing::error!(transactional_id = id, %error, "cannot abort a transaction that timed out");
                }
            }
        }
    }

    /// The partitions of `group` for which open transactions hold offsets.
    pub(crate) fn pending_offsets(&self, group: &str) -> BTreeSet<TopicPartition> {
        let all: Vec<_> = self.read().values().cloned().collect();
        let mut pending = BTreeSet::new();
        for entry in all {
            let transaction = lock(&entry);
            let of_group = transaction.offsets.iter().filter(|(name, _)| name == group);
            pending.extend(of_group.map(|(_, entry)| (entry.topic.clone(), entry.partition)));
        }
        pending
    }

    fn begin(&self, id: &str, transaction: &mut Transaction) -> io::Result<()> {
        match transaction.image.phase {
            Phase::Ongoing => return Ok(()),
            Phase::PrepareCommit => self.finish_commit(id, transaction)?,
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => {}
        }
        let ongoing = TransactionImage { phase: Phase::Ongoing, ..transaction.image.clone() };
        // Not synced: where the machine dies, so does the data, and the transaction with it.
        self.journal.append(record(id, &ongoing))?;
        transaction.image = ongoing;
        transaction.started = Some(Instant::now());
        Ok(())
    }

    fn commit(&self, id: &str, transaction: &mut Transaction) -> Result<(), TransactionError> {
        self.flush(&transaction.partitions)?;
        let prepared = TransactionImage {
            phase: Phase::PrepareCommit,
            partitions: transaction.partitions.clone(),
            offsets: transaction.offsets.clone(),
            ..transaction.image.clone()
        };
        self.journal.append(record(id, &prepared))?;
        transaction.image = prepared;
        self.journal.sync()?;
        self.finish_commit(id, transaction)?;
        Ok(())
    }

    /// From the decision on, a commit can only go forward.
    fn finish_commit(&self, id: &str, transaction: &mut Transaction) -> io::Result<()> {
        self.write_markers(transaction.producer(), &transaction.partitions, Marker::Commit)?;
        self.complete(id, transaction, Phase::CompleteCommit)
    }

    fn abort(&self, id: &str, transaction: &mut Transaction) -> io::Result<()> {
        self.write_markers(transaction.producer(), &transaction.partitions, Marker::Abort)?;
        self.complete(id, transaction, Phase::CompleteAbort)
    }

    /// The epoch is raised first: from then on nothing of the old producer is accepted.
    fn fence_and_abort(&self, id: &str, transaction: &mut Transaction) -> io::Result<()> {
        let mut fenced = transaction.image.clone();
        fenced.previous_epoch = fenced.epoch;
        fenced.epoch = fenced.epoch.saturating_add(1);
        self.journal.append(record(id, &fenced))?;
        transaction.image = fenced;
        self.abort(id, transaction)
    }

    fn complete(&self, id: &str, transaction: &mut Transaction, phase: Phase) -> io::Result<()> {
        let complete =
            TransactionImage { phase, partitions: BTreeSet::new(), offsets: Vec::new(), ..transaction.image.clone() };
        self.journal.append(record(id, &complete))?;
        *transaction = Transaction::of(complete);
        Ok(())
    }

    fn write_markers(
        &self,
        producer: ProducerIdAndEpoch,
        partitions: &BTreeSet<TopicPartition>,
        marker: Marker,
    ) -> io::Result<()> {
        for (name, index) in partitions {
            // A topic that was deleted meanwhile needs no marker.
            let Some(topic) = self.topics.get(name) else { continue };
            let Some(partition) = topic.partition(*index) else { continue };
            let segment_bytes = topic.configs().segment_bytes;
            partition.append_marker((producer.id, producer.epoch), marker, now_ms(), segment_bytes)?;
        }
        Ok(())
    }

    /// Syncs the partitions at the same time, as each waits for the disk.
    fn flush(&self, partitions: &BTreeSet<TopicPartition>) -> io::Result<()> {
        let partitions: Vec<_> =
            partitions.iter().filter_map(|(name, index)| self.topics.partition(name, *index)).collect();
        let Some((last, others)) = partitions.split_last() else {
            return Ok(());
        };
        std::thread::scope(|scope| {
            let syncs: Vec<_> = others.iter().map(|partition| scope.spawn(|| partition.flush())).collect();
            let mut result = last.flush();
            for sync in syncs {
                let synced = sync.join().unwrap_or_else(|_| Err(io::Error::other("a sync panicked")));
                result = result.and(synced);
            }
            result
        })
    }

    fn entry(&self, id: &str) -> io::Result<Arc<Mutex<Transaction>>> {
        if let Some(entry) = self.read().get(id) {
            return Ok(Arc::clone(entry));
        }
        let image = TransactionImage {
            producer_id: self.new_producer_id()?,
            epoch: -1,
            previous_epoch: -1,
            ..TransactionImage::default()
        };
        let mut by_id = self.by_id.write().expect("no code panics while it changes the ids");
        let new = || Arc::new(Mutex::new(Transaction::of(image)));
        Ok(Arc::clone(by_id.entry(id.to_owned()).or_insert_with(new)))
    }

    fn known(&self, id: &str) -> Result<Arc<Mutex<Transaction>>, TransactionError> {
        let refused = TransactionError::Refused(ResponseError::InvalidProducerIdMapping);
        self.read().get(id).cloned().ok_or(refused)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<Mutex<Transaction>>>> {
        self.by_id.read().expect("no code panics while it changes the ids")
    }
}

fn lock(entry: &Mutex<Transaction>) -> MutexGuard<'_, Transaction> {
    entry.lock().expect("no code panics while it holds a transaction")
}

fn record(id: &str, image: &TransactionImage) -> Record {
    Record::Transaction { id: id.to_owned(), transaction: image.clone() }
}
