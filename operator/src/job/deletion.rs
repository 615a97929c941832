//! A `StreamJob` goes: with a last savepoint where one is asked for, then its pods, then its topics. Each part has a
//! deadline, after which it is left, so that neither an object nor its namespace waits for a Kafka that is gone. Pods,
//! volumes and configuration go by their owner.

use super::reconcile::{Context, Result};
use super::status::seconds;
use super::wanted;
use crate::cluster::{Cluster, Freshness, Notice};
use crate::surroundings::{Surroundings, Trouble};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::{Copy, Revision};
use millrace_crds::stream_job::DeletionPolicy;
use millrace_launch::savepoint::Request;
use std::time::Duration;

/// For pods to be gone, and for topics to be deleted.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn delete<C: Cluster, S: Surroundings>(context: &Context<C, S>, job: &StreamJob) -> Result<Duration> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    if !job.finalizers().iter().any(|finalizer| finalizer == crate::names::FINALIZER) {
        return Ok(Duration::MAX);
    }
    let since = job.metadata.deletion_timestamp.as_ref().map(|time| (context.now)().duration_since(time.0));
    let since = since.unwrap_or(SignedDuration::ZERO);
    let revision = job.status.as_ref().and_then(|status| status.revision.clone());
    let Some(revision) = revision else { return release(context, job).await };

    let observed = context.observe(&context.cluster.children(&namespace, &name, Freshness::Live).await?).await;
    let allowed = job
        .spec
        .final_savepoint
        .map(|last| SignedDuration::try_from(last.deadline.get()).unwrap_or(SignedDuration::MAX));
    // Workers that have been told to stop run for a moment yet.
    let made = job.status.as_ref().is_some_and(|status| status.suspended_with.is_some());
    if let Some(deadline) = allowed
        && !made
        && observed.all_running(revision.replicas)
        && since < deadline
        && let Some(token) = context.token(job).await?
    {
        let left = Duration::try_from(deadline - since).unwrap_or(Duration::ZERO);
        let request = Request {
            workers: observed.urls(),
            token: Some(token),
            id: format!("final-{}", (context.now)().as_second()),
            replaces: None,
            to: wanted::savepoint_location(&job.spec),
            stop: true,
            timeout: left,
        };
        match context.surroundings.make_savepoint(request).await {
            Ok(location) => {
                let mut status = job.status.clone().unwrap_or_default();
                status.suspended_with = Some(location.clone());
                status.last_savepoint =
                    Some(Copy { time: Time(seconds((context.now)())), url: Some(location.clone()) });
                context.cluster.write_status(job, &status).await?;
                let notice = Notice { warning: false, reason: "FinalSavepoint".to_owned(), message: location };
                context.cluster.tell(job, notice).await;
            }
            Err(trouble) => {
                let notice =
                    Notice { warning: true, reason: "FinalSavepoint".to_owned(), message: trouble.to_string() };
                context.cluster.tell(job, notice).await;
                return Ok(LOOK);
            }
        }
    }
    context.stop(job, &observed).await?;
    let pods_left = !observed.workers.is_empty();
    let deadline = allowed.unwrap_or(SignedDuration::ZERO).saturating_add(PATIENCE);
    if pods_left && since < deadline {
        return Ok(LOOK);
    }
    if job.spec.deletion_policy == DeletionPolicy::Retain {
        return release(context, job).await;
    }
    let job = &context.clean_savepoints(job.clone()).await?;
    if let Err(trouble) = delete_topics(context, job, &revision).await? {
        if since < deadline.saturating_add(PATIENCE) {
            return Ok(LOOK * 4);
        }
        let message = format!("the job's topics are left in Kafka: {trouble}");
        context.cluster.tell(job, Notice { warning: true, reason: "TopicsLeft".to_owned(), message }).await;
    }
    release(context, job).await
}

async fn delete_topics<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    job: &StreamJob,
    revision: &Revision,
) -> Result<std::result::Result<(), Trouble>> {
    let identity = Context::<C, S>::identity(job, revision);
    // The Kafka that it runs on, which need not be the one that the object names by now.
    let (kafka, secrets) = match context.made(job, revision).await? {
        Some(made) => {
            let secrets = context.read_secrets(job, &made.secrets).await?;
            (made.spec.kafka.clone(), secrets)
        }
        None => return Ok(Ok(())),
    };
    Ok(context.surroundings.delete_topics(identity, kafka, secrets).await)
}

async fn release<C: Cluster, S: Surroundings>(context: &Context<C, S>, job: &StreamJob) -> Result<Duration> {
    context.cluster.set_finalizer(job, false).await?;
    context.forget(&job.namespace().unwrap_or_default(), &job.name_any());
    Ok(Duration::MAX)
}
