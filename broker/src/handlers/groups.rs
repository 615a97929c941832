//! The requests of consumer group members, and those that look at groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Client;
use crate::groups::{Answer, Group, Member, MemberRef, State};
use crate::image::Record;
use crate::node::Node;

/// The first version of `LeaveGroup` that names several members.
const LEAVES_TOGETHER: i16 = 3;
/// The first version of `JoinGroup` that may leave the protocol's name out.
const PROTOCOL_MAY_BE_NULL: i16 = 7;
/// The first version of `ListGroups` with states.
const LISTS_STATES: i16 = 4;

pub(super) async fn join(
    request: JoinGroupRequest,
    version: i16,
    client: &Client,
    node: &Arc<Node>,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let refused = |error: ResponseError| {
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_member_id(member_id.clone())
            .with_protocol_name(Some(StrBytes::new()))
    };
    if request.group_id.is_empty() {
        return refused(ResponseError::InvalidGroupId);
    }
    let mut response = match node.groups.join(request, version, &client.id, &client.host) {
        Answer::Now(response) => response,
        // The sender is gone where the member was removed or replaced meanwhile.
        Answer::Later(response) => response.await.unwrap_or_else(|_| refused(ResponseError::UnknownMemberId)),
    };
    if version < PROTOCOL_MAY_BE_NULL {
        response.protocol_type = None;
    }
    response
}

pub(super) async fn sync(request: SyncGroupRequest, node: &Arc<Node>) -> SyncGroupResponse {
    match node.groups.sync(request) {
        Answer::Now(response) => response,
        Answer::Later(response) => response.await.unwrap_or_else(|_| {
            SyncGroupResponse::default().with_error_code(ResponseError::RebalanceInProgress.code())
        }),
    }
}

pub(super) fn heartbeat(request: HeartbeatRequest, node: &Node) -> HeartbeatResponse {
    let member = MemberRef {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    HeartbeatResponse::default().with_error_code(code(node.groups.heartbeat(&request.group_id, member)))
}

pub(super) fn leave(request: LeaveGroupRequest, version: i16, node: &Node) -> LeaveGroupResponse {
    let group = request.group_id.as_str();
    if version < LEAVES_TOGETHER {
        let left = node.groups.leave(group, &request.member_id, None);
        return LeaveGroupResponse::default().with_error_code(code(left));
    }
    let leave = |member: MemberIdentity| {
        let instance = member.group_instance_id.as_deref();
        let left = node.groups.leave(group, &member.member_id, instance);
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(left))
    };
    LeaveGroupResponse::default().with_members(request.members.into_iter().map(leave).collect())
}

pub(super) fn describe(request: DescribeGroupsRequest, node: &Node) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let described = node.groups.with(&id, describe_one);
        let only_offsets = || node.journal.read(|image| image.offsets.contains_key(id.as_str()));
        let described = described.unwrap_or_else(|| {
            let state = if only_offsets() { "Empty" } else { "Dead" };
            DescribedGroup::default().with_group_state(StrBytes::from_static_str(state))
        });
        described.with_group_id(id)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe_one(group: &Group) -> DescribedGroup {
    let member = |(id, member): (&String, &Member)| {
        DescribedGroupMember::default()
            .with_member_id(id.clone().into())
            .with_group_instance_id(member.instance_id.clone())
            .with_client_id(member.client_id.clone().into())
            .with_client_host(format!("/{}", member.client_host).into())
            .with_member_metadata(member.metadata(&group.protocol()))
            .with_member_assignment(member.assignment.clone())
    };
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_protocol_type(group.protocol_type().into())
        .with_protocol_data(group.protocol())
        .with_members(group.members().iter().map(member).collect())
}

pub(super) fn list(request: ListGroupsRequest, version: i16, node: &Node) -> ListGroupsResponse {
    let with_offsets: Vec<String> = node.journal.read(|image| image.offsets.keys().cloned().collect());
    let mut all: BTreeMap<String, (State, String)> =
        with_offsets.into_iter().map(|id| (id, (State::Empty, String::new()))).collect();
    for (id, state, protocol_type) in node.groups.list() {
        all.insert(id, (state, protocol_type));
    }
    let wanted = |state: State| {
        request.states_filter.is_empty()
            || request.states_filter.iter().any(|name| name.eq_ignore_ascii_case(state.name()))
    };
    let listed = all.into_iter().filter(|(_, (state, _))| wanted(*state));
    let groups = listed.map(|(id, (state, protocol_type))| {
        let group = ListedGroup::default().with_group_id(GroupId(id.into())).with_protocol_type(protocol_type.into());
        if version >= LISTS_STATES { group.with_group_state(StrBytes::from_static_str(state.name())) } else { group }
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(request: DeleteGroupsRequest, node: &Node) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let deleted = delete_one(&id, node);
        DeletableGroupResult::default().with_group_id(id).with_error_code(code(deleted))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_one(id: &str, node: &Node) -> Result<(), ResponseError> {
    let had_members = node.groups.delete(id)?;
    let had_offsets = node.journal.read(|image| image.offsets.contains_key(id));
    if !had_members && !had_offsets {
        return Err(ResponseError::GroupIdNotFound);
    }
    let record = Record::GroupDeleted { group: id.to_owned() };
    node.journal.append(record).map_err(|error| {
        tracing::error!(group = id, %error, "cannot delete a group");
        ResponseError::KafkaStorageError
    })
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.map_or_else(|error| error.code(), |()| 0)
}
