//! One task's checkpoints as its worker writes them: publishes the newest, keeps the last two that the task log names,
//! and deletes the rest.
//!
//! Nothing holds a worker back that has lost its claim and does not know yet: it may still write objects, and delete.
//! What it writes is named by its claim and so disturbs nobody. What it deletes is never what a later worker needs:
//!
//! - Nobody deletes what was written under a later claim than its own, nor anything before it has published two
//!   checkpoints that are committed, nor ever what one of the last two of these needs. Publishing and deleting take
//!   turns, so what is published waits for its commit untouched.
//! - Who publishes relies on what it has written itself, and on what the newest manifest in the store needs. Whoever
//!   wrote that deletes nothing of it before it has committed another one, and that can't be once a later worker has
//!   its claim.

use super::hashes::{Hashes, LocalFile};
use super::manifest::{MANIFEST_FORMAT, Manifest, ManifestFile, Owner};
use super::{Archive, CHECKPOINTS, FILES, parallel};
use crate::error::{Error, Result};
use crate::storage;
use millrace_protocol::replay::Applied;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// Checkpoints that are kept, so that there is another if the newest turns out to be damaged.
const KEPT: usize = 2;
/// Files that are written at once, and objects that are deleted at once.
const UPLOADS: usize = 2;
const DELETES: usize = 8;

/// A checkpoint that the store has, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Key of the manifest.
    pub manifest: String,
    /// Of the manifest, in hexadecimal.
    pub sha256: String,
    /// Of its files together, and of those that were not there before.
    pub bytes: u64,
    pub uploaded_bytes: u64,
    pub applied: Applied,
}

pub struct TaskArchive {
    archive: Archive,
    task: u32,
    claim: i64,
    hashes: Hashes,
    /// Manifests written under this claim.
    written: u64,
    /// Objects of other writers that may be relied on, by hash; None before the store was asked.
    trusted: Option<BTreeMap<String, String>>,
    /// Published, and not yet committed.
    published: Option<Needed>,
    /// The last committed ones, the newest at the end.
    committed: VecDeque<Needed>,
}

/// A manifest, and the objects that it needs, by name in their folders.
struct Needed {
    manifest: String,
    objects: BTreeSet<String>,
}

impl TaskArchive {
    pub(super) fn new(archive: Archive, task: u32, claim: i64, trusting: bool) -> Self {
        let trusted = (!trusting).then(BTreeMap::new);
        let (published, committed) = (None, VecDeque::new());
        Self { archive, task, claim, hashes: Hashes::default(), written: 0, trusted, published, committed }
    }

    /// Brings a checkpoint of RocksDB to the store. All of it is there when this returns.
    pub fn publish(&mut self, directory: &Path, applied: &Applied) -> Result<Published> {
        let files = self.hashes.of(directory)?;
        let objects = self.objects(&files)?;
        let missing: Vec<_> =
            objects.iter().filter_map(|(file, (object, there))| (!there).then_some((*file, object))).collect();
        parallel::for_each(&missing, UPLOADS, |(file, object)| self.upload(file, object))?;
        let uploaded_bytes = missing.iter().map(|(file, _)| file.bytes).sum();
        let files = objects.into_iter().map(|(LocalFile { name, bytes, sha256, .. }, (object, _))| ManifestFile {
            name: name.clone(),
            object: self.file(&object),
            bytes: *bytes,
            sha256: sha256.clone(),
        });
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            job: Owner::from(&self.archive.identity),
            task: self.task,
            claim: self.claim,
            applied: applied.clone(),
            files: files.collect(),
        };
        self.verify(&manifest)?;
        let (name, sha256) = self.write(&manifest)?;
        Ok(Published { manifest: name, sha256, bytes: manifest.bytes(), uploaded_bytes, applied: applied.clone() })
    }

    /// The log has the record of what was published last, by a commit. What no kept checkpoint needs is deleted.
    pub fn committed(&mut self) -> Result<()> {
        self.committed.extend(self.published.take());
        if self.committed.len() < KEPT {
            return Ok(());
        }
        self.committed.drain(..self.committed.len() - KEPT);
        let storage = &self.archive.storage;
        let mut superfluous = Vec::new();
        let needed = |object: &String| self.committed.iter().any(|kept| kept.objects.contains(object));
        for object in storage.list(&self.file(""))?.into_keys().filter(|object| !needed(object)) {
            superfluous.extend(self.is_ours_or_older(&object).then(|| self.file(&object)));
        }
        let kept = |manifest: &String| self.committed.iter().any(|kept| kept.manifest == *manifest);
        for manifest in storage.list(&self.checkpoint(""))?.into_keys().filter(|manifest| !kept(manifest)) {
            superfluous.extend(self.is_ours_or_older(&manifest).then(|| self.checkpoint(&manifest)));
        }
        // Manifests at last: what names objects that are gone is gone itself, or was never needed.
        parallel::for_each(&superfluous, DELETES, |object| storage.delete(object))
    }

    /// By file: the object that has it or is to have it, and whether it is there.
    fn objects<'f>(&mut self, files: &'f [LocalFile]) -> Result<Vec<(&'f LocalFile, (String, bool))>> {
        if self.trusted.is_none() {
            self.trusted = Some(self.newest()?);
        }
        let there = self.archive.storage.list(&self.file(""))?;
        let trusted = self.trusted.as_ref().expect("just asked for");
        let object = |file: &'f LocalFile| {
            let has = |object: &String| there.get(object) == Some(&file.bytes);
            let own = format!("{}-{}", ordered(self.claim), file.sha256);
            match trusted.get(&file.sha256).filter(|object| has(object)) {
                Some(object) => (file, (object.clone(), true)),
                None => {
                    let there = has(&own);
                    (file, (own, there))
                }
            }
        };
        Ok(files.iter().map(object).collect())
    }

    /// What the newest manifest in the store needs, by hash. One that can't be read is not relied on.
    fn newest(&self) -> Result<BTreeMap<String, String>> {
        let manifests = self.archive.storage.list(&self.checkpoint(""))?;
        let Some(newest) = manifests.keys().rfind(|manifest| self.is_ours_or_older(manifest)) else {
            return Ok(BTreeMap::new());
        };
        match self.archive.manifest(self.task, &self.checkpoint(newest), None) {
            Ok(manifest) => Ok(manifest.files.into_iter().map(|file| (file.sha256, last(&file.object))).collect()),
            Err(error) if error.kind == crate::error::ErrorKind::FailJob => {
                tracing::warn!(task = self.task, %error, "everything goes to the archive again");
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }

    fn upload(&self, file: &LocalFile, object: &str) -> Result<()> {
        let stored = self.archive.storage.put_file(&self.file(object), &file.path, &|| true)?;
        if stored.sha256 == file.sha256 {
            return Ok(());
        }
        Err(Error::restart_worker(format!(
            "{} changed while it was read: the disk may be failing",
            file.path.display()
        )))
    }

    /// Whether the store has each file of a manifest.
    fn verify(&self, manifest: &Manifest) -> Result<()> {
        let there = self.archive.storage.list(&self.file(""))?;
        match manifest.files.iter().find(|file| there.get(&last(&file.object)) != Some(&file.bytes)) {
            None => Ok(()),
            Some(file) => Err(Error::restart_worker(format!(
                "{} in {} is missing or of another size just after it was written",
                file.object,
                self.archive.storage.location()
            ))),
        }
    }

    /// Writes a manifest and reads it back. Returns its key and hash.
    fn write(&mut self, manifest: &Manifest) -> Result<(String, String)> {
        self.written += 1;
        let short = format!("{}-{}.json", ordered(self.claim), ordered(self.written as i64));
        let name = self.checkpoint(&short);
        let stored = self.archive.storage.put(&name, manifest.encode())?;
        let read = self.archive.storage.get(&name)?;
        if read.is_none_or(|bytes| storage::sha256(&bytes) != stored.sha256) {
            return Err(Error::restart_worker(format!(
                "{name} in {} can't be read back as it was written",
                self.archive.storage.location()
            )));
        }
        let by_hash = manifest.files.iter().map(|file| (file.sha256.clone(), last(&file.object)));
        self.trusted = Some(by_hash.collect());
        let objects = manifest.files.iter().map(|file| last(&file.object)).collect();
        self.published = Some(Needed { manifest: short, objects });
        Ok((name, stored.sha256))
    }

    /// Objects are named by the claims of their writers first.
    fn is_ours_or_older(&self, object: &str) -> bool {
        let claim = object.split('-').next().and_then(|claim| claim.parse::<i64>().ok());
        claim.is_some_and(|claim| claim <= self.claim)
    }

    fn file(&self, object: &str) -> String {
        format!("{}/{FILES}/{object}", self.archive.folder(self.task))
    }

    fn checkpoint(&self, object: &str) -> String {
        format!("{}/{CHECKPOINTS}/{object}", self.archive.folder(self.task))
    }
}

/// A number as part of a name, so that names are in the order of numbers.
fn ordered(number: i64) -> String {
    format!("{number:020}")
}

/// The last part of a key.
fn last(object: &str) -> String {
    object.rsplit('/').next().unwrap_or(object).to_owned()
}
