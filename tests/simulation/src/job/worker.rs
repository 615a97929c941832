//! The life of a worker's process: start, run, and start again when something was lost or unknown; what
//! the runtime's `worker.rs` does.

use super::Topics;
use super::epochs::{self, Outcome};
use super::start::start;
use crate::log::LogError;
use crate::world::Ctx;
use millrace_protocol::ProtocolError;
use millrace_protocol::assignment::Assignment;

/// Which of a job's places a worker has.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of the job: each incarnation has another.
    pub job: u32,
    pub topics: Topics,
    pub generation: u32,
    pub assignment: Assignment,
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
}

pub async fn life(ctx: Ctx, place: Place) -> Exit {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let failure = match start(&ctx, &place, attempt).await {
            Ok(started) => match epochs::run(&ctx, &place, started).await {
                Ok(outcome) => return Exit::Done(outcome),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Protocol(error) => return Exit::Refused(error),
            Failure::Restart(why) => {
                ctx.remark(|| format!("starts again: {why}"));
                ctx.event("again", &[]);
            }
        }
        ctx.enter(None);
        ctx.sleep(ctx.backoff()).await;
    }
}
