//! One transactional id: its producer and epoch, its open transaction, and the rules by which a
//! producer gets the id. No IO.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::{ProducerIdAndEpoch, TransactionError};
use crate::image::{OffsetEntry, Phase, TopicPartition, TransactionImage};

/// The last epoch given to a producer; one more is left to fence it.
const LAST_EPOCH: i16 = i16::MAX - 1;

#[derive(Debug)]
pub(super) struct Transaction {
    /// What the journal knows.
    pub(super) image: TransactionImage,
    pub(super) started: Option<Instant>,
    pub(super) partitions: BTreeSet<TopicPartition>,
    pub(super) groups: BTreeSet<String>,
    pub(super) offsets: Vec<(String, OffsetEntry)>,
}

/// What `InitProducerId` does to the epoch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextEpoch {
    /// The request was answered before; the answer is given again.
    Keep,
    Raise,
    /// The epochs of this producer id are used up.
    NewProducer,
}

impl Transaction {
    pub(super) fn of(image: TransactionImage) -> Self {
        Transaction { image, started: None, partitions: BTreeSet::new(), groups: BTreeSet::new(), offsets: Vec::new() }
    }

    pub(super) fn producer(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch { id: self.image.producer_id, epoch: self.image.epoch }
    }

    /// Whether a request comes from the producer that holds the id.
    pub(super) fn check(&self, producer: ProducerIdAndEpoch) -> Result<(), TransactionError> {
        if producer.id != self.image.producer_id {
            return Err(TransactionError::Refused(ResponseError::InvalidProducerIdMapping));
        }
        if producer.epoch != self.image.epoch {
            return Err(TransactionError::Fenced);
        }
        Ok(())
    }

    /// What the producer that asks for the id gets; `None` if it was fenced. A producer that says
    /// who it is must be the current one, or the one before it that did not get its answer.
    pub(super) fn next_epoch(&self, expected: Option<ProducerIdAndEpoch>) -> Option<NextEpoch> {
        if let (Some(expected), true) = (expected, self.image.epoch >= 0) {
            if expected.id != self.image.producer_id {
                return None;
            }
            if expected.epoch != self.image.epoch {
                return (expected.epoch == self.image.previous_epoch && self.image.phase == Phase::Empty)
                    .then_some(NextEpoch::Keep);
            }
        }
        if self.image.epoch >= LAST_EPOCH && self.image.phase != Phase::Ongoing {
            return Some(NextEpoch::NewProducer);
        }
        Some(NextEpoch::Raise)
    }

    pub(super) fn raise_epoch(&mut self) {
        self.image.previous_epoch = self.image.epoch;
        self.image.epoch += 1;
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        let timeout = Duration::from_millis(self.image.timeout_ms.max(0) as u64);
        self.image.phase == Phase::Ongoing && self.started.is_some_and(|started| now.duration_since(started) >= timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: i16, previous_epoch: i16, phase: Phase) -> Transaction {
        Transaction::of(TransactionImage {
            producer_id: 7,
            epoch,
            previous_epoch,
            phase,
            timeout_ms: 1000,
            ..TransactionImage::default()
        })
    }

    fn producer(id: i64, epoch: i16) -> Option<ProducerIdAndEpoch> {
        Some(ProducerIdAndEpoch { id, epoch })
    }

    #[test]
    fn a_producer_that_names_itself_gets_the_id_only_if_it_still_holds_it() {
        let held = at(3, 2, Phase::CompleteCommit);
        assert_eq!(held.next_epoch(None), Some(NextEpoch::Raise));
        assert_eq!(held.next_epoch(producer(7, 3)), Some(NextEpoch::Raise));
        assert_eq!(held.next_epoch(producer(7, 1)), None);
        assert_eq!(held.next_epoch(producer(8, 3)), None);
    }

    #[test]
    fn a_lost_answer_to_init_is_given_again() {
        assert_eq!(at(3, 2, Phase::Empty).next_epoch(producer(7, 2)), Some(NextEpoch::Keep));
    }

    #[test]
    fn a_producer_fenced_by_a_time_out_does_not_come_back_by_its_old_epoch() {
        assert_eq!(at(3, 2, Phase::CompleteAbort).next_epoch(producer(7, 2)), None);
    }

    #[test]
    fn used_up_epochs_bring_a_new_producer_id() {
        let used_up = at(LAST_EPOCH, LAST_EPOCH - 1, Phase::CompleteCommit);
        assert_eq!(used_up.next_epoch(None), Some(NextEpoch::NewProducer));
    }

    #[test]
    fn only_an_open_transaction_expires() {
        let now = Instant::now();
        let mut open = at(0, -1, Phase::Ongoing);
        open.started = Some(now);
        assert!(!open.has_expired(now));
        assert!(open.has_expired(now + Duration::from_secs(1)));
        open.image.phase = Phase::CompleteAbort;
        assert!(!open.has_expired(now + Duration::from_secs(1)));
    }
}
