//! Brings the stores on the volume to where the task logs go on from, before anything is claimed. What to go on
//! from the protocol decides; here the logs are asked and searched, and a store that is of no use, corrupt or
//! older than its log, is replaced by what a cover has.
//!
//! Whoever has the tasks still may cut the logs meanwhile. What is read then is gone, which ends this attempt;
//! the next one finds the newer cover.

use super::lanes::put_beside;
use super::log::{LogReader, PATIENCE};
use super::start::StartRequest;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::admin::retrying;
use crate::state::corruption;
use crate::state::store::{StoreMemory, TaskStore};
use crate::state::volume::VolumeContext;
use millrace_protocol::ProtocolError;
use millrace_protocol::record::{Checkpoint, LogRecord};
use millrace_protocol::recover::{Base, CompleteImage, Cover, CoverSearch, LogRange, base};
use millrace_protocol::replay::Applied;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where stores are filled before they take their place, in the state directory.
const FILLING: &str = "recovering";

/// From where a task's state came, before the tail of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Origin {
    Volume,
    Image,
    Checkpoint,
    /// The log has everything.
    Log,
}

/// Stores that the logs go on from; everything by task.
pub struct Recovered {
    pub stores: BTreeMap<u32, TaskStore>,
    pub origins: BTreeMap<u32, Origin>,
    /// Of the images that were loaded.
    pub image_bytes: u64,
    /// Tasks of which the archive has a checkpoint that is damaged.
    pub damaged: BTreeSet<u32>,
}

/// # Errors
/// `RestartWorker` where the logs changed meanwhile, or can't be read to their ends yet; `FailJob` where the state
/// is lost, or the volume is another job's.
pub fn recover(request: &StartRequest<'_>, logs: &BTreeMap<u32, LogRange>) -> Result<Recovered> {
    Recovery::new(request, logs)?.run()
}

struct Recovery<'a> {
    request: &'a StartRequest<'a>,
    /// Of all tasks, before anything was read.
    logs: &'a BTreeMap<u32, LogRange>,
    memory: StoreMemory,
    recovered: Recovered,
}

impl<'a> Recovery<'a> {
    fn new(request: &'a StartRequest<'a>, logs: &'a BTreeMap<u32, LogRange>) -> Result<Self> {
        let tasks = request.assignment.tasks().count() as u32;
        let memory = StoreMemory::new(request.job.memory.rocksdb, tasks);
        let (stores, origins) = (BTreeMap::new(), BTreeMap::new());
        remove(&request.job.state_directory.join(FILLING))?;
        Ok(Self {
            request,
            logs,
            memory,
            recovered: Recovered { stores, origins, image_bytes: 0, damaged: BTreeSet::new() },
        })
    }

    fn run(mut self) -> Result<Recovered> {
        let mut outdated = BTreeMap::new();
        for (&task, &log) in self.logs {
            let store = self.open_sound(task)?;
            let applied = store.as_ref().and_then(TaskStore::applied);
            match (base(task, applied, log)?, store) {
                (Base::Volume, Some(store)) => self.has(task, Origin::Volume, store),
                (Base::Log, Some(store)) => self.has(task, Origin::Log, store),
                (Base::Volume | Base::Log, None) => {
                    self.discard(task)?;
                    let store = self.open(&self.request.job.state_directory, task)?;
                    self.has(task, Origin::Log, store);
                }
                (Base::Cover, store) => {
                    if let Some(applied) = store.as_ref().and_then(TaskStore::applied) {
                        let (volume, log_start) = (applied.log_offset, log.start);
                        tracing::warn!(task, volume, log_start, "the state on the volume is too old for its log");
                    }
                    outdated.insert(task, log);
                }
            }
        }
        if !outdated.is_empty() {
            self.replace(find_covers(self.request, &outdated)?)?;
        }
        Ok(self.recovered)
    }

    fn has(&mut self, task: u32, origin: Origin, store: TaskStore) {
        self.recovered.stores.insert(task, store);
        self.recovered.origins.insert(task, origin);
    }

    fn open(&self, directory: &Path, task: u32) -> Result<TaskStore> {
        let identity = &self.request.job.identity;
        TaskStore::open(directory, &identity.uid, identity.incarnation, task, &self.memory)
    }

    fn path(&self, task: u32) -> PathBuf {
        TaskStore::path_in(&self.request.job.state_directory, task)
    }

    /// The store on the volume; None where it is corrupt.
    fn open_sound(&self, task: u32) -> Result<Option<TaskStore>> {
        let path = self.path(task);
        if !corruption::is_marked(&path) {
            match self.open(&self.request.job.state_directory, task) {
                Ok(store) => return Ok(Some(store)),
                Err(error) if corruption::is_marked(&path) => tracing::warn!(task, %error, "the volume is damaged"),
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(task, path = %path.display(), "the state on the volume is corrupt and will be replaced");
        Ok(None)
    }

    /// Removes a store that is of no use, and that nobody has open.
    fn discard(&self, task: u32) -> Result<()> {
        let path = self.path(task);
        remove(&path)?;
        corruption::unmark(&path)
    }

    /// Fills new stores from covers, and puts them into the places of those that were there.
    fn replace(&mut self, covers: BTreeMap<u32, Vec<Cover>>) -> Result<()> {
        let begun = self.request.clock().monotonic();
        let filling = self.request.job.state_directory.join(FILLING);
        let tasks: Vec<u32> = covers.keys().copied().collect();
        let mut images = BTreeMap::new();
        for (task, covers) in covers {
            // What was there is of no use any more, and may need the space.
            self.discard(task)?;
            match self.fetch_first(task, covers, &filling)? {
                Some(image) => {
                    images.insert(task, image);
                    self.recovered.origins.insert(task, Origin::Image);
                }
                None => {
                    self.recovered.origins.insert(task, Origin::Checkpoint);
                }
            }
        }
        let (count, bytes) = (images.len(), images.values().map(|image| image.bytes).sum());
        self.recovered.image_bytes = bytes;
        self.load(images, &filling)?;
        for task in tasks {
            let (from, to) = (TaskStore::path_in(&filling, task), self.path(task));
            let operation = || format!("could not move {} to {}", from.display(), to.display());
            std::fs::rename(&from, &to).on_volume(&to, operation)?;
            let store = self.open(&self.request.job.state_directory, task)?;
            self.recovered.stores.insert(task, store);
        }
        remove(&filling)?;
        if count > 0 {
            let seconds = (self.request.clock().monotonic() - begun).as_secs_f64();
            tracing::info!(tasks = count, bytes, seconds, "loaded images from the task logs");
        }
        Ok(())
    }

    /// Reads images from their logs into new stores, and closes these.
    fn load(&self, mut images: BTreeMap<u32, CompleteImage>, filling: &Path) -> Result<()> {
        if images.is_empty() {
            return Ok(());
        }
        let StartRequest { job, cluster, .. } = self.request;
        let from = images.iter().map(|(&task, image)| (task, image.first));
        let mut reader = LogReader::new(job, cluster, "read_committed", from)?;
        let mut stores = BTreeMap::new();
        for &task in images.keys() {
            stores.insert(task, self.open(filling, task)?);
        }
        let put = |store: &mut TaskStore, ImagePart { entries, last }| {
            store.load(&entries)?;
            let Some(applied) = last else { return Ok(()) };
            store.apply([], applied)?;
            store.checkpoint()
        };
        put_beside(&mut stores, job.threads(), put, |hand| {
            while !images.is_empty() {
                let ended = reader.has_ended();
                reader.read_some(&mut |task, _, record| {
                    let LogRecord::Image(part) = record else { return Ok(()) };
                    if images.get(&task).is_none_or(|image| !image.has(&part)) {
                        return Ok(());
                    }
                    if part.last.is_some() {
                        images.remove(&task);
                    }
                    hand(task, ImagePart { entries: part.entries.to_vec(), last: part.last })
                })?;
                if ended && !images.is_empty() {
                    return Err(Error::restart_worker("images that were in the task logs are gone"));
                }
            }
            Ok(())
        })
    }

    /// Fetches the newest checkpoint that is whole, unless an image comes before it, which is returned.
    fn fetch_first(&mut self, task: u32, covers: Vec<Cover>, filling: &Path) -> Result<Option<CompleteImage>> {
        for cover in covers {
            let checkpoint = match cover {
                Cover::Image(image) => return Ok(Some(image)),
                Cover::Checkpoint(checkpoint) => checkpoint,
            };
            match self.fetch(task, &checkpoint, filling) {
                Ok(()) => return Ok(None),
                Err(error) if is_of_no_use(&error) => {
                    tracing::warn!(task, %error, "a checkpoint in the archive is of no use");
                    self.recovered.damaged.insert(task);
                    remove(&TaskStore::path_in(filling, task))?;
                }
                Err(error) => return Err(error),
            }
        }
        // Whoever has the task may have replaced what the log named: then it names something newer by now.
        if ranges(self.request, [task])?[&task] != self.logs[&task] {
            return Err(Error::restart_worker(format!(
                "the checkpoints of task {task} changed while they were fetched"
            )));
        }
        let log_start = self.logs[&task].start;
        Err(Error::from(ProtocolError::StateLost { task, log_start }))
    }

    /// A checkpoint of the archive becomes a store beside the one that it is to replace. Whether it is the task's, and
    /// can be opened, is seen here: then there is another to fall back to.
    fn fetch(&self, task: u32, checkpoint: &Checkpoint, filling: &Path) -> Result<()> {
        let Some(archive) = self.request.archive else {
            return Err(Error::user_fault(format!(
                "the log of task {task} goes on from a checkpoint in an archive ({}), and the job has none: give it the \
                 one that it had (spec.checkpoint.storage.objectStore, or --archive-url)",
                checkpoint.manifest
            )));
        };
        let begun = self.request.clock().monotonic();
        archive.fetch(task, checkpoint, &TaskStore::path_in(filling, task))?;
        let useless =
            |error: Error| Error::fail_job(format!("{} makes no store", checkpoint.manifest)).caused_by(error);
        let store = self.open(filling, task).map_err(useless)?;
        if store.applied() != Some(&checkpoint.applied) {
            return Err(Error::fail_job(format!("{} is of another moment than the log says", checkpoint.manifest)));
        }
        let seconds = (self.request.clock().monotonic() - begun).as_secs_f64();
        tracing::info!(task, bytes = checkpoint.bytes, seconds, "fetched a checkpoint from the archive");
        Ok(())
    }
}

/// Of an image, on its way from the log into the store.
struct ImagePart {
    entries: Vec<u8>,
    /// What all of it amounts to, with the last part.
    last: Option<Applied>,
}

/// Whether an error says that a checkpoint can't be used. A volume that is full is no fault of what was to be written
/// there.
fn is_of_no_use(error: &Error) -> bool {
    error.kind == ErrorKind::FailJob && !error.reason().is_of_volume()
}

/// The newest cover in each of some logs.
fn find_covers(request: &StartRequest<'_>, logs: &BTreeMap<u32, LogRange>) -> Result<BTreeMap<u32, Vec<Cover>>> {
    if logs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let StartRequest { job, cluster, .. } = request;
    let from = logs.iter().map(|(&task, log)| (task, log.start));
    let mut reader = LogReader::new(job, cluster, "read_committed", from)?;
    let mut searches: BTreeMap<u32, CoverSearch> =
        logs.iter().map(|(&task, &log)| (task, CoverSearch::new(task, log))).collect();
    reader.read_to_end(&mut |task, offset, record| {
        searches.get_mut(&task).expect("these logs are read").read(offset, &record);
        Ok(())
    })?;
    let found = searches.into_iter().map(|(task, search)| match search.finish(reader.read_to(task))? {
        Some(covers) => Ok((task, covers)),
        None => Err(Error::restart_worker(format!(
            "the log of task {task} can't be read to its end yet, because a transaction in it is not over"
        ))),
    });
    found.collect()
}

/// How far the newest cover has come in each log that was cut; the others are whole.
pub fn find_bases(request: &StartRequest<'_>) -> Result<BTreeMap<u32, Applied>> {
    let cut: BTreeMap<u32, LogRange> =
        ranges(request, request.assignment.tasks())?.into_iter().filter(|(_, log)| log.start > 0).collect();
    let covers = find_covers(request, &cut)?;
    let newest = |(task, covers): (u32, Vec<Cover>)| Some((task, covers.first()?.applied().clone()));
    Ok(covers.into_iter().filter_map(newest).collect())
}

/// What there is of the logs of some tasks.
pub(super) fn ranges(
    request: &StartRequest<'_>,
    tasks: impl IntoIterator<Item = u32>,
) -> Result<BTreeMap<u32, LogRange>> {
    let reader = LogReader::new(request.job, request.cluster, "read_uncommitted", [])?;
    let range = |task| Ok((task, retrying(PATIENCE, request.clock(), || reader.range(task))?));
    tasks.into_iter().map(range).collect()
}

fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).on_volume(directory, || format!("could not remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Reason;

    #[test]
    fn a_checkpoint_is_not_given_up_for_a_volume_that_does_not_take_it() {
        let full = Error::fail_job("no space").because(Reason::VolumeFull);
        assert!(!is_of_no_use(&Error::fail_job("it makes no store").caused_by(full)));
        assert!(is_of_no_use(&Error::fail_job("it is damaged")));
        assert!(!is_of_no_use(&Error::restart_worker("the archive is out of reach")));
    }
}
