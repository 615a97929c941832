//! A worker's part in a savepoint (`millrace_protocol::pause`), as a simulated process has it: a request that waits for
//! the worker is refused when whoever has it lets it drop.

use crate::storage::SavepointId;
use millrace_protocol::pause;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// A worker goes on by itself when it has not been asked again for so long.
pub const LEASE: Duration = Duration::from_secs(1);

pub type Pause = pause::Pause<SavepointId, Waiting, Waiting>;

/// Who waits for an answer: the driver of a savepoint, which knows the worker by its place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub savepoint: SavepointId,
    pub worker: usize,
    pub about: About,
}

/// What takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Hold,
    Write,
    Publish,
}

/// Those that will not be answered.
pub type Gone = Rc<RefCell<Vec<Reply>>>;

/// A request that waits for the worker.
pub struct Waiting {
    reply: Reply,
    /// Taken with the answer.
    gone: Option<Gone>,
}

impl Waiting {
    pub fn new(reply: Reply, gone: &Gone) -> Self {
        Self { reply, gone: Some(gone.clone()) }
    }

    pub fn savepoint(&self) -> SavepointId {
        self.reply.savepoint
    }

    /// To whom the answer goes.
    pub fn answer(mut self) -> Reply {
        self.gone = None;
        self.reply
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            gone.borrow_mut().push(self.reply);
        }
    }
}
