//! SHA-256 of the files of a checkpoint. RocksDB never changes a table that it has written, and a checkpoint has it as
//! another name of the same file: what was read once is not read again.

use crate::error::{ErrorContext, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Extension of RocksDB's tables.
const TABLE: &str = "sst";

/// A file of a checkpoint on the volume.
#[derive(Clone, Debug)]
pub(super) struct LocalFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Tells a file from others, and from another that took its place.
type FileKey = (u64, u64, i64, i64);

/// Hashes of the tables that the last checkpoint had.
#[derive(Default)]
pub(super) struct Hashes {
    known: HashMap<FileKey, String>,
}

impl Hashes {
    /// The files of a directory, by name.
    pub(super) fn of(&mut self, directory: &Path) -> Result<Vec<LocalFile>> {
        let unreadable = || format!("could not read the checkpoint in {}", directory.display());
        let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut files = Vec::new();
        let mut known = HashMap::new();
        for entry in entries.or_kind(ErrorKind::RestartWorker, unreadable())? {
            let path = entry.path();
            let metadata = entry.metadata().or_kind(ErrorKind::RestartWorker, unreadable())?;
            let key = (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            let is_table = path.extension().is_some_and(|extension| extension == TABLE);
            let sha256 = match self.known.get(&key).filter(|_| is_table) {
                Some(sha256) => sha256.clone(),
                None => hash(&path).or_kind(ErrorKind::RestartWorker, unreadable())?,
            };
            if is_table {
                known.insert(key, sha256.clone());
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push(LocalFile { name, path, bytes: metadata.len(), sha256 });
        }
        self.known = known;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

fn hash(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crate::storage::hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_once_and_another_in_its_place_again() {
        let directory = tempfile::tempdir().unwrap();
        let (table, copy) = (directory.path().join("7.sst"), tempfile::tempdir().unwrap());
        std::fs::write(&table, "seven").unwrap();
        let mut hashes = Hashes::default();
        let first = hashes.of(directory.path()).unwrap();
        assert_eq!((first[0].name.as_str(), first[0].bytes), ("7.sst", 5));
        assert_eq!(first[0].sha256, crate::storage::sha256(b"seven"));

        hashes.known.values_mut().for_each(|hash| *hash = "remembered".into());
        std::fs::hard_link(&table, copy.path().join("7.sst")).unwrap();
        assert_eq!(hashes.of(copy.path()).unwrap()[0].sha256, "remembered");
        std::fs::remove_file(&table).unwrap();
        std::fs::write(&table, "eight").unwrap();
        assert_eq!(hashes.of(directory.path()).unwrap()[0].sha256, crate::storage::sha256(b"eight"));
    }
}
