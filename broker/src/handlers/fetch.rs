//! `Fetch`: batches as they lie in the log, read from its files, waiting for new ones where there are
//! not enough. Every request is a full one: incremental fetch sessions are not offered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId};
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::log::{Isolation, Offsets, Partition, ReadError};
use crate::node::Node;

pub(super) async fn handle(request: FetchRequest, node: &Arc<Node>) -> Result<FetchResponse, JoinError> {
    let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let request = Arc::new(request);
    let waiter = Arc::new(Notify::new());
    loop {
        let last_try = Instant::now() >= deadline;
        let found = {
            let (node, request, waiter) = (Arc::clone(node), Arc::clone(&request), Arc::clone(&waiter));
            // It watches before it looks, so nothing that is appended meanwhile is missed.
            tokio::task::spawn_blocking(move || collect(&request, &node, (!last_try).then_some(&waiter))).await?
        };
        if last_try || found.has_error || found.bytes >= min_bytes {
            return Ok(found.response);
        }
        // Whether it was woken or the time is up, it looks again.
        let _ = tokio::time::timeout_at(deadline, waiter.notified()).await;
    }
}

pub(super) fn record_bytes(response: &FetchResponse) -> usize {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().map_or(0, Bytes::len)).sum()
}

struct Found {
    response: FetchResponse,
    bytes: usize,
    has_error: bool,
}

/// One look at all partitions of the request.
fn collect(request: &FetchRequest, node: &Node, waiter: Option<&Arc<Notify>>) -> Found {
    let isolation = Isolation::of(request.isolation_level);
    let asked = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut budget = asked.clamp(1, node.settings.max_fetch_bytes);
    let (mut bytes, mut has_error) = (0, false);
    let topics = request.topics.iter().map(|wanted| {
        let topic = node.topics.get(&wanted.topic);
        let partitions = wanted.partitions.iter().map(|partition| {
            let log = topic.as_ref().and_then(|topic| topic.partition(partition.partition));
            let Some(log) = log else {
                has_error = true;
                return failed(partition.partition, ResponseError::UnknownTopicOrPartition);
            };
            if let Some(waiter) = waiter {
                log.watch(waiter);
            }
            let data = read(&log, partition, isolation, budget, &wanted.topic);
            let length = data.records.as_ref().map_or(0, Bytes::len);
            bytes += length;
            budget = budget.saturating_sub(length);
            has_error |= data.error_code != 0;
            data
        });
        let partitions = partitions.collect();
        FetchableTopicResponse::default().with_topic(wanted.topic.clone()).with_partitions(partitions)
    });
    let topics = topics.collect();
    Found { response: FetchResponse::default().with_responses(topics), bytes, has_error }
}

fn read(log: &Partition, wanted: &FetchPartition, isolation: Isolation, budget: usize, topic: &str) -> PartitionData {
    let max_bytes = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
    // Even a batch that is larger than both limits is sent, if it is the first of the response.
    match log.read(wanted.fetch_offset, max_bytes.max(1).min(budget), isolation) {
        Ok(records) => {
            let aborted = records.aborted.iter().map(|aborted| {
                AbortedTransaction::default()
                    .with_producer_id(ProducerId(aborted.producer_id))
                    .with_first_offset(aborted.first_offset)
            });
            with_offsets(wanted.partition, records.offsets)
                .with_aborted_transactions((isolation == Isolation::ReadCommitted).then(|| aborted.collect()))
                .with_records(Some(records.bytes))
        }
        Err(ReadError::OutOfRange(offsets)) => with_offsets(wanted.partition, offsets)
            .with_error_code(ResponseError::OffsetOutOfRange.code())
            .with_records(Some(Bytes::new())),
        Err(ReadError::Storage(error)) => {
            tracing::error!(topic, partition = wanted.partition, %error, "cannot read a log");
            failed(wanted.partition, ResponseError::KafkaStorageError)
        }
    }
}

fn with_offsets(partition: i32, offsets: Offsets) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_high_watermark(offsets.end)
        .with_last_stable_offset(offsets.last_stable)
        .with_log_start_offset(offsets.start)
        .with_preferred_read_replica(BrokerId(-1))
}

fn failed(partition: i32, error: ResponseError) -> PartitionData {
    with_offsets(partition, Offsets { start: -1, last_stable: -1, end: -1 })
        .with_error_code(error.code())
        .with_records(Some(Bytes::new()))
}
