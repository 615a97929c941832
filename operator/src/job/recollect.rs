//! A status that was lost, as by a backup that leaves it out: what the job runs is found again by what there is, so that
//! nothing is begun anew that runs.

use super::reconcile::{Context, Result};
use super::wanted;
use crate::cluster::{Children, Cluster};
use crate::names::REVISION_LABEL;
use crate::surroundings::Surroundings;
use millrace_crds::StreamJob;
use millrace_crds::status::{Phase, Revision, StreamJobStatus};

impl<C: Cluster, S: Surroundings> Context<C, S> {
    /// The status that the job had, as far as its StatefulSet and the ConfigMap of its revision tell it; None where it has none.
    pub(super) async fn recollect(&self, job: &StreamJob, children: &Children) -> Result<Option<StreamJobStatus>> {
        let Some(set) = &children.stateful_set else { return Ok(None) };
        let labels = set.spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        let numbers = labels.and_then(|labels| labels.get(REVISION_LABEL)?.split_once('.'));
        let Some((Ok(incarnation), Ok(generation))) = numbers.map(|(i, g)| (i.parse(), g.parse())) else {
            return Ok(None);
        };
        let named = Revision { incarnation, generation, ..Revision::default() };
        let Some(made) = self.made(job, &named).await? else { return Ok(None) };
        let written = made.file.written();
        let parallelism = written.parallelism.unwrap_or(1);
        let suspended = set.spec.replicas == Some(0);
        let revision = Revision {
            replicas: wanted::replicas(&made.spec, parallelism),
            parallelism,
            plan_hash: wanted::plan_hash(&written.plan),
            settings_hash: wanted::settings_hash(&made.spec),
            restored_from: written.restore_from.clone(),
            ..named
        };
        let phase = if suspended { Phase::Suspended } else { Phase::Running };
        Ok(Some(StreamJobStatus { revision: Some(revision), phase: Some(phase), ..StreamJobStatus::default() }))
    }
}
