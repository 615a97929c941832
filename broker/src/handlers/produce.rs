//! `Produce`: checks batches and appends them. They are acknowledged from the page cache, as in
//! Kafka; records of a transaction are synced before the transaction's commit is answered, others by
//! the background flush.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse};

use crate::log::AppendError;
use crate::log::batch::{BatchError, BatchHeader};
use crate::node::Node;
use crate::topics::Topic;
use crate::transactions::ProducerIdAndEpoch;

pub(super) fn handle(request: ProduceRequest, node: &Node) -> ProduceResponse {
    let transactional_id = request.transactional_id.as_ref().map(|id| id.to_string());
    let valid_acks = (-1..=1).contains(&request.acks);
    let refused = node.faults.refusal(ApiKey::Produce);
    let topics = request.topic_data.into_iter().map(|data| {
        let topic = node.topics.get(&data.name);
        let partitions = data.partition_data.into_iter().map(|partition| {
            let index = partition.index;
            let append = |partition| append(partition, topic.as_deref(), transactional_id.as_deref(), node);
            let appended = match refused {
                _ if !valid_acks => Err(ResponseError::InvalidRequiredAcks.code()),
                None => append(partition),
                Some(error @ ResponseError::NotEnoughReplicasAfterAppend) => append(partition).and(Err(error.code())),
                Some(error) => Err(error.code()),
            };
            let response = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(-1);
            match appended {
                Ok((offset, start)) => response.with_base_offset(offset).with_log_start_offset(start),
                Err(code) => response.with_error_code(code).with_base_offset(-1).with_log_start_offset(-1),
            }
        });
        let partitions = partitions.collect();
        TopicProduceResponse::default().with_name(data.name).with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// The batch's base offset and the log's start, or an error code.
fn append(
    data: PartitionProduceData,
    topic: Option<&Topic>,
    transactional_id: Option<&str>,
    node: &Node,
) -> Result<(i64, i64), i16> {
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let topic = topic.ok_or(unknown)?;
    let partition = topic.partition(data.index).ok_or(unknown)?;
    let configs = topic.configs();
    let records = data.records.unwrap_or_default();
    let header = check(&records, configs.max_message_bytes)?;
    let append = || partition.append(&records, &header, configs.segment_bytes);
    let appended = if header.is_transactional() {
        let id = transactional_id.ok_or(ResponseError::InvalidTxnState.code())?;
        let producer = ProducerIdAndEpoch { id: header.producer_id, epoch: header.producer_epoch };
        let target = (topic.name.clone(), data.index);
        node.transactions.write_in(id, producer, &target, append).map_err(|error| error.code(false))?
    } else {
        append()
    };
    let offset = appended.map_err(|error| append_error(&error, &topic.name, data.index))?;
    Ok((offset, partition.offsets().start))
}

fn check(records: &Bytes, max_message_bytes: usize) -> Result<BatchHeader, i16> {
    let header = BatchHeader::parse_whole(records).map_err(|error| {
        match error {
            BatchError::Checksum | BatchError::Truncated => ResponseError::CorruptMessage,
            BatchError::Magic(_) => ResponseError::UnsupportedForMessageFormat,
            // Among them a second batch behind the first, which version 2 does not allow.
            BatchError::Length | BatchError::Offsets => ResponseError::InvalidRecord,
        }
        .code()
    })?;
    if header.size > max_message_bytes {
        return Err(ResponseError::MessageTooLarge.code());
    }
    if header.is_control() || header.records < 1 || header.records - 1 != header.last_offset_delta {
        return Err(ResponseError::InvalidRecord.code());
    }
    if header.has_producer() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(ResponseError::InvalidRecord.code());
    }
    if header.is_transactional() && !header.has_producer() {
        return Err(ResponseError::InvalidRecord.code());
    }
    Ok(header)
}

fn append_error(error: &AppendError, topic: &str, partition: i32) -> i16 {
    use crate::log::ProducerError;
    match error {
        AppendError::Producer(ProducerError::Fenced) => ResponseError::InvalidProducerEpoch.code(),
        AppendError::Producer(ProducerError::OutOfOrder) => ResponseError::OutOfOrderSequenceNumber.code(),
        AppendError::Storage(error) => {
            tracing::error!(topic, partition, %error, "cannot append to a log");
            ResponseError::KafkaStorageError.code()
        }
    }
}
