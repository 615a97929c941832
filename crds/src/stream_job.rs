//! `StreamJob`: streaming SQL over Kafka, run until told otherwise. The spec with its defaults and rules;
//! what a schema can say is in the schema, as patterns and CEL, and [`StreamJobSpec::violations`] says the
//! same to those who read a file without an API server. Status: `status.rs`.

#![expect(unreachable_pub, reason = "KubeSchema repeats the types it is derived for inside a function")]
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]

use crate::pod_template::PodTemplate;
use crate::quantity::{ByteSize, Duration};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a job is and how it is to run.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "StreamJob",
    plural = "streamjobs",
    shortname = "sj",
    category = "millrace",
    namespaced,
    doc = "Streaming SQL over Kafka, exactly once.",
    status = "crate::status::StreamJobStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag"),
    printcolumn(name = "Checkpoint", type_ = "date", json_path = ".status.lastCheckpoint.time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.sql) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) + (has(self.image) ? 1 : 0) == 1").message("exactly one of sql, configMapRef and image says what the job does"))]
#[x_kube(validation = Rule::new("has(self.deadLetterTopic) || !has(self.errors) || (!(has(self.errors.decode) && self.errors.decode == 'DeadLetter') && !(has(self.errors.evaluate) && self.errors.evaluate == 'DeadLetter') && !(has(self.errors.late) && self.errors.late == 'DeadLetter'))").message("a policy of DeadLetter needs a deadLetterTopic"))]
pub struct StreamJobSpec {
    /// Flink SQL: CREATE TABLE, CREATE VIEW, SET and INSERT INTO statements, each ended by a semicolon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub sql: Option<String>,

    /// The SQL, in a ConfigMap of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyRef>,

    /// Image of a job written in Rust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,

    /// The job's Kafka: its log and exchanges, and every table without `properties.bootstrap.servers`.
    pub kafka: KafkaSpec,

    /// Number of pods. Default: the parallelism; more than that is clamped, and a condition says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub replicas: Option<i32>,

    /// Number of tasks. Default: the largest partition count of the source topics; 1 without a Kafka source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub parallelism: Option<i32>,

    /// Running, or Suspended: stopped after a savepoint, without pods, until it is Running again.
    #[serde(default)]
    pub desired_state: DesiredState,

    /// How often results are committed and become visible: the latency that exactly once costs.
    /// 50ms to 10s.
    #[serde(default = "default_commit_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('50ms') && duration(self) <= duration('10s')").message("commitInterval is from 50ms to 10s"))]
    #[schemars(schema_with = "commit_interval_schema")]
    pub commit_interval: Duration,

    #[serde(default)]
    pub checkpoint: CheckpointSpec,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointSpec>,

    #[serde(default)]
    pub upgrade: UpgradeSpec,

    /// Where the first start takes its state from. Ignored by a job that has state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<RestoreFrom>,

    /// A change of this number restarts the job; nothing else about the job has to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,

    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Make a savepoint before the job goes, when the StreamJob is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_savepoint: Option<FinalSavepoint>,

    /// Of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodTemplate>,

    #[serde(default)]
    pub errors: ErrorsSpec,

    /// Topic of the job's Kafka for rows that can't go on, with the reason and where they came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    pub dead_letter_topic: Option<String>,

    #[serde(default)]
    pub state: StateSpec,

    #[serde(default)]
    pub limits: LimitsSpec,
}

/// A key of a Secret or ConfigMap in the job's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the job's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// `host:port`, separated by commas.
    #[schemars(length(min = 1))]
    pub bootstrap_servers: String,

    /// TLS to the brokers; `{}` trusts the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,

    /// Replication factor of the job's own topics. Default: the broker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTls {
    /// Authorities to trust in place of the system's, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyRef>,

    /// The job's own certificate: a Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<SecretRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSasl {
    pub mechanism: SaslMechanism,
    /// A Secret of type `kubernetes.io/basic-auth`: keys `username` and `password`.
    pub secret_ref: SecretRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// As Kafka's clients spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    #[default]
    Running,
    Suspended,
}

/// Durable copies of the state, for a quick restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSpec {
    /// How often the volume, and the object store where there is one, gets a durable copy of the state.
    #[serde(default = "default_checkpoint_interval")]
    pub interval: Duration,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<CheckpointStorage>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStorage {
    /// The volume of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStorage>,

    /// Where checkpoints also go, so that a lost volume costs little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeStorage {
    pub size: ByteSize,
    /// Storage class. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStore {
    /// `s3://bucket/prefix`, or `file:///directory` that every pod has mounted.
    #[schemars(regex(pattern = "^[a-z0-9]+://.+$"))]
    pub url: String,
    /// Where an S3 listens that is not Amazon's. Without encryption only where it begins with `http://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://.+$"))]
    pub endpoint: Option<String>,
    /// Default: `us-east-1`, or what the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub region: Option<String>,
    /// Keys as environment variables of the store's client: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// Portable copies of the state, made on request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointSpec {
    /// Default: a topic of each savepoint's own, on the job's Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<SavepointStorage>,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SavepointSchedule>,
}

/// Savepoints that are made without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavepointSchedule {
    /// From one to the next; at least 1m.
    pub interval: Duration,
    /// How many of them are kept; older ones are deleted.
    #[serde(default = "default_retain")]
    #[schemars(range(min = 1, max = 1000))]
    pub retain: u32,
}

fn default_retain() -> u32 {
    3
}

/// A savepoint before the job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalSavepoint {
    /// The job goes without one after so long.
    #[serde(default = "default_final_deadline")]
    pub deadline: Duration,
}

fn default_final_deadline() -> Duration {
    Duration::from_secs(300)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.objectStore) != has(self.directory)").message("exactly one of objectStore and directory says where savepoints go"))]
pub struct SavepointStorage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
    /// A directory that every pod shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// What happens when the plan changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeSpec {
    #[serde(default)]
    pub mode: UpgradeMode,
    #[serde(default)]
    pub rollback: Rollback,
    /// How long every pod may take to be ready and to commit, before the version counts as one that does not run.
    #[serde(default = "default_stable_within")]
    pub stable_within: Duration,
    /// Leave state behind that the new statements have no use for.
    #[serde(default)]
    pub allow_non_restored_state: bool,
}

fn default_stable_within() -> Duration {
    Duration::from_secs(300)
}

impl Default for UpgradeSpec {
    fn default() -> Self {
        Self {
            mode: UpgradeMode::default(),
            rollback: Rollback::default(),
            stable_within: default_stable_within(),
            allow_non_restored_state: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeMode {
    /// Stop with a savepoint, start from it.
    #[default]
    Savepoint,
    /// Drop the state.
    Stateless,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Rollback {
    /// Back to the last stable version where the new one never commits.
    #[default]
    Automatic,
    /// A person decides.
    Manual,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.savepoint) != has(self.url)").message("exactly one of savepoint and url says what to restore"))]
pub struct RestoreFrom {
    /// Name of a Savepoint in the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// The savepoint's folder, or kafka:TOPIC on the job's Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What becomes of the job's own topics and volumes when the StreamJob is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Delete,
    Retain,
}

/// What happens to rows that can't go on. Default: as in Flink, late rows are dropped (and counted) and
/// others stop the job; with a `deadLetterTopic`, others go there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorsSpec {
    /// Records that are not what the table's format says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<ErrorPolicy>,
    /// Rows that an expression has no value for: a cast, an overflow, a timestamp out of bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate: Option<ErrorPolicy>,
    /// Rows whose windows have all fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<ErrorPolicy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ErrorPolicy {
    /// To the dead-letter topic, with the reason and where it came from.
    DeadLetter,
    /// Counted and dropped.
    Drop,
    /// The job stops.
    Fail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateSpec {
    /// State not touched for this long may be dropped. Default: never. State of windows goes when they close,
    /// whatever this says; no operator keeps other state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Of a task's state on its volume. At four fifths of it the worker warns, above it the job stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<ByteSize>,
}

/// Bounds that protect a job from its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// A timestamp later than the wall clock by more than this makes its row a failed row, so that one
    /// record from the year 9999 can't close every window. Not applied to bounded input.
    #[serde(default = "default_event_time_ahead")]
    pub event_time_ahead: Duration,
    /// Memory of a worker for records fetched and not yet decoded.
    #[serde(default = "default_fetch_memory")]
    pub fetch_memory: ByteSize,
    /// Memory of a worker for results not yet committed; an epoch ends when it is full.
    #[serde(default = "default_epoch_memory")]
    pub epoch_memory: ByteSize,
    /// Memory of a worker for RocksDB's block cache and memtables.
    #[serde(default = "default_state_memory")]
    pub state_memory: ByteSize,
    /// Memory of a worker for the state that its operators have at hand. State may be many times larger: the rest of it
    /// is in RocksDB only, and is read back when it is needed, which is slower.
    #[serde(default = "default_operator_memory")]
    pub operator_memory: ByteSize,
}

const COMMIT_INTERVAL_MIN: Duration = Duration::from_millis(50);
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(10);
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_secs(1);
const SAVEPOINT_INTERVAL_MIN: Duration = Duration::from_secs(60);

fn default_commit_interval() -> Duration {
    Duration::from_millis(500)
}

fn default_checkpoint_interval() -> Duration {
    Duration::from_secs(10)
}

fn default_event_time_ahead() -> Duration {
    Duration::from_secs(86_400)
}

fn default_fetch_memory() -> ByteSize {
    ByteSize::from_bytes(48 << 20)
}

fn default_epoch_memory() -> ByteSize {
    ByteSize::from_bytes(64 << 20)
}

fn default_state_memory() -> ByteSize {
    ByteSize::from_bytes(64 << 20)
}

fn default_operator_memory() -> ByteSize {
    ByteSize::from_bytes(256 << 20)
}

/// Only units that CEL's `duration()` reads, so that the rule beside it never fails to evaluate.
fn commit_interval_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string", "pattern": crate::quantity::SHORT_DURATION_PATTERN,
        "minLength": 1, "maxLength": 32
    })
}

impl Default for CheckpointSpec {
    fn default() -> Self {
        Self { interval: default_checkpoint_interval(), storage: None }
    }
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            event_time_ahead: default_event_time_ahead(),
            fetch_memory: default_fetch_memory(),
            epoch_memory: default_epoch_memory(),
            state_memory: default_state_memory(),
            operator_memory: default_operator_memory(),
        }
    }
}

/// A rule that a spec breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Fields from the root of the object, for instance `["spec", "commitInterval"]`.
    pub path: Vec<&'static str>,
    pub message: String,
}

impl StreamJobSpec {
    /// What the schema's rules say about this spec; empty where it is valid.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut rule = |broken: bool, path: &[&'static str], message: &str| {
            if broken {
                found.push(Violation { path: path.to_vec(), message: message.to_owned() });
            }
        };
        let sources = [self.sql.is_some(), self.config_map_ref.is_some(), self.image.is_some()];
        let sources = sources.iter().filter(|set| **set).count();
        rule(sources != 1, &["spec"], "exactly one of sql, configMapRef and image says what the job does");
        let interval = self.commit_interval;
        rule(
            !(COMMIT_INTERVAL_MIN..=COMMIT_INTERVAL_MAX).contains(&interval),
            &["spec", "commitInterval"],
            "commitInterval is from 50ms to 10s",
        );
        rule(
            self.checkpoint.interval < CHECKPOINT_INTERVAL_MIN,
            &["spec", "checkpoint", "interval"],
            "a checkpoint interval is at least 1s",
        );
        let errors = &self.errors;
        for (policy, field) in [(errors.decode, "decode"), (errors.evaluate, "evaluate"), (errors.late, "late")] {
            rule(
                policy == Some(ErrorPolicy::DeadLetter) && self.dead_letter_topic.is_none(),
                &["spec", "errors", field],
                "a policy of DeadLetter needs a deadLetterTopic",
            );
        }
        if let Some(schedule) = self.savepoint.as_ref().and_then(|savepoint| savepoint.schedule) {
            rule(
                schedule.interval < SAVEPOINT_INTERVAL_MIN,
                &["spec", "savepoint", "schedule", "interval"],
                "an interval of savepoints is at least 1m",
            );
        }
        if let Some(storage) = self.savepoint.as_ref().and_then(|savepoint| savepoint.storage.as_ref()) {
            rule(
                storage.object_store.is_some() == storage.directory.is_some(),
                &["spec", "savepoint", "storage"],
                "exactly one of objectStore and directory says where savepoints go",
            );
        }
        if let Some(from) = &self.restore_from {
            rule(
                from.savepoint.is_some() == from.url.is_some(),
                &["spec", "restoreFrom"],
                "exactly one of savepoint and url says what to restore",
            );
        }
        found
    }

    /// What happens to rows that can't go on, defaults applied.
    pub fn error_policies(&self) -> ErrorPolicies {
        let default = if self.dead_letter_topic.is_some() { ErrorPolicy::DeadLetter } else { ErrorPolicy::Fail };
        ErrorPolicies {
            decode: self.errors.decode.unwrap_or(default),
            evaluate: self.errors.evaluate.unwrap_or(default),
            late: self.errors.late.unwrap_or(ErrorPolicy::Drop),
        }
    }
}

/// [`ErrorsSpec`] with its defaults applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPolicies {
    pub decode: ErrorPolicy,
    pub evaluate: ErrorPolicy,
    pub late: ErrorPolicy,
}
