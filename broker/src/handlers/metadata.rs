//! What the cluster looks like: one broker, which leads and coordinates everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse,
    TopicName,
};

use crate::node::{NODE_ID, Node};
use crate::topics::{Topic, TopicError};

/// Where versions begin to mean something else.
const NULL_MEANS_ALL: i16 = 1;
const CLIENT_DECIDES_AUTO_CREATE: i16 = 4;
const SEVERAL_KEYS: i16 = 4;

pub(super) fn metadata(request: MetadataRequest, version: i16, node: &Node) -> MetadataResponse {
    let auto_create =
        node.settings.auto_create_topics && (version < CLIENT_DECIDES_AUTO_CREATE || request.allow_auto_topic_creation);
    let wanted = request.topics.filter(|topics| version >= NULL_MEANS_ALL || !topics.is_empty());
    let topics = match wanted {
        None => node.topics.all().iter().map(|topic| describe(topic, node)).collect(),
        Some(wanted) => wanted
            .into_iter()
            .map(|wanted| match wanted.name {
                Some(name) => by_name(name, auto_create, node),
                None => match node.topics.by_id(wanted.topic_id) {
                    Some(topic) => describe(&topic, node),
                    None => MetadataResponseTopic::default()
                        .with_topic_id(wanted.topic_id)
                        .with_error_code(ResponseError::UnknownTopicId.code()),
                },
            })
            .collect(),
    };
    let broker =
        MetadataResponseBroker::default().with_node_id(NODE_ID).with_host(node.host.clone()).with_port(node.port());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(node.cluster_id()))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

fn by_name(name: TopicName, auto_create: bool, node: &Node) -> MetadataResponseTopic {
    match find_or_create(&name, auto_create, node) {
        Ok(Some(topic)) => describe(&topic, node),
        Ok(None) => MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(ResponseError::UnknownTopicOrPartition.code()),
        Err(error) => MetadataResponseTopic::default().with_name(Some(name)).with_error_code(error.code()),
    }
}

fn find_or_create(name: &str, auto_create: bool, node: &Node) -> Result<Option<Arc<Topic>>, TopicError> {
    let known = node.topics.get(name);
    if known.is_some() || !auto_create {
        return Ok(known);
    }
    match node.topics.create(name, node.settings.default_partitions, BTreeMap::new()) {
        Ok(topic) => Ok(Some(topic)),
        // Another client was faster, and its topic is as good.
        Err(TopicError::Refused { error: ResponseError::TopicAlreadyExists, .. }) => Ok(node.topics.get(name)),
        Err(error) => Err(error),
    }
}

fn describe(topic: &Topic, node: &Node) -> MetadataResponseTopic {
    let in_sync = if node.faults.is_in_sync() { vec![NODE_ID] } else { Vec::new() };
    let partitions = (0..topic.partition_count()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(in_sync.clone())
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(topic.name.clone().into())))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

pub(super) fn describe_cluster(node: &Node) -> DescribeClusterResponse {
    let broker =
        DescribeClusterBroker::default().with_broker_id(NODE_ID).with_host(node.host.clone()).with_port(node.port());
    DescribeClusterResponse::default()
        .with_cluster_id(node.cluster_id())
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker])
}

pub(super) fn find_coordinator(request: FindCoordinatorRequest, version: i16, node: &Node) -> FindCoordinatorResponse {
    if version < SEVERAL_KEYS {
        return FindCoordinatorResponse::default()
            .with_node_id(NODE_ID)
            .with_host(node.host.clone())
            .with_port(node.port());
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default().with_key(key).with_node_id(NODE_ID).with_host(node.host.clone()).with_port(node.port())
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
