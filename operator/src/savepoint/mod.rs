//! `Savepoint`: makes the copy that an object asks for, and deletes it with the object. The job runs on; a savepoint that
//! can't be made is tried a few times and then says why.

use crate::cluster::{Cluster, ClusterError, Freshness, in_namespace};
use crate::job::reconcile::{Context, ReconcileError, Shared};
use crate::job::status::seconds;
use crate::job::wanted;
use crate::metrics::Metrics;
use crate::names::FINALIZER;
use crate::surroundings::{Place, Surroundings, Trouble};
use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use millrace_crds::savepoint::{SavepointPhase, SavepointStatus};
use millrace_crds::stream_job::DeletionPolicy;
use millrace_crds::{Savepoint, StreamJob};
use millrace_launch::savepoint::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Attempts before a savepoint has failed for good.
const ATTEMPTS: u32 = 5;
const BETWEEN: Duration = Duration::from_secs(3);
/// To delete a copy before it is left where it is.
const DELETION_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Reconciles savepoints until the process ends.
pub async fn run<C: Cluster, S: Surroundings>(
    client: &Client,
    namespace: Option<&str>,
    context: Shared<C, S>,
    metrics: Arc<Metrics>,
) {
    let controller = Controller::new(in_namespace::<Savepoint>(client, namespace), watcher::Config::default());
    let each = move |savepoint: Arc<Savepoint>, context: Arc<Context<C, S>>| {
        let metrics = metrics.clone();
        async move {
            let begun = Instant::now();
            let done = reconcile(&context, &savepoint).await;
            metrics.reconciled("Savepoint", begun.elapsed(), done.is_err());
            done
        }
    };
    let retry = |_: Arc<Savepoint>, error: &ReconcileError, _: Arc<Context<C, S>>| {
        let conflict = matches!(error, ReconcileError::Cluster(ClusterError::Conflict(_)));
        Action::requeue(if conflict { Duration::from_millis(200) } else { BETWEEN })
    };
    controller.run(each, retry, context).for_each(|_| async {}).await;
}

/// One step for a savepoint.
pub async fn reconcile<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    cached: &Savepoint,
) -> Result<Action, ReconcileError> {
    let namespace = cached.namespace().unwrap_or_default();
    let Some(savepoint) = context.cluster.savepoint(&namespace, &cached.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if savepoint.metadata.deletion_timestamp.is_some() {
        return delete(context, &savepoint).await;
    }
    let status = savepoint.status.clone().unwrap_or_default();
    if matches!(status.phase, Some(SavepointPhase::Completed | SavepointPhase::Failed)) {
        return Ok(Action::await_change());
    }
    let savepoint = match savepoint.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        true => savepoint,
        false => context.cluster.set_savepoint_finalizer(&savepoint, true).await?,
    };
    let Some(job) = context.cluster.job(&namespace, &savepoint.spec.job, Freshness::Live).await? else {
        let message = format!("spec.job: there is no StreamJob {} in the namespace", savepoint.spec.job);
        let written = ended(context, &savepoint, status, SavepointPhase::Failed, "NoSuchJob", message);
        context.cluster.write_savepoint_status(&savepoint, &written).await?;
        return Ok(Action::await_change());
    };
    make(context, savepoint, &job, status).await
}

async fn make<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: Savepoint,
    job: &StreamJob,
    status: SavepointStatus,
) -> Result<Action, ReconcileError> {
    let namespace = job.namespace().unwrap_or_default();
    let running =
        job.status.as_ref().and_then(|status| status.revision.as_ref().filter(|_| status.operation.is_none()));
    let Some(revision) = running else {
        return wait(context, &savepoint, status, "JobBusy", "the job is being changed, or does not run yet").await;
    };
    let children = context.cluster.children(&namespace, &job.name_any(), Freshness::Live).await?;
    let observed = context.observe(&children).await;
    if !observed.all_running(revision.replicas) {
        return wait(context, &savepoint, status, "WorkersNotRunning", "all workers of the job have to run").await;
    }
    let Some(token) = context.token(job).await? else {
        return wait(context, &savepoint, status, "NoToken", "the Secret with the workers' token is gone").await;
    };
    let attempts = status.attempts + 1;
    let now = seconds((context.now)());
    let begun = SavepointStatus {
        observed_generation: savepoint.metadata.generation,
        phase: Some(SavepointPhase::InProgress),
        started_at: status.started_at.clone().or(Some(Time(now))),
        attempts,
        ..status
    };
    let savepoint = context.cluster.write_savepoint_status(&savepoint, &begun).await?;
    let id = |attempt: u32| format!("{}-{attempt}", savepoint.uid().unwrap_or_default());
    let request = Request {
        workers: observed.urls(),
        token: Some(token),
        id: id(attempts),
        replaces: (attempts > 1).then(|| id(attempts - 1)),
        to: wanted::savepoint_location(&job.spec),
        stop: false,
        timeout: savepoint.spec.timeout.get(),
    };
    match context.surroundings.make_savepoint(request).await {
        Ok(location) => {
            let size = match place(context, job, &location).await? {
                Some(place) => context.surroundings.savepoint_size(place).await.ok(),
                None => None,
            };
            let message = "a job can be restored from it".to_owned();
            let written = SavepointStatus {
                location: Some(location),
                bytes: size.and_then(|size| i64::try_from(size.bytes).ok()),
                parallelism: size.and_then(|size| i32::try_from(size.parallelism).ok()),
                ..ended(context, &savepoint, begun, SavepointPhase::Completed, "Completed", message)
            };
            context.cluster.write_savepoint_status(&savepoint, &written).await?;
            Ok(Action::await_change())
        }
        Err(trouble) if attempts >= ATTEMPTS || matches!(trouble, Trouble::Invalid(_)) => {
            let written = ended(context, &savepoint, begun, SavepointPhase::Failed, "NotMade", trouble.to_string());
            context.cluster.write_savepoint_status(&savepoint, &written).await?;
            Ok(Action::await_change())
        }
        Err(trouble) => {
            let written = SavepointStatus {
                conditions: vec![condition(&savepoint, false, "NotMadeYet", trouble.to_string(), now)],
                ..begun
            };
            context.cluster.write_savepoint_status(&savepoint, &written).await?;
            Ok(Action::requeue(BETWEEN))
        }
    }
}

/// Says what it waits for, and looks again.
async fn wait<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
    status: SavepointStatus,
    reason: &str,
    message: &str,
) -> Result<Action, ReconcileError> {
    let known = status.conditions.iter().any(|condition| condition.reason == reason);
    if !known || status.phase.is_none() {
        let now = seconds((context.now)());
        let written = SavepointStatus {
            observed_generation: savepoint.metadata.generation,
            phase: Some(SavepointPhase::Pending),
            conditions: vec![condition(savepoint, false, reason, message.to_owned(), now)],
            ..status
        };
        context.cluster.write_savepoint_status(savepoint, &written).await?;
    }
    Ok(Action::requeue(BETWEEN))
}

fn ended<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
    status: SavepointStatus,
    phase: SavepointPhase,
    reason: &str,
    message: String,
) -> SavepointStatus {
    let now = seconds((context.now)());
    SavepointStatus {
        observed_generation: savepoint.metadata.generation,
        phase: Some(phase),
        completed_at: Some(Time(now)),
        conditions: vec![condition(savepoint, phase == SavepointPhase::Completed, reason, message, now)],
        ..status
    }
}

fn condition(savepoint: &Savepoint, ready: bool, reason: &str, message: String, now: Timestamp) -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: savepoint.metadata.generation,
        last_transition_time: Time(now),
    }
}

/// How a savepoint of a job is got to; None: nothing is known of the job any more.
async fn place<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    job: &StreamJob,
    location: &str,
) -> Result<Option<Place>, ReconcileError> {
    let Some(revision) = job.status.as_ref().and_then(|status| status.revision.clone()) else { return Ok(None) };
    let Some(made) = context.made(job, &revision).await? else { return Ok(None) };
    let secrets = context.read_secrets(job, &made.secrets).await?;
    Ok(Some(Place { location: location.to_owned(), kafka: made.spec.kafka.clone(), secrets }))
}

async fn delete<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
) -> Result<Action, ReconcileError> {
    if !savepoint.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(Action::await_change());
    }
    let location = savepoint.status.as_ref().and_then(|status| status.location.clone());
    if let Some(location) = location
        && savepoint.spec.deletion_policy == DeletionPolicy::Delete
    {
        let namespace = savepoint.namespace().unwrap_or_default();
        let job = context.cluster.job(&namespace, &savepoint.spec.job, Freshness::Live).await?;
        let place = match &job {
            Some(job) => place(context, job, &location).await?,
            None => None,
        };
        let since = savepoint.metadata.deletion_timestamp.as_ref().map(|time| (context.now)().duration_since(time.0));
        let in_time = since.is_some_and(|since| since < DELETION_PATIENCE);
        // Without the job nobody knows how to get to it: it is left, as its own tools can still read it.
        if let Some(place) = place
            && let Err(error) = context.surroundings.delete_savepoint(place).await
            && in_time
        {
            tracing::warn!(savepoint = savepoint.name_any(), %error, "could not delete a savepoint");
            return Ok(Action::requeue(BETWEEN));
        }
    }
    context.cluster.set_savepoint_finalizer(savepoint, false).await?;
    Ok(Action::await_change())
}
