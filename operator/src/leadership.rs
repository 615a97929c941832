//! Which replica of the operator reconciles: the one that holds a Lease, as Kubernetes' own controllers do it. One that
//! can't renew it in time ends its process, so that it can't go on beside the next.

use crate::names::FIELD_MANAGER;
use crate::settings::LeaderElection;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::Duration;

const NAME: &str = "millrace-operator";
/// As client-go has them: a Lease is held for so long, renewed by half of that, and tried so often.
const DURATION: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

pub struct Leadership {
    api: Api<Lease>,
    identity: String,
}

impl Leadership {
    pub fn new(client: Client, election: &LeaderElection) -> Self {
        Self { api: Api::namespaced(client, &election.namespace), identity: election.identity.clone() }
    }

    /// Returns when the Lease is ours.
    pub async fn acquire(&self) {
        loop {
            match self.hold().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "could not look at the Lease of the leader"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Keeps it; returns when it is lost.
    pub async fn keep(&self) {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            match tokio::time::timeout(RENEW_DEADLINE, self.hold()).await {
                Ok(Ok(true)) => renewed = tokio::time::Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "could not renew the Lease of the leader"),
                Err(_) => {}
            }
            if renewed.elapsed() > RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Lets another replica have it at once.
    pub async fn release(&self) {
        if let Ok(Some(mut lease)) = self.api.get_opt(NAME).await
            && holder(&lease) == Some(self.identity.as_str())
            && let Some(spec) = &mut lease.spec
        {
            spec.holder_identity = None;
            let _ = self.api.replace(NAME, &PostParams::default(), &lease).await;
        }
    }

    /// Takes or renews it; false: another replica has it.
    async fn hold(&self) -> kube::Result<bool> {
        let now = Timestamp::now();
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(None, now)) };
            return taken(self.api.create(&post(), &lease).await);
        };
        if !may_take(&lease, &self.identity, now) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(lease.spec.as_ref(), now));
        // With the version that was read: of two, one succeeds.
        taken(self.api.replace(NAME, &post(), &lease).await)
    }

    fn spec(&self, before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let same = before.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.identity);
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(MicroTime(now)),
            acquire_time: before.filter(|_| same).and_then(|spec| spec.acquire_time.clone()).or(Some(MicroTime(now))),
            lease_transitions: Some(transitions + i32::from(!same)),
            ..LeaseSpec::default()
        }
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn taken(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        written => written.map(|_| true),
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Nobody else has it, or they have not renewed it in time.
fn may_take(lease: &Lease, identity: &str, now: Timestamp) -> bool {
    let Some(holder) = holder(lease) else { return true };
    let spec = lease.spec.as_ref();
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    let over =
        renewed.is_none_or(|renewed| now.duration_since(renewed) > SignedDuration::from_secs(i64::from(seconds)));
    holder == identity || over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: Timestamp) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        Lease { metadata: ObjectMeta::default(), spec: Some(spec) }
    }

    #[test]
    fn a_lease_is_taken_only_from_nobody_or_from_one_who_is_silent() {
        let now = Timestamp::from_second(1_000).expect("a time");
        let ago = |seconds| now - SignedDuration::from_secs(seconds);
        assert!(!may_take(&lease("other", ago(10)), "me", now));
        assert!(may_take(&lease("other", ago(16)), "me", now));
        assert!(may_take(&lease("me", ago(10)), "me", now));
        assert!(may_take(&lease("", ago(1)), "me", now));
        assert!(may_take(&Lease::default(), "me", now));
    }
}
