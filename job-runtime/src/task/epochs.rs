//! How a task ends an epoch, and goes on in the next one.

use super::{Ending, Step, Task, TaskNode};
use crate::commit::gate::Prepared;
use crate::error::Result;
use crate::exchange::ExchangeStep;
use crate::kafka::TransactionalProducer;
use crate::state::StateChanges;
use millrace_planner::plan::NodeId;
use millrace_protocol::record::{Batch as LogBatch, Commit, LogRecord};
use millrace_protocol::savepoint::{Counts, TaskCut};
use std::sync::Arc;

/// State changes are cut into log records of at most this size, well below Kafka's default limit of 1 MB.
const LOG_RECORD_BYTES: usize = 512 << 10;

impl Task {
    /// Begins to end the epoch. Under `heartbeat` a commit is written even if nothing changed.
    pub fn end_epoch(&mut self, heartbeat: bool) {
        debug_assert!(self.ending.is_none() && self.context.outputs.is_open());
        self.ending = Some(Ending { heartbeat, stage: 0 });
    }

    /// Goes on with ending the epoch; returns what was written once all stages have ended. Under `paused` nothing
    /// is fed in any more.
    pub fn continue_ending(&mut self, paused: bool) -> Result<Option<Prepared>> {
        let Some(mut ending) = self.ending else { return Ok(None) };
        while ending.stage < self.stages {
            if self.must_go_on() || !self.stage_heard_all(ending.stage) {
                self.ending = Some(ending);
                return Ok(None);
            }
            self.end_stage(ending.stage)?;
            ending.stage += 1;
        }
        self.ending = None;
        self.prepare(ending.heartbeat, paused).map(Some)
    }

    /// Whether every task upstream has ended its epoch, in every exchange that feeds the stage.
    fn stage_heard_all(&self, stage: u32) -> bool {
        let feeds = |id: &NodeId| self.nodes[*id].consumers.iter().any(|(c, _)| self.nodes[*c].stage == stage);
        (0..self.nodes.len()).filter(feeds).all(|id| match &self.nodes[id].step {
            Step::Exchange(exchange) => exchange.have_all_ended(),
            _ => true,
        })
    }

    fn end_stage(&mut self, stage: u32) -> Result<()> {
        for id in 0..self.nodes.len() {
            if self.nodes[id].stage != stage {
                continue;
            }
            self.flush_node(id)?;
            if let Step::Exchange(exchange) = &mut self.nodes[id].step {
                exchange.end_epoch(self.epoch, self.context.clock.now_millis(), &mut self.context.outputs)?;
            }
        }
        Ok(())
    }

    /// Writes the epoch's changes and positions to the log, and goes on to the next epoch.
    fn prepare(&mut self, heartbeat: bool, paused: bool) -> Result<Prepared> {
        let mut changes = StateChanges::default();
        self.context.store.set_prepared(self.context.sequence + 1);
        for node in &mut self.nodes {
            node.change_bytes = 0;
            match &mut node.step {
                Step::Operator(operator) => operator.snapshot(&mut changes)?,
                Step::Sink(sink) => sink.epoch_ended(),
                Step::Exchange(exchange) => {
                    exchange.snapshot(&mut changes);
                    exchange.begin_epoch();
                }
                Step::Scan | Step::Pass => {}
            }
        }
        let task = self.context.task;
        let finished = self.is_finished();
        let mut prepared = Prepared::unchanged(task, finished);
        if self.moved || !changes.is_empty() || heartbeat || finished {
            let claim = self.context.claim;
            self.context.sequence += 1;
            let positions = self.positions.values().cloned().collect();
            let commit = Commit { claim, sequence: self.context.sequence, positions };
            let (outputs, log) = (&mut self.context.outputs, &self.context.log);
            for piece in changes.pieces(LOG_RECORD_BYTES) {
                outputs.plain(log, task as i32, LogRecord::Batch(LogBatch { claim, changes: piece }).encode())?;
            }
            outputs.plain(log, task as i32, LogRecord::Commit(commit.clone()).encode())?;
            prepared.commit = Some(commit);
            prepared.changes = changes;
        }
        if paused && !self.fed && self.backlog.is_empty() && self.suspended.is_none() {
            prepared.still = Some(self.cut());
        }
        (self.moved, self.fed) = (false, false);
        self.epoch += 1;
        self.context.outputs.hold();
        self.drain_backlog()?;
        Ok(prepared)
    }

    /// Whether it has come to the end of all input.
    fn is_finished(&self) -> bool {
        self.backlog.is_empty() && self.suspended.is_none() && self.nodes.iter().all(TaskNode::is_at_end)
    }

    /// Whether it has just finished; said once.
    pub fn take_end(&mut self) -> bool {
        let ended = !self.end_said && self.is_finished();
        self.end_said |= ended;
        ended
    }

    /// What the commit that was just prepared says of the exchanges.
    fn cut(&self) -> TaskCut {
        let counts = |of: fn(&ExchangeStep) -> Counts| {
            let exchanges = self.exchanges().map(|(id, step)| (self.nodes[id].operator_id, of(step)));
            exchanges.filter(|(_, counts)| !counts.is_empty()).collect()
        };
        let (sent, received) = (counts(ExchangeStep::all_sent), counts(ExchangeStep::all_received));
        TaskCut { task: self.context.task, sequence: self.context.sequence, sent, received }
    }

    /// The transaction of this task's epoch is open.
    pub fn open(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        self.context.outputs.open(producer)
    }

    pub fn is_open(&self) -> bool {
        self.context.outputs.is_open()
    }

    /// The epoch before the current one is committed.
    pub fn committed(&mut self) {
        for node in &mut self.nodes {
            if let Step::Sink(sink) = &mut node.step {
                sink.committed();
            }
        }
    }
}
