//! The transaction coordinator of the model log: who holds which transactional id, in which epoch, and how
//! far its transaction has come. Markers reach the partitions one after another, so for a while one topic
//! shows a transaction that another one doesn't yet.

use super::{LogError, Micros, Result, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Between a transaction's abort by the broker itself and its markers.
const ABORT_SETTLING: Settling = Settling { first: 1_000, step: 500 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerId {
    pub id: u64,
    pub epoch: u32,
}

/// How long the markers of an ended transaction take: to the first partition, and to each further one.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    pub first: Micros,
    pub step: Micros,
}

enum State {
    Empty,
    Ongoing {
        since: Micros,
    },
    /// PrepareCommit, PrepareAbort: decided, the markers are on their way.
    Prepared {
        commit: bool,
        markers: VecDeque<(Micros, TopicPartition)>,
    },
    /// CompleteCommit, CompleteAbort.
    Complete {
        commit: bool,
    },
}

struct Transaction {
    producer: ProducerId,
    timeout: Micros,
    state: State,
    partitions: BTreeSet<TopicPartition>,
}

#[derive(Default)]
pub(super) struct Coordinator {
    transactions: BTreeMap<String, Transaction>,
    next_id: u64,
}

impl Transaction {
    fn prepare(&mut self, commit: bool, settling: Settling, now: Micros) {
        let partitions = std::mem::take(&mut self.partitions).into_iter().enumerate();
        let markers = partitions.map(|(n, at)| (now + settling.first + n as u64 * settling.step, at)).collect();
        self.state = State::Prepared { commit, markers };
    }

    /// Aborts what is under way on the broker's own account: the producer is fenced by it.
    fn fence_and_abort(&mut self, now: Micros) {
        self.producer.epoch += 1;
        self.prepare(false, ABORT_SETTLING, now);
    }
}

impl Coordinator {
    /// The next marker to be written by now, in the order of time; None when there is no more to do.
    pub(super) fn due(&mut self, now: Micros) -> Option<(TopicPartition, u64, bool)> {
        for transaction in self.transactions.values_mut() {
            if let State::Ongoing { since } = transaction.state
                && since + transaction.timeout <= now
            {
                transaction.fence_and_abort(since + transaction.timeout);
            }
        }
        let first = self.transactions.values_mut().filter_map(|transaction| {
            let State::Prepared { markers, .. } = &transaction.state else { return None };
            let at = markers.front().map_or(0, |(at, _)| *at);
            (at <= now).then_some((at, transaction))
        });
        let (_, transaction) = first.min_by_key(|(at, _)| *at)?;
        let State::Prepared { commit, markers } = &mut transaction.state else { return None };
        let commit = *commit;
        let marker = markers.pop_front();
        if markers.is_empty() {
            transaction.state = State::Complete { commit };
        }
        match marker {
            Some((_, at)) => Some((at, transaction.producer.id, commit)),
            // A transaction without partitions is complete at once; look for the next.
            None => self.due(now),
        }
    }

    pub(super) fn init(&mut self, transactional_id: &str, timeout: Micros, now: Micros) -> Result<ProducerId> {
        let Some(transaction) = self.transactions.get_mut(transactional_id) else {
            self.next_id += 1;
            let producer = ProducerId { id: self.next_id, epoch: 0 };
            let transaction = Transaction { producer, timeout, state: State::Empty, partitions: BTreeSet::new() };
            self.transactions.insert(transactional_id.to_owned(), transaction);
            return Ok(producer);
        };
        match transaction.state {
            State::Ongoing { .. } => {
                transaction.fence_and_abort(now);
                Err(LogError::Concurrent)
            }
            State::Prepared { .. } => Err(LogError::Concurrent),
            State::Empty | State::Complete { .. } => {
                transaction.producer.epoch += 1;
                transaction.timeout = timeout;
                transaction.state = State::Empty;
                Ok(transaction.producer)
            }
        }
    }

    fn of(&mut self, transactional_id: &str, producer: ProducerId) -> Result<&mut Transaction> {
        let transaction = self.transactions.get_mut(transactional_id).ok_or(LogError::InvalidState)?;
        if transaction.producer == producer { Ok(transaction) } else { Err(LogError::Fenced) }
    }

    pub(super) fn add_partitions(
        &mut self,
        transactional_id: &str,
        producer: ProducerId,
        partitions: &[TopicPartition],
        now: Micros,
    ) -> Result<()> {
        let transaction = self.of(transactional_id, producer)?;
        match transaction.state {
            State::Prepared { .. } => return Err(LogError::Concurrent),
            State::Empty | State::Complete { .. } => transaction.state = State::Ongoing { since: now },
            State::Ongoing { .. } => {}
        }
        transaction.partitions.extend(partitions);
        Ok(())
    }

    pub(super) fn verify(&mut self, transactional_id: &str, producer: ProducerId, at: TopicPartition) -> Result<()> {
        let transaction = self.of(transactional_id, producer)?;
        let ongoing = matches!(transaction.state, State::Ongoing { .. });
        if ongoing && transaction.partitions.contains(&at) { Ok(()) } else { Err(LogError::InvalidState) }
    }

    pub(super) fn end(
        &mut self,
        transactional_id: &str,
        producer: ProducerId,
        commit: bool,
        settling: Settling,
        now: Micros,
    ) -> Result<()> {
        let transaction = self.of(transactional_id, producer)?;
        match &transaction.state {
            State::Ongoing { .. } => {
                transaction.prepare(commit, settling, now);
                Ok(())
            }
            State::Prepared { commit: decided, .. } if *decided == commit => Err(LogError::Concurrent),
            State::Complete { commit: decided } if *decided == commit => Ok(()),
            State::Empty | State::Prepared { .. } | State::Complete { .. } => Err(LogError::InvalidState),
        }
    }

    pub(super) fn time_out(&mut self, transactional_id: &str, now: Micros) -> bool {
        match self.transactions.get_mut(transactional_id) {
            Some(transaction) if matches!(transaction.state, State::Ongoing { .. }) => {
                transaction.fence_and_abort(now);
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.transactions.values().any(|t| matches!(t.state, State::Ongoing { .. } | State::Prepared { .. }))
    }
}
