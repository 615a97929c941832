//! The stateful and stateless steps of a stage, one file each, behind one trait. A stage's chain of them
//! is built by `chain.rs`; threads, channels and Kafka are not here.

pub mod chain;
mod row_evaluation;
pub mod calc;
pub mod watermark;
mod window;
mod slice_assigner;
pub(crate) mod window_progress;
mod dead_keys;
mod spilled;
pub mod window_table_function;
mod interner;
mod accumulator;
pub mod local_window_aggregate;
pub mod global_window_aggregate;
pub mod window_join;
pub mod state_table;
#[cfg(test)]
mod testing;

use crate::batch::{Batch, FailedRow};
use crate::env::Clock;
use crate::error::Result;
use crate::state::{StateChanges, StateEntries};

/// How far time has come at some point of the data path: nothing earlier follows. Both only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The watermark of event time, epoch milliseconds; `i64::MIN` before the first one and
    /// `i64::MAX` at the end of a bounded input.
    pub event: i64,
    /// The watermark of processing time: rows that follow were, and will be, stamped with this or later.
    pub processing: i64,
    /// Nothing is expected for now: this input doesn't hold the event time of others back. What `event`
    /// says still holds.
    pub idle: bool,
}

impl Progress {
    pub const START: Self = Self { event: i64::MIN, processing: i64::MIN, idle: false };
    /// The end of a bounded input; it holds nothing back, so it is neutral in `min`.
    pub const END: Self = Self { event: i64::MAX, processing: i64::MAX, idle: true };

    /// Of two inputs together: an idle one doesn't count in event time beside one that isn't. Where all are
    /// idle, none holds the others back, so time is where the furthest of them has brought it, whichever
    /// was heard last.
    pub fn min(self, other: Self) -> Self {
        let event = match (self.idle, other.idle) {
            (true, false) => other.event,
            (false, true) => self.event,
            (true, true) if self.event != i64::MAX && other.event != i64::MAX => self.event.max(other.event),
            _ => self.event.min(other.event),
        };
        Self { event, processing: self.processing.min(other.processing), idle: self.idle && other.idle }
    }

    /// Of one input, after `newer` was heard from it: times only rise, idleness is what was heard last.
    pub fn max(self, newer: Self) -> Self {
        Self { event: self.event.max(newer.event), processing: self.processing.max(newer.processing), idle: newer.idle }
    }
}

/// Where an operator puts its results.
pub trait Output {
    fn emit(&mut self, batch: Batch) -> Result<()>;
    /// A row that can't go on; counted, and sent to the dead-letter topic or dropped or fatal, as the job says.
    fn fail(&mut self, row: FailedRow) -> Result<()>;
}

/// What an operator may know of its surroundings.
pub struct Context<'a> {
    pub clock: &'a dyn Clock,
    /// Of this operator's input, as of the last `advance`.
    pub progress: Progress,
}

/// A source partition that feeds an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveInput<'a> {
    pub topic: &'a str,
    pub partition: i32,
    /// Read to its end, and silent for longer than the table's idle timeout.
    pub idle: bool,
}

/// One step of a stage, for one task. It runs on the task's thread only; every call of it is between two
/// commits, and the state that `snapshot` reports, with everything emitted so far, is one commit's content.
pub trait Operator: Send {
    /// Takes rows from input `port` (0, or 1 for the right side of a join).
    fn process(&mut self, port: usize, batch: Batch, context: &Context<'_>, output: &mut dyn Output) -> Result<()>;

    /// Time has come to `context.progress`. An operator with much to emit stops after some megabytes and
    /// returns false; it is called again, with the same progress, until it returns true. Only then does
    /// the progress go downstream, as what `held_back` makes of it.
    fn advance(&mut self, _context: &Context<'_>, _output: &mut dyn Output) -> Result<bool> {
        Ok(true)
    }

    /// Whether rows may come and commits be made between such calls of `advance`. Otherwise all that is due is emitted in
    /// one epoch, and rows wait meanwhile.
    fn is_interruptible(&self) -> bool {
        false
    }

    /// Whether it was restored in the midst of what `advance` emits.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// The progress that its output has when its input has `progress`: a watermark assigner replaces the
    /// event time, a processing-time window gives its results event times of their own.
    fn held_back(&self, progress: Progress) -> Progress {
        progress
    }

    /// Tells which source partitions feed this operator's stage, before the first row and whenever that, or
    /// the idleness of one, changes. Only a watermark assigner cares.
    fn set_active_inputs(&mut self, _active: &[ActiveInput<'_>]) {}

    /// Emits what is held without being state (the local phase of an aggregation): called before every
    /// progress that goes downstream and before every commit.
    fn flush(&mut self, _context: &Context<'_>, _output: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    /// Adds every change of state since the last call, as absolute values. The changes count as handed
    /// over: if their commit fails, the operator is thrown away and restored.
    fn snapshot(&mut self, _changes: &mut StateChanges) -> Result<()> {
        Ok(())
    }

    /// Takes back its state; called once, before anything else, on a new operator.
    fn restore(&mut self, _entries: &mut dyn StateEntries) -> Result<()> {
        Ok(())
    }

    /// About how many bytes of changes the next `snapshot` will add, as of now: an epoch ends before they are too many.
    fn change_bytes(&self) -> usize {
        0
    }

    /// Bytes of memory that it holds, for the worker's limits. An estimate that errs high.
    fn memory_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(event: i64, idle: bool) -> Progress {
        Progress { event, processing: 0, idle }
    }

    /// Time over all inputs, which must not depend on their order.
    fn least(inputs: [Progress; 3]) -> Progress {
        let [a, b, c] = inputs;
        let orders = [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]];
        let found = orders.map(|order| order.into_iter().reduce(Progress::min).expect("three inputs"));
        assert!(found.iter().all(|progress| *progress == found[0]), "{found:?}");
        found[0]
    }

    #[test]
    fn idle_inputs_hold_nothing_back_and_neither_do_ended_ones() {
        assert_eq!(least([at(5, false), at(7, false), at(9, false)]), at(5, false));
        assert_eq!(least([at(5, true), at(7, false), at(9, false)]), at(7, false));
        assert_eq!(least([at(5, true), at(7, true), at(9, false)]), at(9, false));
        assert_eq!(least([at(5, true), at(7, true), at(i64::MIN, true)]), at(7, true), "all are silent");
        let ended = Progress { processing: 0, ..Progress::END };
        assert_eq!(least([ended, at(7, true), at(5, false)]), at(5, false));
        assert_eq!(least([ended, at(7, true), at(5, true)]), at(7, true), "an end is no point in time");
        assert_eq!(least([ended, ended, ended]), ended);
    }
}
