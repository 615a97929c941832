//! Checkpoints in an object store: copies of the tasks' RocksDB, from which a worker comes back that has lost its
//! volume. Only files that the store does not have yet go there, then a manifest that names all of them. Not here:
//! which checkpoints count, which the task log says (`commit/covers.rs`).
//!
//! A task's objects, below the place that the job's `archive` names:
//!
//! ```text
//! <namespace>.<name>.<uid>/<incarnation>/task-<task>/files/<claim>-<sha256>
//! <namespace>.<name>.<uid>/<incarnation>/task-<task>/checkpoints/<claim>-<number>.json
//! ```
//!
//! The claim is the offset in the task log of the claim under which something was written. It orders the writers, and
//! that makes collecting safe: nobody deletes what a later writer wrote, or may rely on (`task.rs`).

mod parallel;
mod hashes;
pub mod manifest;
pub mod task;
pub mod publisher;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod s3_tests;

use crate::error::{Error, Result};
use crate::job::{ArchiveSettings, JobIdentity};
use crate::state::volume::VolumeContext;
use crate::storage::{Storage, Stored};
use manifest::Manifest;
use millrace_protocol::record::Checkpoint;
use std::path::Path;
use task::TaskArchive;

/// Files that are read from the store at once.
const FETCHES: usize = 4;

/// The checkpoints of a job.
#[derive(Clone)]
pub struct Archive {
    storage: Storage,
    identity: JobIdentity,
}

impl Archive {
    pub fn open(settings: &ArchiveSettings, identity: &JobIdentity) -> Result<Self> {
        let storage = Storage::open_with(&settings.url, &settings.client_options())?;
        Ok(Self { storage, identity: identity.clone() })
    }

    /// Looks whether the store can be reached and read.
    pub fn probe(&self, task: u32) -> Result<()> {
        self.storage.list(&format!("{}/{CHECKPOINTS}", self.folder(task))).map(drop)
    }

    /// A task's checkpoints, written under the claim at this offset of its log. `trusting`: unless what is there has
    /// turned out to be damaged.
    pub fn task(&self, task: u32, claim: i64, trusting: bool) -> TaskArchive {
        TaskArchive::new(self.clone(), task, claim, trusting)
    }

    /// Copies a checkpoint into a directory, where RocksDB can open it.
    ///
    /// # Errors
    /// `FailJob` where objects of it are missing, damaged or another job's: then it is of no use. Others, and those of
    /// the volume, say nothing about the checkpoint.
    pub fn fetch(&self, task: u32, checkpoint: &Checkpoint, directory: &Path) -> Result<()> {
        let manifest = self.manifest(task, &checkpoint.manifest, Some(&checkpoint.sha256))?;
        std::fs::create_dir_all(directory)
            .on_volume(directory, || format!("could not make {}", directory.display()))?;
        parallel::for_each(&manifest.files, FETCHES, |file| {
            let expected = Stored { bytes: file.bytes, sha256: file.sha256.clone() };
            let path = directory.join(&file.name);
            self.storage.get_file(&file.object, &expected, &path)?;
            let durable = std::fs::File::open(&path).and_then(|file| file.sync_all());
            durable.on_volume(&path, || format!("could not write {}", path.display()))
        })
    }

    /// Reads a manifest, and checks that it is the one that is meant, and this job's.
    fn manifest(&self, task: u32, name: &str, sha256: Option<&str>) -> Result<Manifest> {
        let at = || format!("{name} in {}", self.storage.location());
        let Some(bytes) = self.storage.get(name)? else {
            return Err(Error::fail_job(format!("{} is missing", at())));
        };
        if sha256.is_some_and(|expected| expected != crate::storage::sha256(&bytes)) {
            return Err(Error::fail_job(format!("{} is not what was stored there: it is damaged or another", at())));
        }
        let manifest = Manifest::parse(&bytes).map_err(|error| error.context(at()))?;
        manifest.check_owner(&self.identity, task).map_err(|error| error.context(at()))?;
        Ok(manifest)
    }

    /// Where a task's objects are.
    fn folder(&self, task: u32) -> String {
        let JobIdentity { namespace, name, uid, incarnation, .. } = &self.identity;
        format!("{namespace}.{name}.{uid}/{incarnation}/task-{task}")
    }
}

/// Folders of a task.
const FILES: &str = "files";
const CHECKPOINTS: &str = "checkpoints";
