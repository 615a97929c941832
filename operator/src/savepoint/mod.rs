//! `Savepoint`: makes the copy that an object asks for, and deletes it with the object. The job runs on; a savepoint that
//! can't be made is tried a few times and then says why. Each attempt is in the status, with its place, before it is begun:
//! what it comes to is found there also by an operator that comes after.

use crate::cluster::{Cluster, ClusterError, Freshness, in_namespace};
use crate::job::own_savepoints::starts;
use crate::job::reconcile::{Context, ReconcileError, Shared};
use crate::job::status::seconds;
use crate::job::wanted;
use crate::metrics::Metrics;
use crate::names::FINALIZER;
use crate::surroundings::{Place, SavepointSize, Surroundings, Trouble};
use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use millrace_crds::savepoint::{SavepointPhase, SavepointStatus};
use millrace_crds::stream_job::DeletionPolicy;
use millrace_crds::{Savepoint, StreamJob};
use millrace_job_runtime::savepoint::place;
use millrace_launch::savepoint::Request;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Attempts, at least, before a savepoint has failed for good; and as long as one may take, for workers that make another
/// one meanwhile.
const ATTEMPTS: u32 = 5;
/// After the first attempt. From one to the next it becomes more.
const BETWEEN: Duration = Duration::from_secs(3);
const MOST_BETWEEN: Duration = Duration::from_secs(30);
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
    if status.phase == Some(SavepointPhase::InProgress)
        && let Some(location) = status.attempted_locations.last().cloned()
        && let Some(size) = size(context, job, &location).await?
    {
        // Only the answer was lost.
        return complete(context, &savepoint, status, location, Some(size)).await;
    }
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
    let id = |attempt: u32| format!("{}-{attempt}", savepoint.uid().unwrap_or_default());
    let to = wanted::savepoint_location(&job.spec);
    let mut attempted_locations = status.attempted_locations.clone();
    attempted_locations.push(place(&Context::<C, S>::identity(job, revision), &to, &id(attempts)));
    let now = seconds((context.now)());
    let begun = SavepointStatus {
        observed_generation: savepoint.metadata.generation,
        phase: Some(SavepointPhase::InProgress),
        started_at: status.started_at.clone().or(Some(Time(now))),
        attempts,
        attempted_locations,
        conditions: vec![condition(&savepoint, false, "InProgress", format!("attempt {attempts} is under way"), now)],
        ..status
    };
    let request = Request {
        workers: observed.urls(),
        token: Some(token),
        id: id(attempts),
        replaces: (attempts > 1).then(|| id(attempts - 1)),
        to,
        stop: false,
        timeout: savepoint.spec.timeout.get(),
    };
    let savepoint = context.cluster.write_savepoint_status(&savepoint, &begun).await?;
    let patience = SignedDuration::try_from(request.timeout).unwrap_or(SignedDuration::MAX);
    let made = context.surroundings.make_savepoint(request).await;
    let since = begun.started_at.as_ref().map_or(SignedDuration::ZERO, |at| (context.now)().duration_since(at.0));
    let in_vain = attempts >= ATTEMPTS && since > patience;
    match made {
        Ok(location) => {
            let size = size(context, job, &location).await?;
            complete(context, &savepoint, begun, location, size).await
        }
        Err(trouble) if in_vain || matches!(trouble, Trouble::Invalid(_)) => {
            let written = ended(context, &savepoint, begun, SavepointPhase::Failed, "NotMade", trouble.to_string());
            context.cluster.write_savepoint_status(&savepoint, &written).await?;
            Ok(Action::await_change())
        }
        Err(trouble) => {
            let written = SavepointStatus {
                phase: Some(SavepointPhase::Pending),
                conditions: vec![condition(&savepoint, false, "NotMadeYet", trouble.to_string(), now)],
                ..begun
            };
            context.cluster.write_savepoint_status(&savepoint, &written).await?;
            Ok(Action::requeue(MOST_BETWEEN.min(BETWEEN * attempts)))
        }
    }
}

async fn complete<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
    status: SavepointStatus,
    location: String,
    size: Option<SavepointSize>,
) -> Result<Action, ReconcileError> {
    let message = "a job can be restored from it".to_owned();
    let written = SavepointStatus {
        location: Some(location),
        bytes: size.and_then(|size| i64::try_from(size.bytes).ok()),
        parallelism: size.and_then(|size| i32::try_from(size.parallelism).ok()),
        ..ended(context, savepoint, status, SavepointPhase::Completed, "Completed", message)
    };
    context.cluster.write_savepoint_status(savepoint, &written).await?;
    Ok(Action::await_change())
}

/// Not begun yet, or not again.
async fn wait<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
    status: SavepointStatus,
    reason: &str,
    message: &str,
) -> Result<Action, ReconcileError> {
    let status = SavepointStatus { phase: Some(SavepointPhase::Pending), ..status };
    say(context, savepoint, status, reason, message).await
}

/// Says what is waited for, once, and looks again.
async fn say<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    savepoint: &Savepoint,
    status: SavepointStatus,
    reason: &str,
    message: &str,
) -> Result<Action, ReconcileError> {
    let before = savepoint.status.as_ref();
    let is_known = before.is_some_and(|before| {
        before.phase == status.phase && before.conditions.iter().any(|condition| condition.reason == reason)
    });
    if !is_known {
        let ready = status.phase == Some(SavepointPhase::Completed);
        let now = seconds((context.now)());
        let written = SavepointStatus {
            observed_generation: savepoint.metadata.generation,
            conditions: vec![condition(savepoint, ready, reason, message.to_owned(), now)],
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

/// Of a savepoint that is complete; None where there is none, or nobody could look.
async fn size<C: Cluster, S: Surroundings>(
    context: &Context<C, S>,
    job: &StreamJob,
    location: &str,
) -> Result<Option<SavepointSize>, ReconcileError> {
    match reach(context, job, location).await? {
        Some(place) => Ok(context.surroundings.savepoint_size(place).await.ok()),
        None => Ok(None),
    }
}

/// How a savepoint of a job is got to; None: nothing is known of the job any more.
async fn reach<C: Cluster, S: Surroundings>(
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
    let since = savepoint.metadata.deletion_timestamp.as_ref().map(|time| (context.now)().duration_since(time.0));
    let in_time = since.is_some_and(|since| since < DELETION_PATIENCE);
    let namespace = savepoint.namespace().unwrap_or_default();
    let unwanted = unwanted(savepoint);
    let jobs = context.cluster.list_jobs(&namespace).await?;
    if let Some(job) = jobs.iter().find(|job| rests_on(job, &unwanted)) {
        let job = job.name_any();
        let message = format!(
            "StreamJob {job} has started from it, and may have to again where it loses a volume: the copy is deleted when the \
             job is, or has been upgraded"
        );
        return say(context, savepoint, savepoint.status.clone().unwrap_or_default(), "InUse", &message).await;
    }
    // Without the job nobody knows how to get to a copy: it is left, as its own tools can still read it.
    if let Some(job) = context.cluster.job(&namespace, &savepoint.spec.job, Freshness::Live).await? {
        for location in unwanted {
            if let Some(place) = reach(context, &job, &location).await?
                && let Err(error) = context.surroundings.delete_savepoint(place).await
            {
                tracing::warn!(savepoint = savepoint.name_any(), location, %error, "could not delete a savepoint");
                if in_time {
                    return Ok(Action::requeue(BETWEEN));
                }
            }
        }
    }
    context.cluster.set_savepoint_finalizer(savepoint, false).await?;
    Ok(Action::await_change())
}

/// Whether a job that is there to stay has started from one of these.
fn rests_on(job: &StreamJob, locations: &BTreeSet<String>) -> bool {
    let status = job.status.as_ref().filter(|_| job.metadata.deletion_timestamp.is_none());
    status.is_some_and(|status| starts(status).any(|location| locations.contains(location)))
}

/// Where there may be something that nobody needs once the object is gone.
fn unwanted(savepoint: &Savepoint) -> BTreeSet<String> {
    let Some(status) = &savepoint.status else { return BTreeSet::new() };
    let all = status.attempted_locations.iter().chain(&status.location).cloned();
    let is_kept = |location: &String| {
        savepoint.spec.deletion_policy == DeletionPolicy::Retain && status.location.as_ref() == Some(location)
    };
    all.filter(|location| !is_kept(location)).collect()
}
