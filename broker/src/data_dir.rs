//! The data directory: who owns it, and whether this version can read it.
//!
//! ```text
//! <data_dir>/format            name and version of what follows
//! <data_dir>/lock              held, by the operating system, while a broker runs
//! <data_dir>/journal           topics, producer ids, transactions, offsets
//! <data_dir>/topics/<name>/<topic id>/<partition>/<first offset>.log
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

const FORMAT_NAME: &str = "millrace-broker";
const FORMAT_VERSION: u32 = 1;
const UNFINISHED_FORMAT: &str = "format.new";

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is in use by another broker process; stop that one, or give this one another directory")]
    Taken(PathBuf),
    #[error("{0} is not empty and was not made by this broker (it has no file `format`); give an empty directory")]
    Foreign(PathBuf),
    #[error(
        "{path} has data format {found}, this version reads up to {FORMAT_VERSION}; use the newer version that wrote it"
    )]
    Newer { path: PathBuf, found: u32 },
}

/// A directory that this process owns until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the directory, which is made where it does not exist.
    pub(crate) fn open(root: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: root.to_path_buf(), source };
        std::fs::create_dir_all(root).map_err(io)?;
        let empty = std::fs::read_dir(root).map_err(io)?.next().is_none();
        let format = root.join("format");
        if !empty && !format.exists() && !only_beginnings(root).map_err(io)? {
            return Err(DataDirError::Foreign(root.to_path_buf()));
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(root.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::Taken(root.to_path_buf())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        if format.exists() {
            check_format(root, &std::fs::read_to_string(&format).map_err(io)?)?;
        } else {
            write_format(root).map_err(io)?;
        }
        Ok(DataDir { root: root.to_path_buf(), _lock: lock })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn topics(&self) -> PathBuf {
        self.root.join("topics")
    }

    pub(crate) fn topic(&self, name: &str, id: Uuid) -> PathBuf {
        self.topics().join(name).join(id.to_string())
    }
}

/// A directory in which a broker died before it wrote its format.
fn only_beginnings(root: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        if name != "lock" && name != UNFINISHED_FORMAT {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check_format(root: &Path, text: &str) -> Result<(), DataDirError> {
    let version = text.trim().strip_prefix(FORMAT_NAME).map(|rest| rest.trim().parse::<u32>());
    match version {
        Some(Ok(found)) if found <= FORMAT_VERSION => Ok(()),
        Some(Ok(found)) => Err(DataDirError::Newer { path: root.to_path_buf(), found }),
        _ => Err(DataDirError::Foreign(root.to_path_buf())),
    }
}

/// Written beside and renamed, so that it is there whole or not at all.
fn write_format(root: &Path) -> io::Result<()> {
    let beside = root.join(UNFINISHED_FORMAT);
    let mut file = File::create(&beside)?;
    writeln!(file, "{FORMAT_NAME} {FORMAT_VERSION}")?;
    file.sync_all()?;
    std::fs::rename(&beside, root.join("format"))?;
    File::open(root)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_that_the_directory_is_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(dir.path()).expect("an empty directory");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Taken(_))));
        drop(first);
        DataDir::open(dir.path()).expect("free again");
    }

    #[test]
    fn a_foreign_directory_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("meta.properties"), "x").expect("writable");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Foreign(_))));
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("format"), "millrace-broker 7\n").expect("writable");
        let refused = DataDir::open(dir.path());
        assert!(matches!(refused, Err(DataDirError::Newer { found: 7, .. })), "{refused:?}");
    }
}
