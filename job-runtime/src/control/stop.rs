//! The request that a worker stops. Whoever asks for it by HTTP wants the worker to stay stopped, also where its process
//! is started again by somebody who knows nothing of that: a note tells the next process. Not here: how it stops.

use crate::condition::Reason;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct StopRequest {
    made: AtomicBool,
    note: Option<PathBuf>,
}

impl StopRequest {
    /// A request that is made already where the note of it is there.
    pub fn noted_in(note: Option<PathBuf>) -> Self {
        let made = note.as_deref().is_some_and(Path::exists);
        Self { made: AtomicBool::new(made), note }
    }

    pub fn is_made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }

    /// Stop this process's worker; another process may go on.
    pub fn make(&self) {
        self.made.store(true, Ordering::Release);
    }

    /// Stop, and stay stopped. Where that can't be noted it does not stop at all.
    pub fn make_for_good(&self) -> Result<()> {
        if let Some(note) = &self.note {
            write(note).map_err(|error| {
                let message = format!("could not note in {} that the worker has stopped", note.display());
                Error::retry(message).caused_by(error).because(Reason::VolumeFailed)
            })?;
        }
        self.make();
        Ok(())
    }
}

fn write(note: &Path) -> std::io::Result<()> {
    let mut file = File::create(note)?;
    file.write_all(b"This worker was asked to stop, and does not run again where this file is.\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_for_good_has_stopped_for_the_next_process_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("stopped");
        let first = StopRequest::noted_in(Some(note.clone()));
        assert!(!first.is_made());
        first.make();
        assert!(first.is_made() && !StopRequest::noted_in(Some(note.clone())).is_made(), "only this process stops");
        first.make_for_good().expect("a note");
        assert!(StopRequest::noted_in(Some(note)).is_made());
    }

    #[test]
    fn who_cannot_note_it_does_not_stop() {
        let folder = tempfile::tempdir().expect("a folder");
        let request = StopRequest::noted_in(Some(folder.path().join("missing/stopped")));
        let error = request.make_for_good().expect_err("there is no such folder");
        assert!(error.to_string().contains("missing/stopped") && !request.is_made(), "{error}");
    }
}
