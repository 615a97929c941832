//! Consumer groups: which members each has, and the classic protocol (join, sync, heartbeat, leave)
//! by which they share partitions, cooperative rebalancing and static members included.
//!
//! Members live in memory only: after a restart they join again. What groups committed is in the
//! journal and is `handlers::offsets`' business.

mod group;
mod member;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use tokio::sync::oneshot;

pub(crate) use group::{Group, State};
pub(crate) use member::Member;

/// An answer that may have to wait for other members.
pub(crate) enum Answer<T> {
    Now(T),
    Later(oneshot::Receiver<T>),
}

/// How a request names a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberRef<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) generation: i32,
}

#[derive(Debug)]
pub(crate) struct Groups {
    initial_rebalance_delay: Duration,
    by_id: Mutex<HashMap<String, Group>>,
}

impl Groups {
    pub(crate) fn new(initial_rebalance_delay: Duration) -> Self {
        Groups { initial_rebalance_delay, by_id: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn join(
        &self,
        request: JoinGroupRequest,
        version: i16,
        client_id: &str,
        client_host: &str,
    ) -> Answer<JoinGroupResponse> {
        let mut groups = self.lock();
        let known = groups.contains_key(request.group_id.as_str());
        if !known && !request.member_id.is_empty() {
            return Answer::Now(member::join_error(ResponseError::UnknownMemberId, &request.member_id));
        }
        let delay = self.initial_rebalance_delay;
        let group = groups.entry(request.group_id.to_string()).or_insert_with(|| Group::new(delay));
        group.join(request, version, client_id, client_host, Instant::now())
    }

    pub(crate) fn sync(&self, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
        match self.lock().get_mut(request.group_id.as_str()) {
            Some(group) => group.sync(request, Instant::now()),
            None => Answer::Now(member::sync_error(ResponseError::UnknownMemberId)),
        }
    }

    pub(crate) fn heartbeat(&self, group: &str, member: MemberRef<'_>) -> Result<(), ResponseError> {
        match self.lock().get_mut(group) {
            Some(group) => group.heartbeat(member, Instant::now()),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    pub(crate) fn leave(&self, group: &str, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        match self.lock().get_mut(group) {
            Some(group) => group.leave(member_id, instance_id, Instant::now()),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Whether `member` may commit offsets for `group`. A group without members takes offsets from
    /// anyone who claims no generation: that is how consumers with manual assignment commit.
    pub(crate) fn may_commit(&self, group: &str, member: MemberRef<'_>) -> Result<(), ResponseError> {
        match self.lock().get_mut(group) {
            Some(group) => group.may_commit(member, Instant::now()),
            None if member.generation < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
        }
    }

    /// As [`Groups::may_commit`], for offsets inside a transaction: a producer that gives no member
    /// is not checked (KIP-447).
    pub(crate) fn may_commit_in_transaction(&self, group: &str, member: MemberRef<'_>) -> Result<(), ResponseError> {
        if member.generation < 0 && member.member_id.is_empty() && member.instance_id.is_none() {
            return Ok(());
        }
        match self.lock().get_mut(group) {
            Some(group) => group.may_commit(member, Instant::now()),
            None if member.generation < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
        }
    }

    /// Looks at a group that has or had members.
    pub(crate) fn with<T>(&self, group: &str, look: impl FnOnce(&Group) -> T) -> Option<T> {
        self.lock().get(group).map(look)
    }

    /// The groups that have or had members, with their states and protocol types.
    pub(crate) fn list(&self) -> Vec<(String, State, String)> {
        let groups = self.lock();
        let row = |(id, group): (&String, &Group)| (id.clone(), group.state(), group.protocol_type());
        groups.iter().map(row).collect()
    }

    /// Forgets a group without members; says whether there was one.
    pub(crate) fn delete(&self, group: &str) -> Result<bool, ResponseError> {
        let mut groups = self.lock();
        match groups.get(group).map(Group::state) {
            None => Ok(false),
            Some(State::Empty) => Ok(groups.remove(group).is_some()),
            Some(_) => Err(ResponseError::NonEmptyGroup),
        }
    }

    /// Removes members that fell silent and ends rebalances that are due.
    pub(crate) fn tick(&self, now: Instant) {
        for group in self.lock().values_mut() {
            group.tick(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.by_id.lock().expect("no code panics while it changes groups")
    }
}
