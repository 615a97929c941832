//! What consumer groups have committed: writing, reading and deleting it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Buf;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::groups::{Group, MemberRef};
use crate::image::{CommittedOffset, GroupOffsets, OffsetEntry, Record, TopicPartition};
use crate::node::Node;

/// The first version of `OffsetFetch` that asks for several groups.
const SEVERAL_GROUPS: i16 = 8;
/// As Kafka's `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4096;

pub(super) fn commit(request: OffsetCommitRequest, node: &Node) -> OffsetCommitResponse {
    let member = MemberRef {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let allowed = node.groups.may_commit(&request.group_id, member);
    let mut entries = Vec::new();
    let mut topics = Vec::new();
    for topic in request.topics {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
            let known = node.topics.partition(&topic.name, partition.partition_index).is_some();
            let refused = match allowed {
                Err(error) => Some(error),
                Ok(()) if !known => Some(ResponseError::UnknownTopicOrPartition),
                Ok(()) if metadata.len() > MAX_METADATA_BYTES => Some(ResponseError::OffsetMetadataTooLarge),
                Ok(()) => None,
            };
            if refused.is_none() {
                entries.push(OffsetEntry {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                    committed: CommittedOffset {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: metadata.to_owned(),
                    },
                });
            }
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(refused.map_or(0, |error| error.code()))
        });
        let partitions = partitions.collect();
        topics.push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    if !entries.is_empty() && !append(offsets_of(&request.group_id, entries), node) {
        let storage = ResponseError::KafkaStorageError.code();
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| partition.error_code = storage);
    }
    OffsetCommitResponse::default().with_topics(topics)
}

fn offsets_of(group: &str, offsets: Vec<OffsetEntry>) -> Record {
    Record::OffsetsCommitted { group: group.to_owned(), offsets }
}

fn append(record: Record, node: &Node) -> bool {
    let appended = node.journal.append(record);
    appended.inspect_err(|error| tracing::error!(%error, "cannot write offsets")).is_ok()
}

pub(super) fn fetch(request: OffsetFetchRequest, version: i16, node: &Node) -> OffsetFetchResponse {
    if version >= SEVERAL_GROUPS {
        let stable = request.require_stable;
        let groups = request.groups.into_iter().map(|group| fetch_group(group, stable, node));
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    // Older versions ask for one group: the answer is the same in another shape.
    let topics = request.topics.map(|topics| {
        let topic = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(topic).collect()
    });
    let group = OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics);
    let found = fetch_group(group, request.require_stable, node);
    let partition = |found: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(found.partition_index)
            .with_committed_offset(found.committed_offset)
            .with_committed_leader_epoch(found.committed_leader_epoch)
            .with_metadata(found.metadata)
            .with_error_code(found.error_code)
    };
    let topic = |found: OffsetFetchResponseTopics| {
        OffsetFetchResponseTopic::default()
            .with_name(found.name)
            .with_partitions(found.partitions.into_iter().map(partition).collect())
    };
    OffsetFetchResponse::default().with_topics(found.topics.into_iter().map(topic).collect())
}

fn fetch_group(request: OffsetFetchRequestGroup, require_stable: bool, node: &Node) -> OffsetFetchResponseGroup {
    let id = request.group_id.as_str();
    // Pending is looked at first: what a transaction commits in between is then at worst reported
    // as unstable, and asked for again.
    let pending = if require_stable { node.transactions.pending_offsets(id) } else { BTreeSet::new() };
    let offsets = node.journal.read(|image| image.offsets.get(id).cloned().unwrap_or_default());
    let wanted: Vec<(TopicName, Vec<i32>)> = match request.topics {
        Some(topics) => topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect(),
        None => everything(&offsets, &pending),
    };
    let topics = wanted.into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().map(|index| {
            let key = (name.to_string(), index);
            committed(&key, &offsets, pending.contains(&key))
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetFetchResponseGroup::default().with_group_id(request.group_id).with_topics(topics)
}

fn everything(offsets: &GroupOffsets, pending: &BTreeSet<TopicPartition>) -> Vec<(TopicName, Vec<i32>)> {
    let mut all: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partition) in offsets.keys().chain(pending) {
        all.entry(topic).or_default().insert(*partition);
    }
    let row =
        |(name, indexes): (&str, BTreeSet<i32>)| (TopicName(name.to_owned().into()), indexes.into_iter().collect());
    all.into_iter().map(row).collect()
}

fn committed(key: &TopicPartition, offsets: &GroupOffsets, pending: bool) -> OffsetFetchResponsePartitions {
    let response = OffsetFetchResponsePartitions::default()
        .with_partition_index(key.1)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::new()));
    if pending {
        return response.with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    match offsets.get(key) {
        None => response,
        Some(committed) => response
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(committed.metadata.clone().into())),
    }
}

pub(super) fn delete(request: OffsetDeleteRequest, node: &Node) -> OffsetDeleteResponse {
    let group = request.group_id.as_str();
    let known = node.journal.read(|image| image.offsets.contains_key(group));
    let subscribed = node.groups.with(group, subscriptions);
    if !known && subscribed.is_none() {
        let error = ResponseError::GroupIdNotFound.code();
        return OffsetDeleteResponse::default().with_error_code(error);
    }
    let subscribed = subscribed.unwrap_or_default();
    let mut gone = Vec::new();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let response = OffsetDeleteResponsePartition::default().with_partition_index(index);
            if subscribed.contains(topic.name.as_str()) {
                return response.with_error_code(ResponseError::GroupSubscribedToTopic.code());
            }
            gone.push((topic.name.to_string(), index));
            response
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = topics.collect();
    let record = Record::OffsetsDeleted { group: group.to_owned(), partitions: gone };
    let response = OffsetDeleteResponse::default().with_topics(topics);
    if append(record, node) { response } else { response.with_error_code(ResponseError::KafkaStorageError.code()) }
}

/// The topics that a group's members are subscribed to, as far as they say so in Kafka's own format.
fn subscriptions(group: &Group) -> BTreeSet<String> {
    let protocol = group.protocol();
    let topics = group.members().values().filter_map(|member| {
        let mut metadata = member.metadata(&protocol);
        // Version 0 is a prefix of all later ones.
        let _version = metadata.try_get_i16().ok()?;
        Some(ConsumerProtocolSubscription::decode(&mut metadata, 0).ok()?.topics)
    });
    topics.flatten().map(|topic| topic.to_string()).collect()
}
