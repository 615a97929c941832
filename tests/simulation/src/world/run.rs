//! One run of a seed, from the first start to what came out. Polls processes in the order of simulated
//! time; nothing else decides what happens next.

use super::jobs::Job;
use super::process::Ctx;
use super::savepoints::Wanted;
use super::supervisor::Start;
use super::trouble::Struck;
use super::{Fault, Item, MILLISECOND, Micros, Pid, SECOND, Table, World};
use crate::job::epochs::Outcome;
use crate::job::worker::{Exit, Place, life};
use crate::job::{OUTPUT_PARTITIONS, SOURCE};
use crate::log::{Isolation, Record, TopicPartition};
use millrace_protocol::ProtocolError;
use millrace_protocol::assignment::Assignment;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A run ends at the latest after this much simulated time, whatever has come out.
const LONGEST: Micros = 120 * SECOND;
/// So long after the last fault everything must have come out.
const LONGEST_QUIET: Micros = 40 * SECOND;
/// Faults that are still to come when the input ends, at most.
const FAULTS_AFTER_INPUT: u64 = 8;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By source partition, the rows; then by output partition, what a `read_committed` reader sees.
    pub input: Vec<Vec<Vec<u8>>>,
    pub output: Vec<Vec<Vec<u8>>>,
    /// What a second job has written, which was started from a savepoint; without partitions where there is none.
    pub second: Vec<Vec<Vec<u8>>>,
    /// The job was not to go on from its last savepoint, and has not: results may be missing.
    pub cut_short: bool,
    /// Jobs that were started from savepoints.
    pub restored: u64,
    pub faults: Table,
    pub faults_wanted: u64,
    /// Workers that gave up for good although they were wanted, and panics.
    pub complaints: Vec<String>,
    pub fingerprint: u64,
    pub events: u64,
}

type Life = Pin<Box<dyn Future<Output = Exit>>>;

struct Alive {
    life: Life,
    wake: Rc<Cell<Micros>>,
}

struct Run {
    world: Rc<RefCell<World>>,
    lives: BTreeMap<Pid, Alive>,
    complaints: Vec<String>,
    quiet_since: Option<Micros>,
    faults_at_close: u64,
    /// An incarnation refuses to start, because the one before went on after its savepoint. A person has to look.
    read_on: bool,
}

pub fn simulate(seed: u64, prints: bool) -> Report {
    let mut world = World::new(seed, prints);
    world.at(0, Item::Input);
    world.at(200 * MILLISECOND, Item::Arm);
    if world.settings.savepoints != Wanted::Nothing {
        world.after(500 * MILLISECOND, 4 * SECOND, Item::Savepoint);
    }
    let volumes = (0..world.jobs[0].replicas).map(|_| world.new_volume()).collect();
    world.start_generation(0, volumes);
    let faults = world.settings.faults;
    let faults_at_close = faults - world.random.below(FAULTS_AFTER_INPUT);
    let world = Rc::new(RefCell::new(world));
    let mut run = Run {
        world,
        lives: BTreeMap::new(),
        complaints: Vec::new(),
        quiet_since: None,
        faults_at_close,
        read_on: false,
    };
    while !run.is_over() {
        let Some(item) = run.world.borrow_mut().next() else { break };
        run.happen(item);
        run.world.borrow_mut().refuse_gone();
    }
    run.lives.clear();
    run.report()
}

impl Run {
    fn is_over(&mut self) -> bool {
        let mut world = self.world.borrow_mut();
        let (now, faults) = (world.now(), world.trouble.table.total());
        if !world.closed && (faults >= self.faults_at_close || now > LONGEST / 2) {
            world.closed = true;
            world.event(0, "input closed", &[]);
        }
        if self.quiet_since.is_none() && (faults >= world.settings.faults || now > LONGEST / 2) {
            self.quiet_since = Some(now);
            world.quiet();
            world.event(0, "quiet", &[]);
        }
        let gave_up = now > LONGEST || self.quiet_since.is_some_and(|since| now > since + LONGEST_QUIET);
        let finished = self.quiet_since.is_some() && world.all_finished() && !world.start_second_job();
        gave_up || self.read_on || finished
    }

    fn happen(&mut self, item: Item) {
        let mut world = self.world.borrow_mut();
        match item {
            Item::Wake(pid) => {
                drop(world);
                self.wake(pid);
            }
            Item::Arrive(copy) => world.arrive(&copy),
            Item::Start(start) => {
                drop(world);
                self.start(&start);
            }
            Item::Kill(pid) => {
                if world.processes[pid].alive {
                    world.kill(pid);
                    world.restart(pid);
                }
            }
            Item::Stop(pid) => {
                let process = &mut world.processes[pid];
                process.stop = process.stop.or(process.step);
            }
            Item::Request(request) => world.request_arrives(request),
            Item::Answer(answer, late) => world.answer_arrives(answer, late),
            Item::Publish(pid) => world.publish(pid),
            Item::Tick(savepoint) => world.tick(savepoint),
            Item::Savepoint => world.want_savepoint(),
            Item::Succeed(job) => world.succeed(job),
            Item::Input => world.input(),
            Item::Arm => world.arm(),
        }
    }

    fn start(&mut self, start: &Start) {
        let mut world = self.world.borrow_mut();
        // Few of those that were about to be started when their job ended still are.
        if world.is_taken(start) || (world.jobs[start.job].ended && !world.random.one_in(4)) {
            return;
        }
        let Some(pid) = world.started(start) else {
            // Somebody who lingers has the volume: this one gets another.
            let volume = world.new_volume();
            let start = Start { volume, ..start.clone() };
            world.after(0, 50 * MILLISECOND, Item::Start(start));
            return;
        };
        let Job { number, topics, tasks: parallelism, ref origin, .. } = world.jobs[start.job];
        let origin = origin.clone();
        let now = world.now();
        world.at(now, Item::Wake(pid));
        drop(world);
        let assignment = Assignment { parallelism, replicas: start.replicas, ordinal: start.ordinal };
        let place = Place { job: number, topics, generation: start.generation, assignment, origin };
        let wake = Rc::new(Cell::new(0));
        let ctx = Ctx::new(&self.world, pid, wake.clone());
        self.lives.insert(pid, Alive { life: Box::pin(life(ctx, place)), wake });
    }

    fn wake(&mut self, pid: Pid) {
        let mut world = self.world.borrow_mut();
        if !world.processes[pid].alive {
            drop(world);
            self.lives.remove(&pid);
            return;
        }
        if let Some((_, until)) = world.processes[pid].paused {
            if world.now() < until {
                world.at(until, Item::Wake(pid));
                return;
            }
            world.resumed(pid);
        }
        match world.strike(pid) {
            Struck::No => {}
            Struck::Dead => {
                drop(world);
                self.lives.remove(&pid);
                return;
            }
            Struck::Paused => {
                let now = world.now();
                world.at(now, Item::Wake(pid));
                return;
            }
        }
        drop(world);
        let Some(alive) = self.lives.get_mut(&pid) else { return };
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| alive.life.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {
                let wake = alive.wake.get();
                self.world.borrow_mut().at(wake, Item::Wake(pid));
            }
            Ok(Poll::Ready(exit)) => self.ended(pid, exit),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.complaints.push(format!("process {pid} panicked: {}", text.unwrap_or_default()));
                self.lives.remove(&pid);
                let mut world = self.world.borrow_mut();
                world.kill(pid);
                world.restart(pid);
            }
        }
    }

    fn ended(&mut self, pid: Pid, exit: Exit) {
        self.lives.remove(&pid);
        let mut world = self.world.borrow_mut();
        world.processes[pid].alive = false;
        world.died(pid);
        let now = world.now();
        world.trace.remark(now, pid as u64, || format!("        ends: {exit:?}"));
        match exit {
            Exit::Done(outcome) => {
                if let Some(step) = world.processes[pid].stop {
                    world.took_effect(pid, Fault::GracefulStop, step);
                }
                world.processes[pid].finished = outcome == Outcome::Finished;
                if world.stays_stopped(&world.processes[pid]) {
                    return;
                }
                if !(world.trouble.quiet && outcome == Outcome::Finished) {
                    world.restart(pid);
                }
            }
            Exit::Refused(error) => {
                let superseded = matches!(error, ProtocolError::Superseded { .. });
                let succeeded = matches!(error, ProtocolError::Succeeded { .. });
                if succeeded && world.jobs[world.processes[pid].job].ended {
                    return;
                }
                if !superseded || world.is_current(&world.processes[pid]) {
                    let error = format!("process {pid}: {error}");
                    drop(world);
                    self.complaints.push(error);
                }
            }
            Exit::ReadOn { partition, offset } => {
                world.event(pid, "read on", &[i64::from(partition), offset]);
                self.read_on = true;
                if !world.jobs.iter().any(|job| job.went_on) {
                    drop(world);
                    self.complaints.push(format!("partition {partition} was read on to {offset} by nobody"));
                }
            }
            Exit::Damaged(file) => {
                drop(world);
                self.complaints.push(format!("process {pid}: {file} of a savepoint is damaged"));
            }
        }
    }

    fn report(self) -> Report {
        let mut world = self.world.borrow_mut();
        let end = world.now() + 10 * SECOND;
        world.log.advance(end);
        let mut complaints = self.complaints;
        if !world.all_finished() && !self.read_on {
            complaints.push("not every worker has finished".to_owned());
        }
        let (sources, output) = (world.settings.sources, world.jobs[0].topics.output);
        let second = world.jobs.get(1).map(|job| job.topics.output).filter(|second| *second != output);
        let (restored, faults_wanted) = (u64::from(world.savepoints.restored), world.settings.faults);
        let mut read = |topic, partition| {
            let at = TopicPartition { topic, partition };
            let fetched = world.log.fetch(at, 0, Isolation::ReadCommitted, usize::MAX);
            let records: Vec<Record> = fetched.map(|fetched| fetched.records).unwrap_or_default();
            records.into_iter().map(|record| record.value.to_vec()).collect::<Vec<_>>()
        };
        let input = (0..sources).map(|partition| read(SOURCE, partition)).collect();
        let output = (0..OUTPUT_PARTITIONS).map(|partition| read(output, partition)).collect();
        let second = second.into_iter().flat_map(|second| (0..OUTPUT_PARTITIONS).map(move |at| (second, at)));
        let second = second.map(|(topic, partition)| read(topic, partition)).collect();
        Report {
            input,
            output,
            second,
            cut_short: self.read_on,
            restored,
            faults: world.trouble.table.clone(),
            faults_wanted,
            complaints,
            fingerprint: world.trace.fingerprint(),
            events: world.trace.events(),
        }
    }
}
