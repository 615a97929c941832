//! What a worker leaves behind about its end, when its status is not served any more: a file, which Kubernetes shows
//! as the container's termination message.

use crate::report::Failure;
use millrace_job_runtime::condition::Condition;
use std::path::{Path, PathBuf};

/// Where Kubernetes looks unless a pod says otherwise (`terminationMessagePath`).
const DEFAULT_PATH: &str = "/dev/termination-log";
/// Kubernetes reads no more.
const MOST_BYTES: usize = 4096;

pub(super) struct TerminationLog {
    path: Option<PathBuf>,
}

impl TerminationLog {
    /// The file at `path`, or Kubernetes' own where that is. What an earlier worker has left there goes.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let default = Path::new(DEFAULT_PATH);
            return Ok(Self { path: default.exists().then(|| default.to_owned()) });
        };
        std::fs::write(path, "").map_err(|error| {
            let path = path.display();
            Failure::user(format!("could not write {path}: {error}; choose another with --termination-log"))
        })?;
        Ok(Self { path: Some(path.to_owned()) })
    }

    pub(super) fn leave(&self, condition: &Condition) {
        let Some(path) = &self.path else { return };
        if let Err(error) = std::fs::write(path, condition.to_json_within(MOST_BYTES)) {
            // It is on stderr as well.
            tracing::warn!(path = %path.display(), %error, "could not leave why the worker has ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_job_runtime::condition::Reason;

    #[test]
    fn what_an_earlier_worker_left_goes_and_a_long_message_is_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("termination-log");
        std::fs::write(&path, "old").expect("a file");
        let log = TerminationLog::open(Some(&path)).expect("it is writable");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "");
        log.leave(&Condition::new(Reason::StateLost, "x".repeat(100_000)));
        let left = std::fs::read_to_string(&path).expect("a file");
        assert!(left.len() <= 4096 && left.starts_with(r#"{"reason":"StateLost","message":"xxx"#), "{left}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = TerminationLog::open(Some(folder.path()));
        assert!(matches!(refused, Err(Failure::User(message)) if message.contains("--termination-log")));
    }
}
