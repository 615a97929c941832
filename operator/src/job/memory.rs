//! What is remembered of jobs between reconciliations, so that others are not asked the same again. Nothing rests on it: an
//! operator that begins anew knows none of it.

use super::facts::{Asked, Made};
use super::reconcile::Context;
use crate::cluster::Cluster;
use crate::surroundings::{ReadSecrets, Surroundings};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::Phase;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Of one job.
#[derive(Default)]
pub(super) struct Memory {
    /// When the statements were read from a ConfigMap, and which.
    pub(super) sql: Option<(Timestamp, String, String)>,
    /// What the object asks for, by its version.
    pub(super) wanted: Option<(Version, Asked)>,
    /// The number of tasks its topics give it, when that was asked, and about which job.
    pub(super) parallelism: Option<(Timestamp, String, std::result::Result<u32, String>)>,
    pub(super) status_written: Option<Timestamp>,
    /// What was last applied, so that the same is not applied again.
    pub(super) applied: Option<(String, Timestamp)>,
    pub(super) announced: Option<(Option<Phase>, Option<String>)>,
    /// The ConfigMaps that all others were deleted beside.
    pub(super) kept: Option<Vec<String>>,
    /// ConfigMaps of revisions, which do not change.
    pub(super) made: BTreeMap<String, Arc<Made>>,
    pub(super) secrets: Option<(Timestamp, String, ReadSecrets)>,
}

/// Two of the same ask for the same.
#[derive(PartialEq, Eq)]
pub(super) struct Version {
    pub(super) uid: Option<String>,
    pub(super) generation: Option<i64>,
    /// Which may stand elsewhere.
    pub(super) sql: String,
}

impl<C: Cluster, S: Surroundings> Context<C, S> {
    pub(super) fn since(&self, at: Timestamp) -> Duration {
        // A clock that was set back makes things old, not new.
        Duration::try_from((self.now)().duration_since(at)).unwrap_or(Duration::MAX)
    }

    fn key(job: &StreamJob) -> String {
        format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any())
    }

    /// What is remembered of a job, as far as it is asked for.
    pub(super) fn recall<T>(&self, job: &StreamJob, ask: impl FnOnce(&Memory) -> Option<T>) -> Option<T> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&Self::key(job)).and_then(ask)
    }

    pub(super) fn update(&self, job: &StreamJob, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        change(memory.entry(Self::key(job)).or_default());
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.remove(&format!("{namespace}/{name}"));
    }
}
