//! The broker's durable metadata: the records that change it, and the image they add up to.
//!
//! The image is what a restart brings back. Group members, open fetches and timers are not in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A topic's partition, by name.
pub(crate) type TopicPartition = (String, i32);

/// One change; the journal is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    Cluster {
        id: Uuid,
    },
    TopicCreated {
        name: String,
        id: Uuid,
        partitions: i32,
        configs: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
    },
    PartitionsAdded {
        name: String,
        partitions: i32,
    },
    ConfigsAltered {
        name: String,
        configs: BTreeMap<String, String>,
    },
    /// Records before `offset` were deleted.
    LogStart {
        topic: Uuid,
        partition: i32,
        offset: i64,
    },
    /// Producer ids below this one may have been given out.
    ProducerIdsReserved {
        next: i64,
    },
    Transaction {
        id: String,
        transaction: TransactionImage,
    },
    OffsetsCommitted {
        group: String,
        offsets: Vec<OffsetEntry>,
    },
    OffsetsDeleted {
        group: String,
        partitions: Vec<TopicPartition>,
    },
    GroupDeleted {
        group: String,
    },
}

/// Where a transactional id stands, as far as a restart has to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// It has an id and an epoch and no transaction yet.
    #[default]
    Empty,
    /// Begun. A restart aborts it and raises the epoch.
    Ongoing,
    /// Decided. A restart writes the missing markers.
    PrepareCommit,
    /// Over; the outcome is kept, for a client may ask again.
    CompleteCommit,
    CompleteAbort,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransactionImage {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The epoch before this one, by which a repeated `InitProducerId` is known; -1 for none.
    pub(crate) previous_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) phase: Phase,
    /// Set in `PrepareCommit`: where markers go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) partitions: BTreeSet<TopicPartition>,
    /// Set in `PrepareCommit`: what the transaction commits to consumer groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) offsets: Vec<(String, OffsetEntry)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OffsetEntry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    #[serde(flatten)]
    pub(crate) committed: CommittedOffset,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TopicImage {
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
    pub(crate) configs: BTreeMap<String, String>,
}

/// A group's committed offsets.
pub(crate) type GroupOffsets = BTreeMap<TopicPartition, CommittedOffset>;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Image {
    pub(crate) cluster: Option<Uuid>,
    pub(crate) topics: BTreeMap<String, TopicImage>,
    pub(crate) log_starts: HashMap<(Uuid, i32), i64>,
    pub(crate) next_producer_id: i64,
    pub(crate) transactions: HashMap<String, TransactionImage>,
    pub(crate) offsets: BTreeMap<String, GroupOffsets>,
}

impl Image {
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Cluster { id } => self.cluster = Some(id),
            Record::TopicCreated { name, id, partitions, configs } => {
                self.topics.insert(name, TopicImage { id, partitions, configs });
            }
            Record::TopicDeleted { name } => self.forget_topic(&name),
            Record::PartitionsAdded { name, partitions } => {
                if let Some(topic) = self.topics.get_mut(&name) {
                    topic.partitions = partitions;
                }
            }
            Record::ConfigsAltered { name, configs } => {
                if let Some(topic) = self.topics.get_mut(&name) {
                    topic.configs = configs;
                }
            }
            Record::LogStart { topic, partition, offset } => {
                self.log_starts.insert((topic, partition), offset);
            }
            Record::ProducerIdsReserved { next } => {
                self.next_producer_id = self.next_producer_id.max(next);
            }
            Record::Transaction { id, transaction } => self.apply_transaction(id, transaction),
            Record::OffsetsCommitted { group, offsets } => {
                offsets.into_iter().for_each(|entry| self.commit_offset(&group, entry));
            }
            Record::OffsetsDeleted { group, partitions } => {
                if let Some(offsets) = self.offsets.get_mut(&group) {
                    offsets.retain(|partition, _| !partitions.contains(partition));
                }
            }
            Record::GroupDeleted { group } => {
                self.offsets.remove(&group);
            }
        }
    }

    /// A transaction's completion and the offsets that it commits are one change.
    fn apply_transaction(&mut self, id: String, transaction: TransactionImage) {
        if transaction.phase == Phase::CompleteCommit
            && let Some(prepared) = self.transactions.get_mut(&id)
        {
            for (group, entry) in std::mem::take(&mut prepared.offsets) {
                self.commit_offset(&group, entry);
            }
        }
        self.transactions.insert(id, transaction);
    }

    fn commit_offset(&mut self, group: &str, entry: OffsetEntry) {
        if !self.offsets.contains_key(group) {
            self.offsets.insert(group.to_owned(), GroupOffsets::new());
        }
        if let Some(offsets) = self.offsets.get_mut(group) {
            offsets.insert((entry.topic, entry.partition), entry.committed);
        }
    }

    /// A topic's offsets go with it, as in Kafka: a topic made again under its name is another one.
    fn forget_topic(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.log_starts.retain(|(id, _), _| *id != topic.id);
        }
        for offsets in self.offsets.values_mut() {
            offsets.retain(|(topic, _), _| topic != name);
        }
    }

    /// The shortest list of records that adds up to this image.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.cluster.map(|id| Record::Cluster { id }).into_iter().collect();
        records.push(Record::ProducerIdsReserved { next: self.next_producer_id });
        for (name, topic) in &self.topics {
            records.push(Record::TopicCreated {
                name: name.clone(),
                id: topic.id,
                partitions: topic.partitions,
                configs: topic.configs.clone(),
            });
        }
        for ((topic, partition), offset) in &self.log_starts {
            records.push(Record::LogStart { topic: *topic, partition: *partition, offset: *offset });
        }
        for (id, transaction) in &self.transactions {
            records.push(Record::Transaction { id: id.clone(), transaction: transaction.clone() });
        }
        for (group, offsets) in &self.offsets {
            let entry = |((topic, partition), committed): (&TopicPartition, &CommittedOffset)| OffsetEntry {
                topic: topic.clone(),
                partition: *partition,
                committed: committed.clone(),
            };
            records
                .push(Record::OffsetsCommitted { group: group.clone(), offsets: offsets.iter().map(entry).collect() });
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(topic: &str, offset: i64) -> OffsetEntry {
        let committed = CommittedOffset { offset, leader_epoch: -1, metadata: String::new() };
        OffsetEntry { topic: topic.into(), partition: 0, committed }
    }

    fn sample() -> Image {
        let mut image = Image::default();
        let id = Uuid::from_u128(7);
        image.apply(Record::Cluster { id: Uuid::from_u128(1) });
        image.apply(Record::TopicCreated {
            name: "t".into(),
            id,
            partitions: 2,
            configs: BTreeMap::from([("retention.ms".into(), "5".into())]),
        });
        image.apply(Record::LogStart { topic: id, partition: 1, offset: 40 });
        image.apply(Record::ProducerIdsReserved { next: 2000 });
        image.apply(Record::OffsetsCommitted { group: "g".into(), offsets: vec![entry("t", 5)] });
        image
    }

    #[test]
    fn an_image_written_as_records_adds_up_to_itself() {
        let image = sample();
        let mut again = Image::default();
        image.records().into_iter().for_each(|record| again.apply(record));
        assert_eq!(again, image);
    }

    #[test]
    fn a_completed_commit_applies_the_offsets_it_had_prepared() {
        let mut image = sample();
        let prepared = TransactionImage {
            phase: Phase::PrepareCommit,
            offsets: vec![("g".into(), entry("t", 9))],
            ..TransactionImage::default()
        };
        image.apply(Record::Transaction { id: "x".into(), transaction: prepared });
        assert_eq!(image.offsets["g"][&("t".into(), 0)].offset, 5);
        let complete = TransactionImage { phase: Phase::CompleteCommit, ..Default::default() };
        image.apply(Record::Transaction { id: "x".into(), transaction: complete });
        assert_eq!(image.offsets["g"][&("t".into(), 0)].offset, 9);
    }

    #[test]
    fn deleting_a_topic_forgets_its_offsets_and_starts() {
        let mut image = sample();
        image.apply(Record::TopicDeleted { name: "t".into() });
        assert!(image.topics.is_empty() && image.log_starts.is_empty());
        assert!(image.offsets["g"].is_empty());
    }
}
