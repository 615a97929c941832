//! Images of the tasks' states in their logs, and cutting the logs for them: performs what the protocol's covers
//! say. One image at a time is read, on a thread of its own; the coordinator writes its parts into whatever
//! transaction is open, some at a time, and none of it holds the tasks up.
//!
//! A job with an object store publishes checkpoints there in place of images: where an image is asked for here,
//! at a checkpoint of the volume that has become durable.

use super::log;
use crate::error::Result;
use crate::job::ImageLimits;
use crate::kafka::TransactionalProducer;
use crate::kafka::admin::AdminClient;
use crate::metrics::Metrics;
use crate::state::image::{ImagePart, ImageReader};
use crate::state::store::TaskStore;
use millrace_protocol::cover::{CoverSettings, TaskCover};
use millrace_protocol::record::LogRecord;
use millrace_protocol::recover::LogRange;
use millrace_protocol::replay::Applied;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a record of the log takes that carries no changes, roughly.
const RECORD_BYTES: u64 = 200;

/// A task's state on the volume, durable.
struct Durable {
    applied: Applied,
    bytes: u64,
}

pub struct Covers {
    log: Arc<str>,
    tasks: BTreeMap<u32, TaskCover>,
    reader: ImageReader,
    /// Bytes of images for one transaction, and how many the open one still takes.
    bytes_per_epoch: usize,
    bytes_left: usize,
    /// What checkpoints have made durable.
    sender: Sender<BTreeMap<u32, Durable>>,
    durable: Receiver<BTreeMap<u32, Durable>>,
    /// About how much state each task has.
    state_bytes: BTreeMap<u32, u64>,
    metrics: Arc<Metrics>,
}

/// What a record adds to the part of a log that a cover makes superfluous. Images are not counted: the next one
/// replaces them.
pub fn tail_bytes(record: &LogRecord<'_>) -> u64 {
    match record {
        LogRecord::Batch(batch) => batch.changes.len() as u64,
        LogRecord::Image(_) => 0,
        LogRecord::Claim(_) | LogRecord::Release(_) | LogRecord::Commit(_) | LogRecord::Checkpoint(_) => RECORD_BYTES,
    }
}

impl Covers {
    /// By task, the claim under which it writes and what its log has beyond the last cover.
    pub fn start(
        limits: &ImageLimits,
        log: Arc<str>,
        tasks: impl IntoIterator<Item = (u32, i64, u64)>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let settings =
            CoverSettings { tail_bytes_min: limits.tail_bytes_min, tail_per_state: limits.tail_bytes_per_state_byte };
        let (sender, durable) = channel();
        Ok(Self {
            log,
            tasks: tasks.into_iter().map(|(task, claim, tail)| (task, TaskCover::new(settings, claim, tail))).collect(),
            reader: ImageReader::start()?,
            bytes_per_epoch: limits.bytes_per_epoch,
            bytes_left: limits.bytes_per_epoch,
            sender,
            durable,
            state_bytes: BTreeMap::new(),
            metrics,
        })
    }

    /// A task has committed so many bytes of changes.
    pub fn wrote(&mut self, task: u32, change_bytes: usize) {
        if let Some(cover) = self.tasks.get_mut(&task) {
            cover.wrote(change_bytes as u64 + RECORD_BYTES);
        }
    }

    /// Writes what has been read of an image into the open transaction, as far as that takes it.
    pub fn write(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        while self.bytes_left > 0
            && let Some(ImagePart { task, entries, last }) = self.reader.next()?
        {
            let cover = self.tasks.get_mut(&task).expect("images are asked for by task");
            let record = cover.part(&entries, last).encode();
            self.bytes_left = self.bytes_left.saturating_sub(record.len());
            log::write(producer, &self.log, [(task, record)])?;
        }
        Ok(())
    }

    /// The transaction is committed, at this time.
    pub fn committed(&mut self, at: i64) {
        self.bytes_left = self.bytes_per_epoch;
        for (task, cover) in &mut self.tasks {
            let Some(covered) = cover.committed() else { continue };
            self.state_bytes.insert(*task, covered.bytes);
            self.metrics.image_written(at, covered.bytes);
            tracing::info!(task, bytes = covered.bytes, log_offset = covered.log_offset, "wrote an image of the state");
        }
        self.metrics.set_log_tail(self.tasks.values().map(TaskCover::tail_bytes).sum());
    }

    /// What to do when the checkpoint that is asked for now has become durable, where the stores are: begin with an
    /// image, and cut the logs as far as they are covered.
    pub fn at_checkpoint(
        &mut self,
        logs: &BTreeMap<u32, LogRange>,
        admin: Arc<AdminClient>,
    ) -> impl FnOnce(&BTreeMap<u32, TaskStore>) + Send + use<> {
        self.hear_of_checkpoints();
        let log_topic = self.log.to_string();
        let cut = |(task, cover): (&u32, &TaskCover)| Some((*task, cover.cut(logs[task].start)?));
        let cuts: BTreeMap<u32, i64> = self.tasks.iter().filter_map(cut).collect();
        let due = self.begin_next();
        let (requests, durable) = (self.reader.requests(), self.sender.clone());
        move |stores| {
            let states = stores.iter().filter_map(|(&task, store)| {
                Some((task, Durable { applied: store.applied()?.clone(), bytes: store.estimated_bytes() }))
            });
            // Without a coordinator the worker is ending.
            let _ = durable.send(states.collect());
            if let Some(store) = due.and_then(|task| stores.get(&task).map(|store| (task, store))) {
                requests.hold(store.0, store.1.image_source());
            }
            let before: Vec<_> = cuts.iter().map(|(&task, &at)| (log_topic.clone(), task as i32, at)).collect();
            if !before.is_empty() {
                match admin.delete_records(&before) {
                    Ok(()) => tracing::info!(?cuts, "cut the task logs"),
                    // The next checkpoint tries again.
                    Err(error) => tracing::warn!(%error, "the task logs grow: they could not be cut"),
                }
            }
        }
    }

    fn hear_of_checkpoints(&mut self) {
        for (task, Durable { applied, bytes }) in self.durable.try_iter().flatten() {
            if let Some(cover) = self.tasks.get_mut(&task) {
                cover.checkpointed(&applied);
            }
            // What an image had is exact and uncompressed, but may be old.
            let known = self.state_bytes.entry(task).or_default();
            *known = bytes.max(*known);
        }
    }

    /// Chooses the task whose log has grown most, of those that are due.
    fn begin_next(&mut self) -> Option<u32> {
        if self.tasks.values().any(TaskCover::is_making) {
            return None;
        }
        let state_bytes = |task: &u32| self.state_bytes.get(task).copied();
        // A state of which nothing is known has no checkpoint yet.
        let due = self.tasks.iter_mut().filter(|(task, cover)| state_bytes(task).is_some_and(|b| cover.is_due(b)));
        let (&task, cover) = due.max_by_key(|(_, cover)| cover.tail_bytes())?;
        cover.begin();
        Some(task)
    }
}
