//! One task: the operators of every stage for its share of partitions and keys. It takes rows from sources
//! and from exchanges, moves time forward, and ends epochs. It never blocks and knows no threads; `thread`
//! calls it.
//!
//! An epoch ends stage by stage: the task flushes a stage and tells every task downstream that its epoch has
//! ended; the next stage ends when that was heard from every task upstream. What they send after it is of
//! the next epoch and waits in the backlog until this task has written its commit.

use crate::batch::{Batch, FailedRow};
use crate::env::Clock;
use crate::error::Result;
use crate::exchange::{Arrival, CatchUp, Envelope, ExchangeStep, Payload, Router};
use crate::metrics::Metrics;
use crate::operators::{ActiveInput, Context, Operator, Output, Progress};
use crate::sink::SinkWriter;
use crate::sink::dead_letter::FailedRows;
use crate::sink::outputs::Outputs;
use crate::source::{PartitionId, SourceBatch};
use crate::state::spill::StoreProgress;
use millrace_planner::plan::NodeId;
use millrace_protocol::record::SourcePosition;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

mod epochs;
#[cfg(test)]
mod tests;

/// A node of the plan, for one task.
pub struct TaskNode {
    pub step: Step,
    pub operator_id: u32,
    pub stage: u32,
    pub inputs: Vec<NodeId>,
    /// Who takes what it emits: the node and its port.
    pub consumers: Vec<(NodeId, usize)>,
    /// Of its inputs together.
    input: Progress,
    /// Of what it emits.
    output: Progress,
    /// About what its changes of state take, as of its last batch.
    change_bytes: usize,
}

pub enum Step {
    /// Its rows come from outside.
    Scan,
    /// Passes rows on as they are: a union.
    Pass,
    Operator(Box<dyn Operator>),
    Exchange(Box<ExchangeStep>),
    Sink(Box<dyn SinkWriter>),
}

impl TaskNode {
    pub fn new(step: Step, operator_id: u32, stage: u32, inputs: Vec<NodeId>, consumers: Vec<(NodeId, usize)>) -> Self {
        Self {
            step,
            operator_id,
            stage,
            inputs,
            consumers,
            input: Progress::START,
            output: Progress::START,
            change_bytes: 0,
        }
    }
}

/// What a task needs besides its nodes.
pub struct TaskContext {
    pub task: u32,
    pub log: Arc<str>,
    /// Offset of the claim under which it works.
    pub claim: i64,
    /// Of its last commit.
    pub sequence: u64,
    pub positions: Vec<SourcePosition>,
    pub outputs: Outputs,
    pub failed_rows: FailedRows,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    /// Where its operators see which commit they are preparing.
    pub store: Arc<StoreProgress>,
    pub router: Router,
}

pub struct Task {
    nodes: Vec<TaskNode>,
    context: TaskContext,
    positions: BTreeMap<(u32, PartitionId), SourcePosition>,
    /// A position moved since the last commit.
    moved: bool,
    /// Something came from a source, or time from a clock, in this epoch.
    fed: bool,
    end_said: bool,
    epoch: u64,
    /// The epoch's end, under way.
    ending: Option<Ending>,
    /// An operator that has more to emit than it did in one call. What is behind it in the plan has not heard of the time
    /// that has come to it.
    suspended: Option<NodeId>,
    /// The first node to which time has come since, and which has not been told.
    untold: Option<NodeId>,
    backlog: VecDeque<Envelope>,
    stages: u32,
}

#[derive(Clone, Copy)]
struct Ending {
    heartbeat: bool,
    /// The next stage to end.
    stage: u32,
}

/// Collects what an operator emits, to be passed on when the call is over.
#[derive(Default)]
struct Emitted {
    batches: Vec<Batch>,
    failed: Vec<FailedRow>,
}

impl Output for Emitted {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
        Ok(())
    }

    fn fail(&mut self, row: FailedRow) -> Result<()> {
        self.failed.push(row);
        Ok(())
    }
}

impl Task {
    /// In epoch 1.
    pub fn new(nodes: Vec<TaskNode>, context: TaskContext) -> Self {
        let stages = nodes.iter().map(|n| n.stage + 1).max().unwrap_or(0);
        let key = |p: &SourcePosition| (p.operator, PartitionId { topic: p.topic.clone(), partition: p.partition });
        let positions = context.positions.iter().map(|p| (key(p), p.clone())).collect();
        let suspended = nodes.iter().position(TaskNode::is_interrupted);
        Self {
            nodes,
            context,
            positions,
            moved: false,
            fed: false,
            end_said: false,
            epoch: 1,
            ending: None,
            suspended,
            untold: None,
            backlog: VecDeque::new(),
            stages,
        }
    }

    pub fn id(&self) -> u32 {
        self.context.task
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Between the request to end an epoch and its commit record: no rows of sources may come.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    pub fn watermark(&self) -> i64 {
        self.nodes.iter().map(|n| n.output.event).filter(|&e| e != i64::MIN).min().unwrap_or(i64::MIN)
    }

    // ---- rows

    pub fn source_batch(&mut self, source: SourceBatch) -> Result<()> {
        self.fed = true;
        for row in source.failed {
            self.context.failed_rows.handle(row, &mut self.context.outputs)?;
        }
        let operator = self.nodes[source.scan].operator_id;
        self.position_moved(operator, source.partition, source.next);
        if source.batch.num_rows() == 0 {
            return Ok(());
        }
        self.deliver(source.scan, source.batch)
    }

    /// A source's position moved without rows.
    pub fn source_moved(&mut self, scan: NodeId, partition: PartitionId, next: i64) {
        self.position_moved(self.nodes[scan].operator_id, partition, next);
    }

    /// A partition that was not there before.
    pub fn partition_added(&mut self, position: SourcePosition) {
        let id = PartitionId { topic: position.topic.clone(), partition: position.partition };
        self.positions.insert((position.operator, id), position);
        self.moved = true;
    }

    fn position_moved(&mut self, operator: u32, partition: PartitionId, next: i64) {
        if let Some(position) = self.positions.get_mut(&(operator, partition)) {
            position.offset = next;
            self.moved = true;
        }
    }

    pub fn receive(&mut self, envelope: Envelope) -> Result<()> {
        if self.must_wait(&envelope) {
            self.backlog.push_back(envelope);
            return Ok(());
        }
        self.accept(envelope)
    }

    fn must_wait(&self, envelope: &Envelope) -> bool {
        match &self.nodes[envelope.exchange].step {
            Step::Exchange(exchange) => self.must_go_on() || exchange.has_ended(envelope.from),
            _ => unreachable!("messages name an exchange"),
        }
    }

    /// A record of another worker. Like rows of a source it may come only between two ends of epochs.
    pub fn arrived(&mut self, arrival: Arrival) -> Result<()> {
        debug_assert!(!self.is_ending() && !self.is_suspended());
        let Arrival { exchange, record, partition, next, .. } = arrival;
        self.position_moved(self.nodes[exchange].operator_id, partition, next);
        self.exchange(exchange).receive(&record)?;
        if let Some(rows) = record.rows {
            self.context.metrics.exchanged(self.context.clock.now_millis() - record.ready_at);
            self.deliver(exchange, Batch::new(rows))?;
        }
        self.time_came(exchange)
    }

    fn accept(&mut self, envelope: Envelope) -> Result<()> {
        match envelope.payload {
            Payload::Rows(rows) => return self.deliver(envelope.exchange, Batch::new(rows)),
            Payload::Progress(progress) => {
                self.exchange(envelope.exchange).hear(envelope.from, progress);
                self.time_came(envelope.exchange)?;
            }
            Payload::EndOfEpoch(epoch) => {
                debug_assert_eq!(epoch, self.epoch, "a task upstream is at most one epoch ahead");
                self.exchange(envelope.exchange).hear_end_of_epoch(envelope.from);
            }
        }
        Ok(())
    }

    fn exchange(&mut self, exchange: NodeId) -> &mut ExchangeStep {
        match &mut self.nodes[exchange].step {
            Step::Exchange(step) => step,
            _ => unreachable!("messages name an exchange"),
        }
    }

    /// Its exchanges, in the order of the plan.
    pub fn exchanges(&self) -> impl Iterator<Item = (NodeId, &ExchangeStep)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.step {
            Step::Exchange(step) => Some((id, step.as_ref())),
            _ => None,
        })
    }

    /// Records that local tasks have sent through Kafka and this one has still to receive.
    pub fn await_records(&mut self, exchange: NodeId, awaited: BTreeMap<u32, u64>, catch_up: &Arc<CatchUp>) {
        self.exchange(exchange).await_records(awaited, catch_up.clone());
    }

    /// Hands messages that had to wait to where they belong, as far as they need not wait again.
    fn drain_backlog(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.backlog);
        for envelope in waiting {
            self.receive(envelope)?;
        }
        Ok(())
    }

    /// Passes what `from` emitted to its consumers.
    fn deliver(&mut self, from: NodeId, batch: Batch) -> Result<()> {
        let count = self.nodes[from].consumers.len();
        for at in 0..count {
            let (node, port) = self.nodes[from].consumers[at];
            self.process(node, port, batch.clone())?;
        }
        Ok(())
    }

    fn process(&mut self, id: NodeId, port: usize, batch: Batch) -> Result<()> {
        let node = &mut self.nodes[id];
        match &mut node.step {
            Step::Operator(operator) => {
                let context = Context { clock: self.context.clock.as_ref(), progress: node.input };
                let mut emitted = Emitted::default();
                operator.process(port, batch, &context, &mut emitted)?;
                let changes = operator.change_bytes();
                self.changes_grew(id, changes);
                self.emitted(id, emitted)
            }
            Step::Exchange(exchange) => {
                exchange.send_rows(&batch.rows, self.context.clock.now_millis(), &mut self.context.outputs)
            }
            Step::Sink(sink) => {
                let mut failed = Vec::new();
                sink.write(&batch, &mut self.context.outputs, &mut failed)?;
                self.context.metrics.sink_records.inc_by((batch.num_rows() - failed.len()) as u64);
                failed.into_iter().try_for_each(|row| self.context.failed_rows.handle(row, &mut self.context.outputs))
            }
            Step::Pass => self.deliver(id, batch),
            Step::Scan => unreachable!("nothing flows into a scan"),
        }
    }

    fn changes_grew(&mut self, id: NodeId, bytes: usize) {
        let before = std::mem::replace(&mut self.nodes[id].change_bytes, bytes);
        if bytes > before {
            self.context.outputs.owe(self.nodes.iter().map(|node| node.change_bytes).sum());
        }
    }

    fn emitted(&mut self, from: NodeId, emitted: Emitted) -> Result<()> {
        for row in emitted.failed {
            self.context.failed_rows.handle(row, &mut self.context.outputs)?;
        }
        emitted.batches.into_iter().try_for_each(|batch| self.deliver(from, batch))
    }

    // ---- time

    /// Time has come to `progress` at a scan, whose partitions are `active`.
    pub fn scan_progress(&mut self, scan: NodeId, progress: Progress, active: &[ActiveInput<'_>]) -> Result<()> {
        self.fed = true;
        self.nodes[scan].output = self.nodes[scan].output.max(progress);
        let mut reached = vec![scan];
        while let Some(node) = reached.pop() {
            if let Step::Operator(operator) = &mut self.nodes[node].step {
                operator.set_active_inputs(active);
            }
            if !matches!(self.nodes[node].step, Step::Exchange(_)) {
                reached.extend(self.nodes[node].consumers.iter().map(|(consumer, _)| *consumer));
            }
        }
        self.time_came(scan)
    }

    /// Whether an operator stopped in the midst of what it emits in one epoch: nothing may come to it, and the epoch can't
    /// end, before it is done.
    pub fn must_go_on(&self) -> bool {
        self.suspended.is_some_and(|node| !self.nodes[node].is_interruptible())
    }

    /// Whether `resume` would do something now.
    pub fn can_resume(&self) -> bool {
        // What is emitted in a stage that has ended its epoch would be of the next one for those downstream, and of this one
        // for the operator.
        self.suspended.is_some() && (self.must_go_on() || self.ending.is_none()) && self.has_room()
    }

    /// Goes on where an operator stopped, if there is room for more.
    pub fn resume(&mut self) -> Result<()> {
        if !self.can_resume() {
            return Ok(());
        }
        self.fed = true;
        let had_to_go_on = self.must_go_on();
        let node = self.suspended.take().expect("it can be resumed");
        self.propagate(node, true)?;
        while self.suspended.is_none()
            && let Some(node) = self.untold.take()
        {
            self.propagate(node, false)?;
        }
        if !self.must_go_on() && (had_to_go_on || self.suspended.is_none()) {
            self.drain_backlog()?;
        }
        Ok(())
    }

    /// Whether more may be emitted, at a point where that can wait.
    fn has_room(&self) -> bool {
        let memory = self.context.outputs.memory();
        let has_room = match self.is_open() {
            // The epoch can't end before it has gone on.
            true => self.must_go_on() || !memory.is_open_full(),
            false => !memory.is_held_full(),
        };
        has_room && self.context.router.has_room()
    }

    /// Time has come to an exchange or a scan.
    fn time_came(&mut self, node: NodeId) -> Result<()> {
        if self.suspended.is_none() {
            return self.propagate(node, false);
        }
        self.untold = Some(self.untold.map_or(node, |untold| untold.min(node)));
        Ok(())
    }

    /// Moves time forward in `start` and all nodes behind it, in the order of the plan. In `start` itself it has come before,
    /// where it is `resuming`.
    fn propagate(&mut self, start: NodeId, resuming: bool) -> Result<()> {
        for id in start..self.nodes.len() {
            if !self.advance_node(id, resuming && id == start)? {
                self.suspended = Some(id);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns false when an operator has more to emit.
    fn advance_node(&mut self, id: NodeId, resuming: bool) -> Result<bool> {
        let inputs = self.nodes[id].inputs.iter().map(|&input| self.nodes[input].output);
        let input =
            if resuming { self.nodes[id].input } else { inputs.reduce(Progress::min).unwrap_or(Progress::START) };
        let changed = input != self.nodes[id].input;
        if let Step::Exchange(exchange) = &mut self.nodes[id].step {
            let output = exchange.progress();
            if changed {
                exchange.send_progress(input);
            }
            self.nodes[id].input = input;
            self.nodes[id].output = self.nodes[id].output.max(output);
            return Ok(true);
        }
        if changed && !resuming {
            self.flush_node(id)?;
            self.nodes[id].input = input;
        }
        if (changed || resuming) && !self.advance_operator(id)? {
            return Ok(false);
        }
        let node = &mut self.nodes[id];
        match &node.step {
            Step::Operator(operator) => node.output = node.output.max(operator.held_back(node.input)),
            Step::Pass => node.output = node.output.max(node.input),
            Step::Scan | Step::Exchange(_) | Step::Sink(_) => {}
        }
        Ok(true)
    }

    fn advance_operator(&mut self, id: NodeId) -> Result<bool> {
        let node = &mut self.nodes[id];
        let Step::Operator(operator) = &mut node.step else { return Ok(true) };
        let context = Context { clock: self.context.clock.as_ref(), progress: node.input };
        let mut emitted = Emitted::default();
        let done = operator.advance(&context, &mut emitted)?;
        self.emitted(id, emitted)?;
        Ok(done)
    }

    fn flush_node(&mut self, id: NodeId) -> Result<()> {
        let node = &mut self.nodes[id];
        let Step::Operator(operator) = &mut node.step else { return Ok(()) };
        let context = Context { clock: self.context.clock.as_ref(), progress: node.input };
        let mut emitted = Emitted::default();
        operator.flush(&context, &mut emitted)?;
        self.emitted(id, emitted)
    }
}

impl TaskNode {
    fn is_interruptible(&self) -> bool {
        matches!(&self.step, Step::Operator(operator) if operator.is_interruptible())
    }

    fn is_interrupted(&self) -> bool {
        matches!(&self.step, Step::Operator(operator) if operator.is_interrupted())
    }

    fn is_at_end(&self) -> bool {
        let at_end = |p: Progress| p.event == i64::MAX && p.processing == i64::MAX;
        match &self.step {
            Step::Sink(_) => at_end(self.input),
            _ => at_end(self.output),
        }
    }
}
