//! The API of Millrace as Kubernetes sees it: the `StreamJob` resource, its status, and the reading of
//! manifests from files. Only this crate defines API types. No IO: the operator and `millrace` bring the
//! text, and what only Kafka or the planner can say about a job is not said here.

pub mod quantity;
pub mod spelling;
pub mod stream_job;
pub mod status;
pub mod manifest;

pub use stream_job::{StreamJob, StreamJobSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;

/// API group of every resource.
pub const GROUP: &str = "millrace.dev";
/// The one version there is.
pub const VERSION: &str = "v1alpha1";

/// The definition of `StreamJob`, as `crds/streamjob.yaml` has it.
pub fn stream_job_definition() -> CustomResourceDefinition {
    StreamJob::crd()
}

/// [`stream_job_definition`] as the text of `crds/streamjob.yaml`, with a line that says where it is from.
pub fn stream_job_yaml() -> Result<String, serde_norway::Error> {
    let yaml = serde_norway::to_string(&stream_job_definition())?;
    Ok(format!("# Generated from crds/src/stream_job.rs by `cargo run -p millrace-crds --bin generate-crds`.\n{yaml}"))
}
