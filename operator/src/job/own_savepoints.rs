//! The savepoints that the operator makes to upgrade or suspend a job. Nobody asked for them by an object, so nobody else
//! deletes them: each is in the status, with its place, before it is begun, and goes once the job runs stable and does not
//! rest on it.

use super::reconcile::{Context, Result};
use super::wanted;
use crate::cluster::{Cluster, Notice};
use crate::surroundings::{Place, Surroundings, Trouble};
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::StreamJobStatus;
use millrace_job_runtime::savepoint::place;

impl<C: Cluster, S: Surroundings> Context<C, S> {
    /// Has the status name where a savepoint of this id is to be.
    pub(super) fn announce_savepoint(job: &StreamJob, status: &mut StreamJobStatus, id: &str) {
        if let Some(revision) = &status.revision {
            let location = place(&Self::identity(job, revision), &wanted::savepoint_location(&job.spec), id);
            status.own_savepoints.push(location);
        }
    }

    /// Deletes all but the last, and what the job has started from. Returns the job as it is then.
    pub(super) async fn clean_savepoints(&self, job: StreamJob) -> Result<StreamJob> {
        let mut status = job.status.clone().unwrap_or_default();
        let last = status.last_savepoint.as_ref().and_then(|copy| copy.url.clone());
        let begun_from = starts(&status).map(str::to_owned).collect::<Vec<_>>();
        // One that is being deleted rests on nothing any more.
        let deleting = job.metadata.deletion_timestamp.is_some();
        let is_kept = |location: &String| last.as_ref() == Some(location) || !deleting && begun_from.contains(location);
        let Some(revision) = status.revision.as_ref().filter(|_| !status.own_savepoints.iter().all(is_kept)) else {
            return Ok(job);
        };
        let Some(made) = self.made(&job, revision).await? else { return Ok(job) };
        let secrets = self.read_secrets(&job, &made.secrets).await?;
        let mut left = Vec::new();
        for location in std::mem::take(&mut status.own_savepoints) {
            if is_kept(&location) {
                left.push(location);
                continue;
            }
            let (kafka, secrets) = (made.spec.kafka.clone(), secrets.clone());
            match self.surroundings.delete_savepoint(Place { location: location.clone(), kafka, secrets }).await {
                Ok(()) => {}
                Err(Trouble::Passing(why)) => {
                    tracing::warn!(job = job.name_any(), location, why, "could not delete a savepoint yet");
                    left.push(location);
                }
                Err(Trouble::Invalid(why)) => {
                    let message = format!("{location} is left, as it can't be deleted: {why}");
                    self.cluster
                        .tell(&job, Notice { warning: true, reason: "SavepointLeft".to_owned(), message })
                        .await;
                }
            }
        }
        status.own_savepoints = left;
        match job.status.as_ref() == Some(&status) {
            true => Ok(job),
            false => Ok(self.cluster.write_status(&job, &status).await?),
        }
    }
}

/// The savepoints from which what runs, or would run again, has started: a task whose volume is lost begins there as long as
/// its log does.
pub(crate) fn starts(status: &StreamJobStatus) -> impl Iterator<Item = &str> {
    let revisions = [&status.revision, &status.stable].into_iter().flatten();
    let begun = status.operation.iter().map(|operation| &operation.target);
    revisions.chain(begun).filter_map(|revision| revision.restored_from.as_deref())
}
