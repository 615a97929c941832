//! `Savepoint`: a consistent copy of a job's state, asked for by making the object. It stays when the job goes, and
//! deleting it deletes the copy, unless that is to be kept.

#![expect(unreachable_pub, reason = "KubeSchema repeats the types it is derived for inside a function")]
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use crate::quantity::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Savepoint",
    plural = "savepoints",
    shortname = "sp",
    category = "millrace",
    namespaced,
    doc = "A copy of the state of a StreamJob, from which it, or another one, can start.",
    status = "SavepointStatus",
    derive = "PartialEq",
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.job"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.bytes"),
    printcolumn(name = "Location", type_ = "string", json_path = ".status.location", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.job == oldSelf.job").message("a savepoint stays one of the same job: make another object"))]
pub struct SavepointSpec {
    /// The StreamJob, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub job: String,

    /// How long it may take. Then it is given up, and the job goes on.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,

    /// What becomes of the copy when this object is deleted.
    #[serde(default)]
    pub deletion_policy: crate::stream_job::DeletionPolicy,
}

fn default_timeout() -> Duration {
    Duration::from_secs(300)
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SavepointPhase>,
    /// What a job restores from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Where its attempts were to write. What one that did not succeed has left there goes with this object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempted_locations: Vec<String>,
    /// Of all its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Of the job when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::status::conditions_schema")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SavepointPhase {
    Pending,
    InProgress,
    Completed,
    Failed,
}
