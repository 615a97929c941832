//! Making, growing and deleting topics, and deleting the oldest records of a partition.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::configs::{self, SOURCE_DEFAULT, SOURCE_TOPIC};
use crate::node::Node;
use crate::topic_configs::{KEYS, TopicConfigs};
use crate::topics::{Topic, TopicError};

/// Asks for the broker's default.
const DEFAULT_COUNT: i32 = -1;
const HIGH_WATERMARK: i64 = -1;

pub(super) fn create(request: CreateTopicsRequest, version: i16, node: &Node) -> CreateTopicsResponse {
    let topics = request.topics.into_iter().map(|wanted| {
        let name = wanted.name.clone();
        match create_one(wanted, request.validate_only, node) {
            Ok(result) if version >= 5 => result,
            // Older versions cannot say more than that it worked.
            Ok(result) => CreatableTopicResult::default().with_name(result.name).with_topic_id(result.topic_id),
            Err(error) => CreatableTopicResult::default()
                .with_name(name)
                .with_error_code(error.code())
                .with_error_message(Some(error.to_string().into())),
        }
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

fn create_one(wanted: CreatableTopic, validate_only: bool, node: &Node) -> Result<CreatableTopicResult, TopicError> {
    let refused = |error, message: &str| TopicError::Refused { error, message: message.to_owned() };
    if !matches!(wanted.replication_factor, -1 | 1) {
        return Err(refused(
            ResponseError::InvalidReplicationFactor,
            "Replication factor must be 1: this is an embedded broker, a cluster of one.",
        ));
    }
    let partitions = match (wanted.assignments.len(), wanted.num_partitions) {
        (0, DEFAULT_COUNT) => node.settings.default_partitions,
        (0, count) => count,
        (assigned, _) => assigned as i32,
    };
    let set = |config: &kafka_protocol::messages::create_topics_request::CreatableTopicConfig| {
        let value = config.value.as_ref()?;
        Some((config.name.to_string(), value.to_string()))
    };
    let set: BTreeMap<String, String> = wanted.configs.iter().filter_map(set).collect();
    let result = CreatableTopicResult::default()
        .with_name(wanted.name.clone())
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(described(&set, node)));
    if validate_only {
        node.topics.check_new(&wanted.name, partitions, &set)?;
        return Ok(result);
    }
    let topic = node.topics.create(&wanted.name, partitions, set)?;
    Ok(result.with_topic_id(topic.id))
}

/// The configurations of a topic just made, as its creator is told.
fn described(set: &BTreeMap<String, String>, node: &Node) -> Vec<CreatableTopicConfigs> {
    let configs = TopicConfigs::new(set.clone(), node.topics.defaults());
    KEYS.iter()
        .map(|key| {
            let value = configs::value(key, &configs, node);
            let source = if set.contains_key(key.name) { SOURCE_TOPIC } else { SOURCE_DEFAULT };
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_static_str(key.name))
                .with_value(Some(value.into()))
                .with_config_source(source)
        })
        .collect()
}

pub(super) fn delete(request: DeleteTopicsRequest, version: i16, node: &Node) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let wanted: Vec<_> =
        if version >= 6 { request.topics } else { request.topic_names.into_iter().map(by_name).collect() };
    let responses = wanted.into_iter().map(|wanted| {
        let topic = match &wanted.name {
            Some(name) => node.topics.get(name),
            None => node.topics.by_id(wanted.topic_id),
        };
        let result = DeletableTopicResult::default().with_name(wanted.name.clone()).with_topic_id(wanted.topic_id);
        let Some(topic) = topic else {
            let error = match wanted.name {
                Some(_) => ResponseError::UnknownTopicOrPartition,
                None => ResponseError::UnknownTopicId,
            };
            return result.with_error_code(error.code());
        };
        let result = result
            .with_name(Some(kafka_protocol::messages::TopicName(topic.name.clone().into())))
            .with_topic_id(topic.id);
        match node.topics.delete(&topic) {
            Ok(()) => result,
            Err(error) => result.with_error_code(error.code()),
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

pub(super) fn create_partitions(request: CreatePartitionsRequest, node: &Node) -> CreatePartitionsResponse {
    let grow = |wanted: &CreatePartitionsTopic| {
        let topic = node.topics.get(&wanted.name).ok_or(TopicError::Refused {
            error: ResponseError::UnknownTopicOrPartition,
            message: format!("The topic '{}' does not exist.", wanted.name.as_str()),
        })?;
        node.topics.add_partitions(&topic, wanted.count, request.validate_only)
    };
    let results = request.topics.iter().map(|wanted| {
        let result = CreatePartitionsTopicResult::default().with_name(wanted.name.clone());
        match grow(wanted) {
            Ok(()) => result,
            Err(error) => result.with_error_code(error.code()).with_error_message(Some(error.to_string().into())),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(super) fn delete_records(request: DeleteRecordsRequest, node: &Node) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|wanted| {
        let topic = node.topics.get(&wanted.name);
        let partitions = wanted.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match cut(topic.as_deref(), index, partition.offset, node) {
                Ok(low_watermark) => result.with_low_watermark(low_watermark),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(wanted.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Deletes the records before `offset`; answers where the log begins now.
fn cut(topic: Option<&Topic>, index: i32, offset: i64, node: &Node) -> Result<i64, ResponseError> {
    if let Some(refused) = node.faults.refusal(ApiKey::DeleteRecords) {
        return Err(refused);
    }
    let unknown = ResponseError::UnknownTopicOrPartition;
    let topic = topic.ok_or(unknown)?;
    let partition = topic.partition(index).ok_or(unknown)?;
    if !topic.configs().deletes {
        return Err(ResponseError::PolicyViolation);
    }
    let offsets = partition.offsets();
    let before = if offset == HIGH_WATERMARK { offsets.end } else { offset };
    if before < 0 || before > offsets.end {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if before > offsets.start {
        node.topics.delete_records(topic, index, before).map_err(|error| {
            tracing::error!(topic = topic.name, partition = index, %error, "cannot delete records");
            ResponseError::KafkaStorageError
        })?;
    }
    Ok(partition.offsets().start)
}
