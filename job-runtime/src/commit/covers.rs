//! Copies of the tasks' states outside of the volumes, and cutting the logs for them: performs what the protocol's
//! covers say. They begin at a checkpoint of the volume that has become durable, and none of it holds the tasks up.
//!
//! A job with an archive publishes checkpoints there, and their records go into the log when the archive has them.
//! Another has images in the logs themselves: one at a time is read, on a thread of its own, and the coordinator
//! writes its parts into whatever transaction is open, some at a time.

use super::log;
use crate::archive::publisher::{Outcome, PublishRequests, Publisher};
use crate::archive::task::Published;
use crate::error::Result;
use crate::job::{ArchiveSettings, ImageLimits};
use crate::kafka::TransactionalProducer;
use crate::kafka::admin::AdminClient;
use crate::metrics::Metrics;
use crate::state::image::{ImagePart, ImageReader, ImageRequests};
use crate::state::store::TaskStore;
use millrace_protocol::cover::{CoverSettings, TaskCover};
use millrace_protocol::record::LogRecord;
use millrace_protocol::recover::LogRange;
use millrace_protocol::replay::Applied;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What a record of the log takes that carries no changes, roughly.
const RECORD_BYTES: u64 = 200;

/// A task's state on the volume, durable.
struct Durable {
    applied: Applied,
    bytes: u64,
}

/// Where copies go, and who makes them.
enum Copier {
    Images(ImageReader),
    Archive { publisher: Publisher, interval: Duration },
}

/// Asks for a copy, from where the stores are.
enum CopyRequests {
    Images(ImageRequests),
    Archive(PublishRequests),
}

impl CopyRequests {
    fn copy(&self, task: u32, store: &TaskStore) {
        match self {
            Self::Images(requests) => requests.hold(task, store.image_source()),
            Self::Archive(requests) => requests.publish(task, store),
        }
    }
}

/// What a job's covers are.
pub enum CoverPlan<'a> {
    Images(&'a ImageLimits),
    Archive(&'a ArchiveSettings, Publisher),
}

pub struct Covers {
    log: Arc<str>,
    tasks: BTreeMap<u32, TaskCover>,
    copier: Copier,
    /// By task: when the last copy was begun.
    begun: BTreeMap<u32, Duration>,
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
        plan: CoverPlan<'_>,
        log: Arc<str>,
        tasks: impl IntoIterator<Item = (u32, i64, u64)>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let (tail_bytes_min, tail_per_state, bytes_per_epoch, copier) = match plan {
            CoverPlan::Images(limits) => {
                let ImageLimits { tail_bytes_min, tail_bytes_per_state_byte, bytes_per_epoch } = *limits;
                (tail_bytes_min, tail_bytes_per_state_byte, bytes_per_epoch, Copier::Images(ImageReader::start()?))
            }
            CoverPlan::Archive(settings, publisher) => {
                (settings.tail_bytes_min, 0, 0, Copier::Archive { publisher, interval: settings.interval })
            }
        };
        let settings = CoverSettings { tail_bytes_min, tail_per_state };
        let (sender, durable) = channel();
        Ok(Self {
            log,
            tasks: tasks.into_iter().map(|(task, claim, tail)| (task, TaskCover::new(settings, claim, tail))).collect(),
            copier,
            begun: BTreeMap::new(),
            bytes_per_epoch,
            bytes_left: bytes_per_epoch,
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

    /// Writes what there is of copies into the open transaction, as far as that takes it.
    pub fn write(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        match &self.copier {
            Copier::Images(_) => self.write_parts(producer),
            Copier::Archive { .. } => self.write_records(producer),
        }
    }

    /// Records of the checkpoints that the archive has.
    fn write_records(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        let Copier::Archive { publisher, .. } = &self.copier else { return Ok(()) };
        while let Some(Outcome { task, published }) = publisher.next()? {
            let cover = self.tasks.get_mut(&task).expect("checkpoints are asked for by task");
            match published {
                Ok(Published { manifest, sha256, bytes, uploaded_bytes, applied }) => {
                    tracing::debug!(task, manifest, bytes, uploaded_bytes, "the archive has a checkpoint");
                    let record = cover.checkpoint(manifest, sha256, bytes, applied).encode();
                    log::write(producer, &self.log, [(task, record)])?;
                    self.metrics.uploaded(uploaded_bytes);
                }
                Err(error) => {
                    // The volume and the log have everything; the next checkpoint tries again.
                    tracing::warn!(task, %error, "no checkpoint went to the archive, and the log grows");
                    cover.abandon();
                    self.begun.remove(&task);
                    self.metrics.archive_failures.inc();
                }
            }
        }
        Ok(())
    }

    fn write_parts(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        let Copier::Images(reader) = &self.copier else { return Ok(()) };
        while self.bytes_left > 0
            && let Some(ImagePart { task, entries, last }) = reader.next()?
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
            let (bytes, log_offset) = (covered.bytes, covered.log_offset);
            match &self.copier {
                Copier::Images(_) => {
                    self.metrics.image_written(at, bytes);
                    tracing::info!(task, bytes, log_offset, "wrote an image of the state");
                }
                Copier::Archive { publisher, .. } => {
                    publisher.committed(*task);
                    self.metrics.archived(at, bytes);
                    tracing::info!(task, bytes, log_offset, "archived a checkpoint");
                }
            }
        }
        self.metrics.set_log_tail(self.tasks.values().map(TaskCover::tail_bytes).sum());
    }

    /// What to do when the checkpoint that is asked for now has become durable, where the stores are: begin with
    /// copies, and cut the logs as far as they are covered.
    pub fn at_checkpoint(
        &mut self,
        now: Duration,
        logs: &BTreeMap<u32, LogRange>,
        admin: Arc<AdminClient>,
    ) -> impl FnOnce(&BTreeMap<u32, TaskStore>) + Send + use<> {
        self.hear_of_checkpoints();
        let log_topic = self.log.to_string();
        let cut = |(task, cover): (&u32, &TaskCover)| Some((*task, cover.cut(logs[task].start)?));
        let cuts: BTreeMap<u32, i64> = self.tasks.iter().filter_map(cut).collect();
        let due = self.begin_next(now);
        let durable = self.sender.clone();
        let requests = match &self.copier {
            Copier::Images(reader) => CopyRequests::Images(reader.requests()),
            Copier::Archive { publisher, .. } => CopyRequests::Archive(publisher.requests()),
        };
        move |stores| {
            let states = stores.iter().filter_map(|(&task, store)| {
                Some((task, Durable { applied: store.applied()?.clone(), bytes: store.estimated_bytes() }))
            });
            // Without a coordinator the worker is ending.
            let _ = durable.send(states.collect());
            for (task, store) in due.iter().filter_map(|task| Some((*task, stores.get(task)?))) {
                requests.copy(task, store);
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

    /// Chooses tasks of which copies are due: each for the archive, which takes one after the other; for an image the
    /// one whose log has grown most.
    fn begin_next(&mut self, now: Duration) -> Vec<u32> {
        // A state of which nothing is known has no checkpoint yet.
        let state_bytes = |task: &u32| self.state_bytes.get(task).copied();
        let due = self.tasks.iter().filter(|(task, cover)| state_bytes(task).is_some_and(|b| cover.is_due(b)));
        let chosen: Vec<u32> = match &self.copier {
            Copier::Images(_) if self.tasks.values().any(TaskCover::is_making) => Vec::new(),
            Copier::Images(_) => {
                due.max_by_key(|(_, cover)| cover.tail_bytes()).map(|(&task, _)| task).into_iter().collect()
            }
            Copier::Archive { interval, .. } => {
                let in_time = |task: &u32| self.begun.get(task).is_none_or(|&begun| now >= begun + *interval);
                due.map(|(&task, _)| task).filter(in_time).collect()
            }
        };
        for task in &chosen {
            self.tasks.get_mut(task).expect("chosen from them").begin();
            self.begun.insert(*task, now);
        }
        chosen
    }
}
