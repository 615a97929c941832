//! The requests of idempotent and transactional producers.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use crate::groups::MemberRef;
use crate::image::{CommittedOffset, OffsetEntry};
use crate::log::batch::Marker;
use crate::node::Node;
use crate::transactions::{ProducerIdAndEpoch, TransactionError};

// The versions from which a request knows the error PRODUCER_FENCED.
const INIT_KNOWS_FENCED: i16 = 4;
const KNOWS_FENCED: i16 = 2;

pub(super) fn init_producer_id(request: InitProducerIdRequest, version: i16, node: &Node) -> InitProducerIdResponse {
    let expected = (request.producer_id.0 >= 0)
        .then_some(ProducerIdAndEpoch { id: request.producer_id.0, epoch: request.producer_epoch });
    let result = match &request.transactional_id {
        None => node
            .transactions
            .new_producer_id()
            .map(|id| ProducerIdAndEpoch { id, epoch: 0 })
            .map_err(TransactionError::from),
        Some(id) if id.is_empty() => Err(TransactionError::Refused(ResponseError::InvalidRequest)),
        Some(id) => node.transactions.init(id, request.transaction_timeout_ms, expected),
    };
    match result {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(code(&error, version >= INIT_KNOWS_FENCED))
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

pub(super) fn add_partitions(
    request: AddPartitionsToTxnRequest,
    version: i16,
    node: &Node,
) -> AddPartitionsToTxnResponse {
    let producer =
        ProducerIdAndEpoch { id: request.v3_and_below_producer_id.0, epoch: request.v3_and_below_producer_epoch };
    let topics = request.v3_and_below_topics;
    let exists = |topic: &str, index: i32| node.topics.partition(topic, index).is_some();
    let wanted = topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.to_string(), *index)));
    let unknown = wanted.clone().any(|(topic, index)| !exists(&topic, index));
    // One partition that does not exist spoils the request: none is added.
    let common = if unknown {
        ResponseError::OperationNotAttempted.code()
    } else {
        let added = node.transactions.add_partitions(&request.v3_and_below_transactional_id, producer, wanted);
        added.map_or_else(|error| code(&error, version >= KNOWS_FENCED), |()| 0)
    };
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            let code = if exists(&topic.name, *index) { common } else { ResponseError::UnknownTopicOrPartition.code() };
            AddPartitionsToTxnPartitionResult::default().with_partition_index(*index).with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub(super) fn add_offsets(request: AddOffsetsToTxnRequest, version: i16, node: &Node) -> AddOffsetsToTxnResponse {
    let producer = ProducerIdAndEpoch { id: request.producer_id.0, epoch: request.producer_epoch };
    let added = node.transactions.add_group(&request.transactional_id, producer, &request.group_id);
    let code = added.map_or_else(|error| code(&error, version >= KNOWS_FENCED), |()| 0);
    AddOffsetsToTxnResponse::default().with_error_code(code)
}

pub(super) fn offset_commit(request: TxnOffsetCommitRequest, node: &Node) -> TxnOffsetCommitResponse {
    let code = commit_offsets(&request, node).map_or_else(|code| code, |()| 0);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit_offsets(request: &TxnOffsetCommitRequest, node: &Node) -> Result<(), i16> {
    let group = request.group_id.as_str();
    let member = MemberRef {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    node.groups.may_commit_in_transaction(group, member).map_err(|error| error.code())?;
    let offsets = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| OffsetEntry {
            topic: topic.name.to_string(),
            partition: partition.partition_index,
            committed: CommittedOffset {
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
            },
        })
    });
    let producer = ProducerIdAndEpoch { id: request.producer_id.0, epoch: request.producer_epoch };
    node.transactions
        .add_offsets(&request.transactional_id, producer, group, offsets.collect())
        .map_err(|error| code(&error, false))
}

pub(super) fn end(request: EndTxnRequest, version: i16, node: &Node) -> EndTxnResponse {
    let producer = ProducerIdAndEpoch { id: request.producer_id.0, epoch: request.producer_epoch };
    let marker = if request.committed { Marker::Commit } else { Marker::Abort };
    let ended = node.transactions.end(&request.transactional_id, producer, marker);
    let code = ended.map_or_else(|error| code(&error, version >= KNOWS_FENCED), |()| 0);
    EndTxnResponse::default().with_error_code(code)
}

fn code(error: &TransactionError, knows_fenced: bool) -> i16 {
    if let TransactionError::Storage(error) = error {
        tracing::error!(%error, "a transaction cannot be written");
    }
    error.code(knows_fenced)
}
