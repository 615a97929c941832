//! The cluster as the operator needs it: one trait, so that tests can stand in for it and make every call fail, and its
//! one implementation by the Kubernetes API. Nothing is decided here.

use crate::names::{self, FIELD_MANAGER, FINALIZER};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use millrace_crds::savepoint::SavepointStatus;
use millrace_crds::status::StreamJobStatus;
use millrace_crds::{Savepoint, StreamJob};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;

/// Why the cluster did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Somebody has changed the object since it was read: read it again.
    #[error("the object has changed meanwhile: {0}")]
    Conflict(String),
    /// What was to be written is not what the API server takes.
    #[error("the cluster refuses it: {0}")]
    Refused(String),
    #[error("the cluster did not answer as it should: {0}")]
    Unavailable(String),
}

pub type Result<T> = std::result::Result<T, ClusterError>;

/// The kinds of objects that the operator makes for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ServiceAccount,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
}

/// An object that is to be as it is here.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub kind: Kind,
    pub name: String,
    pub object: Value,
}

/// What a job has in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Children {
    pub stateful_set: Option<StatefulSet>,
    pub pods: Vec<Pod>,
}

/// Something that people should see with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub warning: bool,
    pub reason: String,
    pub message: String,
}

/// How new what is read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As the watch has told it last; asks nobody.
    Cached,
    Live,
}

pub trait Cluster: Send + Sync + 'static {
    fn job(
        &self,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Option<StreamJob>>> + Send;
    /// Fails with `Conflict` where the job is not any more as it was read.
    fn write_status(&self, job: &StreamJob, status: &StreamJobStatus)
    -> impl Future<Output = Result<StreamJob>> + Send;
    fn set_finalizer(&self, job: &StreamJob, present: bool) -> impl Future<Output = Result<StreamJob>> + Send;
    fn children(
        &self,
        namespace: &str,
        job: &str,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Children>> + Send;
    fn apply(&self, namespace: &str, child: &Child) -> impl Future<Output = Result<()>> + Send;
    /// Has a StatefulSet make no pods; their volumes stay.
    fn scale_to_zero(&self, namespace: &str, set: &str, uid: &str) -> impl Future<Output = Result<()>> + Send;
    /// Whether volumes of the job are on their way out: their pods are gone, or they are deleted already. A StatefulSet that
    /// is to make pods while there are such makes none, and does not look again.
    fn has_stale_claims(&self, namespace: &str, job: &str) -> impl Future<Output = Result<bool>> + Send;
    /// Deletes the volumes of a job's pods from an ordinal on.
    fn delete_claims(&self, namespace: &str, job: &str, from: u32) -> impl Future<Output = Result<()>> + Send;
    /// Deletes a StatefulSet.
    fn delete_set(&self, namespace: &str, set: &str, uid: &str) -> impl Future<Output = Result<()>> + Send;
    /// Each by its UID, so that one by the same name that has come since stays.
    fn delete_pods(&self, namespace: &str, pods: &[(String, String)]) -> impl Future<Output = Result<()>> + Send;
    fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>>> + Send;
    /// Makes it, unless it is there.
    fn create_config_map(&self, namespace: &str, object: &ConfigMap) -> impl Future<Output = Result<()>> + Send;
    /// Deletes a job's ConfigMaps but those named.
    fn keep_config_maps(&self, namespace: &str, job: &str, kept: &[String]) -> impl Future<Output = Result<()>> + Send;
    fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>>> + Send;
    /// Makes it, unless it is there.
    fn create_secret(&self, namespace: &str, object: &Secret) -> impl Future<Output = Result<()>> + Send;
    /// All jobs of a namespace, as they are now.
    fn list_jobs(&self, namespace: &str) -> impl Future<Output = Result<Vec<StreamJob>>> + Send;
    fn savepoint(&self, namespace: &str, name: &str) -> impl Future<Output = Result<Option<Savepoint>>> + Send;
    fn savepoints_of_schedule(&self, namespace: &str, job: &str)
    -> impl Future<Output = Result<Vec<Savepoint>>> + Send;
    fn create_savepoint(&self, namespace: &str, object: &Savepoint) -> impl Future<Output = Result<()>> + Send;
    fn delete_savepoint(&self, namespace: &str, name: &str) -> impl Future<Output = Result<()>> + Send;
    fn write_savepoint_status(
        &self,
        savepoint: &Savepoint,
        status: &SavepointStatus,
    ) -> impl Future<Output = Result<Savepoint>> + Send;
    fn set_savepoint_finalizer(
        &self,
        savepoint: &Savepoint,
        present: bool,
    ) -> impl Future<Output = Result<Savepoint>> + Send;
    /// Best effort: an event that is lost is none that anything rests on.
    fn tell(&self, job: &StreamJob, notice: Notice) -> impl Future<Output = ()> + Send;
}

/// By the Kubernetes API.
#[derive(Clone)]
pub struct KubernetesCluster {
    pub client: Client,
    pub recorder: Recorder,
    pub jobs: Vec<Store<StreamJob>>,
    pub sets: Vec<Store<StatefulSet>>,
    pub pods: Vec<Store<Pod>>,
}

/// What the first store has by that name.
fn cached<K: Resource<DynamicType = ()> + Clone + 'static>(
    stores: &[Store<K>],
    namespace: &str,
    name: &str,
) -> Option<K> {
    let reference = ObjectRef::new(name).within(namespace);
    stores.iter().find_map(|store| store.get(&reference)).map(|object| K::clone(&object))
}

impl KubernetesCluster {
    fn jobs(&self, namespace: &str) -> Api<StreamJob> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn savepoints(&self, namespace: &str) -> Api<Savepoint> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn claims(&self, namespace: &str, job: &str) -> Result<Vec<ObjectMeta>> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let selected = ListParams::default().labels(&names::selector_text(job));
        let claims = api.list_metadata(&selected).await.map_err(error)?;
        Ok(claims.into_iter().map(|claim| claim.metadata).collect())
    }
}

impl Cluster for KubernetesCluster {
    async fn job(&self, namespace: &str, name: &str, freshness: Freshness) -> Result<Option<StreamJob>> {
        if freshness == Freshness::Cached {
            return Ok(cached(&self.jobs, namespace, name));
        }
        self.jobs(namespace).get_opt(name).await.map_err(error)
    }

    async fn write_status(&self, job: &StreamJob, status: &StreamJobStatus) -> Result<StreamJob> {
        let written = StreamJob { status: Some(status.clone()), ..job.clone() };
        let api = self.jobs(&job.namespace().unwrap_or_default());
        api.replace_status(&job.name_any(), &PostParams::default(), &written).await.map_err(error)
    }

    async fn set_finalizer(&self, job: &StreamJob, present: bool) -> Result<StreamJob> {
        let patch = Patch::Merge(finalizers(&job.metadata, present));
        let api = self.jobs(&job.namespace().unwrap_or_default());
        api.patch(&job.name_any(), &PatchParams::default(), &patch).await.map_err(error)
    }

    async fn children(&self, namespace: &str, job: &str, freshness: Freshness) -> Result<Children> {
        if freshness == Freshness::Cached {
            let of_job = |pod: &Pod| {
                pod.namespace().as_deref() == Some(namespace)
                    && pod.labels().get(names::JOB_LABEL).is_some_and(|name| name == job)
            };
            let pods = self.pods.iter().flat_map(Store::state).filter(|pod| of_job(pod));
            return Ok(Children {
                stateful_set: cached(&self.sets, namespace, job),
                pods: pods.map(|pod| Pod::clone(&pod)).collect(),
            });
        }
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let stateful_set = sets.get_opt(job).await.map_err(error)?;
        let selected = ListParams::default().labels(&names::selector_text(job));
        Ok(Children { stateful_set, pods: pods.list(&selected).await.map_err(error)?.items })
    }

    async fn apply(&self, namespace: &str, child: &Child) -> Result<()> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource_of(child.kind));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&child.name, &params, &Patch::Apply(&child.object)).await.map(drop).map_err(error)
    }

    async fn scale_to_zero(&self, namespace: &str, set: &str, uid: &str) -> Result<()> {
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
        let policy = json!({"whenScaled": "Retain"});
        let spec = json!({"replicas": 0, "persistentVolumeClaimRetentionPolicy": policy});
        let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": spec}));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        unless_gone(api.patch(set, &params, &patch).await)
    }

    async fn has_stale_claims(&self, namespace: &str, job: &str) -> Result<bool> {
        let of_a_pod = |claim: &ObjectMeta| {
            claim.owner_references.as_ref().is_some_and(|owners| owners.iter().any(|owner| owner.kind == "Pod"))
        };
        let claims = self.claims(namespace, job).await?;
        Ok(claims.iter().any(|claim| claim.deletion_timestamp.is_some() || of_a_pod(claim)))
    }

    async fn delete_claims(&self, namespace: &str, job: &str, from: u32) -> Result<()> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        for claim in self.claims(namespace, job).await? {
            let (name, uid) = (claim.name.unwrap_or_default(), claim.uid.unwrap_or_default());
            if names::ordinal_of_claim(&name, job).is_some_and(|ordinal| ordinal >= from) {
                delete(&api, &name, &uid).await?;
            }
        }
        Ok(())
    }

    async fn delete_set(&self, namespace: &str, set: &str, uid: &str) -> Result<()> {
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
        delete(&api, set, uid).await
    }

    async fn delete_pods(&self, namespace: &str, pods: &[(String, String)]) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        for (name, uid) in pods {
            delete(&api, name, uid).await?;
        }
        Ok(())
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        Ok(api.get_opt(name).await.map_err(error)?.map(|map| map.data.unwrap_or_default()))
    }

    async fn create_config_map(&self, namespace: &str, object: &ConfigMap) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        unless_there(api.create(&post(), object).await)
    }

    async fn keep_config_maps(&self, namespace: &str, job: &str, kept: &[String]) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let selected = ListParams::default().labels(&names::selector_text(job));
        for map in api.list_metadata(&selected).await.map_err(error)? {
            let name = map.name_any();
            if !kept.contains(&name) {
                unless_gone(api.delete(&name, &DeleteParams::default()).await)?;
            }
        }
        Ok(())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let Some(secret) = api.get_opt(name).await.map_err(error)? else { return Ok(None) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
        Ok(Some(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value.0))).collect()))
    }

    async fn create_secret(&self, namespace: &str, object: &Secret) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        unless_there(api.create(&post(), object).await)
    }

    async fn list_jobs(&self, namespace: &str) -> Result<Vec<StreamJob>> {
        Ok(self.jobs(namespace).list(&ListParams::default()).await.map_err(error)?.items)
    }

    async fn savepoint(&self, namespace: &str, name: &str) -> Result<Option<Savepoint>> {
        self.savepoints(namespace).get_opt(name).await.map_err(error)
    }

    async fn savepoints_of_schedule(&self, namespace: &str, job: &str) -> Result<Vec<Savepoint>> {
        let selected = ListParams::default().labels(&format!("{}={job}", names::SCHEDULED_LABEL));
        Ok(self.savepoints(namespace).list(&selected).await.map_err(error)?.items)
    }

    async fn create_savepoint(&self, namespace: &str, object: &Savepoint) -> Result<()> {
        unless_there(self.savepoints(namespace).create(&post(), object).await)
    }

    async fn delete_savepoint(&self, namespace: &str, name: &str) -> Result<()> {
        unless_gone(self.savepoints(namespace).delete(name, &DeleteParams::default()).await)
    }

    async fn write_savepoint_status(&self, savepoint: &Savepoint, status: &SavepointStatus) -> Result<Savepoint> {
        let written = Savepoint { status: Some(status.clone()), ..savepoint.clone() };
        let api = self.savepoints(&savepoint.namespace().unwrap_or_default());
        api.replace_status(&savepoint.name_any(), &PostParams::default(), &written).await.map_err(error)
    }

    async fn set_savepoint_finalizer(&self, savepoint: &Savepoint, present: bool) -> Result<Savepoint> {
        let patch = Patch::Merge(finalizers(&savepoint.metadata, present));
        let api = self.savepoints(&savepoint.namespace().unwrap_or_default());
        api.patch(&savepoint.name_any(), &PatchParams::default(), &patch).await.map_err(error)
    }

    async fn tell(&self, job: &StreamJob, notice: Notice) {
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason,
            note: Some(notice.message.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &job.object_ref(&())).await {
            tracing::debug!(%error, "an event could not be published");
        }
    }
}

/// The objects of a kind in one namespace, or in all.
pub(crate) fn in_namespace<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The object's finalizers with ours, or without; bound to the version that was read.
fn finalizers(metadata: &ObjectMeta, present: bool) -> Value {
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    json!({"metadata": {"finalizers": finalizers, "resourceVersion": metadata.resource_version}})
}

/// Deletes an object, if it is still the one of that UID.
async fn delete<K: Clone + DeserializeOwned + Debug>(api: &Api<K>, name: &str, uid: &str) -> Result<()> {
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(precondition), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        // Gone, or another by that name.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        deleted => deleted.map(drop).map_err(error),
    }
}

fn unless_there<T>(created: kube::Result<T>) -> Result<()> {
    match created {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        created => created.map(drop).map_err(error),
    }
}

fn unless_gone<T>(deleted: kube::Result<T>) -> Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop).map_err(error),
    }
}

fn resource_of(kind: Kind) -> ApiResource {
    match kind {
        Kind::ServiceAccount => ApiResource::erase::<k8s_openapi::api::core::v1::ServiceAccount>(&()),
        Kind::Service => ApiResource::erase::<k8s_openapi::api::core::v1::Service>(&()),
        Kind::NetworkPolicy => ApiResource::erase::<k8s_openapi::api::networking::v1::NetworkPolicy>(&()),
        Kind::PodDisruptionBudget => ApiResource::erase::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(&()),
        Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
    }
}

fn error(error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) => {
            let Status { code, message, .. } = *status;
            match code {
                409 => ClusterError::Conflict(message),
                400 | 403 | 422 => ClusterError::Refused(message),
                _ => ClusterError::Unavailable(format!("{code}: {message}")),
            }
        }
        other => ClusterError::Unavailable(other.to_string()),
    }
}
