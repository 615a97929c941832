//! What the protocol refuses to go on from. Each says what happens next; none is mended by trying again.

use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A record that no worker can have written, or that is out of place: a person has to look.
    #[error("the task log is corrupt: {0}")]
    Corrupt(String),
    #[error(
        "the task log has records of format {found}, this version of Millrace reads format {known}: \
         run the version that wrote it"
    )]
    LaterFormat { found: u8, known: u8 },
    /// A later generation works: this one is done for good.
    #[error("generation {by} of this job has taken over (claimed by {holder}); generation {own} stands down")]
    Superseded { by: u32, holder: String, own: u32 },
    /// A later incarnation of the job has ended this one.
    #[error("a later incarnation of this job has taken its place ({holder}); this one stands down")]
    Succeeded { holder: String },
    /// Records of an exchange are missing, or there twice.
    #[error(
        "the exchange's records from task {upstream} to task {task} are not whole: expected number {expected}, found {found}"
    )]
    BrokenLink { upstream: u32, task: u32, expected: u64, found: u64 },
    /// Nothing that is left has the state of a task.
    #[error(
        "the state of task {task} is lost: its log begins at offset {log_start}, its volume has no state that the log goes \
         on from, and the log has no complete image and no checkpoint that can be read. Put the volume back that the job ran on last, \
         restore the job from a savepoint, or start it anew"
    )]
    StateLost { task: u32, log_start: i64 },
    /// The volume knows of more than the log has.
    #[error(
        "the log of task {task} ends at offset {log_end}, and the state on its volume goes on from offset {volume}: the log \
         has lost records, or its topic was deleted and made again. Restore the job from a savepoint, or start it \
         anew with an empty state directory"
    )]
    LogLostItsTail { task: u32, volume: i64, log_end: i64 },
}

pub type Result<T, E = ProtocolError> = std::result::Result<T, E>;

pub(crate) fn corrupt(what: impl Into<String>) -> ProtocolError {
    ProtocolError::Corrupt(what.into())
}
