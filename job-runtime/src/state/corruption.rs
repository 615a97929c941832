//! What becomes of a store that RocksDB finds corrupt: it is marked by a file beside it, and the worker starts
//! again. The start that finds the mark replaces the store; a cache needs no repair.

use super::volume::{self, VolumeContext};
use crate::condition::Reason;
use crate::error::{Error, ErrorKind, Result};
use std::io;
use std::path::{Path, PathBuf};

/// The file that says that the store in `path` is not to be used.
fn mark_of(path: &Path) -> PathBuf {
    path.with_extension("corrupt")
}

/// Whether the store in `path` was found corrupt.
pub fn is_marked(path: &Path) -> bool {
    mark_of(path).exists()
}

/// The store in `path` is a sound one again, or gone.
pub fn unmark(path: &Path) -> Result<()> {
    match std::fs::remove_file(mark_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).on_volume(path, || format!("could not unmark {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What an error of RocksDB means for the store in `path`. Only what says that data is damaged or gone is
/// corruption: a full disk, or one that can't be written, must not cost the state.
pub fn failure(path: &Path, operation: String, error: rocksdb::Error) -> Error {
    let gone = error.kind() == rocksdb::ErrorKind::IOError && error.as_ref().contains("No such file");
    if error.kind() != rocksdb::ErrorKind::Corruption && !gone {
        return volume::rocksdb_failure(path, &operation, &error).unwrap_or_else(|| match error.kind() {
            rocksdb::ErrorKind::IOError => Error::fail_job(operation).because(Reason::VolumeFailed).caused_by(error),
            _ => Error::fail_job(operation).caused_by(error),
        });
    }
    match std::fs::write(mark_of(path), error.as_ref()) {
        Ok(()) => Error::restart_worker(format!("{operation}: it is corrupt, and will be replaced")).caused_by(error),
        Err(unmarked) => {
            let operation = format!("{operation}: it is corrupt ({error}), and can't be marked as that");
            volume::failure(path, operation, unmarked)
        }
    }
}

/// For results of RocksDB's calls.
pub trait StoreContext<T> {
    fn of_store(self, path: &Path, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T> StoreContext<T> for std::result::Result<T, rocksdb::Error> {
    fn of_store(self, path: &Path, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| failure(path, operation(), error))
    }
}

/// Whether an error of opening a store says that somebody has it: another store of this process, or another process.
/// That its lock can't be made, on a volume that is read-only or full, says something else.
pub fn is_locked(error: &rocksdb::Error) -> bool {
    let says = |text| error.as_ref().contains(text);
    let taken = says("While lock file") && says("Resource temporarily unavailable");
    error.kind() == rocksdb::ErrorKind::IOError && (taken || says("lock hold by current process"))
}

/// An error of opening the store in `path`.
pub fn open_failure(path: &Path, operation: String, error: rocksdb::Error) -> Error {
    if is_locked(&error) {
        // Whoever has it may be about to end; until then the volume is not ours.
        return Error::new(ErrorKind::Retry, format!("{operation}: another process works in it")).caused_by(error);
    }
    failure(path, operation, error)
}
