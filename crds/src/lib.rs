//! The API of Millrace as Kubernetes sees it: the `StreamJob` and `Savepoint` resources, their status, and the reading of
//! manifests from files. Only this crate defines API types. No IO: the operator and `millrace` bring the
//! text, and what only Kafka or the planner can say about a job is not said here.

pub mod quantity;
pub mod spelling;
pub mod stream_job;
pub mod pod_template;
pub mod status;
pub mod savepoint;
pub mod manifest;

pub use savepoint::Savepoint;
pub use stream_job::{StreamJob, StreamJobSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;

/// API group of every resource.
pub const GROUP: &str = "millrace.dev";
/// The one version there is.
pub const VERSION: &str = "v1alpha1";

/// The definition of `StreamJob`, as `crds/streamjob.yaml` has it.
pub fn stream_job_definition() -> CustomResourceDefinition {
    with_known_formats(StreamJob::crd())
}

/// The definition of `Savepoint`, as `crds/savepoint.yaml` has it.
pub fn savepoint_definition() -> CustomResourceDefinition {
    with_known_formats(Savepoint::crd())
}

/// Rust's unsigned numbers have formats that API servers don't know, and warn of. Their minimum says the same.
fn with_known_formats(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                if fields
                    .get("format")
                    .and_then(|format| format.as_str())
                    .is_some_and(|format| format.starts_with("uint"))
                {
                    fields.remove("format");
                }
                fields.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(definition).expect("a definition is plain data");
    strip(&mut value);
    serde_json::from_value(value).expect("less of it is a definition, too")
}

/// The files of this crate that are generated, with their text.
pub fn generated() -> Result<[(&'static str, String); 2], serde_norway::Error> {
    let text = |source: &str, definition: &CustomResourceDefinition| -> Result<String, serde_norway::Error> {
        let yaml = serde_norway::to_string(definition)?;
        Ok(format!("# Generated from crds/src/{source} by `cargo run -p millrace-crds --bin generate-crds`.\n{yaml}"))
    };
    Ok([
        ("streamjob.yaml", text("stream_job.rs", &stream_job_definition())?),
        ("savepoint.yaml", text("savepoint.rs", &savepoint_definition())?),
    ])
}
