//! One member of a consumer group, and the answers it may wait for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) instance_id: Option<StrBytes>,
    /// What the leader decided for this member.
    pub(crate) assignment: Bytes,
    pub(super) protocols: Vec<(StrBytes, Bytes)>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) last_seen: Instant,
    pub(super) joining: Option<oneshot::Sender<JoinGroupResponse>>,
    pub(super) syncing: Option<oneshot::Sender<SyncGroupResponse>>,
}

impl Member {
    pub(super) fn new(
        request: &JoinGroupRequest,
        version: i16,
        client_id: &str,
        client_host: &str,
        now: Instant,
    ) -> Self {
        let mut member = Member {
            client_id: client_id.to_owned(),
            client_host: client_host.to_owned(),
            instance_id: request.group_instance_id.clone(),
            assignment: Bytes::new(),
            protocols: Vec::new(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            last_seen: now,
            joining: None,
            syncing: None,
        };
        member.update(request, version, now);
        member
    }

    /// Takes over what a request to join says.
    pub(super) fn update(&mut self, request: &JoinGroupRequest, version: i16, now: Instant) {
        self.protocols = protocols_of(request);
        self.session_timeout = millis(request.session_timeout_ms);
        // Version 0 has no rebalance timeout of its own.
        let rebalance_ms = if version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
        self.rebalance_timeout = millis(rebalance_ms);
        self.last_seen = now;
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name.as_str() == protocol)
    }

    /// What the member said about itself for a protocol: its subscription.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name.as_str() == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// A member that waits for an answer of ours cannot heartbeat, and is not silent.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.joining.is_none() && self.syncing.is_none() && now.duration_since(self.last_seen) > self.session_timeout
    }
}

pub(super) fn protocols_of(request: &JoinGroupRequest) -> Vec<(StrBytes, Bytes)> {
    request.protocols.iter().map(|p| (p.name.clone(), p.metadata.clone())).collect()
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

/// Versions before 7 cannot encode a missing protocol name.
pub(super) fn join_error(error: ResponseError, member_id: &StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_member_id(member_id.clone())
        .with_protocol_name(Some(StrBytes::new()))
}

pub(super) fn sync_error(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
