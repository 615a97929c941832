//! The data path of a worker, composed: from the plan to the sources, tasks and threads that run it.
//!
//! ```text
//! source partition -> decode -> stage -> exchange -> stage -> … -> encode -> sink
//!                                |  state (RocksDB)   |
//!                                +-- epoch commit: one Kafka transaction --+
//! ```

use crate::commit::gate::{EpochGate, Report};
use crate::commit::record::{Commit, SourcePosition};
use crate::decode::RecordDecoder;
use crate::decode::json::{JsonDecodeOptions, JsonDecoder};
use crate::env::Clock;
use crate::error::Result;
use crate::exchange::{Inbox, Partitioner, Router};
use crate::job::Job;
use crate::kafka::{FetchQueue, PartitionConsumer};
use crate::metrics::Metrics;
use crate::operators::chain::{self, TaskEnvironment};
use crate::schema::arrow_schema;
use crate::sink::dead_letter::FailedRows;
use crate::sink::outputs::Outputs;
use crate::sink::{self, SinkContext};
use crate::source::kafka::{KeyDecoder, ScanLayout};
use crate::source::metadata::MetadataColumns;
use crate::source::{AddedPartition, DatagenSource, KafkaSource, Source, ValuesSource, startup};
use crate::state::store::TaskStore;
use crate::task::{ExchangeStep, Step, Task, TaskContext, TaskNode};
use crate::thread::TaskThread;
use millrace_planner::connector::{BoundedMode, KafkaOptions};
use millrace_planner::plan::{Connector, NodeId, Operator, Plan, Scan, ScanColumn};
use millrace_planner::types::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Records that one fetch decodes at most.
const FETCH_RECORDS: usize = 8192;

/// A Kafka scan with its client.
pub struct KafkaScan {
    pub options: KafkaOptions,
    pub consumer: Arc<PartitionConsumer>,
}

/// What the pipeline is built from.
pub struct PipelineContext<'a> {
    pub job: &'a Job,
    pub tasks: u32,
    pub threads: usize,
    pub log: Arc<str>,
    pub scans: &'a BTreeMap<NodeId, KafkaScan>,
    /// Partitions of each Kafka sink's topic.
    pub sink_partitions: &'a BTreeMap<NodeId, i32>,
    pub claims: &'a [i64],
    pub commits: &'a [Commit],
    pub stores: &'a [TaskStore],
    pub gate: Arc<EpochGate>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// A pipeline, ready to run.
pub struct Pipeline {
    pub threads: Vec<TaskThread>,
    pub router: Router,
    pub reports: Receiver<Report>,
    pub produced: Arc<AtomicUsize>,
    /// By thread: where partitions that appear are announced.
    pub added: Vec<Sender<AddedPartition>>,
}

pub fn build(context: &PipelineContext<'_>) -> Result<Pipeline> {
    let thread_of: Vec<usize> = (0..context.tasks as usize).map(|task| task % context.threads).collect();
    let mut queues: Vec<BTreeMap<NodeId, FetchQueue>> = Vec::new();
    for _ in 0..context.threads {
        queues.push(
            context.scans.iter().map(|(&id, scan)| (id, FetchQueue::new(&scan.consumer, FETCH_RECORDS))).collect(),
        );
    }
    let wakers = queues.iter().map(|queues| queues.values().map(FetchQueue::waker).collect()).collect();
    let (router, inboxes) = Router::new(thread_of.clone(), wakers);
    let (reports_sender, reports) = channel();
    let (produced, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));

    let mut threads = Vec::new();
    let mut added_senders = Vec::new();
    for (index, (inbox, queues)) in inboxes.into_iter().zip(queues).enumerate() {
        let own: Vec<u32> = (0..context.tasks).filter(|&task| thread_of[task as usize] == index).collect();
        let outputs = || Outputs::new(produced.clone(), waiting.clone());
        let tasks = own.iter().map(|&task| build_task(context, task, &router, outputs())).collect::<Result<_>>()?;
        let (added_sender, added) = channel();
        added_senders.push(added_sender);
        threads.push(build_thread(context, tasks, &own, inbox, queues, &router, &reports_sender, added, &waiting)?);
    }
    Ok(Pipeline { threads, router, reports, produced, added: added_senders })
}

#[expect(clippy::too_many_arguments, reason = "each is a part that the thread takes over")]
fn build_thread(
    context: &PipelineContext<'_>,
    tasks: Vec<Task>,
    own: &[u32],
    inbox: Inbox,
    queues: BTreeMap<NodeId, FetchQueue>,
    router: &Router,
    reports: &Sender<Report>,
    added: Receiver<AddedPartition>,
    waiting: &Arc<AtomicUsize>,
) -> Result<TaskThread> {
    Ok(TaskThread {
        sources: build_sources(context, own, queues)?,
        tasks,
        inbox,
        router: router.clone(),
        gate: context.gate.clone(),
        reports: reports.clone(),
        added,
        metrics: context.metrics.clone(),
        clock: context.clock.clone(),
        waiting: waiting.clone(),
        held_limit: context.job.memory.epoch,
    })
}

/// The sources of one thread, for its tasks.
fn build_sources(
    context: &PipelineContext<'_>,
    own: &[u32],
    mut queues: BTreeMap<NodeId, FetchQueue>,
) -> Result<Vec<Box<dyn Source>>> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for (id, node) in context.job.plan.nodes.iter().enumerate() {
        let schema = arrow_schema(&node.schema);
        let of_scan = |p: &&SourcePosition| p.operator == node.operator_id;
        let positions = context.commits.iter().flat_map(|c| &c.positions).filter(of_scan);
        let assigned = positions.map(|p| startup::assign(p, context.tasks)).filter(|a| own.contains(&a.task)).collect();
        match &node.operator {
            Operator::Scan(scan) if scan.table.connector == Connector::Datagen => {
                let source = DatagenSource::new(id, scan, schema, context.tasks, assigned, context.clock.clone())?;
                sources.push(Box::new(source));
            }
            Operator::Scan(scan) => {
                let kafka = &context.scans[&id];
                let layout = scan_layout(id, scan, schema, node.schema.columns.iter().map(|c| &c.data_type), kafka)?;
                let queue = queues.remove(&id).expect("one queue for each Kafka scan");
                sources.push(Box::new(KafkaSource::new(layout, queue, assigned, context.clock.clone())?));
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
        let step = build_step(context, plan, id, task)?;
        let consumers = plan.consumers(id).flat_map(|consumer| {
            let inputs = plan.nodes[consumer].inputs.iter().enumerate();
            inputs.filter(move |(_, input)| **input == id).map(move |(port, _)| (consumer, port))
        });
        nodes.push(TaskNode::new(step, node.operator_id, node.stage, node.inputs.clone(), consumers.collect()));
    }
    let store = &context.stores[task as usize];
    for node in &mut nodes {
        if let Step::Operator(operator) = &mut node.step {
            operator.restore(&mut store.entries(node.operator_id))?;
        }
    }
    let commit = &context.commits[task as usize];
    let job = &context.job;
    Ok(Task::new(
        nodes,
        TaskContext {
            task,
            log: context.log.clone(),
            claim: context.claims[task as usize],
            sequence: commit.sequence,
            positions: commit.positions.clone(),
            outputs,
            failed_rows: FailedRows::new(
                &job.identity.name,
                job.errors,
                job.dead_letter_topic.as_deref(),
                &context.metrics,
            )?,
            router: router.clone(),
            metrics: context.metrics.clone(),
            clock: context.clock.clone(),
            held_limit: job.memory.epoch,
        },
    ))
}

fn build_step(context: &PipelineContext<'_>, plan: &Plan, id: NodeId, task: u32) -> Result<Step> {
    let node = &plan.nodes[id];
    Ok(match &node.operator {
        Operator::Scan(_) | Operator::Values(_) => Step::Scan,
        Operator::Exchange(exchange) => {
            let partitioner = Partitioner::new(&exchange.keys, &node.schema, context.tasks)?;
            Step::Exchange(ExchangeStep::new(partitioner, context.tasks))
        }
        Operator::Sink(sink) => {
            let input = plan.nodes[node.inputs[0]].schema.clone();
            let partitions = context.sink_partitions.get(&id).copied().unwrap_or(1);
            Step::Sink(sink::build(sink, &input, &SinkContext { task, partitions })?)
        }
        Operator::Union => Step::Pass,
        _ => {
            let environment = TaskEnvironment {
                task,
                parallelism: context.tasks,
                max_event_time_ahead: context.job.max_event_time_ahead,
            };
            let operator =
                chain::build(node, plan, &environment).map_err(|e| e.context(format!("operator {id} of the plan")))?;
            Step::Operator(operator.expect("scans, exchanges, unions, values and sinks stand above"))
        }
    })
}
