//! Makes what a revision runs with: topics, the token of its workers, and its configuration, which then does not change.
//! Before that it sees to it that nothing is forgotten by it.

use super::build;
use super::decide::Origin;
use super::reconcile::{Context, Progress, RETRY, Result};
use super::wanted::{Invalid, Wanted};
use crate::cluster::{Cluster, Notice};
use crate::surroundings::{JobRequest, ReadSecrets, Surroundings};
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::{OperationKind, Revision, Step};
use millrace_crds::stream_job::{StreamJobSpec, UpgradeMode};

impl<C: Cluster, S: Surroundings> Context<C, S> {
    pub(super) async fn prepare(
        &self,
        job: StreamJob,
        target: Revision,
        from: Origin,
        wanted: &std::result::Result<Wanted, Invalid>,
        secrets: &ReadSecrets,
    ) -> Result<Progress> {
        if self.made(&job, &target).await?.is_some() {
            return self.prepared(job).await;
        }
        let (spec, plan, secrets) = match (&from, wanted) {
            (Origin::Revision(earlier), _) => match self.made(&job, earlier).await? {
                Some(made) => {
                    let secrets = self.read_secrets(&job, &made.secrets).await?;
                    (made.spec.clone(), made.file.written().plan.clone(), secrets)
                }
                None => {
                    return self.trouble(job, "the configuration of the last stable revision is gone".to_owned()).await;
                }
            },
            (Origin::Wanted, Ok(wanted)) => (wanted.spec.clone(), wanted.plan.clone(), secrets.clone()),
            (Origin::Wanted, Err(Invalid(message))) => return self.trouble(job, message.clone()).await,
        };
        if let Some(lost) = self.would_lose(&job, &target).await? {
            return self.trouble(job, lost).await;
        }
        let spec = StreamJobSpec { parallelism: i32::try_from(target.parallelism).ok(), ..spec };
        let request = JobRequest {
            identity: Self::identity(&job, &target),
            spec: spec.clone(),
            plan,
            restore_from: target.restored_from.clone(),
            secrets,
        };
        let file = match self.surroundings.create(request).await {
            Ok(file) => file,
            Err(trouble) => return self.trouble(job, trouble.to_string()).await,
        };
        let namespace = job.namespace().unwrap_or_default();
        self.cluster.create_secret(&namespace, &build::token_secret(&job)).await?;
        self.cluster.create_config_map(&namespace, &build::config_map(&job, &target, file, &spec)).await?;
        self.prepared(job).await
    }

    /// A new incarnation without a savepoint, in place of one that has committed: that would forget what it knows.
    async fn would_lose(&self, job: &StreamJob, target: &Revision) -> Result<Option<String>> {
        let status = job.status.clone().unwrap_or_default();
        let upgrade = status.operation.as_ref().is_some_and(|operation| operation.kind == OperationKind::Upgrade);
        let Some(current) = status.revision.filter(|_| upgrade) else { return Ok(None) };
        if job.spec.upgrade.mode == UpgradeMode::Stateless {
            // It may have been asked for since.
            return Ok(None);
        }
        let without_savepoint = status.operation.is_some_and(|operation| operation.savepoint.is_none());
        if !without_savepoint || current.incarnation == target.incarnation {
            return Ok(None);
        }
        let Some(made) = self.made(job, &current).await? else { return Ok(None) };
        let secrets = self.read_secrets(job, &made.secrets).await?;
        Ok(match self.surroundings.has_committed(made.file.to_text().expect("it was text"), secrets).await {
            Ok(false) => None,
            Ok(true) => Some(
                "the revision before has committed results, and no savepoint of it could be made because it does not run: put \
                 back its statements so that it runs, or, where its state is not needed, set upgrade.mode to Stateless"
                    .to_owned(),
            ),
            Err(trouble) => Some(trouble.to_string()),
        })
    }

    async fn prepared(&self, job: StreamJob) -> Result<Progress> {
        let mut status = job.status.clone().unwrap_or_default();
        if let Some(operation) = &mut status.operation
            && operation.step == Step::Preparing
        {
            *operation = super::operation::at(operation, Step::Starting, (self.now)());
            status.revision = Some(operation.target.clone());
        }
        Ok(Progress::More(Box::new(self.cluster.write_status(&job, &status).await?)))
    }

    /// Says why an operation does not go on, and comes back to it.
    pub(super) async fn trouble(&self, job: StreamJob, message: String) -> Result<Progress> {
        let mut status = job.status.clone().unwrap_or_default();
        if let Some(operation) = &mut status.operation
            && operation.message.as_deref() != Some(&message)
        {
            operation.message = Some(message.clone());
            let written = self.cluster.write_status(&job, &status).await?;
            self.cluster.tell(&written, Notice { warning: true, reason: "OperationWaits".to_owned(), message }).await;
        }
        Ok(Progress::Rest(RETRY))
    }
}
