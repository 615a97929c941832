//! Describing and altering configurations: those of topics, and to read only, the broker's.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    ApiKey, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::node::{NODE_ID, Node};
use crate::topic_configs::{self, ConfigType, KEYS, TopicConfigKey, TopicConfigs};
use crate::topics::TopicError;

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;

/// Where a value comes from, by its number in `DescribeConfigs`.
pub(super) const SOURCE_TOPIC: i8 = 1;
const SOURCE_BROKER: i8 = 4;
pub(super) const SOURCE_DEFAULT: i8 = 5;

type Refusal = (ResponseError, String);

/// The value in force.
pub(super) fn value(key: &TopicConfigKey, configs: &TopicConfigs, node: &Node) -> String {
    let default = || node.topics.defaults().get(key);
    configs.set.get(key.name).cloned().unwrap_or_else(default)
}

pub(super) fn describe(request: DescribeConfigsRequest, node: &Node) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe_one(&resource, node) {
            Ok(configs) => result.with_configs(configs),
            Err((error, message)) => result.with_error_code(error.code()).with_error_message(Some(message.into())),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(
    resource: &DescribeConfigsResource,
    node: &Node,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let mut all = match resource.resource_type {
        RESOURCE_TOPIC => topic(&resource.resource_name, node)?,
        RESOURCE_BROKER => broker(&resource.resource_name, node)?,
        other => return Err(unsupported(other)),
    };
    if let Some(wanted) = &resource.configuration_keys {
        all.retain(|config| wanted.contains(&config.name));
    }
    Ok(all)
}

fn topic(name: &str, node: &Node) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let topic = node.topics.get(name).ok_or_else(|| unknown_topic(name))?;
    let configs = topic.configs();
    let entry = |key: &TopicConfigKey| {
        let source = if configs.set.contains_key(key.name) { SOURCE_TOPIC } else { SOURCE_DEFAULT };
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(key.name))
            .with_value(Some(value(key, &configs, node).into()))
            .with_config_source(source)
            .with_config_type(key.kind as i8)
    };
    Ok(KEYS.iter().map(entry).collect())
}

fn broker(name: &str, node: &Node) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    if name != NODE_ID.0.to_string() {
        return Err((
            ResponseError::InvalidRequest,
            format!("Unexpected broker id, expected {} but received {name}", NODE_ID.0),
        ));
    }
    let settings = &node.settings;
    let entries = [
        ("auto.create.topics.enable", settings.auto_create_topics.to_string(), ConfigType::Boolean),
        ("broker.id", NODE_ID.0.to_string(), ConfigType::Int),
        ("default.replication.factor", "1".to_owned(), ConfigType::Int),
        ("fetch.max.bytes", settings.max_fetch_bytes.to_string(), ConfigType::Int),
        ("num.partitions", settings.default_partitions.to_string(), ConfigType::Int),
        ("transaction.max.timeout.ms", settings.transaction_max_timeout.as_millis().to_string(), ConfigType::Int),
    ];
    let entry = |(name, value, kind): (&'static str, String, ConfigType)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(value.into()))
            .with_read_only(true)
            .with_config_source(SOURCE_BROKER)
            .with_config_type(kind as i8)
    };
    Ok(entries.into_iter().map(entry).collect())
}

pub(super) fn alter(request: IncrementalAlterConfigsRequest, node: &Node) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        let refused = node.faults.refusal(ApiKey::IncrementalAlterConfigs);
        let refused = refused.map(|error| (error, "Refused by a fault.".to_owned()));
        match refused.map_or_else(|| alter_one(resource, request.validate_only, node), Err) {
            Ok(()) => response,
            Err((error, message)) => response.with_error_code(error.code()).with_error_message(Some(message.into())),
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn alter_one(resource: &AlterConfigsResource, validate_only: bool, node: &Node) -> Result<(), Refusal> {
    if resource.resource_type != RESOURCE_TOPIC {
        return Err(unsupported(resource.resource_type));
    }
    let name = resource.resource_name.as_str();
    let topic = node.topics.get(name).ok_or_else(|| unknown_topic(name))?;
    let current = topic.configs();
    let mut set = current.set.clone();
    for change in &resource.configs {
        apply(change, &mut set, &current, node)?;
    }
    topic_configs::check(&set).map_err(|message| (ResponseError::InvalidConfig, message))?;
    if validate_only {
        return Ok(());
    }
    node.topics.set_configs(&topic, set).map_err(|error| match error {
        TopicError::Refused { error, message } => (error, message),
        TopicError::Storage(error) => (ResponseError::KafkaStorageError, error.to_string()),
    })
}

/// Set, delete, append to a list, subtract from a list: the operations by their numbers.
fn apply(
    change: &AlterableConfig,
    set: &mut BTreeMap<String, String>,
    current: &TopicConfigs,
    node: &Node,
) -> Result<(), Refusal> {
    let invalid = |message: String| (ResponseError::InvalidConfig, message);
    let name = change.name.to_string();
    let key = topic_configs::key(&name).ok_or_else(|| invalid(format!("Unknown topic config name: {name}")))?;
    if change.config_operation == 1 {
        set.remove(&name);
        return Ok(());
    }
    let given =
        change.value.as_ref().ok_or_else(|| (ResponseError::InvalidRequest, format!("Null value for {name}")))?;
    let is_list = key.kind == ConfigType::List;
    let before = set.get(&name).cloned().unwrap_or_else(|| value(key, current, node));
    let mut items: Vec<&str> = before.split(',').map(str::trim).filter(|i| !i.is_empty()).collect();
    let changed = match change.config_operation {
        0 => given.to_string(),
        2 if is_list => {
            items.extend(given.split(',').map(str::trim));
            items.dedup();
            items.join(",")
        }
        3 if is_list => {
            items.retain(|item| !given.split(',').any(|gone| gone.trim() == *item));
            items.join(",")
        }
        _ => return Err(invalid(format!("Config value append or subtract is not allowed for {name}"))),
    };
    set.insert(name, changed);
    Ok(())
}

fn unknown_topic(name: &str) -> Refusal {
    (ResponseError::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
}

fn unsupported(resource_type: i8) -> Refusal {
    (ResponseError::InvalidRequest, format!("Resource type {resource_type} is not supported by the embedded broker"))
}
