//! A task whose operator has much to emit: what happens meanwhile. The task is alone, so that its exchanges lead to itself.

use super::*;
use crate::commit::epoch_memory::EpochMemory;
use crate::env::ManualClock;
use crate::exchange::{Inbox, Partitioner};
use crate::job::{ErrorPolicies, ErrorPolicy};
use crate::kafka::size::TopicLimits;
use crate::kafka::tests::Cluster;
use crate::kafka::{ClientOptions, ProducerSettings, TransactionalProducer};
use crate::state::StateChanges;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use millrace_planner::plan::Schema;
use std::sync::Mutex;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const LIMIT: usize = 1 << 20;
/// What the operator emits when time comes to it, in one call each.
const CHUNKS: usize = 20;
/// At which time.
const DUE: i64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Rows,
    Chunk(usize),
    Snapshot(usize),
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Emits, and writes down what is done with it.
struct Emitter {
    log: Log,
    interruptible: bool,
    chunk: RecordBatch,
    emitted: usize,
}

impl Emitter {
    fn saw(&self, what: Seen) {
        self.log.lock().unwrap().push(what);
    }
}

impl Operator for Emitter {
    fn process(&mut self, _port: usize, _batch: Batch, _context: &Context<'_>, _output: &mut dyn Output) -> Result<()> {
        self.saw(Seen::Rows);
        Ok(())
    }

    fn advance(&mut self, context: &Context<'_>, output: &mut dyn Output) -> Result<bool> {
        if context.progress.event >= DUE && self.emitted < CHUNKS {
            self.emitted += 1;
            self.saw(Seen::Chunk(self.emitted));
            output.emit(Batch::new(self.chunk.clone()))?;
        }
        Ok(self.emitted == 0 || self.emitted == CHUNKS)
    }

    fn is_interruptible(&self) -> bool {
        self.interruptible
    }

    fn snapshot(&mut self, changes: &mut StateChanges) -> Result<()> {
        self.saw(Seen::Snapshot(self.emitted));
        changes.put(7, 1, 0, b"emitted", &[self.emitted as u8]);
        Ok(())
    }
}

/// Counts batches.
struct Counting(Arc<Mutex<usize>>);

impl SinkWriter for Counting {
    fn write(&mut self, _batch: &Batch, _outputs: &mut Outputs, _failed: &mut Vec<FailedRow>) -> Result<()> {
        *self.0.lock().unwrap() += 1;
        Ok(())
    }
}

struct Fixture {
    task: Task,
    inbox: Inbox,
    memory: Arc<EpochMemory>,
    log: Log,
    written: Arc<Mutex<usize>>,
    rows: RecordBatch,
    // Before its broker is gone.
    _producer: Arc<TransactionalProducer>,
    _cluster: Cluster,
}

fn numbers(count: usize) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0; count]));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

impl Fixture {
    /// Scan, exchange, emitter, exchange, sink; in an open transaction.
    fn new(interruptible: bool, chunk_rows: usize) -> Self {
        let cluster = Cluster::start();
        let settings = ProducerSettings::for_fencing(TIMEOUT);
        let producer = TransactionalProducer::new(&ClientOptions::of_job(&cluster.kafka), "id", &settings).unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin().unwrap();
        cluster.admin.create("log", 1, 1, &[]).unwrap();

        let (router, mut inboxes) = Router::new(vec![Some(0)], vec![Vec::new()]);
        let exchange = |node: NodeId| {
            let partitioner = Partitioner::new(&[], &Schema { columns: Vec::new() }, 1).unwrap();
            Step::Exchange(Box::new(ExchangeStep::new(node, node as u32, 0, partitioner, router.clone(), None)))
        };
        let (log, written) = (Log::default(), Arc::new(Mutex::new(0)));
        let emitter = Emitter { log: log.clone(), interruptible, chunk: numbers(chunk_rows), emitted: 0 };
        let nodes = vec![
            TaskNode::new(Step::Scan, 0, 0, vec![], vec![(1, 0)]),
            TaskNode::new(exchange(1), 1, 0, vec![0], vec![(2, 0)]),
            TaskNode::new(Step::Operator(Box::new(emitter)), 7, 1, vec![1], vec![(3, 0)]),
            TaskNode::new(exchange(3), 3, 1, vec![2], vec![(4, 0)]),
            TaskNode::new(Step::Sink(Box::new(Counting(written.clone()))), 4, 2, vec![3], vec![]),
        ];
        let metrics = Arc::new(Metrics::default());
        let fail = ErrorPolicy::Fail;
        let policies = ErrorPolicies { decode: fail, evaluate: fail, late: fail };
        let memory = Arc::new(EpochMemory::new(LIMIT));
        let context = TaskContext {
            task: 0,
            log: "log".into(),
            claim: 0,
            sequence: 0,
            positions: Vec::new(),
            outputs: Outputs::new(memory.clone()),
            failed_rows: FailedRows::new("job", policies, None, &TopicLimits::default(), &metrics).unwrap(),
            metrics,
            clock: ManualClock::at(0),
            store: Arc::default(),
            router,
        };
        let mut task = Task::new(nodes, context);
        task.open(&producer).unwrap();
        let inbox = inboxes.remove(0);
        Self { task, inbox, memory, log, written, rows: numbers(1), _producer: producer, _cluster: cluster }
    }

    /// Receives all that is on its way.
    fn receive(&mut self) {
        while let Some(envelope) = self.inbox.try_receive() {
            self.task.receive(envelope).unwrap();
        }
    }

    fn time_comes(&mut self) {
        let progress = Progress { event: DUE, ..Progress::START };
        self.task.scan_progress(0, progress, &[]).unwrap();
        self.receive();
    }

    fn rows_come(&mut self) {
        self.task.deliver(0, Batch::new(self.rows.clone())).unwrap();
        self.receive();
    }

    fn resume(&mut self) {
        self.task.resume().unwrap();
        self.receive();
    }

    /// Whether the epoch ends when nothing but messages comes.
    fn end_epoch(&mut self) -> bool {
        if !self.task.is_ending() {
            self.task.end_epoch(false);
        }
        for _ in 0..self.task.stages {
            if self.task.continue_ending(false).unwrap().is_some() {
                return true;
            }
            self.receive();
        }
        false
    }

    fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    fn written(&self) -> usize {
        *self.written.lock().unwrap()
    }
}

fn chunks(numbers: std::ops::RangeInclusive<usize>) -> Vec<Seen> {
    numbers.map(Seen::Chunk).collect()
}

#[test]
fn an_epoch_ends_in_the_midst_of_what_an_interruptible_operator_emits() {
    let mut task = Fixture::new(true, 1);
    task.time_comes();
    task.resume();
    assert!(task.end_epoch());
    assert_eq!((task.log(), task.written()), ([chunks(1..=2), vec![Seen::Snapshot(2)]].concat(), 2));
    // Rows need not wait for what is left, and nothing is done twice.
    task.rows_come();
    while task.task.is_suspended() {
        task.resume();
    }
    assert_eq!(task.log()[3..], [vec![Seen::Rows], chunks(3..=CHUNKS)].concat());
    assert_eq!(task.written(), CHUNKS);
    assert_eq!(task.task.watermark(), DUE);
}

#[test]
fn nothing_is_emitted_between_the_end_of_a_stage_and_that_of_the_epoch() {
    let mut task = Fixture::new(true, 1);
    task.time_comes();
    task.task.end_epoch(false);
    assert!(task.task.continue_ending(false).unwrap().is_none(), "the exchange has not heard of it");
    assert!(!task.task.can_resume());
    task.receive();
    assert!(task.end_epoch());
    assert!(task.task.can_resume());
}

#[test]
fn an_operator_that_can_not_be_interrupted_is_done_before_its_epoch_ends_and_rows_come() {
    let mut task = Fixture::new(false, 1);
    task.time_comes();
    task.rows_come();
    assert!(!task.end_epoch());
    while task.task.is_suspended() {
        task.resume();
    }
    assert!(task.end_epoch());
    assert_eq!(task.log(), [chunks(1..=CHUNKS), vec![Seen::Rows, Seen::Snapshot(CHUNKS)]].concat());
    assert_eq!(task.written(), CHUNKS);
}

#[test]
fn a_full_transaction_stops_who_can_be_interrupted_until_it_has_ended() {
    for interruptible in [true, false] {
        let mut task = Fixture::new(interruptible, 1);
        task.time_comes();
        assert!(task.task.can_resume());
        task.memory.add_to_open(LIMIT);
        assert_eq!(task.task.can_resume(), !interruptible);
        if interruptible {
            assert!(task.end_epoch());
            assert!(task.task.can_resume(), "what is held back is not full");
            task.memory.hold(LIMIT);
            assert!(!task.task.can_resume());
        }
    }
}

#[test]
fn an_operator_stops_while_much_of_what_it_emitted_is_on_its_way() {
    for interruptible in [true, false] {
        // Of four megabytes each. The first is received.
        let mut task = Fixture::new(interruptible, 512 << 10);
        task.time_comes();
        // Nobody receives.
        while task.task.can_resume() {
            task.task.resume().unwrap();
        }
        assert_eq!(task.log(), chunks(1..=9));
        task.receive();
        while task.task.is_suspended() {
            assert!(task.task.can_resume());
            task.resume();
        }
        assert_eq!(task.written(), CHUNKS);
    }
}
