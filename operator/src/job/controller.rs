//! Watches `StreamJob` objects, their StatefulSets and their pods, and reconciles a job when any of them changes, or when
//! it is time. Jobs are reconciled side by side; one that is broken holds up no other.

use super::reconcile::{Context, ReconcileError, Shared};
use crate::cluster::{Cluster, ClusterError, in_namespace};
use crate::metrics::Metrics;
use crate::names::JOB_LABEL;
use crate::surroundings::Surroundings;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use millrace_crds::StreamJob;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is watched in one namespace, or in all of them.
pub struct Watches {
    controller: Controller<StreamJob>,
    pub sets: Store<StatefulSet>,
    pub pods: Store<Pod>,
}

impl Watches {
    pub fn new(client: &Client, namespace: Option<&str>) -> Self {
        let (set_store, sets) = touched::<StatefulSet>(client, namespace);
        let (pod_store, pods) = touched::<Pod>(client, namespace);
        let controller = Controller::new(in_namespace(client, namespace), watcher::Config::default())
            .reconcile_on(sets)
            .reconcile_on(pods);
        Self { controller, sets: set_store, pods: pod_store }
    }

    pub fn jobs(&self) -> Store<StreamJob> {
        self.controller.store()
    }

    /// Reconciles until the process ends.
    pub async fn run<C: Cluster, S: Surroundings>(self, context: Shared<C, S>, metrics: Arc<Metrics>) {
        let each = {
            let metrics = metrics.clone();
            move |job: Arc<StreamJob>, context: Arc<Context<C, S>>| {
                let metrics = metrics.clone();
                async move { reconcile(&job, &context, &metrics).await }
            }
        };
        let retry =
            |_: Arc<StreamJob>, error: &ReconcileError, _: Arc<Context<C, S>>| Action::requeue(retry_after(error));
        let runs = self.controller.run(each, retry, context);
        runs.for_each(|done| async {
            if let Err(error) = done {
                tracing::debug!(%error, "a reconciliation will be repeated");
            }
        })
        .await;
    }
}

async fn reconcile<C: Cluster, S: Surroundings>(
    job: &StreamJob,
    context: &Context<C, S>,
    metrics: &Metrics,
) -> Result<Action, ReconcileError> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let begun = Instant::now();
    let done = context.reconcile(&namespace, &name).await;
    // To have lost a race is no failure: the next round knows more.
    let failed = matches!(&done, Err(ReconcileError::Cluster(error)) if !matches!(error, ClusterError::Conflict(_)));
    metrics.reconciled("StreamJob", begun.elapsed(), failed);
    if let Err(error) = &done
        && failed
    {
        tracing::warn!(namespace, job = name, %error, "could not reconcile");
    }
    let wait = done?;
    let status = (wait != Duration::MAX).then(|| job.status.clone().unwrap_or_default());
    metrics.job(&namespace, &name, status.as_ref());
    Ok(if wait == Duration::MAX { Action::await_change() } else { Action::requeue(wait) })
}

fn retry_after(error: &ReconcileError) -> Duration {
    match error {
        ReconcileError::Cluster(ClusterError::Conflict(_)) => Duration::from_millis(100),
        ReconcileError::Cluster(ClusterError::Refused(_)) => Duration::from_secs(30),
        ReconcileError::Cluster(ClusterError::Unavailable(_)) => Duration::from_secs(3),
    }
}

/// A cache of the objects of one kind that belong to jobs, and the jobs of those that change.
fn touched<K>(
    client: &Client,
    namespace: Option<&str>,
) -> (Store<K>, impl Stream<Item = ObjectRef<StreamJob>> + Send + use<K>)
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = store();
    let config = watcher::Config::default().labels(JOB_LABEL);
    // Who wrote which field is half of an object, and of no use here.
    let events = watcher(in_namespace::<K>(client, namespace), config)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let jobs = events.filter_map(async |object| {
        let object = object.ok()?;
        let job = object.labels().get(JOB_LABEL)?.clone();
        Some(ObjectRef::new(&job).within(&object.namespace()?))
    });
    (reader, jobs)
}
