//! What the epochs of a worker take of its memory: the open transaction, and what is held back for the next one while a
//! commit is under way. Each has the same limit, at which sources stop; the open one is ended then.

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub struct EpochMemory {
    limit: usize,
    /// In the open transaction, with what changes of state will add to it at its end.
    open: AtomicUsize,
    held: AtomicUsize,
}

impl EpochMemory {
    pub fn new(limit: usize) -> Self {
        Self { limit, open: AtomicUsize::new(0), held: AtomicUsize::new(0) }
    }

    /// A transaction begins, with nothing in it.
    pub fn begin(&self) {
        self.open.store(0, Ordering::Relaxed);
    }

    pub fn add_to_open(&self, bytes: usize) {
        self.open.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was held back is not any more.
    pub fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in the open transaction.
    pub fn open_bytes(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Nothing more should be read for the open transaction. Meaningless to a task that is not in it.
    pub fn is_open_full(&self) -> bool {
        self.open_bytes() >= self.limit
    }

    /// Nothing more should be held back.
    pub fn is_held_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.limit
    }
}
