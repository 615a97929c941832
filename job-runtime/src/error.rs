//! What can go wrong while a job runs: rich inside, few kinds outside, each of which says what happens
//! next. Not here: rows that fail (`batch::FailedRow`), which never stop a job unless the user says so.

use crate::condition::Reason;
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
    reason: Option<Reason>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, reason: None, message: message.into(), source: None }
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

    /// Gives it a name that tools know.
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Its own, or that of its cause; else what its kind amounts to.
    pub fn reason(&self) -> Reason {
        self.given_reason().unwrap_or(match self.kind {
            ErrorKind::Retry | ErrorKind::RestartWorker => Reason::Interrupted,
            ErrorKind::UserFault => Reason::InvalidJob,
            ErrorKind::StandDown => Reason::Superseded,
            ErrorKind::FailJob => Reason::Failed,
        })
    }

    fn given_reason(&self) -> Option<Reason> {
        let cause = || self.source.as_ref()?.downcast_ref::<Self>()?.given_reason();
        self.reason.or_else(cause)
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
        let (kind, reason) = match error {
            ProtocolError::Superseded { .. } => (ErrorKind::StandDown, Reason::Superseded),
            ProtocolError::Succeeded { .. } => (ErrorKind::StandDown, Reason::Succeeded),
            ProtocolError::Corrupt(_) | ProtocolError::BrokenLink { .. } => (ErrorKind::FailJob, Reason::LogCorrupt),
            ProtocolError::LaterFormat { .. } => (ErrorKind::FailJob, Reason::LaterFormat),
            ProtocolError::StateLost { .. } => (ErrorKind::FailJob, Reason::StateLost),
            ProtocolError::LogLostItsTail { .. } => (ErrorKind::FailJob, Reason::LogLost),
        };
        Self::new(kind, error.to_string()).because(reason)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_reason_of_its_cause_unless_it_has_one_itself() {
        let full = || Error::fail_job("no space").because(Reason::VolumeFull);
        assert_eq!(Error::fail_job("could not fetch").caused_by(full()).reason(), Reason::VolumeFull);
        assert_eq!(full().context("while starting").reason(), Reason::VolumeFull);
        let renamed = Error::fail_job("lost").caused_by(full()).because(Reason::StateLost);
        assert_eq!(renamed.reason(), Reason::StateLost);
        assert_eq!(Error::retry("Kafka is away").reason(), Reason::Interrupted);
        assert_eq!(Error::from(ProtocolError::Succeeded { holder: "h".into() }).reason(), Reason::Succeeded);
    }
}
