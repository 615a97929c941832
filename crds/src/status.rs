//! What the operator reports about a `StreamJob`. Written at every step of a reconciliation, read by people
//! and tools; nothing decides by it what to do next but `operation`, which is written before acting, and what it has
//! settled: `revision`, `stable`, `refused` and `suspendedWith`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamJobStatus {
    /// The generation of the object that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(default)]
    pub replicas: i32,
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the job's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Records of the source topics not yet read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<Copy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_savepoint: Option<Copy>,
    /// The savepoint that a suspended job stopped with: what other statements, or another parallelism, go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_with: Option<String>,
    /// Where the operator made savepoints to upgrade or suspend the job, or began to. All but `lastSavepoint`, and what
    /// the job has started from, are deleted once it runs stable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_savepoints: Vec<String>,
    /// How a pod last came to its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restore: Option<Restore>,
    /// What the pods run, or are to run next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The last revision of which every pod was ready and had committed: what a rollback goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Revision>,
    /// What the operator is doing, written before it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What it will not try again as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    Pending,
    Deploying,
    Running,
    Savepointing,
    Stopping,
    Suspended,
    RollingBack,
    Failed,
}

/// A durable copy of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Copy {
    pub time: Time,
    /// Where it is; absent for one on the pods' volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// From what a pod has gone on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    pub pod: String,
    pub time: Time,
    /// What it went on from, task by task: `task 0: checkpoint of commit 41 on the volume`.
    pub from: Vec<String>,
    /// Of the task logs, after what it went on from.
    pub replayed_bytes: i64,
}

/// A version of the job that pods run. An incarnation has a state of its own, and starts from a savepoint of the one
/// before; generations of it share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    pub incarnation: u32,
    pub generation: u32,
    /// Number of pods.
    pub replicas: u32,
    /// Number of tasks.
    pub parallelism: u32,
    /// Of the statements as they are planned.
    pub plan_hash: String,
    /// Of everything else that the pods are started with.
    pub settings_hash: String,
    /// Where it has started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    pub id: String,
    pub kind: OperationKind,
    pub step: Step,
    /// What is to run when it is done.
    pub target: Revision,
    /// The generation of the object that asked for it; none did where a topic has grown.
    pub observed_generation: i64,
    pub started_at: Time,
    /// Of the step.
    pub step_started_at: Time,
    /// How often a savepoint was tried.
    #[serde(default)]
    pub attempts: u32,
    /// The savepoint that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OperationKind {
    /// The first start.
    Deploy,
    /// Other pods for the same state: replicas, image, options.
    Redeploy,
    /// Another plan or parallelism, from a savepoint.
    Upgrade,
    /// Another plan, without the state.
    Restart,
    Suspend,
    Resume,
    /// Back to the last stable revision.
    Rollback,
}

/// In the order in which an operation goes through them; not all have all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Step {
    /// The job stops with a savepoint.
    Savepointing,
    /// Until no pod is left.
    Stopping,
    /// Topics and configuration are made.
    Preparing,
    /// Pods are replaced, until all are of the target.
    Starting,
    /// Until every pod is ready and has committed.
    Stabilising,
}

/// A version of the object that was not brought to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub plan_hash: String,
    pub settings_hash: String,
    pub parallelism: u32,
    pub replicas: u32,
    pub reason: String,
    pub message: String,
}

/// Conditions merge by type, as kstatus and server-side apply want it.
pub(crate) fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = <Vec<Condition>>::json_schema(generator);
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema
}
