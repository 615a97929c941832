//! What each request does: protocol messages in, protocol messages out. The state that they work on
//! is in `topics`, `log`, `transactions`, `groups` and the journal.

mod configs;
mod fetch;
mod groups;
mod list_offsets;
mod metadata;
mod offsets;
mod produce;
mod topics;
mod transactions;

use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind};
use thiserror::Error;

use crate::api_versions;
use crate::node::Node;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) host: String,
}

/// Why a request cannot be answered at all.
#[derive(Debug, Error)]
pub(crate) enum HandlerError {
    #[error("no handler for this request")]
    NoHandler,
    #[error("the request was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

/// Performs a request. What may block on files or locks runs on the runtime's blocking threads.
pub(crate) async fn handle(
    request: RequestKind,
    version: i16,
    client: Client,
    node: &Arc<Node>,
) -> Result<ResponseKind, HandlerError> {
    Ok(match request {
        RequestKind::ApiVersions(_) => ResponseKind::ApiVersions(api_versions::response()),
        RequestKind::Fetch(request) => ResponseKind::Fetch(fetch::handle(request, node).await?),
        RequestKind::JoinGroup(request) => ResponseKind::JoinGroup(groups::join(request, version, &client, node).await),
        RequestKind::SyncGroup(request) => ResponseKind::SyncGroup(groups::sync(request, node).await),
        other => {
            let node = Arc::clone(node);
            tokio::task::spawn_blocking(move || handle_blocking(other, version, &node)).await??
        }
    })
}

fn handle_blocking(request: RequestKind, version: i16, node: &Node) -> Result<ResponseKind, HandlerError> {
    use RequestKind as Q;
    use ResponseKind as R;
    Ok(match request {
        Q::Produce(request) => R::Produce(produce::handle(request, node)),
        Q::ListOffsets(request) => R::ListOffsets(list_offsets::handle(request, node)),
        Q::Metadata(request) => R::Metadata(metadata::metadata(request, version, node)),
        Q::DescribeCluster(_) => R::DescribeCluster(metadata::describe_cluster(node)),
        Q::FindCoordinator(request) => R::FindCoordinator(metadata::find_coordinator(request, version, node)),
        Q::CreateTopics(request) => R::CreateTopics(topics::create(request, version, node)),
        Q::DeleteTopics(request) => R::DeleteTopics(topics::delete(request, version, node)),
        Q::CreatePartitions(request) => R::CreatePartitions(topics::create_partitions(request, node)),
        Q::DeleteRecords(request) => R::DeleteRecords(topics::delete_records(request, node)),
        Q::DescribeConfigs(request) => R::DescribeConfigs(configs::describe(request, node)),
        Q::IncrementalAlterConfigs(request) => R::IncrementalAlterConfigs(configs::alter(request, node)),
        Q::InitProducerId(request) => R::InitProducerId(transactions::init_producer_id(request, version, node)),
        Q::AddPartitionsToTxn(request) => R::AddPartitionsToTxn(transactions::add_partitions(request, version, node)),
        Q::AddOffsetsToTxn(request) => R::AddOffsetsToTxn(transactions::add_offsets(request, version, node)),
        Q::TxnOffsetCommit(request) => R::TxnOffsetCommit(transactions::offset_commit(request, node)),
        Q::EndTxn(request) => R::EndTxn(transactions::end(request, version, node)),
        Q::OffsetCommit(request) => R::OffsetCommit(offsets::commit(request, node)),
        Q::OffsetFetch(request) => R::OffsetFetch(offsets::fetch(request, version, node)),
        Q::OffsetDelete(request) => R::OffsetDelete(offsets::delete(request, node)),
        Q::Heartbeat(request) => R::Heartbeat(groups::heartbeat(request, node)),
        Q::LeaveGroup(request) => R::LeaveGroup(groups::leave(request, version, node)),
        Q::DescribeGroups(request) => R::DescribeGroups(groups::describe(request, node)),
        Q::ListGroups(request) => R::ListGroups(groups::list(request, version, node)),
        Q::DeleteGroups(request) => R::DeleteGroups(groups::delete(request, node)),
        _ => return Err(HandlerError::NoHandler),
    })
}

/// The bytes of record batches in a response, by which its buffer is sized.
pub(crate) fn record_bytes(response: &ResponseKind) -> usize {
    match response {
        ResponseKind::Fetch(response) => fetch::record_bytes(response),
        _ => 0,
    }
}
