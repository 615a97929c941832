//! The loop of one thread: receives from other threads, ends epochs, moves time, reads sources, in this
//! order, so that what is downstream is emptied before more is let in.

use crate::commit::epoch_memory::EpochMemory;
use crate::commit::gate::{EpochGate, Report};
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::exchange::{Arrival, CatchUp, Inbound, Inbox, Router};
use crate::metrics::Metrics;
use crate::operators::Progress;
use crate::source::{AddedPartition, Source, SourceBatch, startup};
use crate::task::Task;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// How often time moves: Flink's `pipeline.auto-watermark-interval`.
const TICK: Duration = Duration::from_millis(200);
/// Longest wait for records or messages; whoever has something new wakes the thread.
const WAIT: Duration = Duration::from_millis(10);

pub struct TaskThread {
    pub tasks: Vec<Task>,
    pub sources: Vec<Box<dyn Source>>,
    pub inbox: Inbox,
    /// Records of other workers, in the order of the plan.
    pub inbound: Vec<Inbound>,
    /// Taken from Kafka, not yet by their tasks.
    pub arrivals: VecDeque<Arrival>,
    pub catch_up: Arc<CatchUp>,
    pub router: Router,
    pub gate: Arc<EpochGate>,
    pub reports: Sender<Report>,
    /// Partitions that appeared, for the sources of this thread.
    pub added: Receiver<AddedPartition>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    /// Of the whole worker.
    pub memory: Arc<EpochMemory>,
    /// The last epoch of which the coordinator was told that its transaction is full.
    pub said_full: u64,
    /// For a savepoint; with the sources time stands still, and nothing is idle.
    pub stands_still: bool,
}

impl TaskThread {
    /// Runs until the gate says stop. An error goes to the coordinator.
    pub fn run(mut self) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run_until_stopped()));
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => Error::fail_job("a thread of the worker panicked; its message is in the log"),
        };
        // Without a coordinator the worker is ending already.
        let _ = self.reports.send(Report::Failed(error));
    }

    fn run_until_stopped(&mut self) -> Result<()> {
        let mut next_tick = self.clock.monotonic();
        let mut batches = Vec::new();
        while !self.gate.is_stopped() {
            while let Some(envelope) = self.inbox.try_receive() {
                self.deliver(envelope)?;
            }
            self.follow_gate()?;
            let now = self.clock.monotonic();
            let stands_still = self.gate.is_paused();
            let stops = stands_still && !self.stands_still;
            if (now >= next_tick && !stands_still || stops) && self.catch_up.is_done() && self.tick(stops)? {
                next_tick = now + TICK;
                self.stands_still = stands_still;
            }
            self.say_full();
            if !self.may_read() {
                let wait = if self.tasks.iter().any(Task::can_resume) { Duration::ZERO } else { WAIT / 4 };
                if let Some(envelope) = self.inbox.receive(wait) {
                    self.deliver(envelope)?;
                }
                continue;
            }
            self.read_exchanges()?;
            self.read_sources(&mut batches)?;
        }
        // After the last commit some sinks have something to show.
        self.tasks.iter_mut().filter(|t| self.gate.is_committed(t.epoch() - 1)).for_each(Task::committed);
        Ok(())
    }

    fn deliver(&mut self, envelope: crate::exchange::Envelope) -> Result<()> {
        let task =
            self.tasks.iter_mut().find(|t| t.id() == envelope.to).expect("messages go to the thread of their task");
        task.receive(envelope)
    }

    /// Opens and ends epochs as the coordinator says.
    fn follow_gate(&mut self) -> Result<()> {
        for task in &mut self.tasks {
            if !task.is_open() && self.gate.is_open(task.epoch()) {
                task.committed();
                task.open(self.gate.producer())?;
            }
            task.resume()?;
            if !task.is_ending()
                && task.is_open()
                && let Some(heartbeat) = self.gate.end_requested(task.epoch())
            {
                task.end_epoch(heartbeat);
            }
            if let Some(prepared) = task.continue_ending(self.stands_still && self.gate.is_paused())? {
                let _ = self.reports.send(Report::Prepared(prepared));
            }
        }
        Ok(())
    }

    /// The open epoch of this thread's tasks, if its transaction is full.
    fn full_epoch(&self) -> Option<u64> {
        self.tasks.iter().find(|t| t.is_open()).filter(|_| self.memory.is_open_full()).map(Task::epoch)
    }

    /// Says once that an epoch is full, in place of leaving it to the coordinator to look.
    fn say_full(&mut self) {
        if let Some(epoch) = self.full_epoch().filter(|&epoch| epoch > self.said_full) {
            self.said_full = epoch;
            let _ = self.reports.send(Report::Full);
        }
    }

    /// Sources and exchanges are read for all tasks of the thread at once: none may be ending its epoch.
    fn may_read(&self) -> bool {
        let room = !self.memory.is_held_full() && self.full_epoch().is_none();
        let busy = self.tasks.iter().any(|t| t.is_ending() || t.is_suspended());
        let end_asked = self.tasks.iter().any(|t| t.is_open() && self.gate.end_requested(t.epoch()).is_some());
        let something = !self.sources.is_empty() || !self.inbound.is_empty();
        something && room && !busy && !end_asked && self.router.has_room()
    }

    /// What has come from other workers, the last exchange first: downstream is emptied before more is let in.
    fn read_exchanges(&mut self) -> Result<()> {
        for inbound in self.inbound.iter_mut().rev() {
            if self.arrivals.is_empty() && self.catch_up.may_read(inbound.exchange()) {
                inbound.poll(&mut self.arrivals)?;
            }
        }
        while let Some(arrival) = self.arrivals.pop_front() {
            let task = self.tasks.iter_mut().find(|t| t.id() == arrival.to).expect("partitions of this thread's tasks");
            if task.is_suspended() {
                self.arrivals.push_front(arrival);
                break;
            }
            task.arrived(arrival)?;
        }
        Ok(())
    }

    fn read_sources(&mut self, batches: &mut Vec<SourceBatch>) -> Result<()> {
        let may_read = self.arrivals.is_empty() && self.catch_up.is_done() && !self.gate.is_paused();
        let single = self.sources.len() == 1 && self.inbound.is_empty();
        if !may_read {
            return match self.inbox.receive(WAIT / 4) {
                Some(envelope) => self.deliver(envelope),
                None => Ok(()),
            };
        }
        for source in &mut self.sources {
            source.poll(if single { WAIT } else { Duration::ZERO }, batches)?;
        }
        if batches.is_empty() && !single {
            if let Some(envelope) = self.inbox.receive(WAIT / 4) {
                return self.deliver(envelope);
            }
            return Ok(());
        }
        for batch in batches.drain(..) {
            self.metrics.source_records.inc_by(batch.records);
            self.metrics.source_bytes.inc_by(batch.bytes);
            let task =
                self.tasks.iter_mut().find(|t| t.id() == batch.task).expect("sources read for this thread's tasks");
            task.source_batch(batch)?;
        }
        Ok(())
    }

    /// Moves the time of every scan, and takes over partitions that appeared; false where that has to wait. The last time
    /// before it `stops`, everybody is told that nothing is idle any more: what comes until it goes on will be read by one
    /// worker sooner than by another.
    fn tick(&mut self, stops: bool) -> Result<bool> {
        if self.tasks.iter().any(|t| t.is_ending() || t.is_suspended()) {
            return Ok(false);
        }
        if stops {
            self.sources.iter_mut().for_each(|source| source.stand_still());
        }
        while let Ok(AddedPartition { scan, position }) = self.added.try_recv() {
            let assigned = startup::assign(&position, self.router.parallelism());
            let task = self.tasks.iter_mut().find(|t| t.id() == assigned.task).expect("sent to the thread of its task");
            task.partition_added(position);
            let source =
                self.sources.iter_mut().find(|s| s.scan() == scan).expect("a Kafka scan has a source on each thread");
            source.add_partition(assigned)?;
        }
        let processing = self.clock.now_millis();
        for source in &mut self.sources {
            for (task, partition, next) in source.take_positions() {
                let task =
                    self.tasks.iter_mut().find(|t| t.id() == task).expect("sources read for this thread's tasks");
                task.source_moved(source.scan(), partition, next);
            }
            for task in &mut self.tasks {
                let active = source.active_inputs(task.id());
                let idle = active.iter().all(|input| input.idle);
                let progress = match source.finished(task.id()) {
                    true => Progress::END,
                    false => Progress { event: i64::MIN, processing, idle },
                };
                task.scan_progress(source.scan(), progress, &active)?;
            }
        }
        self.tasks.iter_mut().filter_map(|task| task.take_end().then_some(())).for_each(|()| self.gate.input_ended());
        let watermark = self.tasks.iter().map(Task::watermark).filter(|&w| w != i64::MIN && w != i64::MAX).min();
        if let Some(watermark) = watermark {
            self.metrics.set_watermark(watermark);
        }
        Ok(true)
    }
}
