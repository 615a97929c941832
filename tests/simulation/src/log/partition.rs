//! One partition of the model log: records and control markers by offset. Knows which producer's records
//! are undecided, and nothing of transactional ids or time.

use super::{LogError, Result};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub value: Rc<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open(u64),
    Committed,
    Aborted,
}

enum Entry {
    Data {
        value: Rc<[u8]>,
        fate: Fate,
    },
    /// A control record: takes an offset, and no reader sees it.
    Marker,
}

#[derive(Default)]
pub(super) struct Partition {
    /// Of the first entry, which is also the log's start.
    start: i64,
    entries: VecDeque<Entry>,
    /// By producer: the first offset of its transaction here.
    open: BTreeMap<u64, i64>,
}

impl Partition {
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn end(&self) -> i64 {
        self.start + self.entries.len() as i64
    }

    pub(super) fn last_stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(i64::MAX).min(self.end())
    }

    pub(super) fn append(&mut self, value: Rc<[u8]>, producer: Option<u64>) -> i64 {
        let offset = self.end();
        let fate = match producer {
            Some(id) => {
                self.open.entry(id).or_insert(offset);
                Fate::Open(id)
            }
            None => Fate::Committed,
        };
        self.entries.push_back(Entry::Data { value, fate });
        offset
    }

    /// Writes the marker of a producer's transaction, also where it wrote nothing: brokers do.
    pub(super) fn end_transaction(&mut self, producer: u64, commit: bool) {
        if let Some(first) = self.open.remove(&producer) {
            let from = (first - self.start).max(0) as usize;
            for entry in self.entries.range_mut(from..) {
                if let Entry::Data { fate, .. } = entry
                    && *fate == Fate::Open(producer)
                {
                    *fate = if commit { Fate::Committed } else { Fate::Aborted };
                }
            }
        }
        self.entries.push_back(Entry::Marker);
    }

    pub(super) fn fetch(&self, offset: i64, isolation: Isolation, max: usize) -> Result<(Vec<Record>, i64)> {
        if offset < self.start || offset > self.end() {
            return Err(LogError::OutOfRange);
        }
        let until = match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.end(),
        };
        let mut records = Vec::new();
        let mut next = offset;
        while next < until && records.len() < max {
            if let Entry::Data { value, fate } = &self.entries[(next - self.start) as usize]
                && (isolation == Isolation::ReadUncommitted || *fate == Fate::Committed)
            {
                records.push(Record { offset: next, value: value.clone() });
            }
            next += 1;
        }
        Ok((records, next))
    }

    pub(super) fn delete_before(&mut self, before: i64) -> Result<()> {
        if before > self.end() {
            return Err(LogError::OutOfRange);
        }
        while self.start < before {
            self.entries.pop_front();
            self.start += 1;
        }
        Ok(())
    }
}
