//! What an exchange over Kafka promises: from each task upstream, every record once and in order. Records
//! are numbered per pair of tasks; both ends keep their count as state, in the commits that send and
//! receive them, so a gap or a repeat can't pass unseen.
//!
//! Two tasks of one worker need no records: rows go through memory, inside one commit, and no number is
//! spent. Where a pair becomes local after having been apart, memory may be used only when everything
//! sent has been received, or rows would overtake those that still wait in Kafka.

use crate::error::{ProtocolError, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of one task, for one exchange.
#[derive(Debug, Default)]
pub struct Links {
    task: u32,
    /// By task downstream: records sent.
    sent: BTreeMap<u32, u64>,
    /// By task upstream: records received.
    received: BTreeMap<u32, u64>,
    changed_sent: BTreeSet<u32>,
    changed_received: BTreeSet<u32>,
}

impl Links {
    pub fn new(task: u32) -> Self {
        Self { task, ..Self::default() }
    }

    pub fn restore_sent(&mut self, to: u32, count: u64) {
        self.sent.insert(to, count);
    }

    pub fn restore_received(&mut self, from: u32, count: u64) {
        self.received.insert(from, count);
    }

    /// The number of the next record to `to`, which is thereby sent. The first is 1.
    pub fn send(&mut self, to: u32) -> u64 {
        self.changed_sent.insert(to);
        let count = self.sent.entry(to).or_default();
        *count += 1;
        *count
    }

    /// Checks the number of a record from `from`, which is thereby received.
    pub fn receive(&mut self, from: u32, number: u64) -> Result<()> {
        let count = self.received.entry(from).or_default();
        if number != *count + 1 {
            return Err(ProtocolError::BrokenLink {
                upstream: from,
                task: self.task,
                expected: *count + 1,
                found: number,
            });
        }
        *count = number;
        self.changed_received.insert(from);
        Ok(())
    }

    pub fn sent(&self, to: u32) -> u64 {
        self.sent.get(&to).copied().unwrap_or(0)
    }

    pub fn received(&self, from: u32) -> u64 {
        self.received.get(&from).copied().unwrap_or(0)
    }

    /// By task downstream.
    pub fn all_sent(&self) -> &BTreeMap<u32, u64> {
        &self.sent
    }

    /// By task upstream.
    pub fn all_received(&self) -> &BTreeMap<u32, u64> {
        &self.received
    }

    /// Counts of records sent that changed since the last call.
    pub fn take_sent(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.changed_sent).into_iter().map(|to| (to, self.sent[&to])).collect()
    }

    /// Counts of records received that changed since the last call.
    pub fn take_received(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.changed_received).into_iter().map(|from| (from, self.received[&from])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_a_repeat_are_noticed() {
        let mut links = Links::new(3);
        links.receive(1, 1).unwrap();
        links.receive(1, 2).unwrap();
        links.receive(2, 1).unwrap();
        for wrong in [2, 4] {
            let error = links.receive(1, wrong).unwrap_err();
            let expected = ProtocolError::BrokenLink { upstream: 1, task: 3, expected: 3, found: wrong };
            assert_eq!(error, expected);
        }
        links.receive(1, 3).unwrap();
    }

    #[test]
    fn counts_go_on_where_they_were_restored() {
        let mut links = Links::new(0);
        links.restore_sent(5, 41);
        links.restore_received(5, 7);
        assert_eq!(links.send(5), 42);
        links.receive(5, 8).unwrap();
        assert_eq!((links.take_sent(), links.take_received()), (vec![(5, 42)], vec![(5, 8)]));
        assert_eq!((links.take_sent(), links.take_received()), (vec![], vec![]));
    }
}
