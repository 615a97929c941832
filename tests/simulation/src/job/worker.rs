//! The life of a worker's process: start, run, and start again when something was lost or unknown; what
//! the runtime's `worker.rs` does.

use super::Topics;
use super::epochs::{self, Outcome};
use super::pause::Pause;
use super::restore::Origin;
use super::start::start;
use crate::log::LogError;
use crate::world::Ctx;
use millrace_protocol::ProtocolError;
use millrace_protocol::assignment::Assignment;
use std::rc::Rc;

/// Which of a job's places a worker has.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of the job: each incarnation has another.
    pub job: u32,
    pub topics: Topics,
    pub generation: u32,
    pub assignment: Assignment,
    /// What tasks without a commit start from.
    pub origin: Option<Rc<Origin>>,
}

impl Place {
    pub fn transactional_id(&self) -> String {
        transactional_id(self.job, self.generation, self.assignment.ordinal)
    }
}

pub fn transactional_id(job: u32, generation: u32, ordinal: u32) -> String {
    format!("job-{job}.{generation}.{ordinal}")
}

/// Why a worker can't go on as it is.
#[derive(Debug)]
pub enum Failure {
    /// What is under way is void or unknown; the log says how it stands.
    Restart(&'static str),
    /// Trying again mends nothing.
    Protocol(ProtocolError),
    /// The incarnation before has read on after the savepoint that this one starts from.
    ReadOn { partition: i32, offset: i64 },
    /// A file of the savepoint is not what was written.
    Damaged(String),
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Restart(match error {
            LogError::Concurrent => "the transaction before is still being ended",
            LogError::Fenced => "somebody else has this place",
            LogError::InvalidState => "the transaction is gone",
            LogError::OutOfRange => "what was to be read is not there",
            LogError::Failed => "a record was not delivered",
        })
    }
}

/// How a process ends by itself.
#[derive(Debug)]
pub enum Exit {
    Done(Outcome),
    Refused(ProtocolError),
    /// See `Failure`.
    ReadOn {
        partition: i32,
        offset: i64,
    },
    Damaged(String),
}

pub async fn life(ctx: Ctx, place: Place) -> Exit {
    let mut attempt = 0;
    loop {
        attempt += 1;
        ctx.pause(Pause::end);
        let failure = match start(&ctx, &place, attempt).await {
            Ok(started) => match epochs::run(&ctx, &place, started).await {
                Ok(outcome) => return Exit::Done(outcome),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Protocol(error) => return Exit::Refused(error),
            Failure::ReadOn { partition, offset } => return Exit::ReadOn { partition, offset },
            Failure::Damaged(file) => return Exit::Damaged(file),
            Failure::Restart(why) => {
                ctx.remark(|| format!("starts again: {why}"));
                ctx.event("again", &[]);
            }
        }
        if ctx.stop_requested() {
            return Exit::Done(Outcome::Stopped);
        }
        ctx.enter(None);
        ctx.sleep(ctx.backoff()).await;
    }
}
