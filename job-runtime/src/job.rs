//! A job as a worker is given it: the plan and everything around the plan. Built by `millrace run` from a
//! manifest, and by the operator's pods from their configuration. Nothing is read from the environment.

use crate::batch::FailureReason;
use crate::error::{Error, Result};
use millrace_planner::plan::Plan;
use millrace_planner::secret::Options;
use millrace_protocol::assignment::Assignment;
use prometheus_client::encoding::EncodeLabelValue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub identity: JobIdentity,
    pub plan: Plan,
    /// The job's Kafka: log, exchanges, and every table without `properties.bootstrap.servers`.
    pub kafka: Kafka,
    /// Workers of the generation, and which of them this one is.
    pub replicas: u32,
    pub ordinal: u32,
    /// Whether a worker makes the job's own topics where they are missing. Only where nobody else does, and
    /// only one that works alone: a log that is gone must not be taken for one that never was.
    pub makes_topics: bool,
    /// Where RocksDB and the volume's identity live. One job and worker to a directory.
    pub state_directory: PathBuf,
    /// How often outputs become visible. 50 ms to 10 s.
    pub commit_interval: Duration,
    /// How often the volume gets a durable copy of the state.
    pub checkpoint_interval: Duration,
    /// The folder of the savepoint that tasks without a commit start from.
    #[serde(default)]
    pub restore_from: Option<String>,
    pub errors: ErrorPolicies,
    /// Topic for rows whose policy is `DeadLetter`.
    pub dead_letter_topic: Option<String>,
    /// A timestamp later than the wall clock by more than this fails its row; None for bounded jobs.
    pub max_event_time_ahead: Option<Duration>,
    /// Number of tasks; None: the largest partition count of the source topics (1 without one).
    pub parallelism: Option<u32>,
    /// Threads that run tasks; None: the machine's cores, at most one a task.
    pub threads: Option<usize>,
    pub memory: MemoryLimits,
    /// A file of an earlier version says nothing of them.
    #[serde(default)]
    pub images: ImageLimits,
    /// Bytes that a task's state may take on its volume; above it the job stops.
    #[serde(default)]
    pub state_size_limit: Option<u64>,
    /// Where checkpoints also go, in place of images in the log.
    #[serde(default)]
    pub archive: Option<ArchiveSettings>,
    /// How often a running worker looks whether somebody has changed the settings of the job's own topics.
    #[serde(default = "Job::default_topic_check_interval")]
    pub topic_check_interval: Duration,
    /// How long the cluster lets a transaction live without its worker, at least: it is more where commits are far apart.
    #[serde(default = "Job::default_transaction_timeout")]
    pub transaction_timeout: Duration,
}

/// Names topics and transactional ids; the same identity finds the same state again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobIdentity {
    pub namespace: String,
    pub name: String,
    /// Of the StreamJob object; `millrace run` keeps one beside the state.
    pub uid: String,
    pub incarnation: u32,
    pub generation: u32,
}

impl JobIdentity {
    /// Who goes on from a savepoint of this one.
    pub fn next_incarnation(&self) -> Self {
        Self { incarnation: self.incarnation + 1, generation: 1, ..self.clone() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Further librdkafka options (TLS, SASL), already checked against the allow-list. They may hold secrets,
    /// so they are never written anywhere.
    #[serde(skip)]
    pub options: Options,
    /// Replication factor of the job's own topics; -1: the broker's default.
    pub replication: i32,
}

/// What happens to a row that can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue, Serialize, Deserialize)]
pub enum ErrorPolicy {
    /// To the dead-letter topic, with the reason and where it came from.
    DeadLetter,
    /// Counted and dropped.
    Drop,
    /// The job stops.
    Fail,
}

impl ErrorPolicy {
    pub const ALL: [Self; 3] = [Self::DeadLetter, Self::Drop, Self::Fail];
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ErrorPolicies {
    pub decode: ErrorPolicy,
    pub evaluate: ErrorPolicy,
    pub late: ErrorPolicy,
}

impl ErrorPolicies {
    pub fn of(&self, reason: FailureReason) -> ErrorPolicy {
        match reason {
            FailureReason::Decode => self.decode,
            FailureReason::Evaluate => self.evaluate,
            FailureReason::Late => self.late,
        }
    }
}

/// Bounds in bytes, over the whole worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MemoryLimits {
    /// Records fetched and not yet decoded.
    pub fetch: usize,
    /// Records of an epoch's transaction not yet acknowledged, and results held back while a commit is
    /// under way.
    pub epoch: usize,
    /// RocksDB's block cache and memtables.
    pub rocksdb: usize,
    /// State that operators have in memory; what is above it is in RocksDB only.
    #[serde(default = "MemoryLimits::default_operators")]
    pub operators: usize,
}

/// When a task's state is copied into its log, so that the log before it can be cut.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageLimits {
    /// Never before the log has so many bytes since the last copy.
    pub tail_bytes_min: u64,
    /// Nor before these are more than so many times the state's. What a log takes at most is about the state
    /// once more than that.
    pub tail_bytes_per_state_byte: u64,
    /// Of a copy, in one transaction. A copy of a large state takes many.
    pub bytes_per_epoch: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { tail_bytes_min: 16 << 20, tail_bytes_per_state_byte: 2, bytes_per_epoch: 16 << 20 }
    }
}

/// A place outside of the volumes where checkpoints go, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSettings {
    /// `s3://bucket/prefix`, or a directory that all workers see.
    pub url: String,
    /// In place of the region's own: `https://host:port`. Without encryption only if it says `http://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the Secret with the credentials; without one they come from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What a worker has read from that Secret, by the names of environment variables (`AWS_ACCESS_KEY_ID`, …).
    #[serde(skip)]
    pub credentials: Credentials,
    /// How often a task's checkpoint goes there, at most.
    #[serde(default = "ArchiveSettings::default_interval")]
    pub interval: Duration,
    /// Never before the log has so many bytes since the last one.
    #[serde(default = "ArchiveSettings::default_tail_bytes_min")]
    pub tail_bytes_min: u64,
}

/// Secrets: never written to files or logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(pub BTreeMap<String, String>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?})", Vec::from_iter(self.0.keys()))
    }
}

impl ArchiveSettings {
    /// A place with the defaults, and what the environment says.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: None,
            region: None,
            secret: None,
            credentials: Credentials::default(),
            interval: Self::default_interval(),
            tail_bytes_min: Self::default_tail_bytes_min(),
        }
    }

    fn default_interval() -> Duration {
        Duration::from_secs(60)
    }

    fn default_tail_bytes_min() -> u64 {
        1 << 20
    }

    /// For the store's client, by the names of environment variables.
    pub fn client_options(&self) -> BTreeMap<String, String> {
        let mut options = self.credentials.0.clone();
        options.extend(self.region.iter().map(|region| ("AWS_REGION".to_owned(), region.clone())));
        if let Some(endpoint) = &self.endpoint {
            options.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
            if endpoint.starts_with("http://") {
                options.insert("AWS_ALLOW_HTTP".to_owned(), "true".to_owned());
            }
        }
        options
    }
}

impl Job {
    pub fn default_topic_check_interval() -> Duration {
        Duration::from_secs(180)
    }

    pub fn default_transaction_timeout() -> Duration {
        Duration::from_secs(30)
    }

    /// Most threads that run tasks.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// This worker's share of so many tasks.
    pub fn assignment(&self, tasks: u32) -> Result<Assignment> {
        let assignment = Assignment { parallelism: tasks, replicas: self.replicas.max(1), ordinal: self.ordinal };
        if self.ordinal >= assignment.replicas || assignment.tasks().next().is_none() {
            return Err(Error::user_fault(format!(
                "worker {} of {} has nothing to do: the job has {tasks} tasks, and workers are numbered from 0",
                self.ordinal, self.replicas
            )));
        }
        Ok(assignment)
    }
}

impl MemoryLimits {
    fn default_operators() -> usize {
        256 << 20
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { fetch: 48 << 20, epoch: 64 << 20, rocksdb: 64 << 20, operators: Self::default_operators() }
    }
}
