//! A place outside the volumes where copies of state are kept: a prefix of an object store, or a directory that all
//! workers see. Calls block; the client's own work is done on a small runtime. Not here: what is kept there and
//! under which names (`savepoint/`).
//!
//! Credentials come from the process's environment (`AWS_ACCESS_KEY_ID` and the like) or from options of the same
//! names that a caller has read, never from a job's description, and are not written anywhere.

use crate::error::{Error, ErrorKind, Result};
use crate::state::volume;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Parts of a file that are under way at once, and their size: bounds the memory of a transfer.
const PARTS: usize = 4;
const PART_BYTES: usize = 8 << 20;
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

/// One place; everything in it is named from there.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As it was given, for messages.
    location: String,
}

/// What is stored under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

impl Storage {
    /// `s3://bucket/prefix`, `file:///directory` or a directory. Nothing is looked at yet.
    pub fn open(location: &str) -> Result<Self> {
        Self::open_with(location, &BTreeMap::new())
    }

    /// The same with options of the client (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_SECRET_ACCESS_KEY`, …), which count
    /// for more than the environment's.
    pub fn open_with(location: &str, options: &BTreeMap<String, String>) -> Result<Self> {
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
            return Self::new(Arc::new(store), prefix, location);
        }
        let directory = location.strip_prefix("file://").unwrap_or(location);
        if directory.contains("://") || directory.is_empty() {
            return Err(Error::user_fault(format!(
                "{}: it has to be s3://bucket/prefix, file:///directory, or a directory",
                what()
            )));
        }
        let directory = std::path::absolute(directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        std::fs::create_dir_all(&directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        let store = LocalFileSystem::new_with_prefix(&directory).map_err(|e| Error::user_fault(what()).caused_by(e))?;
        Self::new(Arc::new(store.with_fsync(true)), "", location)
    }

    /// The same, for reading: a directory is not made.
    pub fn existing(location: &str) -> Result<Self> {
        let directory = location.strip_prefix("file://").unwrap_or(location);
        if !directory.contains("://") && !std::path::Path::new(directory).is_dir() {
            return Err(Error::user_fault(format!("there is no directory {directory}")));
        }
        Self::open(location)
    }

    fn new(store: Arc<dyn ObjectStore>, prefix: &str, location: &str) -> Result<Self> {
        Ok(Self { store, prefix: Path::from(prefix), location: location.trim_end_matches('/').to_owned() })
    }

    /// As it was given.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Stores a small object, whole or not at all.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Stored> {
        let stored = Stored { bytes: bytes.len() as u64, sha256: sha256(&bytes) };
        self.run("write", name, self.store.put(&self.path(name), PutPayload::from(bytes)))?;
        Ok(stored)
    }

    /// Stores a file, whole or not at all.
    pub fn put_file(&self, name: &str, file: &std::path::Path) -> Result<Stored> {
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

    /// A small object; None where there is none.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = async {
            match self.store.get(&self.path(name)).await {
                Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run("read", name, read)
    }

    /// Copies an object into a file, and checks that it is what was stored.
    pub fn get_file(&self, name: &str, expected: &Stored, file: &std::path::Path) -> Result<()> {
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
        Err(Error::fail_job(format!(
            "{name} in {} is not what was stored there: it is damaged or another",
            self.location
        )))
    }

    /// How many bytes an object has; None where there is none.
    pub fn size(&self, name: &str) -> Result<Option<u64>> {
        let head = async {
            match self.store.head(&self.path(name)).await {
                Ok(found) => Ok(Some(found.size)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run("look at", name, head)
    }

    /// Deletes an object; that there is none is no mistake.
    pub fn delete(&self, name: &str) -> Result<()> {
        let delete = async {
            match self.store.delete(&self.path(name)).await {
                Err(error) if is_absent(&error) => Ok(()),
                done => done,
            }
        };
        self.run("delete", name, delete)
    }

    /// What is in a folder, by name, with sizes; not what is in folders of it.
    pub fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
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

/// Of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_a_directory_is_found_again_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        let storage = Storage::open(&format!("file://{}", place.display())).unwrap();
        assert_eq!(storage.get("a/b").unwrap(), None);
        let stored = storage.put("a/b", b"text".to_vec()).unwrap();
        assert_eq!(storage.get("a/b").unwrap().as_deref(), Some(&b"text"[..]));
        assert_eq!((stored.bytes, storage.size("a/b").unwrap()), (4, Some(4)));

        let (source, copy) = (directory.path().join("source"), directory.path().join("copy"));
        let content: Vec<u8> = (0..PART_BYTES as u32 + 1000).map(|n| (n % 251) as u8).collect();
        std::fs::write(&source, &content).unwrap();
        let stored = storage.put_file("file", &source).unwrap();
        storage.get_file("file", &stored, &copy).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), content);

        let mut damaged = content.clone();
        damaged[12345] ^= 1;
        storage.put("file", damaged).unwrap();
        let error = storage.get_file("file", &stored, &copy).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        storage.delete("file").unwrap();
        storage.delete("file").unwrap();
        assert_eq!(storage.size("file").unwrap(), None);
    }

    #[test]
    fn a_location_of_another_kind_says_what_there_is() {
        for location in ["", "gs://bucket/x", "s3://"] {
            let error = Storage::open(location).err().expect("no place");
            assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
        }
    }
}
