//! The model log as the conformance suite sees it: every call waits until its effect is there.

use super::{Answer, Handle, LogUnderTest, Offsets, Records, Refusal, Topic};
use crate::log::{Isolation, Log, LogError, Micros, ProducerId, Settling, TopicPartition};
use std::collections::BTreeSet;

const TIMEOUT: Micros = 1_000_000;
const STEP: Micros = 10_000;
const SETTLING: Settling = Settling { first: 100, step: 100 };

#[derive(Default)]
pub struct ModelLog {
    log: Log,
    now: Micros,
    topics: u16,
    producers: Vec<(String, ProducerId)>,
    /// By producer: what its client believes to be part of the transaction. It adds a partition once, and
    /// asks for no end without any.
    added: Vec<BTreeSet<TopicPartition>>,
}

fn refusal(error: LogError) -> Refusal {
    match error {
        LogError::OutOfRange => Refusal::OutOfRange,
        other => Refusal::Refused(format!("{other:?}")),
    }
}

impl ModelLog {
    fn pass(&mut self) -> Micros {
        self.now += STEP;
        self.log.advance(self.now);
        self.now
    }

    fn of(&self, producer: Handle) -> (String, ProducerId) {
        self.producers[producer.0].clone()
    }

    fn end(&mut self, producer: Handle, commit: bool) -> Answer<()> {
        if std::mem::take(&mut self.added[producer.0]).is_empty() {
            return Ok(());
        }
        self.send_end(producer, commit)
    }

    fn send_end(&mut self, producer: Handle, commit: bool) -> Answer<()> {
        let now = self.pass();
        let (name, id) = self.of(producer);
        let answer = self.log.end_txn(&name, id, commit, SETTLING, now).map_err(refusal);
        self.pass();
        answer
    }
}

fn at(topic: Topic, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.0 as u16, partition }
}

impl LogUnderTest for ModelLog {
    fn topic(&mut self, partitions: u32) -> Topic {
        self.log.create(self.topics, partitions);
        self.topics += 1;
        Topic(usize::from(self.topics - 1))
    }

    fn init(&mut self, transactional_id: u32) -> Answer<Handle> {
        let name = transactional_id.to_string();
        loop {
            let now = self.pass();
            match self.log.init_producer(&name, TIMEOUT, now) {
                Ok(id) => {
                    self.producers.push((name, id));
                    self.added.push(BTreeSet::new());
                    return Ok(Handle(self.producers.len() - 1));
                }
                Err(LogError::Concurrent) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    fn begin(&mut self, producer: Handle) -> Answer<()> {
        self.added[producer.0].clear();
        Ok(())
    }

    fn produce(&mut self, producer: Handle, topic: Topic, partition: u32, value: &[u8]) -> Answer<i64> {
        let now = self.pass();
        let (name, id) = self.of(producer);
        let to = at(topic, partition);
        if !self.added[producer.0].contains(&to) {
            self.log.add_partitions(&name, id, &[to], now).map_err(refusal)?;
            self.added[producer.0].insert(to);
        }
        self.log.produce(&name, id, to, [value.into()], now).map_err(refusal)
    }

    fn commit(&mut self, producer: Handle) -> Answer<()> {
        self.end(producer, true)
    }

    fn abort(&mut self, producer: Handle) -> Answer<()> {
        self.end(producer, false)
    }

    fn fetch(&mut self, topic: Topic, partition: u32, from: i64, isolation: Isolation) -> Answer<Records> {
        self.pass();
        let fetched = self.log.fetch(at(topic, partition), from, isolation, usize::MAX).map_err(refusal)?;
        Ok(fetched.records.into_iter().map(|record| (record.offset, record.value.to_vec())).collect())
    }

    fn offsets(&mut self, topic: Topic, partition: u32) -> Offsets {
        self.pass();
        let at = at(topic, partition);
        Offsets {
            start: self.log.start_offset(at),
            last_stable: self.log.last_stable_offset(at),
            end: self.log.end_offset(at),
        }
    }

    fn delete_records(&mut self, topic: Topic, partition: u32, before: i64) -> Answer<()> {
        self.pass();
        self.log.delete_records(at(topic, partition), before).map_err(refusal)
    }

    fn outlive_transactions(&mut self) {
        self.now += 2 * TIMEOUT;
        self.pass();
    }

    fn end_late(&mut self, producer: Handle, commit: bool) -> Answer<()> {
        self.send_end(producer, commit)
    }
}
