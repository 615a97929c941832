//! What a partition knows of the producers that write to it: sequence numbers for idempotence, open
//! transactions for the last stable offset, aborted ones for `read_committed` readers.
//!
//! It is derived from the log alone and rebuilt from it; whether a transactional producer may write
//! at all is the transaction coordinator's business.

use std::collections::{HashMap, VecDeque};

use thiserror::Error;

use super::batch::{BatchHeader, Marker};

/// A producer has at most five requests in flight, so that many batches may arrive a second time.
const REMEMBERED_BATCHES: usize = 5;
const NO_SEQUENCE: i32 = -1;

/// Why a producer's batch is refused.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProducerError {
    #[error("the producer's epoch is older than one that has written here")]
    Fenced,
    #[error("the batch does not follow the producer's last one")]
    OutOfOrder,
}

/// What to do with a producer's batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Append,
    /// It is in the log already, at this offset: the answer to it was lost on its way.
    Duplicate(i64),
}

/// An aborted transaction of this partition: readers skip its records between these offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of the abort marker.
    pub(crate) last_offset: i64,
}

#[derive(Debug, Clone, Copy)]
struct RememberedBatch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    last_sequence: i32,
    recent: VecDeque<RememberedBatch>,
    /// The first offset of the transaction that is open here.
    open_since: Option<i64>,
    last_timestamp: i64,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Producer {
            epoch,
            last_sequence: NO_SEQUENCE,
            recent: VecDeque::new(),
            open_since: None,
            last_timestamp: i64::MIN,
        }
    }

    fn move_to_epoch(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.last_sequence = NO_SEQUENCE;
            self.recent.clear();
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
    aborted: Vec<AbortedTransaction>,
}

impl Producers {
    /// Whether this batch may be appended. A producer that is not known, for its records were all
    /// deleted, may begin with any sequence number.
    pub(crate) fn admit(&self, header: &BatchHeader) -> Result<Admission, ProducerError> {
        if !header.has_producer() {
            return Ok(Admission::Append);
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(Admission::Append);
        };
        if header.producer_epoch < producer.epoch {
            return Err(ProducerError::Fenced);
        }
        let expected = if header.producer_epoch > producer.epoch {
            0
        } else {
            let again = producer.recent.iter().find(|batch| {
                batch.first_sequence == header.base_sequence && batch.last_sequence == header.last_sequence()
            });
            if let Some(batch) = again {
                return Ok(Admission::Duplicate(batch.base_offset));
            }
            producer.last_sequence.wrapping_add(1) & i32::MAX
        };
        if header.base_sequence == expected { Ok(Admission::Append) } else { Err(ProducerError::OutOfOrder) }
    }

    /// Notes a batch of records that is in the log now.
    pub(crate) fn note_records(&mut self, header: &BatchHeader) {
        if !header.has_producer() {
            return;
        }
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.move_to_epoch(header.producer_epoch);
        producer.last_sequence = header.last_sequence();
        producer.last_timestamp = producer.last_timestamp.max(header.max_timestamp);
        producer.recent.push_back(RememberedBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
        });
        if producer.recent.len() > REMEMBERED_BATCHES {
            producer.recent.pop_front();
        }
        if header.is_transactional() {
            producer.open_since.get_or_insert(header.base_offset);
        }
    }

    /// Notes a marker that is in the log now.
    pub(crate) fn note_marker(&mut self, header: &BatchHeader, marker: Marker) {
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.move_to_epoch(header.producer_epoch.max(producer.epoch));
        producer.last_timestamp = producer.last_timestamp.max(header.max_timestamp);
        let opened = producer.open_since.take();
        if let (Some(first_offset), Marker::Abort) = (opened, marker) {
            self.aborted.push(AbortedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.base_offset,
            });
        }
    }

    /// The offset of the oldest record whose transaction is still open.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.by_id.values().filter_map(|producer| producer.open_since).min()
    }

    /// The producers with an open transaction, with their epochs.
    pub(crate) fn open_transactions(&self) -> Vec<(i64, i16)> {
        let open = self.by_id.iter().filter(|(_, producer)| producer.open_since.is_some());
        open.map(|(id, producer)| (*id, producer.epoch)).collect()
    }

    pub(crate) fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.by_id.get(&producer_id).is_some_and(|producer| producer.open_since.is_some())
    }

    /// The aborted transactions with records or their marker in `from..below`.
    pub(crate) fn aborted_between(&self, from: i64, below: i64) -> Vec<AbortedTransaction> {
        // Markers come in log order, so what ended before `from` is a prefix.
        let start = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        self.aborted[start..].iter().filter(|aborted| aborted.first_offset < below).copied().collect()
    }

    /// Forgets what lies before the log's new start, and producers silent since `silent_since`.
    pub(crate) fn forget(&mut self, log_start: i64, silent_since: i64) {
        self.aborted.retain(|aborted| aborted.last_offset >= log_start);
        self.by_id.retain(|_, producer| producer.open_since.is_some() || producer.last_timestamp >= silent_since);
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::marker_batch;
    use super::super::batch::testing::{Spec, batch};
    use super::*;

    fn header(offset: i64, epoch: i16, sequence: i32, records: i32) -> BatchHeader {
        let bytes =
            batch(Spec { records, producer: Some((9, epoch, sequence)), transactional: true, ..Spec::default() });
        BatchHeader { base_offset: offset, ..BatchHeader::parse(&bytes).expect("valid") }
    }

    fn marker(offset: i64, epoch: i16, marker: Marker) -> BatchHeader {
        let bytes = marker_batch(9, epoch, marker, 0);
        BatchHeader { base_offset: offset, ..BatchHeader::parse(&bytes).expect("valid") }
    }

    #[test]
    fn a_batch_sent_again_is_a_duplicate_and_a_gap_is_refused() {
        let mut producers = Producers::default();
        producers.note_records(&header(100, 0, 0, 3));
        assert_eq!(producers.admit(&header(0, 0, 0, 3)), Ok(Admission::Duplicate(100)));
        assert_eq!(producers.admit(&header(0, 0, 3, 1)), Ok(Admission::Append));
        assert_eq!(producers.admit(&header(0, 0, 4, 1)), Err(ProducerError::OutOfOrder));
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
        let mut producers = Producers::default();
        producers.note_records(&header(0, 1, 0, 3));
        assert_eq!(producers.admit(&header(0, 2, 3, 1)), Err(ProducerError::OutOfOrder));
        producers.note_records(&header(3, 2, 0, 1));
        assert_eq!(producers.admit(&header(0, 1, 3, 1)), Err(ProducerError::Fenced));
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.note_records(&header(0, 0, i32::MAX - 1, 2));
        assert_eq!(producers.admit(&header(0, 0, 0, 1)), Ok(Admission::Append));
    }

    #[test]
    fn an_abort_marker_closes_the_transaction_and_is_listed_for_readers() {
        let mut producers = Producers::default();
        producers.note_records(&header(10, 0, 0, 5));
        assert_eq!(producers.first_open_offset(), Some(10));
        producers.note_marker(&marker(15, 0, Marker::Abort), Marker::Abort);
        assert_eq!(producers.first_open_offset(), None);
        assert_eq!(producers.aborted_between(0, 11).len(), 1);
        assert_eq!(producers.aborted_between(0, 10).len(), 0);
        assert_eq!(producers.aborted_between(16, 100).len(), 0);
        producers.forget(16, i64::MIN);
        assert_eq!(producers.aborted_between(0, 100).len(), 0);
    }

    #[test]
    fn a_marker_of_a_fencing_epoch_refuses_the_old_producer() {
        let mut producers = Producers::default();
        producers.note_records(&header(10, 0, 0, 5));
        producers.note_marker(&marker(15, 1, Marker::Abort), Marker::Abort);
        assert_eq!(producers.admit(&header(0, 0, 5, 1)), Err(ProducerError::Fenced));
        assert_eq!(producers.admit(&header(0, 1, 0, 1)), Ok(Admission::Append));
    }
}
