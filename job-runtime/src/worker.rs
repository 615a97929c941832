//! A worker: starts, runs and restarts a job's tasks. One failure that a restart mends is one attempt; what
//! a person must see ends the worker.

use crate::commit;
use crate::commit::coordinator::{Coordinator, ScanOffsets};
use crate::commit::gate::EpochGate;
use crate::commit::record::{Commit, LogRecord, SourcePosition};
use crate::commit::start::{self, StartRequest, Started};
use crate::env::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::kafka::admin::{AdminClient, retrying};
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::{ClientOptions, CommitOutcome, PartitionConsumer};
use crate::metrics::{Metrics, Phase, Status};
use crate::pipeline::{self, KafkaScan, PipelineContext};
use crate::source::DatagenSource;
use crate::source::discovery::{DiscoveredScan, Discovery};
use crate::source::startup::{ScanTopics, Startup, describe_topics};
use crate::state::checkpointer::Checkpointer;
use millrace_planner::connector::{DatagenOptions, KafkaOptions};
use millrace_planner::plan::{Connector, NodeId, Operator};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use crate::commit::coordinator::Outcome;

/// How long Kafka may be out of reach while an attempt starts.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pauses between attempts: doubled from the first to the last, reset by a commit.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// Most tasks of a job: one for each key group.
const MAX_PARALLELISM: u32 = 1024;

pub struct Worker;

/// A worker that runs in threads of its own.
pub struct WorkerHandle {
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Outcome>>,
}

impl Worker {
    pub fn start(job: Job, clock: Arc<dyn Clock>) -> Result<WorkerHandle> {
        let metrics = Arc::new(Metrics::default());
        let stop = Arc::new(AtomicBool::new(false));
        let supervisor = Supervisor { job, clock, metrics: metrics.clone(), stop: stop.clone() };
        let thread = std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || supervisor.run())
            .map_err(|e| Error::fail_job("could not start the worker's thread").caused_by(e))?;
        Ok(WorkerHandle { metrics, stop, thread })
    }
}

impl WorkerHandle {
    pub fn status(&self) -> Status {
        self.metrics.status()
    }

    /// In Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        self.metrics.text()
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Asks for a graceful stop: one more commit and checkpoint, then the end.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the worker's end.
    pub fn wait(self) -> Result<Outcome> {
        self.thread.join().unwrap_or_else(|_| Err(Error::fail_job("the worker panicked; its message is in the log")))
    }
}

struct Supervisor {
    job: Job,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

impl Supervisor {
    fn run(&self) -> Result<Outcome> {
        let mut pause = BACKOFF.0;
        loop {
            let commits = self.metrics.commits.get();
            self.metrics.set_phase(Phase::Restoring);
            let error = match self.attempt() {
                Ok(outcome) => {
                    let finished = outcome == Outcome::Finished;
                    self.metrics.set_phase(if finished { Phase::Finished } else { Phase::Stopped });
                    return Ok(outcome);
                }
                Err(error) => error,
            };
            if matches!(error.kind, ErrorKind::FailJob | ErrorKind::UserFault) {
                self.metrics.set_phase(Phase::Failed);
                return Err(error);
            }
            if self.stop.load(Ordering::Acquire) {
                self.metrics.set_phase(Phase::Stopped);
                return Ok(Outcome::Stopped);
            }
            if self.metrics.commits.get() > commits {
                pause = BACKOFF.0;
            }
            self.metrics.set_phase(Phase::Restarting);
            self.metrics.restarts.inc();
            tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "restarting from the last commit");
            self.clock.sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// One life of the worker: claim, restore, run.
    fn attempt(&self) -> Result<Outcome> {
        let job = &self.job;
        let cluster = ClientOptions::of_job(&job.kafka);
        let admin = AdminClient::new(&cluster)?;
        let mut clusters = Clusters { own: &cluster, admins: BTreeMap::new() };
        let scans = self.open_scans(&mut clusters)?;
        let sink_partitions = self.describe_sinks(&admin, &cluster)?;
        let tasks = self.parallelism(&admin, &scans)?;

        let holder = start::holder(job)?;
        let clock = self.clock.as_ref();
        let started = start::start_worker(&StartRequest {
            job,
            cluster: &cluster,
            admin: &admin,
            clock,
            holder: &holder,
            tasks,
        })?;
        let log: Arc<str> = job.identity.log_topic().into();
        let commits = self.settle_positions(&started, &scans, tasks, &log)?;
        tracing::info!(tasks, replayed = started.replayed, sequence = commits[0].sequence, "restored");

        let kafka_scans: BTreeMap<NodeId, KafkaScan> = scans
            .iter()
            .map(|(&id, s)| (id, KafkaScan { options: s.options.clone(), consumer: s.consumer.clone() }))
            .collect();
        let gate = Arc::new(EpochGate::new(started.producer.clone()));
        let threads = job.threads.unwrap_or_else(available_threads).clamp(1, tasks as usize);
        let pipeline = pipeline::build(&PipelineContext {
            job,
            tasks,
            threads,
            log: log.clone(),
            scans: &kafka_scans,
            sink_partitions: &sink_partitions,
            claims: &started.claims,
            commits: &commits,
            stores: &started.stores,
            gate: gate.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        })?;
        let discovery = self.start_discovery(scans, &pipeline, tasks)?;
        self.run_pipeline(pipeline, started, gate, log, &cluster, &kafka_scans, discovery)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one attempt come together here")]
    fn run_pipeline(
        &self,
        pipeline: pipeline::Pipeline,
        started: Started,
        gate: Arc<EpochGate>,
        log: Arc<str>,
        cluster: &ClientOptions,
        scans: &BTreeMap<NodeId, KafkaScan>,
        _discovery: Discovery,
    ) -> Result<Outcome> {
        let tasks = started.claims.len() as u32;
        let settings = ConsumerSettings {
            group_id: format!("{}.log-ends", self.job.identity.topic_prefix()),
            isolation_level: "read_uncommitted".into(),
            queued_bytes: 1 << 20,
        };
        let offsets = scans.iter().map(|(&id, scan)| {
            let has_group = scan.options.group_id.is_some();
            (self.job.plan.nodes[id].operator_id, ScanOffsets { consumer: scan.consumer.clone(), has_group })
        });
        let coordinator = Coordinator {
            job: &self.job,
            cluster,
            transactional_id: self.job.identity.transactional_id(0),
            attempt: started.attempt,
            log,
            tasks,
            log_consumer: PartitionConsumer::new(cluster, &settings)?,
            scans: offsets.collect(),
            gate: gate.clone(),
            router: pipeline.router.clone(),
            reports: pipeline.reports,
            produced: pipeline.produced,
            stop: self.stop.clone(),
            checkpointer: Checkpointer::start(started.stores, self.clock.clone())?,
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        started.producer.begin()?;
        drop(started.producer);
        self.metrics.set_phase(Phase::Running);
        let mut handles = Vec::new();
        for (index, thread) in pipeline.threads.into_iter().enumerate() {
            let spawned = std::thread::Builder::new().name(format!("tasks-{index}")).spawn(move || thread.run());
            handles.push(spawned.map_err(|e| Error::fail_job("could not start a thread").caused_by(e))?);
        }
        let outcome = coordinator.run();
        gate.stop();
        pipeline.router.wake_all();
        for handle in handles {
            // A panic was caught inside and reported.
            let _ = handle.join();
        }
        outcome
    }

    /// The clients and topics of every Kafka scan.
    fn open_scans(&self, clusters: &mut Clusters<'_>) -> Result<BTreeMap<NodeId, OpenScan>> {
        let kafka: Vec<_> = self.job.plan.scans().filter(|(_, s)| s.table.connector == Connector::Kafka).collect();
        let queued_bytes =
            self.job.memory.fetch / kafka.len().max(1) / self.job.threads.unwrap_or_else(available_threads);
        let mut scans = BTreeMap::new();
        for (id, scan) in kafka {
            let table = &scan.table.name;
            let options = KafkaOptions::from_table(&scan.table)
                .map_err(|e| Error::user_fault(format!("table {table}")).caused_by(e))?;
            let (cluster, admin) = clusters.of_table(&options)?;
            let topics = describe_topics(table, &options.topics, admin, self.clock.as_ref())?;
            let isolation = options.client.get("isolation.level").map_or("read_committed", String::as_str);
            let group = options.group_id.clone().unwrap_or_else(|| self.job.identity.topic_prefix());
            let settings = ConsumerSettings { group_id: group, isolation_level: isolation.to_owned(), queued_bytes };
            let consumer = PartitionConsumer::new(&cluster, &settings)?;
            scans.insert(id, OpenScan { table: table.clone(), options, cluster, consumer, topics });
        }
        Ok(scans)
    }

    /// The partition counts of the sinks' topics.
    fn describe_sinks(&self, admin: &AdminClient, cluster: &ClientOptions) -> Result<BTreeMap<NodeId, i32>> {
        let mut partitions = BTreeMap::new();
        for (id, sink) in self.job.plan.sinks().filter(|(_, s)| s.table.connector == Connector::Kafka) {
            let table = &sink.table.name;
            let options = KafkaOptions::from_table(&sink.table)
                .map_err(|e| Error::user_fault(format!("table {table}")).caused_by(e))?;
            let elsewhere =
                options.bootstrap_servers.as_ref().is_some_and(|servers| *servers != cluster.bootstrap_servers);
            if elsewhere && !same_cluster(admin, &options)? {
                return Err(Error::user_fault(format!(
                    "table {table} is in another Kafka cluster than the job's: writing exactly once to another cluster is not \
                     supported yet. Leave out its 'properties.bootstrap.servers', or run the job on that cluster"
                )));
            }
            let topics = describe_topics(table, &options.topics, admin, self.clock.as_ref())?;
            let description =
                topics.values().next().ok_or_else(|| Error::user_fault(format!("table {table} has no topic")))?;
            partitions.insert(id, description.partitions.len() as i32);
        }
        if let Some(topic) = &self.job.dead_letter_topic
            && retrying(PATIENCE, self.clock.as_ref(), || admin.describe(topic))?.is_none()
        {
            return Err(Error::user_fault(format!("the dead-letter topic {topic} does not exist: create it first")));
        }
        Ok(partitions)
    }

    /// Number of tasks: what the log has, else what the job says, else the largest partition count.
    fn parallelism(&self, admin: &AdminClient, scans: &BTreeMap<NodeId, OpenScan>) -> Result<u32> {
        if let Some(tasks) = start::log_parallelism(admin, &self.job, self.clock.as_ref())? {
            return Ok(tasks);
        }
        let partitions = scans.values().flat_map(|s| s.topics.values()).map(|t| t.partitions.len() as u32).max();
        let tasks = self.job.parallelism.or(partitions).unwrap_or(1).max(1);
        if tasks > MAX_PARALLELISM {
            tracing::warn!(tasks, "a job has at most {MAX_PARALLELISM} tasks; partitions share them");
        }
        Ok(tasks.min(MAX_PARALLELISM))
    }

    /// The commit of each task from which it goes on. Positions that were not in the last commit (at the
    /// first start, all of them) are committed before anything is read, so that a restart can't settle
    /// them otherwise.
    fn settle_positions(
        &self,
        started: &Started,
        scans: &BTreeMap<NodeId, OpenScan>,
        tasks: u32,
        log: &Arc<str>,
    ) -> Result<Vec<Commit>> {
        let restored: Vec<SourcePosition> =
            started.commits.iter().flatten().flat_map(|c| c.positions.clone()).collect();
        let mut positions = Vec::new();
        for (id, node) in self.job.plan.nodes.iter().enumerate() {
            let own: Vec<SourcePosition> =
                restored.iter().filter(|p| p.operator == node.operator_id).cloned().collect();
            match &node.operator {
                Operator::Scan(scan) if scan.table.connector == Connector::Datagen => {
                    positions.extend(datagen_positions(node.operator_id, &scan.table, own, tasks)?);
                }
                Operator::Scan(_) => {
                    let scan = &scans[&id];
                    let startup = Startup {
                        operator: node.operator_id,
                        table: &scan.table,
                        options: &scan.options,
                        topics: &scan.topics,
                        consumer: &scan.consumer,
                        clock: self.clock.as_ref(),
                    };
                    positions.extend(startup.positions(&own)?);
                }
                Operator::Values(values) if own.is_empty() => {
                    positions.push(generated_position(node.operator_id, "VALUES", 0, Some(values.rows.len() as i64)));
                }
                Operator::Values(_) => positions.extend(own),
                _ => {}
            }
        }
        let mut commits = Vec::new();
        let mut changed = false;
        for task in 0..tasks {
            let own = |p: &&SourcePosition| p.partition.unsigned_abs() % tasks == task;
            let own: Vec<SourcePosition> = positions.iter().filter(own).cloned().collect();
            let last = started.commits[task as usize].as_ref();
            changed |= last.is_none_or(|c| c.positions.len() != own.len());
            commits.push(Commit {
                claim: started.claims[task as usize],
                sequence: last.map_or(0, |c| c.sequence) + 1,
                positions: own,
            });
        }
        if changed {
            commit_positions(started, log, &commits, start::transaction_timeout(&self.job))?;
        } else {
            commits.iter_mut().for_each(|c| c.sequence -= 1);
        }
        Ok(commits)
    }

    fn start_discovery(
        &self,
        scans: BTreeMap<NodeId, OpenScan>,
        pipeline: &pipeline::Pipeline,
        tasks: u32,
    ) -> Result<Discovery> {
        let discovered = scans.into_iter().filter_map(|(id, scan)| {
            let interval = scan.options.partition_discovery_interval?;
            Some(DiscoveredScan {
                scan: id,
                operator: self.job.plan.nodes[id].operator_id,
                table: scan.table,
                options: scan.options,
                cluster: scan.cluster,
                consumer: scan.consumer,
                topics: scan.topics,
                interval,
            })
        });
        let thread_of = |task: u32| pipeline.router.thread_of(task);
        let targets = (0..tasks).map(|task| pipeline.added[thread_of(task)].clone()).collect();
        Discovery::start(discovered.collect(), targets, self.clock.clone())
    }
}

/// A Kafka scan with its client and topics.
struct OpenScan {
    table: String,
    options: KafkaOptions,
    cluster: ClientOptions,
    consumer: Arc<PartitionConsumer>,
    topics: ScanTopics,
}

/// Admin clients of the clusters that tables name.
struct Clusters<'a> {
    own: &'a ClientOptions,
    admins: BTreeMap<ClientOptions, AdminClient>,
}

impl Clusters<'_> {
    fn of_table(&mut self, options: &KafkaOptions) -> Result<(ClientOptions, &AdminClient)> {
        let mut cluster = self.own.clone();
        if let Some(servers) = &options.bootstrap_servers {
            cluster.bootstrap_servers.clone_from(servers);
        }
        cluster.options.extend(options.client.clone());
        let admin = match self.admins.entry(cluster.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let admin = AdminClient::new(entry.key())?;
                entry.insert(admin)
            }
        };
        Ok((cluster, admin))
    }
}

fn same_cluster(admin: &AdminClient, options: &KafkaOptions) -> Result<bool> {
    let other = ClientOptions {
        bootstrap_servers: options.bootstrap_servers.clone().unwrap_or_default(),
        options: options.client.clone(),
    };
    let id = admin.cluster_id();
    Ok(id.is_some() && id == AdminClient::new(&other)?.cluster_id())
}

fn datagen_positions(
    operator: u32,
    table: &millrace_planner::plan::Table,
    restored: Vec<SourcePosition>,
    tasks: u32,
) -> Result<Vec<SourcePosition>> {
    if !restored.is_empty() {
        return Ok(restored);
    }
    let options = DatagenOptions::from_table(table)
        .map_err(|e| Error::user_fault(format!("table {}", table.name)).caused_by(e))?;
    let share = |task| generated_position(operator, &table.name, task, DatagenSource::share_of(&options, task, tasks));
    Ok((0..tasks).map(share).collect())
}

fn generated_position(operator: u32, table: &str, task: u32, end: Option<i64>) -> SourcePosition {
    SourcePosition {
        operator,
        topic: table.to_owned(),
        topic_id: String::new(),
        partition: task as i32,
        offset: 0,
        end,
    }
}

/// Commits positions in a transaction of their own.
fn commit_positions(started: &Started, log: &str, commits: &[Commit], timeout: Duration) -> Result<()> {
    started.producer.begin()?;
    let records = commits.iter().map(|commit| LogRecord::Commit(commit.clone()).encode());
    commit::write_to_logs(&started.producer, log, records)?;
    match started.producer.commit(timeout) {
        CommitOutcome::Clean => Ok(()),
        CommitOutcome::Retried => Err(Error::restart_worker("the first positions were committed by a retried request")),
        CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => {
            Err(error.context("could not commit the first positions"))
        }
    }
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
