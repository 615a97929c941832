//! What the coordinator tells the threads, and they it: which epoch to end, which transaction is open,
//! what is committed. Threads look at it once a batch; it is a few atomics, no lock on the path.

use crate::error::Error;
use crate::kafka::TransactionalProducer;
use crate::state::StateChanges;
use millrace_protocol::record::Commit;
use millrace_protocol::savepoint::TaskCut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub struct EpochGate {
    /// The epoch that tasks are to end; 0 before the first.
    end: AtomicU64,
    heartbeat: AtomicBool,
    /// The epoch whose transaction takes records.
    open: AtomicU64,
    committed: AtomicU64,
    /// Tasks that have no more input.
    ended: AtomicU64,
    /// Sources and processing time stand still, for a savepoint.
    paused: AtomicBool,
    /// Nothing more is to be done: after the last commit, or because something failed.
    stop: AtomicBool,
    producer: Arc<TransactionalProducer>,
}

/// A task's end of an epoch.
pub struct Prepared {
    pub task: u32,
    /// The commit's record, as written; None where nothing changed and no heartbeat was due.
    pub commit: Option<Commit>,
    pub changes: StateChanges,
    pub finished: bool,
    /// What the commit says of the exchanges; None where something was fed in during the epoch, or may be.
    pub still: Option<TaskCut>,
}

/// What threads tell the coordinator.
pub enum Report {
    Prepared(Prepared),
    /// The open transaction is full: its epoch is to end.
    Full,
    Failed(Error),
}

impl EpochGate {
    /// Epoch 1 is open.
    pub fn new(producer: Arc<TransactionalProducer>) -> Self {
        Self {
            end: AtomicU64::new(0),
            heartbeat: AtomicBool::new(false),
            open: AtomicU64::new(1),
            committed: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            producer,
        }
    }

    pub fn request_end(&self, epoch: u64, heartbeat: bool) {
        self.heartbeat.store(heartbeat, Ordering::Release);
        self.end.store(epoch, Ordering::Release);
    }

    /// Whether `epoch` is to end, and if so, whether a commit is due even if nothing changed.
    pub fn end_requested(&self, epoch: u64) -> Option<bool> {
        (self.end.load(Ordering::Acquire) == epoch).then(|| self.heartbeat.load(Ordering::Acquire))
    }

    pub fn set_committed(&self, epoch: u64) {
        self.committed.store(epoch, Ordering::Release);
    }

    pub fn is_committed(&self, epoch: u64) -> bool {
        self.committed.load(Ordering::Acquire) >= epoch
    }

    pub fn set_open(&self, epoch: u64) {
        self.open.store(epoch, Ordering::Release);
    }

    pub fn is_open(&self, epoch: u64) -> bool {
        self.open.load(Ordering::Acquire) == epoch
    }

    /// A task has read all of its bounded inputs, and time has come to its end.
    pub fn input_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
    }

    /// How many tasks have.
    pub fn inputs_ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub fn producer(&self) -> &Arc<TransactionalProducer> {
        &self.producer
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
