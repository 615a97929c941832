//! A prefix of an object store, or a directory that all workers see. The client's own work is done on a small runtime.
//!
//! Credentials come from the process's environment (`AWS_ACCESS_KEY_ID` and the like) or from options of the same
//! names that a caller has read, never from a job's description, and are not written anywhere.

use super::{GIVEN_UP, Place, Stored, damaged, hex, sha256, trimmed};
use crate::error::{Error, ErrorKind, Result};
use crate::state::volume;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Parts of a file that are under way at once, and their size, the least that S3 takes: bounds the memory of a transfer.
const PARTS: usize = 2;
const PART_BYTES: usize = 5 << 20;
/// For how long a request is repeated that got no answer, or one that may be another next time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The threads that serve all places of the process.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    choose_cryptography();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("storage").enable_all().build()
});

/// Settles what rustls computes with, for every HTTP client of the process. Again it changes nothing.
pub fn choose_cryptography() {
    // Another part of the process may have chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where the objects are files: the directory that they are in.
    directory: Option<PathBuf>,
    /// As it was given, for messages.
    location: String,
}

impl Objects {
    /// `s3://bucket/prefix`, `file:///directory` or a directory, with options of the client.
    pub(super) fn open(location: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        let what = || format!("could not open the location {location}");
        if let Some(rest) = location.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(Error::user_fault(format!("{}: it names no bucket: s3://bucket/prefix", what())));
            }
            // The client wants to know when it is made.
            choose_cryptography();
            let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 10, retry_timeout: PATIENCE };
            let mut client = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
            for (option, value) in options {
                let key = option.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
                // Its error names the option, and never the value.
                client = client.with_config(key.map_err(|e| Error::user_fault(what()).caused_by(e))?, value);
            }
            let store = client.build().map_err(|e| Error::user_fault(what()).caused_by(e))?;
            let (store, location) = (Arc::new(store), trimmed(location));
            return Ok(Self { store, prefix: Path::from(prefix), directory: None, location });
        }
        let Some(directory) = directory_of(location) else {
            return Err(Error::user_fault(format!(
                "{}: it has to be s3://bucket/prefix, file:///directory, or a directory",
                what()
            )));
        };
        let directory = std::path::absolute(directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        std::fs::create_dir_all(&directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        let store = LocalFileSystem::new_with_prefix(&directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        let (store, location) = (Arc::new(store.with_fsync(true)), trimmed(location));
        Ok(Self { store, prefix: Path::default(), directory: Some(directory), location })
    }

    /// For reading: a directory is not made.
    pub(super) fn find(location: &str) -> Result<Option<Self>> {
        if directory_of(location).is_some_and(|directory| !std::path::Path::new(directory).is_dir()) {
            return Ok(None);
        }
        Self::open(location, &BTreeMap::new()).map(Some)
    }

    fn path(&self, name: &str) -> Path {
        let prefix = self.prefix.as_ref();
        Path::from(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") })
    }

    fn run<T>(&self, what: &str, name: &str, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        runtime()?.block_on(work).map_err(|error| {
            let (kind, advice) = meaning(&error);
            Error::new(kind, format!("could not {what} {name} in {}{advice}", self.location)).caused_by(error)
        })
    }
}

/// The directory that a location names, if it names one.
fn directory_of(location: &str) -> Option<&str> {
    let directory = location.strip_prefix("file://").unwrap_or(location);
    (!directory.contains("://") && !directory.is_empty()).then_some(directory)
}

impl Place for Objects {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Stored> {
        let stored = Stored { bytes: bytes.len() as u64, sha256: sha256(&bytes) };
        self.run("write", name, self.store.put(&self.path(name), PutPayload::from(bytes)))?;
        Ok(stored)
    }

    fn put_file(&self, name: &str, file: &std::path::Path, wanted: &dyn Fn() -> bool) -> Result<Stored> {
        let unreadable = |e: std::io::Error| Error::restart_worker(format!("reading {}", file.display())).caused_by(e);
        let mut source = File::open(file).map_err(unreadable)?;
        if source.metadata().map_err(unreadable)?.len() <= PART_BYTES as u64 {
            let mut whole = Vec::new();
            source.read_to_end(&mut whole).map_err(unreadable)?;
            return self.put(name, whole);
        }
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let upload = self.run("write", name, self.store.put_multipart(&self.path(name)))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut part = vec![0; PART_BYTES];
        loop {
            let read = source.read(&mut part).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            if !wanted() {
                self.run("give up", name, writer.abort())?;
                return Err(Error::retry(GIVEN_UP));
            }
            self.run("write", name, writer.wait_for_capacity(PARTS))?;
            hash.update(&part[..read]);
            bytes += read as u64;
            // Parts are sent by tasks of the runtime, which have to be made inside it.
            let _inside = runtime()?.enter();
            writer.write(&part[..read]);
        }
        self.run("write", name, writer.finish())?;
        Ok(Stored { bytes, sha256: hex(&hash.finalize()) })
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = async {
            match self.store.get(&self.path(name)).await {
                Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run("read", name, read)
    }

    fn get_file(&self, name: &str, expected: &Stored, file: &std::path::Path) -> Result<()> {
        let unwritable = |e| volume::failure(file, format!("could not write {}", file.display()), e);
        let mut target = File::create(file).map_err(unwritable)?;
        let (mut hash, mut at) = (Sha256::new(), 0);
        while at < expected.bytes {
            let range = at..expected.bytes.min(at + PART_BYTES as u64);
            let part = self.run("read", name, self.store.get_range(&self.path(name), range))?;
            if part.is_empty() {
                break;
            }
            hash.update(&part);
            target.write_all(&part).map_err(unwritable)?;
            at += part.len() as u64;
        }
        if at == expected.bytes && hex(&hash.finalize()) == expected.sha256 {
            return Ok(());
        }
        Err(damaged(name, &self.location))
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let head = async {
            match self.store.head(&self.path(name)).await {
                Ok(found) => Ok(Some(found.size)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run("look at", name, head)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let delete = async {
            match self.store.delete(&self.path(name)).await {
                Err(error) if is_absent(&error) => Ok(()),
                done => done,
            }
        };
        self.run("delete", name, delete)
    }

    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.path(folder);
        let list = async {
            match self.store.list_with_delimiter(Some(&path)).await {
                Ok(found) => Ok(found.objects),
                Err(error) if is_absent(&error) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        let found = self.run("list", folder, list)?;
        Ok(found.into_iter().filter_map(|o| Some((o.location.filename()?.to_owned(), o.size))).collect())
    }

    fn names(&self) -> Result<Vec<String>> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let found = self.run("list", "everything", self.store.list(prefix).try_collect::<Vec<_>>())?;
        // The client's prefix is one of whole folders.
        let within = |path: &Path| path.prefix_match(&self.prefix).map(|parts| Path::from_iter(parts).to_string());
        let mut names: Vec<String> = found.iter().filter_map(|object| within(&object.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| self.delete(name))?;
        let Some(directory) = &self.directory else { return Ok(()) };
        let above = |name: &String| {
            let path = directory.join(name);
            let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(directory));
            folders.map(|folder| (Reverse(folder.components().count()), folder.to_owned())).collect::<Vec<_>>()
        };
        // The innermost first. One that something else is in stays.
        let folders: BTreeSet<_> = names.iter().flat_map(above).collect();
        folders.iter().for_each(|(_, folder)| drop(std::fs::remove_dir(folder)));
        Ok(())
    }
}

/// What an error means for the job, and what to do about it.
fn meaning(error: &object_store::Error) -> (ErrorKind, &'static str) {
    if is_denied(error) {
        let advice = " (access is denied: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, \
                      write and delete there)";
        return (ErrorKind::UserFault, advice);
    }
    match error {
        error if says(error, NO_BUCKET) => {
            (ErrorKind::UserFault, " (there is no such bucket: make it, or correct its name)")
        }
        object_store::Error::NotFound { .. } => (ErrorKind::FailJob, ""),
        _ => (ErrorKind::RestartWorker, ""),
    }
}

/// Of a list the client only tells what the answer was.
fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    let told = matches!(error, Unauthenticated { .. } | PermissionDenied { .. });
    told || says(error, "403 Forbidden") || says(error, "401 Unauthorized")
}

/// What S3 says where the whole bucket is missing, and not only an object in it.
const NO_BUCKET: &str = "NoSuchBucket";

fn says(error: &object_store::Error, code: &str) -> bool {
    error.to_string().contains(code)
}

/// Whether there is no such object, in a place that is there.
fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !says(error, NO_BUCKET)
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| Error::fail_job(format!("could not start the threads for storage: {error}")))
}
