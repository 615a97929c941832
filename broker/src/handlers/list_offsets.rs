//! `ListOffsets`: the ends of a log, and the offset that belongs to a timestamp.

use std::io;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::log::{Isolation, Partition};
use crate::node::Node;

// Timestamps with a meaning of their own.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

pub(super) fn handle(request: ListOffsetsRequest, node: &Node) -> ListOffsetsResponse {
    let isolation = Isolation::of(request.isolation_level);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions =
            topic.partitions.iter().map(|wanted| match node.topics.partition(&topic.name, wanted.partition_index) {
                Some(log) => answer(wanted, &log, isolation),
                None => failed(wanted, ResponseError::UnknownTopicOrPartition),
            });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn answer(wanted: &ListOffsetsPartition, log: &Partition, isolation: Isolation) -> ListOffsetsPartitionResponse {
    match find(wanted.timestamp, log, isolation) {
        Ok((offset, timestamp)) => {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index)
                .with_offset(offset)
                .with_timestamp(timestamp)
                // Epochs never rise in a cluster of one; -1 says that there is no offset.
                .with_leader_epoch(if offset >= 0 { 0 } else { -1 })
        }
        Err(error) => {
            tracing::error!(%error, "cannot look up a timestamp");
            failed(wanted, ResponseError::KafkaStorageError)
        }
    }
}

/// Offset and timestamp; -1 for what there is not.
fn find(timestamp: i64, log: &Partition, isolation: Isolation) -> io::Result<(i64, i64)> {
    let offsets = log.offsets();
    let visible_end = offsets.visible_end(isolation);
    let found = match timestamp {
        LATEST => return Ok((visible_end, -1)),
        EARLIEST => return Ok((offsets.start, -1)),
        MAX_TIMESTAMP => match log.max_timestamp() {
            Some(latest) => log.find_timestamp(latest)?,
            None => None,
        },
        timestamp => log.find_timestamp(timestamp)?,
    };
    Ok(found.filter(|(offset, _)| *offset < visible_end).unwrap_or((-1, -1)))
}

fn failed(wanted: &ListOffsetsPartition, error: ResponseError) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(wanted.partition_index)
        .with_error_code(error.code())
        .with_offset(-1)
        .with_timestamp(-1)
        .with_leader_epoch(-1)
}
