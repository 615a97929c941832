//! What can go wrong while a job runs: rich inside, few kinds outside, each of which says what happens
//! next. Not here: rows that fail (`batch::FailedRow`), which never stop a job unless the user says so.

use millrace_protocol::ProtocolError;
use std::fmt;

/// What to do about an error. The supervisor (`worker.rs`) decides by this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A passing fault: the same call may succeed.
    Retry,
    /// The epoch is lost, or its fate is unknown: drop all that is in memory, restore, go on.
    RestartWorker,
    /// Going on could lose or double results; a person has to look.
    FailJob,
    /// The job as written can't run: its SQL, its options, its data with `errors: Fail`.
    UserFault,
    /// A later generation of the job has taken over: this worker is done, and nothing is wrong.
    StandDown,
}

#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    pub fn restart_worker(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RestartWorker, message)
    }

    pub fn fail_job(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailJob, message)
    }

    pub fn user_fault(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::UserFault, message)
    }

    /// The cause, printed after the message.
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts what was being done, and to what, before the message.
    pub fn context(mut self, operation: impl fmt::Display) -> Self {
        self.message = format!("{operation}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        let kind = match error {
            ProtocolError::Superseded { .. } | ProtocolError::Succeeded { .. } => ErrorKind::StandDown,
            ProtocolError::Corrupt(_)
            | ProtocolError::LaterFormat { .. }
            | ProtocolError::BrokenLink { .. }
            | ProtocolError::StateLost { .. }
            | ProtocolError::LogLostItsTail { .. } => ErrorKind::FailJob,
        };
        Self::new(kind, error.to_string())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

/// Adds context to any error of a library, with the kind that it means here.
pub trait ErrorContext<T> {
    fn or_kind(self, kind: ErrorKind, operation: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> ErrorContext<T> for std::result::Result<T, E> {
    fn or_kind(self, kind: ErrorKind, operation: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::new(kind, operation.to_string()).caused_by(e))
    }
}
