//! What the chart does around the operator: lets go of the objects that wait for it, before it is uninstalled, and checks
//! that it serves, after it is installed.

use crate::cluster::in_namespace;
use crate::names::FINALIZER;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use millrace_crds::{Savepoint, StreamJob, savepoint_definition, stream_job_definition};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("the cluster did not answer as it should: {0}")]
    Cluster(#[from] kube::Error),
    #[error("the operator does not serve at {url}: {error}")]
    NotServing { url: String, error: reqwest::Error },
    #[error("the definition of {0} is not served by the cluster: install the chart with crds.install=true")]
    NoDefinition(String),
}

/// Takes the operator's finalizer off every object, so that none waits for an operator that is gone. Jobs run on.
pub async fn release(namespaces: &[String]) -> Result<usize, ReleaseError> {
    let client = Client::try_default().await?;
    let namespaces: Vec<Option<&str>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(|name| Some(name.as_str())).collect() };
    let mut released = 0;
    for namespace in namespaces {
        released += release_all::<StreamJob>(&client, namespace).await?;
        released += release_all::<Savepoint>(&client, namespace).await?;
    }
    Ok(released)
}

async fn release_all<K>(client: &Client, namespace: Option<&str>) -> Result<usize, ReleaseError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let all: Api<K> = in_namespace(client, namespace);
    let found = match all.list_metadata(&ListParams::default()).await {
        // The definition has gone, and all objects with it.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
        found => found?,
    };
    let mut released = 0;
    for object in found {
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        let before = finalizers.len();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if finalizers.len() == before {
            continue;
        }
        let one: Api<K> = in_namespace(client, object.namespace().as_deref());
        // Of the version that was read, so that none that somebody else adds meanwhile is lost.
        let version = &object.metadata.resource_version;
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}}));
        match one.patch_metadata(&object.name_any(), &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            patched => {
                patched?;
                released += 1;
            }
        }
    }
    Ok(released)
}

/// Whether an operator serves at `url`, and the cluster has its definitions.
pub async fn check(url: &str) -> Result<(), ReleaseError> {
    let url = format!("{}/readyz", url.trim_end_matches('/'));
    let answer = reqwest::get(&url).await.and_then(reqwest::Response::error_for_status);
    answer.map_err(|error| ReleaseError::NotServing { url, error })?;
    let definitions: Api<CustomResourceDefinition> = Api::all(Client::try_default().await?);
    for wanted in [stream_job_definition(), savepoint_definition()] {
        let name = wanted.name_any();
        let found = definitions.get_opt(&name).await?;
        let conditions = found.and_then(|found| found.status).and_then(|status| status.conditions).unwrap_or_default();
        if !conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            return Err(ReleaseError::NoDefinition(name));
        }
    }
    Ok(())
}
