//! The state machine of one consumer group. It knows time only as it is told, and no network: answers
//! that wait are channels.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::{Member, join_error, protocols_of, sync_error};
use super::{Answer, MemberRef};

/// Longest session timeout that is accepted, as Kafka's `group.max.session.timeout.ms`.
const MAX_SESSION_TIMEOUT_MS: i32 = 30 * 60 * 1000;

/// The states of a group, named as `DescribeGroups` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance {
        /// The first members of a group wait a little for others.
        not_before: Instant,
        /// Who has not joined by then is out.
        deadline: Instant,
    },
    CompletingRebalance,
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance { .. } => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    initial_rebalance_delay: Duration,
    state: State,
    generation: i32,
    protocol_type: StrBytes,
    protocol: StrBytes,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Member ids given out to clients that have not joined with them yet, until when.
    promised: HashMap<String, Instant>,
}

impl Group {
    pub(crate) fn new(initial_rebalance_delay: Duration) -> Self {
        Group {
            initial_rebalance_delay,
            state: State::Empty,
            generation: 0,
            protocol_type: StrBytes::new(),
            protocol: StrBytes::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            promised: HashMap::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol(&self) -> StrBytes {
        self.protocol.clone()
    }

    pub(crate) fn protocol_type(&self) -> String {
        self.protocol_type.to_string()
    }

    pub(crate) fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    pub(super) fn join(
        &mut self,
        request: JoinGroupRequest,
        version: i16,
        client_id: &str,
        client_host: &str,
        now: Instant,
    ) -> Answer<JoinGroupResponse> {
        let refused = |error| Answer::Now(join_error(error, &request.member_id));
        if !(1..=MAX_SESSION_TIMEOUT_MS).contains(&request.session_timeout_ms) {
            return refused(ResponseError::InvalidSessionTimeout);
        }
        if !self.speaks_with(&request) {
            return refused(ResponseError::InconsistentGroupProtocol);
        }
        let holder = request.group_instance_id.as_deref().and_then(|id| self.holder_of(id));
        let asked = request.member_id.to_string();
        if asked.is_empty() {
            if let Some(holder) = holder {
                return self.replace_static(&holder, &request, version, now);
            }
            let id = format!("{client_id}-{}", Uuid::new_v4());
            // Since version 4 a client first gets its id and then joins with it, so that a lost
            // answer does not leave a member behind that nobody is.
            if version >= 4 && request.group_instance_id.is_none() {
                let until = now + Duration::from_millis(request.session_timeout_ms as u64);
                self.promised.insert(id.clone(), until);
                return Answer::Now(join_error(ResponseError::MemberIdRequired, &id.into()));
            }
            let member = Member::new(&request, version, client_id, client_host, now);
            return self.add(id, member, &request, now);
        }
        if holder.is_some_and(|holder| holder != asked) {
            return refused(ResponseError::FencedInstanceId);
        }
        if self.promised.remove(&asked).is_some() {
            let member = Member::new(&request, version, client_id, client_host, now);
            return self.add(asked, member, &request, now);
        }
        if !self.members.contains_key(&asked) {
            return refused(ResponseError::UnknownMemberId);
        }
        self.rejoin(&asked, &request, version, now)
    }

    /// Whether the request has a protocol in common with all members (but the one it replaces).
    fn speaks_with(&self, request: &JoinGroupRequest) -> bool {
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let others = || {
            self.members.iter().filter(|(id, member)| {
                **id != request.member_id.as_str()
                    && (member.instance_id.is_none() || member.instance_id != request.group_instance_id)
            })
        };
        self.protocol_type == request.protocol_type
            && request.protocols.iter().any(|protocol| others().all(|(_, member)| member.supports(&protocol.name)))
    }

    fn holder_of(&self, instance_id: &str) -> Option<String> {
        let holds = |member: &Member| member.instance_id.as_deref() == Some(instance_id);
        self.members.iter().find(|(_, member)| holds(member)).map(|(id, _)| id.clone())
    }

    fn add(
        &mut self,
        id: String,
        mut member: Member,
        request: &JoinGroupRequest,
        now: Instant,
    ) -> Answer<JoinGroupResponse> {
        self.protocol_type = request.protocol_type.clone();
        let (sender, receiver) = oneshot::channel();
        member.joining = Some(sender);
        self.members.insert(id, member);
        self.prepare_rebalance(now);
        self.complete_join_if_due(now);
        Answer::Later(receiver)
    }

    /// A known member joins again.
    fn rejoin(
        &mut self,
        id: &str,
        request: &JoinGroupRequest,
        version: i16,
        now: Instant,
    ) -> Answer<JoinGroupResponse> {
        let leads = self.leader == id;
        let Some(member) = self.members.get_mut(id) else {
            return Answer::Now(join_error(ResponseError::UnknownMemberId, &request.member_id));
        };
        let changed = member.protocols != protocols_of(request);
        member.update(request, version, now);
        let lost_its_answer = match self.state {
            State::CompletingRebalance => !changed,
            // A leader that joins again wants a new assignment: its subscriptions have changed.
            State::Stable => !changed && !leads,
            State::Empty | State::PreparingRebalance { .. } => false,
        };
        if lost_its_answer {
            return Answer::Now(self.joined(id, false));
        }
        let (sender, receiver) = oneshot::channel();
        member.joining = Some(sender);
        self.prepare_rebalance(now);
        self.complete_join_if_due(now);
        Answer::Later(receiver)
    }

    /// A static member came back without its member id: it takes the place of its former self, which
    /// is fenced. A stable group goes on as it was.
    fn replace_static(
        &mut self,
        old_id: &str,
        request: &JoinGroupRequest,
        version: i16,
        now: Instant,
    ) -> Answer<JoinGroupResponse> {
        let Some(mut member) = self.members.remove(old_id) else {
            return Answer::Now(join_error(ResponseError::UnknownMemberId, &request.member_id));
        };
        let fenced = ResponseError::FencedInstanceId;
        if let Some(waiting) = member.joining.take() {
            let _ = waiting.send(join_error(fenced, &old_id.to_owned().into()));
        }
        if let Some(waiting) = member.syncing.take() {
            let _ = waiting.send(sync_error(fenced));
        }
        let instance = request.group_instance_id.as_deref().unwrap_or_default();
        let new_id = format!("{instance}-{}", Uuid::new_v4());
        let unchanged = member.protocols == protocols_of(request);
        member.update(request, version, now);
        let led = self.leader == old_id;
        if led {
            self.leader = new_id.clone();
        }
        if self.state == State::Stable && unchanged {
            self.members.insert(new_id.clone(), member);
            let mut response = self.joined(&new_id, false);
            if led && version >= 9 {
                response = self.joined(&new_id, true).with_skip_assignment(true);
            } else if led {
                // It must not assign anew, so an older client is told that another one leads.
                response.leader = old_id.to_owned().into();
            }
            return Answer::Now(response);
        }
        self.add(new_id, member, request, now)
    }

    /// Everybody has to join again.
    fn prepare_rebalance(&mut self, now: Instant) {
        if matches!(self.state, State::PreparingRebalance { .. }) {
            return;
        }
        let delay = if self.state == State::Empty { self.initial_rebalance_delay } else { Duration::ZERO };
        let longest = self.members.values().map(|member| member.rebalance_timeout).max();
        self.state = State::PreparingRebalance {
            not_before: now + delay,
            deadline: now + delay.max(longest.unwrap_or_default()),
        };
        for member in self.members.values_mut() {
            if let Some(waiting) = member.syncing.take() {
                let _ = waiting.send(sync_error(ResponseError::RebalanceInProgress));
                member.last_seen = now;
            }
        }
    }

    /// Ends the join phase when all have joined, or time is up for those who have not.
    fn complete_join_if_due(&mut self, now: Instant) {
        let State::PreparingRebalance { not_before, deadline } = self.state else {
            return;
        };
        let all = self.promised.is_empty() && self.members.values().all(|m| m.joining.is_some());
        if now < not_before || (!all && now < deadline) {
            return;
        }
        // Static members keep their place until their session ends.
        self.members.retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            self.protocol = StrBytes::new();
            self.leader.clear();
            return;
        }
        self.protocol = self.vote();
        let present = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !present(&self.leader) {
            let next = self.members.keys().find(|id| present(id)).or(self.members.keys().next());
            self.leader = next.cloned().unwrap_or_default();
        }
        self.state = State::CompletingRebalance;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id, id == self.leader);
            if let Some(member) = self.members.get_mut(&id) {
                member.last_seen = now;
                member.assignment = bytes::Bytes::new();
                if let Some(waiting) = member.joining.take() {
                    let _ = waiting.send(response);
                }
            }
        }
    }

    /// The protocol that most members prefer among those that all have.
    fn vote(&self) -> StrBytes {
        let common = |name: &StrBytes| self.members.values().all(|member| member.supports(name));
        let mut votes: HashMap<&StrBytes, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let winner = votes.into_iter().max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)));
        winner.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn joined(&self, id: &str, with_members: bool) -> JoinGroupResponse {
        let list = |(id, member): (&String, &Member)| {
            JoinGroupResponseMember::default()
                .with_member_id(id.clone().into())
                .with_group_instance_id(member.instance_id.clone())
                .with_metadata(member.metadata(&self.protocol))
        };
        let members = with_members || (self.leader == id && self.state == State::CompletingRebalance);
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(self.protocol.clone()))
            .with_leader(self.leader.clone().into())
            .with_member_id(id.to_owned().into())
            .with_members(if members { self.members.iter().map(list).collect() } else { Vec::new() })
    }

    pub(super) fn sync(&mut self, request: SyncGroupRequest, now: Instant) -> Answer<SyncGroupResponse> {
        let id = request.member_id.to_string();
        let who = MemberRef {
            member_id: &id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id,
        };
        if let Err(error) = self.check(who, now) {
            return Answer::Now(sync_error(error));
        }
        let other = |said: &Option<StrBytes>, ours: &StrBytes| said.as_ref().is_some_and(|s| s != ours);
        if other(&request.protocol_type, &self.protocol_type) || other(&request.protocol_name, &self.protocol) {
            return Answer::Now(sync_error(ResponseError::InconsistentGroupProtocol));
        }
        match self.state {
            State::Empty => Answer::Now(sync_error(ResponseError::UnknownMemberId)),
            State::PreparingRebalance { .. } => Answer::Now(sync_error(ResponseError::RebalanceInProgress)),
            State::Stable => Answer::Now(self.assigned(&id)),
            State::CompletingRebalance => {
                let (sender, receiver) = oneshot::channel();
                if let Some(member) = self.members.get_mut(&id) {
                    member.syncing = Some(sender);
                }
                if id == self.leader {
                    self.assign(request, now);
                }
                Answer::Later(receiver)
            }
        }
    }

    /// The leader has decided: everybody who waits gets its part.
    fn assign(&mut self, request: SyncGroupRequest, now: Instant) {
        for assignment in request.assignments {
            if let Some(member) = self.members.get_mut(assignment.member_id.as_str()) {
                member.assignment = assignment.assignment;
            }
        }
        self.state = State::Stable;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.assigned(&id);
            if let Some(member) = self.members.get_mut(&id)
                && let Some(waiting) = member.syncing.take()
            {
                member.last_seen = now;
                let _ = waiting.send(response);
            }
        }
    }

    fn assigned(&self, id: &str) -> SyncGroupResponse {
        let assignment = self.members.get(id).map(|member| member.assignment.clone());
        SyncGroupResponse::default()
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(self.protocol.clone()))
            .with_assignment(assignment.unwrap_or_default())
    }

    pub(super) fn heartbeat(&mut self, who: MemberRef<'_>, now: Instant) -> Result<(), ResponseError> {
        self.check(who, now)?;
        match self.state {
            State::PreparingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn may_commit(&mut self, who: MemberRef<'_>, now: Instant) -> Result<(), ResponseError> {
        if who.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check(who, now)?;
        match self.state {
            State::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let id = match instance_id.and_then(|instance| self.holder_of(instance)) {
            Some(holder) if !member_id.is_empty() && holder != member_id => {
                return Err(ResponseError::FencedInstanceId);
            }
            Some(holder) => holder,
            None => member_id.to_owned(),
        };
        if self.promised.remove(&id).is_some() {
            self.complete_join_if_due(now);
            return Ok(());
        }
        if self.members.remove(&id).is_none() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.after_removal(now);
        Ok(())
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.promised.retain(|_, until| now < *until);
        let before = self.members.len();
        self.members.retain(|_, member| !member.is_silent(now));
        if self.members.len() < before {
            self.after_removal(now);
        }
        self.complete_join_if_due(now);
    }

    fn after_removal(&mut self, now: Instant) {
        if self.state != State::Empty {
            self.prepare_rebalance(now);
            self.complete_join_if_due(now);
        }
    }

    /// Whether the member exists and its generation is the current one; it has been heard of.
    fn check(&mut self, who: MemberRef<'_>, now: Instant) -> Result<(), ResponseError> {
        if let Some(instance_id) = who.instance_id {
            match self.holder_of(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != who.member_id => {
                    return Err(ResponseError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        let member = self.members.get_mut(who.member_id).ok_or(ResponseError::UnknownMemberId)?;
        if who.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        member.last_seen = now;
        Ok(())
    }
}
