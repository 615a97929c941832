//! A worker: starts, runs and restarts a job's tasks. One failure that a restart mends is one attempt; what
//! a person must see ends the worker.

use crate::archive::Archive;
use crate::archive::publisher::Publisher;
use crate::commit::coordinator::{Coordinator, ScanOffsets};
use crate::commit::covers::{CoverPlan, Covers};
use crate::commit::gate::EpochGate;
use crate::commit::holder::holder;
use crate::commit::own_topics::{self, OwnTopics};
use crate::commit::recover::Origin;
use crate::commit::start::{self, StartRequest, Started};
use crate::condition::Reason;
use crate::control::{StopRequest, TakeOver, WorkerControl};
use crate::env::{Clock, SteadyClock};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::kafka::admin::AdminClient;
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::role::Role;
use crate::kafka::size::TopicLimits;
use crate::kafka::{ACCESS_PATIENCE, ClientOptions, PartitionConsumer, access, replicas};
use crate::metrics::{Phase, Place, Restore, RestoredTask, Status};
use crate::pipeline::{self, KafkaScan, PipelineContext};
use crate::positions::Positions;
use crate::source::discovery::{DiscoveredScan, Discovery};
use crate::source::startup::OpenScan;
use crate::state::checkpointer::{Checkpointer, CommitHolder};
use crate::tables::Tables;
use crate::watch::{CommitUnderWay, Watch, Watched};
use millrace_planner::plan::NodeId;
use millrace_protocol::assignment::Assignment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use crate::commit::coordinator::Outcome;

/// Pauses between attempts: doubled from the first to the last, reset by a commit.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));

/// Between two looks at topics that can't be written to.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// Between two looks whether the threads of an attempt have ended.
const ENDING: Duration = Duration::from_millis(10);

pub struct Worker;

/// A worker that runs in threads of its own.
pub struct WorkerHandle {
    control: Arc<WorkerControl>,
    thread: JoinHandle<Result<Outcome>>,
}

impl Worker {
    pub fn start(job: Job, clock: Arc<dyn Clock>) -> Result<WorkerHandle> {
        Self::start_as_asked(job, clock, StopRequest::default(), TakeOver::default())
    }

    /// Where it is asked to stop already, it does not take its tasks; where it is to be asked to take them over, it waits.
    pub fn start_as_asked(
        job: Job,
        clock: Arc<dyn Clock>,
        stop: StopRequest,
        take_over: TakeOver,
    ) -> Result<WorkerHandle> {
        let clock = SteadyClock::over(clock);
        let control = Arc::new(WorkerControl {
            job,
            metrics: Arc::default(),
            pause: Arc::default(),
            stop: Arc::new(stop),
            take_over,
            clock,
        });
        let supervisor = Supervisor { control: control.clone() };
        let thread = std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || supervisor.run())
            .map_err(|e| Error::fail_job("could not start the worker's thread").caused_by(e))?;
        Ok(WorkerHandle { control, thread })
    }
}

impl WorkerHandle {
    pub fn status(&self) -> Status {
        self.control.metrics.status()
    }

    /// In Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        self.control.metrics.text()
    }

    /// What HTTP serves and asks.
    pub fn control(&self) -> &Arc<WorkerControl> {
        &self.control
    }

    /// Asks for a graceful stop: one more commit and checkpoint, then the end.
    pub fn request_stop(&self) {
        self.control.stop.make();
    }

    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the worker's end.
    pub fn wait(self) -> Result<Outcome> {
        self.thread.join().unwrap_or_else(|_| Err(Error::fail_job("the worker panicked; its message is in the log")))
    }
}

/// What one attempt runs with.
struct Run<'a> {
    cluster: &'a ClientOptions,
    admin: Arc<AdminClient>,
    archive: Option<&'a Archive>,
    assignment: Assignment,
    log: Arc<str>,
    gate: Arc<EpochGate>,
    scans: &'a BTreeMap<NodeId, KafkaScan>,
    /// Operator ids of the exchanges that are read.
    exchanges: Vec<u32>,
    commit: Arc<CommitUnderWay>,
    limits: TopicLimits,
}

struct Supervisor {
    control: Arc<WorkerControl>,
}

impl Supervisor {
    fn run(&self) -> Result<Outcome> {
        let outcome = self.run_attempts();
        self.control.pause.machine().end();
        outcome
    }

    fn run_attempts(&self) -> Result<Outcome> {
        let mut pause = BACKOFF.0;
        loop {
            if self.control.stop.is_made() {
                self.control.metrics.set_well(Phase::Stopped);
                return Ok(Outcome::Stopped);
            }
            let commits = self.control.metrics.commits.get();
            self.control.metrics.set_phase(Phase::Restoring);
            self.control.pause.machine().end();
            let error = match self.await_entry().and_then(|()| self.attempt()) {
                Ok(outcome) => {
                    let finished = outcome == Outcome::Finished;
                    self.control.metrics.set_well(if finished { Phase::Finished } else { Phase::Stopped });
                    return Ok(outcome);
                }
                Err(error) => error,
            };
            self.control.metrics.conditions.clear_warnings();
            match error.kind {
                ErrorKind::FailJob | ErrorKind::UserFault => {
                    self.control.metrics.set_ill(Phase::Failed, &error);
                    return Err(error);
                }
                ErrorKind::StandDown => {
                    self.control.metrics.set_ill(Phase::StoodDown, &error);
                    return Err(error);
                }
                ErrorKind::Retry | ErrorKind::RestartWorker => {}
            }
            if self.control.stop.is_made() {
                continue;
            }
            if self.control.metrics.commits.get() > commits {
                pause = BACKOFF.0;
            }
            self.control.metrics.set_ill(Phase::Restarting, &error);
            self.control.metrics.restarts.inc();
            if error.reason() == Reason::TransactionFailed && self.await_replicas() {
                pause = BACKOFF.0;
            }
            tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "restarting from the last commit");
            self.control.clock.sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// Where topics can't be written to for want of replicas, starting again is of no use: the worker waits until they
    /// can, and says so. Returns whether it had to.
    fn await_replicas(&self) -> bool {
        let job = &self.control.job;
        let Ok(admin) = AdminClient::new(&ClientOptions::of_job(&job.kafka)) else { return false };
        let topics = own_topics::written(job);
        let mut waited = false;
        while let Some(shortage) = replicas::first_shortage(&admin, &topics) {
            if self.control.stop.is_made() {
                break;
            }
            if !std::mem::replace(&mut waited, true) {
                tracing::warn!("{}", shortage.message);
            }
            self.control.metrics.set_ill(Phase::Restarting, shortage);
            self.control.clock.sleep(BETWEEN_LOOKS);
        }
        waited
    }

    /// Waits until the job's Kafka lets this worker in. Credentials that were good before may be in the middle of a
    /// change, so that a worker which has committed waits for a while.
    fn await_entry(&self) -> Result<()> {
        let WorkerControl { job, metrics, stop, clock, .. } = self.control.as_ref();
        let patience = if metrics.commits.get() > 0 { ACCESS_PATIENCE } else { Duration::ZERO };
        let goes_on = |error: &Error| {
            metrics.set_ill(Phase::Restarting, error);
            tracing::warn!(%error, "asking again");
            !stop.is_made()
        };
        let cluster = ClientOptions::of_job(&job.kafka);
        let entered =
            access::await_entry(patience, clock.as_ref(), goes_on, || access::check(&cluster, clock.as_ref()));
        match entered {
            // Whoever wants the worker to stop does not ask whether it would be let in.
            Err(error) if stop.is_made() => Err(Error::retry(error.to_string())),
            entered => entered,
        }
    }

    /// One life of the worker: claim, restore, run.
    fn attempt(&self) -> Result<Outcome> {
        let job = &self.control.job;
        let begun = self.control.clock.monotonic();
        let cluster = ClientOptions::of_job(&job.kafka);
        let admin = Arc::new(AdminClient::new(&cluster)?);
        let clock = self.control.clock.as_ref();
        let tables = Tables { job, clock, cluster: &cluster, admin: &admin };
        let scans = tables.open_scans()?;
        let sinks = tables.describe_sinks()?;
        let assignment = job.assignment(tables.parallelism(&scans)?)?;

        let archive = self.archive(&assignment)?;
        let holder = holder(&job.state_directory)?;
        let started = start::start_worker(&StartRequest {
            job,
            cluster: &cluster,
            admin: &admin,
            archive: archive.as_ref(),
            worker: &self.control,
            holder: &holder,
            assignment,
            limits: &sinks.limits,
        })?;
        let log: Arc<str> = job.identity.log_topic().into();
        let exchange_consumer = self.exchange_consumer(&started, &assignment, &cluster)?;
        let commits = Positions {
            job,
            clock,
            admin: &admin,
            started: &started,
            scans: &scans,
            assignment: &assignment,
            exchanges: exchange_consumer.as_deref(),
        }
        .settle()?;
        let from = |origin| started.origins.values().filter(|of| **of == origin).count() as u32;
        let restore = Restore {
            at: clock.now_millis(),
            seconds: (clock.monotonic() - begun).as_secs_f64(),
            tasks_from_volume: from(Origin::Volume),
            tasks_from_image: from(Origin::Image),
            tasks_from_checkpoint: from(Origin::Checkpoint),
            tasks_from_log: from(Origin::Log),
            image_bytes: started.image_bytes,
            log_records: started.replayed,
            replayed_bytes: started.replayed_bytes,
            tasks: started
                .origins
                .iter()
                .map(|(&task, &from)| RestoredTask { task, from, commit: started.bases.get(&task).copied().flatten() })
                .collect(),
        };
        self.control.metrics.restored(&started.attempt, place(job, &assignment), restore.clone());
        tracing::info!(
            generation = job.identity.generation,
            worker = assignment.ordinal,
            workers = assignment.replicas,
            tasks = assignment.parallelism,
            from_volume = restore.tasks_from_volume,
            from_image = restore.tasks_from_image,
            from_checkpoint = restore.tasks_from_checkpoint,
            replayed = started.replayed,
            seconds = restore.seconds,
            "restored"
        );

        let kafka_scans: BTreeMap<NodeId, KafkaScan> = scans
            .iter()
            .map(|(&id, s)| {
                let (table, options, consumer) = (s.table.clone(), s.options.clone(), s.consumer.clone());
                (id, KafkaScan { table, options, consumer })
            })
            .collect();
        let gate = Arc::new(EpochGate::new(started.producer.clone()));
        let threads = job.threads().clamp(1, assignment.tasks().count());
        let pipeline = pipeline::build(&PipelineContext {
            job,
            assignment,
            threads,
            log: log.clone(),
            scans: &kafka_scans,
            sinks: &sinks,
            exchange_consumer: exchange_consumer.as_ref(),
            claims: &started.claims,
            commits: &commits,
            stores: &started.stores,
            operator_memory: pipeline::operator_memory(job, &assignment),
            gate: gate.clone(),
            metrics: self.control.metrics.clone(),
            clock: self.control.clock.clone(),
        })?;
        let commit = Arc::<CommitUnderWay>::default();
        let watch = Watch::start(Watched {
            discovery: self.discovery(scans, &pipeline, &assignment)?,
            topics: OwnTopics {
                admin: admin.clone(),
                names: own_topics::names(job),
                written: own_topics::written(job),
                metrics: self.control.metrics.clone(),
            },
            settings_interval: job.topic_check_interval,
            commit: commit.clone(),
            clock: self.control.clock.clone(),
        })?;
        let exchanges = exchange_consumer.iter().flat_map(|_| job.plan.exchanges());
        let exchanges = exchanges.map(|(_, node)| node.operator_id).collect();
        let run = Run {
            cluster: &cluster,
            admin,
            archive: archive.as_ref(),
            assignment,
            log,
            gate,
            scans: &kafka_scans,
            exchanges,
            commit,
            limits: sinks.limits,
        };
        self.run_pipeline(pipeline, started, run, watch)
    }

    fn run_pipeline(
        &self,
        pipeline: pipeline::Pipeline,
        started: Started,
        run: Run<'_>,
        _watch: Watch,
    ) -> Result<Outcome> {
        let Run { cluster, admin, archive, assignment, log, gate, scans, exchanges, commit, limits } = run;
        let transactional_id = self.control.job.identity.transactional_id(assignment.ordinal);
        let generation = self.control.job.identity.generation;
        let holder = CommitHolder { generation, transactional_id };
        let settings = ConsumerSettings {
            group_id: format!("{}.log-ends", self.control.job.identity.topic_prefix()),
            isolation_level: "read_uncommitted".into(),
            queued_bytes: 1 << 20,
            role: Role::Log,
        };
        let offsets = scans.iter().map(|(&id, scan)| {
            let has_group = scan.options.group_id.is_some();
            let (table, consumer) = (scan.table.clone(), scan.consumer.clone());
            (self.control.job.plan.nodes[id].operator_id, ScanOffsets { table, consumer, has_group })
        });
        let tails = started.claims.iter().map(|(&task, &claim)| (task, claim, started.log_tails[&task]));
        let plan = match (&self.control.job.archive, archive) {
            (Some(settings), Some(archive)) => {
                let directory = &self.control.job.state_directory;
                CoverPlan::Archive(settings, Publisher::start(archive, directory, &started.claims, &started.damaged)?)
            }
            _ => CoverPlan::Images(&self.control.job.images),
        };
        let covers = Covers::start(plan, log.clone(), tails, self.control.metrics.clone())?;
        let coordinator = Coordinator {
            job: &self.control.job,
            attempt: started.attempt,
            log,
            assignment,
            log_consumer: PartitionConsumer::new(cluster, &settings)?,
            scans: offsets.collect(),
            exchanges,
            limits,
            admin,
            gate: gate.clone(),
            router: pipeline.router.clone(),
            reports: pipeline.reports,
            memory: pipeline.memory,
            stop: self.control.stop.clone(),
            pause: self.control.pause.clone(),
            read_from: started.claims.iter().map(|(&task, claim)| (task, claim + 1)).collect(),
            checkpointer: Checkpointer::start(
                started.stores,
                self.control.job.state_size_limit,
                self.control.job.memory.rocksdb,
                holder,
                self.control.clock.clone(),
            )?,
            covers,
            under_way: commit,
            metrics: self.control.metrics.clone(),
            clock: self.control.clock.clone(),
        };
        started.producer.begin()?;
        drop(started.producer);
        self.control.metrics.set_well(Phase::Running);
        self.control.pause.machine().begin(&coordinator.attempt, generation, assignment.parallelism);
        let mut handles = Vec::new();
        for (index, thread) in pipeline.threads.into_iter().enumerate() {
            let spawned = std::thread::Builder::new().name(format!("tasks-{index}")).spawn(move || thread.run());
            handles.push(spawned.map_err(|e| Error::fail_job("could not start a thread").caused_by(e))?);
        }
        let outcome = coordinator.run();
        gate.stop();
        pipeline.router.wake_all();
        for handle in handles {
            while !handle.is_finished() {
                // It may wait for room for records that nobody wants any more.
                gate.producer().give_up();
                self.control.clock.sleep(ENDING);
            }
            // A panic was caught inside and reported.
            let _ = handle.join();
        }
        outcome
    }

    /// The job's archive. What a person has to correct is said at once; that it is out of reach is no reason not to
    /// start where the volume and the log have everything.
    fn archive(&self, assignment: &Assignment) -> Result<Option<Archive>> {
        let Some(settings) = &self.control.job.archive else { return Ok(None) };
        let archive = Archive::open(settings, &self.control.job.identity)?;
        match archive.probe(assignment.tasks().next().expect("a worker has tasks")) {
            Err(error) if error.kind == ErrorKind::UserFault => return Err(error),
            Err(error) => tracing::warn!(%error, "the archive is out of reach"),
            Ok(()) => {}
        }
        Ok(Some(archive))
    }

    /// The client that reads the exchanges: where other workers send to this one's tasks, or did so before.
    fn exchange_consumer(
        &self,
        started: &Started,
        assignment: &Assignment,
        cluster: &ClientOptions,
    ) -> Result<Option<Arc<PartitionConsumer>>> {
        let exchanges: Vec<u32> = self.control.job.plan.exchanges().map(|(_, node)| node.operator_id).collect();
        let mut positions = started.commits.values().flatten().flat_map(|c| &c.positions);
        let received = positions.any(|p| exchanges.contains(&p.operator));
        if exchanges.is_empty() || (assignment.replicas == 1 && !received) {
            return Ok(None);
        }
        let settings = ConsumerSettings {
            group_id: format!("{}.exchanges", self.control.job.identity.topic_prefix()),
            isolation_level: "read_committed".into(),
            queued_bytes: self.control.job.memory.fetch / exchanges.len() / self.control.job.threads(),
            role: Role::Exchange,
        };
        PartitionConsumer::new(cluster, &settings).map(Some)
    }

    fn discovery(
        &self,
        scans: BTreeMap<NodeId, OpenScan>,
        pipeline: &pipeline::Pipeline,
        assignment: &Assignment,
    ) -> Result<Discovery> {
        let discovered = scans.into_iter().filter_map(|(id, scan)| {
            let interval = scan.options.partition_discovery_interval?;
            Some(DiscoveredScan {
                scan: id,
                operator: self.control.job.plan.nodes[id].operator_id,
                table: scan.table,
                options: scan.options,
                cluster: scan.cluster,
                consumer: scan.consumer,
                topics: scan.topics,
                interval,
                missing: 0,
            })
        });
        let thread_of = |task: u32| pipeline.router.thread_of(task);
        let targets = assignment.tasks().map(|task| (task, pipeline.added[thread_of(task)].clone())).collect();
        let reporter = pipeline.reporter.clone();
        Discovery::new(discovered.collect(), assignment.parallelism, targets, reporter, self.control.clock.clone())
    }
}

fn place(job: &Job, assignment: &Assignment) -> Place {
    Place {
        generation: job.identity.generation,
        ordinal: assignment.ordinal,
        replicas: assignment.replicas,
        tasks: assignment.tasks().collect(),
        parallelism: assignment.parallelism,
    }
}
