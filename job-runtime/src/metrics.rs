//! What a worker counts, as Prometheus metrics and as the status JSON. Names end in their unit.

use crate::batch::FailureReason;
use crate::commit::recover::Origin;
use crate::condition::{Condition, Conditions};
use crate::job::ErrorPolicy;
use crate::state::size::StateSize;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailedLabels {
    reason: FailureReason,
    policy: ErrorPolicy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
}

/// Counters are plain atomics: the data path adds to them once a batch, never once a row.
pub struct Metrics {
    registry: Registry,
    pub source_records: Counter,
    pub source_bytes: Counter,
    pub sink_records: Counter,
    failed_rows: Family<FailedLabels, Counter>,
    pub commits: Counter,
    commit_duration: Histogram,
    pub checkpoints: Counter,
    checkpoint_duration: Histogram,
    images: Counter,
    image_bytes: Counter,
    archived_checkpoints: Counter,
    archive_upload: Counter,
    pub archive_failures: Counter,
    log_tail: Gauge,
    state: Gauge,
    rocksdb_memory: Gauge,
    pub restarts: Counter,
    restore_duration: Histogram,
    restored_log_records: Counter,
    exchange_delay: Histogram,
    lag: Family<PartitionLabels, Gauge>,
    watermark: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Epoch milliseconds; `i64::MIN` before the first.
    watermark_millis: AtomicI64,
    last_commit_millis: AtomicI64,
    last_checkpoint_millis: AtomicI64,
    last_image_millis: AtomicI64,
    last_image_bytes: AtomicI64,
    last_archived_millis: AtomicI64,
    last_archived_bytes: AtomicI64,
    positions: Mutex<BTreeMap<(String, i32), PartitionStatus>>,
    phase: Mutex<Phase>,
    tasks: Mutex<BTreeMap<u32, TaskStatus>>,
    attempt: Mutex<Option<String>>,
    place: Mutex<Option<Place>>,
    restore: Mutex<Option<Restore>>,
    state_size: Mutex<Option<StateSize>>,
    pub conditions: Conditions,
}

/// Which worker this is, of how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    pub generation: u32,
    pub ordinal: u32,
    pub replicas: u32,
    /// Of the job's.
    pub tasks: Vec<u32>,
    pub parallelism: u32,
}

/// How the worker came to its state, at its last start.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Epoch milliseconds at its end.
    pub at: i64,
    /// From its beginning, fencing and claiming included.
    pub seconds: f64,
    /// Tasks that went on from a checkpoint on the volume.
    pub tasks_from_volume: u32,
    /// From an image in their log.
    pub tasks_from_image: u32,
    /// From a checkpoint in the object store.
    pub tasks_from_checkpoint: u32,
    /// From the log alone, which has all of it; new tasks too.
    pub tasks_from_log: u32,
    /// Bytes of state in the images that were loaded.
    pub image_bytes: u64,
    /// Records of the task logs that were read after that.
    pub log_records: u64,
    /// What they take.
    pub replayed_bytes: u64,
    /// By task.
    pub tasks: Vec<RestoredTask>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredTask {
    pub task: u32,
    /// From where its state came, before the tail of its log.
    pub from: Origin,
    /// The commit that this was of; None where it was empty.
    pub commit: Option<u64>,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// Claiming its tasks and reading their state.
    Restoring,
    /// Has read their state, and waits to be asked to take them from workers of an earlier generation.
    StandingBy,
    Running,
    /// After a failure that a restart mends.
    Restarting,
    Stopped,
    /// A later generation has taken over.
    StoodDown,
    /// A bounded input has ended.
    Finished,
    Failed,
}

/// A source partition, as of the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// The next offset to read.
    pub position: i64,
    /// Records behind the partition's end; None before the first fetch.
    pub lag: Option<i64>,
}

/// A task of the worker, as of its last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    pub task: u32,
    /// Rises by one with each commit.
    pub sequence: u64,
}

/// The status JSON of a worker. Counts are since the process started.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub phase: Phase,
    /// Why it does not run; None when it does, or has ended in order.
    pub problem: Option<Condition>,
    /// What somebody should look at although it runs.
    pub warnings: Vec<Condition>,
    /// Names the worker's last start; None before the first that got its tasks.
    pub attempt: Option<String>,
    /// The savepoint that it takes part in.
    pub savepoint: Option<String>,
    pub source_records: u64,
    pub source_bytes: u64,
    pub sink_records: u64,
    /// Rows that could not go on, by reason.
    pub failed_rows: BTreeMap<&'static str, u64>,
    pub commits: u64,
    /// Epoch milliseconds; None before the first.
    pub last_commit: Option<i64>,
    pub checkpoints: u64,
    /// Epoch milliseconds; None before the first.
    pub last_checkpoint: Option<i64>,
    /// Images of tasks' states written into their logs.
    pub images: u64,
    /// Epoch milliseconds; None before the first.
    pub last_image: Option<i64>,
    /// Of state, in the last image.
    pub last_image_bytes: Option<i64>,
    /// Checkpoints of tasks' states in the archive, and attempts that failed.
    pub archived_checkpoints: u64,
    pub archive_failures: u64,
    /// Epoch milliseconds; None before the first.
    pub last_archived_checkpoint: Option<i64>,
    /// Of state, in the last one.
    pub last_archived_bytes: Option<i64>,
    /// About how much the task logs have since their last images or archived checkpoints.
    pub log_tail_bytes: i64,
    /// The least watermark of all tasks, epoch milliseconds; None before the first.
    pub watermark: Option<i64>,
    /// None before the first checkpoint.
    pub state: Option<StateSize>,
    pub restarts: u64,
    /// None before the tasks are claimed.
    pub worker: Option<Place>,
    /// None before the first restore.
    pub restore: Option<Restore>,
    /// Records behind, over all source partitions; None while any is unknown.
    pub lag: Option<i64>,
    pub tasks: Vec<TaskStatus>,
    pub partitions: Vec<SourcePartition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePartition {
    pub topic: String,
    pub partition: i32,
    #[serde(flatten)]
    pub status: PartitionStatus,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("millrace");
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let metrics = Self {
            source_records: Counter::default(),
            source_bytes: Counter::default(),
            sink_records: Counter::default(),
            failed_rows: Family::default(),
            commits: Counter::default(),
            commit_duration: seconds(),
            checkpoints: Counter::default(),
            checkpoint_duration: seconds(),
            images: Counter::default(),
            image_bytes: Counter::default(),
            archived_checkpoints: Counter::default(),
            archive_upload: Counter::default(),
            archive_failures: Counter::default(),
            log_tail: Gauge::default(),
            state: Gauge::default(),
            rocksdb_memory: Gauge::default(),
            restarts: Counter::default(),
            restore_duration: seconds(),
            restored_log_records: Counter::default(),
            // As fine as a percentile of commits some hundred milliseconds apart needs.
            exchange_delay: Histogram::new(exponential_buckets(0.02, 1.2, 36)),
            lag: Family::default(),
            watermark: Gauge::default(),
            watermark_millis: AtomicI64::new(i64::MIN),
            last_commit_millis: AtomicI64::new(i64::MIN),
            last_checkpoint_millis: AtomicI64::new(i64::MIN),
            last_image_millis: AtomicI64::new(i64::MIN),
            last_image_bytes: AtomicI64::new(i64::MIN),
            last_archived_millis: AtomicI64::new(i64::MIN),
            last_archived_bytes: AtomicI64::new(i64::MIN),
            positions: Mutex::default(),
            phase: Mutex::new(Phase::Restoring),
            tasks: Mutex::default(),
            attempt: Mutex::default(),
            place: Mutex::default(),
            restore: Mutex::default(),
            state_size: Mutex::default(),
            conditions: Conditions::default(),
            registry: Registry::default(),
        };
        registry.register("source_records", "Records read from sources", metrics.source_records.clone());
        registry.register_with_unit(
            "source",
            "Bytes of values read from sources",
            Unit::Bytes,
            metrics.source_bytes.clone(),
        );
        registry.register("sink_records", "Records written to sinks", metrics.sink_records.clone());
        registry.register("failed_rows", "Rows that could not go on", metrics.failed_rows.clone());
        registry.register("commits", "Committed epochs", metrics.commits.clone());
        registry.register_with_unit(
            "commit_duration",
            "From the end of an epoch to the end of its commit",
            Unit::Seconds,
            metrics.commit_duration.clone(),
        );
        registry.register("checkpoints", "Checkpoints on the volume", metrics.checkpoints.clone());
        registry.register_with_unit(
            "checkpoint_duration",
            "Time a checkpoint took",
            Unit::Seconds,
            metrics.checkpoint_duration.clone(),
        );
        registry.register("images", "Images of tasks' states written into their logs", metrics.images.clone());
        registry.register_with_unit(
            "image_state",
            "Bytes of state in the images written",
            Unit::Bytes,
            metrics.image_bytes.clone(),
        );
        registry.register(
            "archived_checkpoints",
            "Checkpoints of tasks' states in the archive",
            metrics.archived_checkpoints.clone(),
        );
        registry.register_with_unit(
            "archive_upload",
            "Bytes of state uploaded to the archive",
            Unit::Bytes,
            metrics.archive_upload.clone(),
        );
        registry.register(
            "archive_failures",
            "Checkpoints that did not get to the archive",
            metrics.archive_failures.clone(),
        );
        registry.register_with_unit(
            "log_tail",
            "About how much the task logs have since their last images or archived checkpoints",
            Unit::Bytes,
            metrics.log_tail.clone(),
        );
        registry.register_with_unit(
            "state",
            "State of all tasks on the volume, as of the last checkpoint",
            Unit::Bytes,
            metrics.state.clone(),
        );
        registry.register_with_unit(
            "rocksdb_memory",
            "Memory of RocksDB's blocks and memtables, as of the last checkpoint",
            Unit::Bytes,
            metrics.rocksdb_memory.clone(),
        );
        registry.register("condition", "What stands against the worker", metrics.conditions.gauges());
        registry.register("worker_restarts", "Restarts of the worker inside its process", metrics.restarts.clone());
        registry.register_with_unit(
            "restore_duration",
            "Time from a start of the worker until it had its state",
            Unit::Seconds,
            metrics.restore_duration.clone(),
        );
        registry.register(
            "restored_log_records",
            "Records of the task logs read to restore state",
            metrics.restored_log_records.clone(),
        );
        registry.register_with_unit(
            "exchange_delay",
            "From rows ready at one worker until they are at another, by both clocks",
            Unit::Seconds,
            metrics.exchange_delay.clone(),
        );
        registry.register(
            "consumer_lag_records",
            "Records behind the partition's end at the last commit",
            metrics.lag.clone(),
        );
        registry.register_with_unit(
            "watermark_timestamp",
            "The least watermark of all tasks, as Unix time",
            Unit::Seconds,
            metrics.watermark.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub fn row_failed(&self, reason: FailureReason, policy: ErrorPolicy) {
        self.failed_rows.get_or_create(&FailedLabels { reason, policy }).inc();
    }

    pub fn committed(&self, at: i64, seconds: f64) {
        self.commits.inc();
        self.commit_duration.observe(seconds);
        self.last_commit_millis.store(at, Ordering::Relaxed);
    }

    pub fn checkpointed(&self, at: i64, seconds: f64, state: StateSize) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.state.set(gauge(state.bytes));
        self.rocksdb_memory.set(gauge(state.rocksdb_memory_bytes));
        *self.state_size.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        self.checkpoints.inc();
        self.checkpoint_duration.observe(seconds);
        self.last_checkpoint_millis.store(at, Ordering::Relaxed);
    }

    /// The archive has another checkpoint, of so many bytes of state.
    pub fn archived(&self, at: i64, bytes: u64) {
        self.archived_checkpoints.inc();
        self.last_archived_millis.store(at, Ordering::Relaxed);
        self.last_archived_bytes.store(bytes as i64, Ordering::Relaxed);
    }

    /// So many bytes went to the archive.
    pub fn uploaded(&self, bytes: u64) {
        self.archive_upload.inc_by(bytes);
    }

    /// An image of so many bytes of state is complete.
    pub fn image_written(&self, at: i64, bytes: u64) {
        self.images.inc();
        self.image_bytes.inc_by(bytes);
        self.last_image_millis.store(at, Ordering::Relaxed);
        self.last_image_bytes.store(bytes as i64, Ordering::Relaxed);
    }

    pub fn set_log_tail(&self, bytes: u64) {
        self.log_tail.set(bytes as i64);
    }

    /// The worker has its tasks, under a new start.
    pub fn restored(&self, attempt: &str, place: Place, restore: Restore) {
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt.to_owned());
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.restore_duration.observe(restore.seconds);
        self.restored_log_records.inc_by(restore.log_records);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        *self.restore.lock().unwrap_or_else(PoisonError::into_inner) = Some(restore);
    }

    /// Rows of another worker have come that were ready there so long ago.
    pub fn exchanged(&self, millis: i64) {
        self.exchange_delay.observe(millis.max(0) as f64 / 1000.0);
    }

    pub fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// The worker runs, or has ended in order: nothing stands in its way.
    pub fn set_well(&self, phase: Phase) {
        self.conditions.set_problem(None);
        self.set_phase(phase);
    }

    /// The worker does not run.
    pub fn set_ill(&self, phase: Phase, problem: impl Into<Condition>) {
        self.conditions.set_problem(Some(problem.into()));
        self.set_phase(phase);
    }

    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_watermark(&self, millis: i64) {
        self.watermark_millis.store(millis, Ordering::Relaxed);
        self.watermark.set(millis as f64 / 1000.0);
    }

    pub fn set_task(&self, status: TaskStatus) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(status.task, status);
    }

    pub fn set_partition(&self, topic: &str, partition: i32, status: PartitionStatus) {
        if let Some(lag) = status.lag {
            self.lag.get_or_create(&PartitionLabels { topic: topic.to_owned(), partition }).set(lag);
        }
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.insert((topic.to_owned(), partition), status);
    }

    /// In Prometheus' text format (OpenMetrics).
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String can't fail");
        text
    }

    pub fn status(&self) -> Status {
        let known = |millis: &AtomicI64| Some(millis.load(Ordering::Relaxed)).filter(|&m| m != i64::MIN);
        let partitions: Vec<SourcePartition> = self
            .positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|((topic, partition), status)| SourcePartition {
                topic: topic.clone(),
                partition: *partition,
                status: *status,
            })
            .collect();
        let failed = |reason| {
            let of = |policy| self.failed_rows.get_or_create(&FailedLabels { reason, policy }).get();
            ErrorPolicy::ALL.into_iter().map(of).sum()
        };
        Status {
            phase: self.phase(),
            problem: self.conditions.problem(),
            warnings: self.conditions.warnings(),
            attempt: self.attempt.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            savepoint: None,
            source_records: self.source_records.get(),
            source_bytes: self.source_bytes.get(),
            sink_records: self.sink_records.get(),
            failed_rows: FailureReason::ALL.into_iter().map(|reason| (reason.name(), failed(reason))).collect(),
            commits: self.commits.get(),
            last_commit: known(&self.last_commit_millis),
            checkpoints: self.checkpoints.get(),
            last_checkpoint: known(&self.last_checkpoint_millis),
            images: self.images.get(),
            last_image: known(&self.last_image_millis),
            last_image_bytes: known(&self.last_image_bytes),
            archived_checkpoints: self.archived_checkpoints.get(),
            archive_failures: self.archive_failures.get(),
            last_archived_checkpoint: known(&self.last_archived_millis),
            last_archived_bytes: known(&self.last_archived_bytes),
            log_tail_bytes: self.log_tail.get(),
            watermark: known(&self.watermark_millis),
            state: *self.state_size.lock().unwrap_or_else(PoisonError::into_inner),
            restarts: self.restarts.get(),
            worker: self.place.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            restore: self.restore.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            lag: partitions.iter().map(|p| p.status.lag).sum(),
            tasks: self.tasks.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect(),
            partitions,
        }
    }
}
