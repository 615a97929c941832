//! What it means that the file system under a worker's state refuses something: the volume is full, may not be
//! written to, or fails. None of these says anything about the data, so none may cost a store; what a person has to do
//! differs. Not here: data that is damaged (`corruption.rs`).

use crate::condition::Reason;
use crate::error::{Error, Result};
use std::io;
use std::path::Path;

/// Texts of the operating system that RocksDB passes on, with what they say.
const TEXTS: [(&str, Reason); 6] = [
    ("No space left on device", Reason::VolumeFull),
    ("Disk quota exceeded", Reason::VolumeFull),
    ("Read-only file system", Reason::VolumeReadOnly),
    ("Permission denied", Reason::VolumeReadOnly),
    ("Operation not permitted", Reason::VolumeReadOnly),
    ("Input/output error", Reason::VolumeFailed),
];

/// For results of calls that concern a file on the volume.
pub trait VolumeContext<T> {
    fn on_volume(self, path: &Path, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T> VolumeContext<T> for io::Result<T> {
    fn on_volume(self, path: &Path, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| failure(path, operation(), error))
    }
}

/// An error of the operating system about `path`.
pub fn failure(path: &Path, operation: String, error: io::Error) -> Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let reason = match error.kind() {
        StorageFull | QuotaExceeded => Reason::VolumeFull,
        ReadOnlyFilesystem | PermissionDenied => Reason::VolumeReadOnly,
        _ => Reason::VolumeFailed,
    };
    refusal(path, operation, reason).caused_by(error)
}

/// The same for an error of RocksDB; None where it says nothing of the volume.
pub(super) fn rocksdb_failure(path: &Path, operation: &str, error: &rocksdb::Error) -> Option<Error> {
    let found = TEXTS.iter().find(|(text, _)| error.as_ref().contains(text));
    let (_, reason) = found.filter(|_| error.kind() != rocksdb::ErrorKind::Corruption)?;
    Some(refusal(path, operation.to_owned(), *reason).caused_by(error.clone()))
}

fn refusal(path: &Path, operation: String, reason: Reason) -> Error {
    let advice = match reason {
        Reason::VolumeFull => format!(
            "the volume is full ({}): enlarge it, or remove what is not the worker's, and start the worker again. Nothing is \
             lost: what is committed stays, and the job goes on from there",
            room(path)
        ),
        Reason::VolumeReadOnly => "the volume may not be written to: mount it for writing, for the user that the worker runs \
                                   as, and start the worker again. Nothing is lost: what is committed stays"
            .to_owned(),
        _ => "the volume fails: look at the node's log. Nothing is lost: if it can't be mended, start the worker again with an \
              empty one, and the state comes back from the log or the archive"
            .to_owned(),
    };
    Error::fail_job(format!("{operation}: {advice}")).because(reason)
}

/// How much may still be written where `path` is, or would be.
fn room(path: &Path) -> String {
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path);
    match rustix::fs::statvfs(there) {
        Ok(volume) => {
            let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
            let (free, total) = (bytes(volume.f_bavail), bytes(volume.f_blocks));
            format!("{}: {free} of {total} bytes free, room for {} more files", there.display(), volume.f_favail)
        }
        Err(error) => format!("{}: how much is free can't be told, {error}", there.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(error: io::Error) -> (Reason, String) {
        let error = failure(Path::new("/nowhere/task-0"), "could not write the state".into(), error);
        (error.reason(), error.to_string())
    }

    #[test]
    fn a_full_volume_is_told_from_one_that_may_not_be_written_and_one_that_fails() {
        // /dev/full refuses as a full disk does.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
        let error = io::Write::write_all(&mut &full, b"x").expect_err("it is full");
        let (reason, message) = meaning(error);
        assert_eq!(reason, Reason::VolumeFull);
        assert!(message.contains("bytes free") && message.contains("Nothing is lost"), "{message}");
        for (code, reason) in [(30, Reason::VolumeReadOnly), (13, Reason::VolumeReadOnly), (122, Reason::VolumeFull)] {
            assert_eq!(meaning(io::Error::from_raw_os_error(code)).0, reason, "{code}");
        }
        assert_eq!(meaning(io::Error::from_raw_os_error(5)).0, Reason::VolumeFailed);
    }
}
