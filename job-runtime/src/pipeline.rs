//! The data path of a worker, composed: from the plan to the sources, tasks and threads that run it.
//!
//! ```text
//! source partition -> decode -> stage -> exchange -> stage -> … -> encode -> sink
//!                                |  state (RocksDB)   |
//!                                +-- epoch commit: one Kafka transaction --+
//! ```

use crate::commit::epoch_memory::EpochMemory;
use crate::commit::gate::{EpochGate, Report};
use crate::decode::RecordDecoder;
use crate::decode::json::{JsonDecodeOptions, JsonDecoder};
use crate::env::Clock;
use crate::error::Result;
use crate::exchange::{CatchUp, ExchangeStep, Inbound, Outbound, Partitioner, Router};
use crate::job::Job;
use crate::kafka::consumer::FetchWaker;
use crate::kafka::{FetchQueue, PartitionConsumer};
use crate::metrics::Metrics;
use crate::operators::chain::{self, TaskEnvironment};
use crate::schema::arrow_schema;
use crate::sink::dead_letter::FailedRows;
use crate::sink::outputs::Outputs;
use crate::sink::{self, SinkContext};
use crate::source::kafka::{KeyDecoder, ScanLayout};
use crate::source::metadata::MetadataColumns;
use crate::source::{AddedPartition, DatagenSource, Inquiry, KafkaSource, Source, ValuesSource, startup};
use crate::state::spill::OperatorMemory;
use crate::state::store::TaskStore;
use crate::tables::SinkTopics;
use crate::task::{Step, Task, TaskContext, TaskNode};
use crate::thread::TaskThread;
use millrace_planner::connector::{BoundedMode, KafkaOptions};
use millrace_planner::plan::{Connector, NodeId, Operator, Plan, Scan, ScanColumn, WindowTime};
use millrace_planner::types::DataType;
use millrace_protocol::assignment::Assignment;
use millrace_protocol::record::{Commit, SourcePosition};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Records that one fetch decodes at most.
const FETCH_RECORDS: usize = 8192;
/// The same for exchanges, whose records hold many rows.
const EXCHANGE_RECORDS: usize = 16;
/// What the rows that wait to be sent to other workers may take, over all tasks and exchanges.
const OUTBOUND_BYTES: usize = 32 << 20;

/// A Kafka scan with its client.
pub struct KafkaScan {
    pub table: String,
    pub options: KafkaOptions,
    pub consumer: Arc<PartitionConsumer>,
}

/// What the pipeline is built from.
pub struct PipelineContext<'a> {
    pub job: &'a Job,
    pub assignment: Assignment,
    pub threads: usize,
    pub log: Arc<str>,
    pub scans: &'a BTreeMap<NodeId, KafkaScan>,
    pub(crate) sinks: &'a SinkTopics,
    /// The client that reads the exchanges; None where this worker has every task and nothing to catch up.
    pub exchange_consumer: Option<&'a Arc<PartitionConsumer>>,
    /// By task.
    pub claims: &'a BTreeMap<u32, i64>,
    pub commits: &'a BTreeMap<u32, Commit>,
    pub stores: &'a BTreeMap<u32, TaskStore>,
    pub operator_memory: Arc<OperatorMemory>,
    pub gate: Arc<EpochGate>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// A pipeline, ready to run.
pub struct Pipeline {
    pub threads: Vec<TaskThread>,
    pub router: Router,
    pub reports: Receiver<Report>,
    /// For those that watch the threads' surroundings.
    pub reporter: Sender<Report>,
    pub memory: Arc<EpochMemory>,
    /// By thread: where partitions that appear are announced.
    pub added: Vec<Sender<AddedPartition>>,
}

/// What the operators of a worker's tasks share.
pub fn operator_memory(job: &Job, assignment: &Assignment) -> Arc<OperatorMemory> {
    let operators = assignment.tasks().count() * chain::spilling_operators(&job.plan);
    Arc::new(OperatorMemory::new(job.memory.operators, operators))
}

/// What the first phase of an aggregation may hold in one of so many tasks: a part of what operators may have in all.
fn partial_bytes(job: &Job, tasks: usize) -> usize {
    (job.memory.operators / 8 / tasks.max(1)).clamp(1 << 20, 16 << 20)
}

pub fn build(context: &PipelineContext<'_>) -> Result<Pipeline> {
    let own: Vec<u32> = context.assignment.tasks().collect();
    let tasks_of: Vec<Vec<u32>> = (0..context.threads)
        .map(|thread| own.iter().copied().skip(thread).step_by(context.threads).collect())
        .collect();
    let mut thread_of = vec![None; context.assignment.parallelism as usize];
    for (thread, tasks) in tasks_of.iter().enumerate() {
        tasks.iter().for_each(|&task| thread_of[task as usize] = Some(thread));
    }
    let mut queues: Vec<Queues> = tasks_of.iter().map(|tasks| Queues::new(context, tasks)).collect::<Result<_>>()?;
    let (router, inboxes) = Router::new(thread_of, queues.iter().map(Queues::wakers).collect());
    let (reports_sender, reports) = channel();
    let memory = Arc::new(EpochMemory::new(context.job.memory.epoch));

    let mut tasks = BTreeMap::new();
    for &task in &own {
        let outputs = Outputs::new(memory.clone());
        tasks.insert(task, build_task(context, task, &router, outputs)?);
    }
    let catch_up = await_records(&mut tasks);

    let inquiry = Inquiry::start()?;
    let mut threads = Vec::new();
    let mut added_senders = Vec::new();
    for (own, inbox) in tasks_of.iter().zip(inboxes) {
        let Queues { scans, inbound } = queues.remove(0);
        let (added_sender, added) = channel();
        added_senders.push(added_sender);
        threads.push(TaskThread {
            sources: build_sources(context, own, scans, &inquiry)?,
            tasks: own.iter().map(|task| tasks.remove(task).expect("built above")).collect(),
            inbox,
            inbound,
            arrivals: VecDeque::new(),
            catch_up: catch_up.clone(),
            router: router.clone(),
            gate: context.gate.clone(),
            reports: reports_sender.clone(),
            added,
            metrics: context.metrics.clone(),
            clock: context.clock.clone(),
            memory: memory.clone(),
            said_full: 0,
            stands_still: false,
        });
    }
    Ok(Pipeline { threads, router, reports, reporter: reports_sender, memory, added: added_senders })
}

/// Where the records of one thread arrive.
struct Queues {
    scans: BTreeMap<NodeId, FetchQueue>,
    inbound: Vec<Inbound>,
}

impl Queues {
    fn new(context: &PipelineContext<'_>, tasks: &[u32]) -> Result<Self> {
        let scans = context.scans.iter();
        let scans = scans.map(|(&id, scan)| (id, FetchQueue::new(&scan.consumer, FETCH_RECORDS))).collect();
        let mut inbound = Vec::new();
        for (id, node) in context.job.plan.exchanges() {
            let Some(consumer) = context.exchange_consumer else { continue };
            let queue = FetchQueue::new(consumer, EXCHANGE_RECORDS);
            for task in tasks {
                let position = context.commits[task].positions.iter().find(|p| p.operator == node.operator_id);
                let position = position.expect("positions of exchanges are settled before");
                consumer.assign(&position.topic, position.partition, position.offset, &queue)?;
            }
            inbound.push(Inbound::new(id, arrow_schema(&node.schema), queue));
        }
        Ok(Self { scans, inbound })
    }

    /// A thread waits for its sources only.
    fn wakers(&self) -> Vec<FetchWaker> {
        self.scans.values().map(FetchQueue::waker).collect()
    }
}

/// Tells each task what tasks of this worker have sent to it through Kafka and it has not received yet.
fn await_records(tasks: &mut BTreeMap<u32, Task>) -> Arc<CatchUp> {
    let mut awaited: BTreeMap<(NodeId, u32), BTreeMap<u32, u64>> = BTreeMap::new();
    for (&from, upstream) in tasks.iter() {
        for (exchange, sender) in upstream.exchanges() {
            for (&to, downstream) in tasks.iter() {
                let (_, receiver) = downstream.exchanges().find(|(id, _)| *id == exchange).expect("one plan for all");
                let pairs = awaited.entry((exchange, to)).or_default();
                if sender.sent(to) > receiver.received(from) {
                    pairs.insert(from, sender.sent(to));
                }
            }
        }
    }
    let mut pairs: BTreeMap<NodeId, usize> = BTreeMap::new();
    awaited.iter().for_each(|((exchange, _), from)| *pairs.entry(*exchange).or_default() += from.len());
    if pairs.values().any(|&pairs| pairs > 0) {
        tracing::info!(?pairs, "tasks that came together first receive what they sent each other through Kafka");
    }
    let catch_up = Arc::new(CatchUp::new(pairs));
    for ((exchange, to), from) in awaited {
        tasks.get_mut(&to).expect("a task of this worker").await_records(exchange, from, &catch_up);
    }
    catch_up
}

/// The sources of one thread, for its tasks.
fn build_sources(
    context: &PipelineContext<'_>,
    own: &[u32],
    mut queues: BTreeMap<NodeId, FetchQueue>,
    inquiry: &Inquiry,
) -> Result<Vec<Box<dyn Source>>> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for (id, node) in context.job.plan.nodes.iter().enumerate() {
        let schema = arrow_schema(&node.schema);
        let of_scan = |p: &&SourcePosition| p.operator == node.operator_id;
        let parallelism = context.assignment.parallelism;
        let positions = context.commits.values().flat_map(|c| &c.positions).filter(of_scan);
        let assigned = positions.map(|p| startup::assign(p, parallelism)).filter(|a| own.contains(&a.task)).collect();
        match &node.operator {
            Operator::Scan(scan) if scan.table.connector == Connector::Datagen => {
                let source = DatagenSource::new(id, scan, schema, parallelism, assigned, context.clock.clone())?;
                sources.push(Box::new(source));
            }
            Operator::Scan(scan) => {
                let kafka = &context.scans[&id];
                let layout = scan_layout(id, scan, schema, node.schema.columns.iter().map(|c| &c.data_type), kafka)?;
                let queue = queues.remove(&id).expect("one queue for each Kafka scan");
                sources.push(Box::new(KafkaSource::new(
                    layout,
                    queue,
                    assigned,
                    inquiry.clone(),
                    context.clock.clone(),
                )?));
            }
            Operator::Values(values) => sources.push(Box::new(ValuesSource::new(id, values, &node.schema, assigned)?)),
            _ => {}
        }
    }
    Ok(sources)
}

/// How a Kafka scan's columns come out of a record: from the value, the key, or its metadata.
fn scan_layout<'a>(
    id: NodeId,
    scan: &Scan,
    schema: arrow_schema::SchemaRef,
    types: impl Iterator<Item = &'a DataType>,
    kafka: &KafkaScan,
) -> Result<ScanLayout> {
    let options = &kafka.options;
    let (mut value, mut key) = (Vec::new(), Vec::new());
    let mut from_key = Vec::new();
    for (column, data_type) in scan.columns.iter().zip(types) {
        let ScanColumn::Physical { path } = column else { continue };
        let in_value = options.value.columns.contains(&path[0]);
        match options.key.as_ref().filter(|k| !in_value && k.columns.contains(&path[0])) {
            Some(key_options) => {
                let mut path = path.clone();
                path[0] = path[0].strip_prefix(&key_options.prefix).unwrap_or(&path[0]).to_owned();
                key.push((path, data_type.clone()));
                from_key.push(true);
            }
            None => {
                value.push((path.clone(), data_type.clone()));
                from_key.push(false);
            }
        }
    }
    let key = match &options.key {
        Some(key_options) if !key.is_empty() => Some(KeyDecoder {
            decoder: Box::new(JsonDecoder::new(&key, JsonDecodeOptions::from(&key_options.format))?),
            from_key,
        }),
        _ => None,
    };
    let decoder: Box<dyn RecordDecoder> =
        Box::new(JsonDecoder::new(&value, JsonDecodeOptions::from(&options.value.format))?);
    Ok(ScanLayout {
        scan: id,
        schema,
        decoder,
        key,
        metadata: MetadataColumns::new(&scan.columns)?,
        idle_timeout: scan.table.idle_timeout,
        bounded: options.bounded != BoundedMode::Unbounded,
    })
}

/// A task with its operators, restored.
fn build_task(context: &PipelineContext<'_>, task: u32, router: &Router, outputs: Outputs) -> Result<Task> {
    let plan = &context.job.plan;
    let mut nodes = Vec::with_capacity(plan.nodes.len());
    for (id, node) in plan.nodes.iter().enumerate() {
        let step = build_step(context, plan, id, task, router)?;
        let consumers = plan.consumers(id).flat_map(|consumer| {
            let inputs = plan.nodes[consumer].inputs.iter().enumerate();
            inputs.filter(move |(_, input)| **input == id).map(move |(port, _)| (consumer, port))
        });
        nodes.push(TaskNode::new(step, node.operator_id, node.stage, node.inputs.clone(), consumers.collect()));
    }
    let store = &context.stores[&task];
    for node in &mut nodes {
        match &mut node.step {
            Step::Operator(operator) => operator.restore(&mut store.entries(node.operator_id))?,
            Step::Exchange(exchange) => exchange.restore(&mut store.entries(node.operator_id))?,
            Step::Scan | Step::Pass | Step::Sink(_) => {}
        }
    }
    let commit = &context.commits[&task];
    let job = &context.job;
    Ok(Task::new(
        nodes,
        TaskContext {
            task,
            log: context.log.clone(),
            claim: context.claims[&task],
            sequence: commit.sequence,
            positions: commit.positions.clone(),
            outputs,
            failed_rows: FailedRows::new(
                &job.identity.name,
                job.errors,
                job.dead_letter_topic.as_deref(),
                &context.sinks.limits,
                &context.metrics,
            )?,
            metrics: context.metrics.clone(),
            clock: context.clock.clone(),
            store: store.progress().clone(),
            router: router.clone(),
        },
    ))
}

fn build_step(context: &PipelineContext<'_>, plan: &Plan, id: NodeId, task: u32, router: &Router) -> Result<Step> {
    let node = &plan.nodes[id];
    let parallelism = context.assignment.parallelism;
    Ok(match &node.operator {
        Operator::Scan(_) | Operator::Values(_) => Step::Scan,
        Operator::Exchange(exchange) => {
            let partitioner = Partitioner::new(&exchange.keys, &node.schema, parallelism)?;
            let outbound = build_outbound(context, id, task)?;
            let step = ExchangeStep::new(id, node.operator_id, task, partitioner, router.clone(), outbound);
            Step::Exchange(Box::new(step))
        }
        Operator::Sink(sink) => {
            let input = plan.nodes[node.inputs[0]].schema.clone();
            let SinkTopics { partitions, limits } = context.sinks;
            let partitions = partitions.get(&id).copied().unwrap_or(1);
            Step::Sink(sink::build(sink, &input, &SinkContext { task, partitions, limits })?)
        }
        Operator::Union => Step::Pass,
        _ => {
            let environment = TaskEnvironment {
                task,
                parallelism,
                max_event_time_ahead: context.job.max_event_time_ahead,
                partial_bytes: partial_bytes(context.job, context.stores.len()),
            };
            let spill = context.stores[&task].spill(&context.operator_memory);
            let operator = chain::build(node, plan, &environment, Some(spill));
            let operator = operator.map_err(|e| e.context(format!("operator {id} of the plan")))?;
            Step::Operator(operator.expect("scans, exchanges, unions, values and sinks stand above"))
        }
    })
}

/// None where this worker has every task.
fn build_outbound(context: &PipelineContext<'_>, exchange: NodeId, task: u32) -> Result<Option<Outbound>> {
    let assignment = &context.assignment;
    let remote: Vec<u32> = (0..assignment.parallelism).filter(|&to| !assignment.owns(to)).collect();
    if remote.is_empty() {
        return Ok(None);
    }
    let plan = &context.job.plan;
    let topic = context.job.identity.exchange_topic(&plan.nodes[exchange]).into();
    let memory = OUTBOUND_BYTES / (assignment.tasks().count() * plan.exchanges().count());
    Outbound::new(task, topic, remote, goes_by_processing_time(plan, exchange), memory).map(Some)
}

/// Whether a window of processing time is anywhere behind this node.
fn goes_by_processing_time(plan: &Plan, node: NodeId) -> bool {
    plan.consumers(node).any(|consumer| {
        let window = match &plan.nodes[consumer].operator {
            Operator::GlobalWindowAggregate(aggregate) => aggregate.window.time == WindowTime::Processing,
            _ => false,
        };
        window || goes_by_processing_time(plan, consumer)
    })
}
