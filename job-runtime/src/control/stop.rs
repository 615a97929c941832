//! The request that a worker stops. Whoever asks for it by HTTP wants the worker to stay stopped, also where its process
//! is started again by somebody who knows nothing of that: a note tells the next process. Not here: how it stops.

use crate::condition::Reason;
use crate::error::{Error, Result};
use crate::job::JobIdentity;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct StopRequest {
    made: AtomicBool,
    /// Where it is noted, and who has stopped then.
    note: Option<(PathBuf, Stopped)>,
}

/// What a note says: whoever comes after, in a later generation or incarnation, is meant to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    uid: String,
    incarnation: u32,
    generation: u32,
}

impl StopRequest {
    /// A request that is made already where this worker is noted there to have stopped.
    pub fn noted_in(path: PathBuf, job: &JobIdentity) -> Result<Self> {
        let stopped = Stopped { uid: job.uid.clone(), incarnation: job.incarnation, generation: job.generation };
        let made = read(&path)?.is_some_and(|noted| noted == stopped);
        if made {
            tracing::warn!(
                "this worker was asked to stop and stays stopped: to have it run again, remove {}",
                path.display()
            );
        }
        Ok(Self { made: AtomicBool::new(made), note: Some((path, stopped)) })
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
        if let Some((path, stopped)) = &self.note {
            write(path, stopped).map_err(|error| {
                let message = format!("could not note in {} that the worker has stopped", path.display());
                Error::retry(message).caused_by(error).because(Reason::VolumeFailed)
            })?;
        }
        self.make();
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Stopped>> {
    let unreadable =
        || format!("{} is not what a worker writes there: name another file, or remove it", path.display());
    match std::fs::read(path) {
        Ok(text) => {
            let noted = serde_json::from_slice(&text);
            noted.map(Some).map_err(|error| Error::user_fault(unreadable()).caused_by(error))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::user_fault(unreadable()).caused_by(error)),
    }
}

/// Written beside and renamed, so that it is there whole or not at all.
fn write(path: &Path, stopped: &Stopped) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let file = File::create(&beside)?;
    serde_json::to_writer(&file, stopped)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(incarnation: u32, generation: u32) -> JobIdentity {
        let (namespace, name, uid) = ("shop".to_owned(), "actions".to_owned(), "0c6a".to_owned());
        JobIdentity { namespace, name, uid, incarnation, generation }
    }

    #[test]
    fn who_stops_for_good_has_stopped_for_the_next_process_and_for_no_later_generation() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("stopped");
        let request = |incarnation, generation| {
            StopRequest::noted_in(note.clone(), &job(incarnation, generation)).expect("a note, or none")
        };
        let first = request(2, 3);
        assert!(!first.is_made());
        first.make();
        assert!(first.is_made() && !request(2, 3).is_made(), "only this process stops");
        first.make_for_good().expect("a note");
        assert!(request(2, 3).is_made());
        assert!(!request(2, 4).is_made() && !request(3, 1).is_made());
    }

    #[test]
    fn who_cannot_note_it_does_not_stop() {
        let folder = tempfile::tempdir().expect("a folder");
        let request = StopRequest::noted_in(folder.path().join("missing/stopped"), &job(1, 1)).expect("no note");
        let error = request.make_for_good().expect_err("there is no such folder");
        assert!(error.to_string().contains("missing/stopped") && !request.is_made(), "{error}");
    }

    #[test]
    fn another_programs_file_is_no_note() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "mine").expect("written");
        let error = StopRequest::noted_in(file.path().to_owned(), &job(1, 1)).err().expect("no note");
        assert!(error.to_string().contains("name another file"), "{error}");
    }
}
