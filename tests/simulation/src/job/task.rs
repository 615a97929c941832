//! One task of the model job: what it does with rows, watermarks and the end of an epoch. It does no IO:
//! what is to be written it collects, what goes to tasks of the same worker it queues.

use super::rows::{self, Message, Row};
use super::{DISORDER, EXCHANGES, OUTPUT_PARTITIONS, SOURCE, Topics, WINDOW};
use crate::disk::{Change, Key, Value};
use crate::log::TopicPartition;
use millrace_protocol::Result;
use millrace_protocol::assignment::{Assignment, KEY_GROUPS, task_of_key_group, task_of_partition};
use millrace_protocol::link::Links;
use millrace_protocol::record::{Batch, Commit, LogRecord, SourcePosition};
use millrace_protocol::savepoint::{Counts, TaskCut};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Kinds of state.
const COUNT: u8 = 0;
const WINDOW_OPEN: u8 = 1;
const SENT: u8 = 2;
const RECEIVED: u8 = 3;
const HEARD: u8 = 4;
const SOURCE_TIME: u8 = 5;

/// Operator ids in positions: the scan, and one for each exchange.
pub const SCAN: u32 = 0;
const FIRST_EXCHANGE: u32 = 10;

/// A message of an exchange has at most so many rows.
const MESSAGE_ROWS: usize = 8;
/// A batch of the task log has at most so many changes.
const BATCH_CHANGES: usize = 16;

/// Something to write in the transaction.
pub struct Outgoing {
    pub to: TopicPartition,
    pub value: Rc<[u8]>,
    /// The task whose commit record this is.
    pub commit_of: Option<u32>,
}

/// What goes to a task of the same worker, through memory.
pub struct Envelope {
    pub exchange: usize,
    pub from: u32,
    pub to: u32,
    pub row: Option<Row>,
    pub watermark: Option<i64>,
}

/// Where a task puts what leaves it.
#[derive(Default)]
pub struct Leaving {
    pub writes: Vec<Outgoing>,
    /// Of each exchange.
    pub memory: [std::collections::VecDeque<Envelope>; EXCHANGES],
}

/// What ending an epoch came to.
pub struct Prepared {
    pub task: u32,
    pub commit: Option<Commit>,
    pub changes: Vec<Change>,
    pub finished: bool,
    /// What its commit says of the exchanges, if nothing was fed in.
    pub still: Option<TaskCut>,
}

pub struct Task {
    pub id: u32,
    assignment: Assignment,
    topics: Topics,
    claim: i64,
    sequence: u64,
    positions: BTreeMap<(u32, u32), i64>,
    state: BTreeMap<Key, Value>,
    changes: BTreeMap<Key, Option<Value>>,
    links: [Links; EXCHANGES],
    /// Rows for tasks of other workers, by exchange and task downstream.
    outboxes: [Vec<Vec<Row>>; EXCHANGES],
    /// The watermark that each task downstream was told last.
    told: [Vec<i64>; EXCHANGES],
    moved: bool,
}

fn group(number: u32) -> u16 {
    (number.wrapping_mul(0x9E37_79B1) >> 16) as u16 % KEY_GROUPS
}

/// The task of a savepoint's entry; None for what is between two tasks, and left behind.
pub fn task_of_entry(&(kind, a, _): &Key, parallelism: u32) -> Option<u32> {
    match kind {
        COUNT | WINDOW_OPEN => Some(task_of_key_group(group(a), parallelism)),
        SOURCE_TIME => Some(task_of_partition(a as i32, parallelism)),
        _ => None,
    }
}

impl Task {
    /// Goes on from a state, and the number and positions of the commit that it is of.
    pub fn new(
        id: u32,
        assignment: Assignment,
        topics: Topics,
        sources: u32,
        claim: i64,
        state: BTreeMap<Key, Value>,
        (sequence, positions_so_far): (u64, &[SourcePosition]),
    ) -> Self {
        let owned = (0..sources).filter(|q| task_of_partition(*q as i32, assignment.parallelism) == id);
        let mut positions: BTreeMap<(u32, u32), i64> = owned.map(|q| ((SCAN, q), 0)).collect();
        positions.extend((0..2).map(|exchange| ((FIRST_EXCHANGE + exchange, id), 0)));
        for position in positions_so_far {
            positions.insert((position.operator, position.partition as u32), position.offset);
        }
        let mut links = [Links::new(id), Links::new(id)];
        for ((kind, exchange, other), value) in &state {
            match *kind {
                SENT => links[*exchange as usize].restore_sent(*other as u32, value.0 as u64),
                RECEIVED => links[*exchange as usize].restore_received(*other as u32, value.0 as u64),
                _ => {}
            }
        }
        let tasks = assignment.parallelism as usize;
        Self {
            id,
            assignment,
            topics,
            claim,
            sequence,
            positions,
            state,
            changes: BTreeMap::new(),
            links,
            outboxes: [vec![Vec::new(); tasks], vec![Vec::new(); tasks]],
            told: [vec![i64::MIN; tasks], vec![i64::MIN; tasks]],
            moved: false,
        }
    }

    fn get(&self, key: Key) -> Option<Value> {
        self.state.get(&key).copied()
    }

    fn put(&mut self, key: Key, value: Option<Value>) {
        match value {
            Some(value) => self.state.insert(key, value),
            None => self.state.remove(&key),
        };
        self.changes.insert(key, value);
    }

    // ---- where it is

    /// The source partitions it reads, with the next offset of each.
    pub fn sources(&self) -> Vec<(u32, i64)> {
        self.positions.iter().filter(|((operator, _), _)| *operator == SCAN).map(|((_, q), o)| (*q, *o)).collect()
    }

    pub fn exchange_position(&self, exchange: usize) -> i64 {
        self.positions[&(FIRST_EXCHANGE + exchange as u32, self.id)]
    }

    pub fn sent(&self, exchange: usize, to: u32) -> u64 {
        self.links[exchange].sent(to)
    }

    pub fn received(&self, exchange: usize, from: u32) -> u64 {
        self.links[exchange].received(from)
    }

    /// The watermark of what it sends into an exchange.
    fn watermark(&self, exchange: usize) -> i64 {
        if exchange == 0 {
            let time = |q: u32| self.get((SOURCE_TIME, q, 0)).map_or(i64::MIN, |value| value.0);
            return self.sources().into_iter().map(|(q, _)| time(q)).min().unwrap_or(i64::MAX);
        }
        self.heard(exchange - 1)
    }

    /// The watermark of what comes out of an exchange: of its slowest task upstream.
    fn heard(&self, exchange: usize) -> i64 {
        let from = |task: u32| self.get((HEARD, exchange as u32, i64::from(task))).map_or(i64::MIN, |value| value.0);
        (0..self.assignment.parallelism).map(from).min().unwrap_or(i64::MIN)
    }

    // ---- rows and time

    /// Rows of a source partition, of which the next offset to read is then `next`.
    pub fn source(&mut self, partition: u32, rows: Vec<Row>, next: i64, ended: bool, leaving: &mut Leaving) {
        let mut time = self.get((SOURCE_TIME, partition, 0)).map_or(i64::MIN, |value| value.0);
        let before = time;
        for row in rows {
            time = time.max(row.time - DISORDER);
            let to = task_of_key_group(group(row.key), self.assignment.parallelism);
            self.send(0, to, row, leaving);
        }
        if ended {
            time = i64::MAX;
        }
        self.moved |= self.positions.insert((SCAN, partition), next) != Some(next);
        if time > before {
            self.put((SOURCE_TIME, partition, 0), Some((time, 0)));
        }
        self.tell_memory(0, leaving);
    }

    /// A record of an exchange, of which the next offset to read is then `next`.
    pub fn record(&mut self, exchange: usize, message: Message, next: i64, leaving: &mut Leaving) -> Result<()> {
        self.links[exchange].receive(message.from, message.number)?;
        self.passed(exchange, next);
        for row in message.rows {
            self.process(exchange, row, leaving);
        }
        self.heard_from(exchange, message.from, message.watermark, leaving);
        Ok(())
    }

    /// Nothing that concerns it lies before `next`.
    pub fn passed(&mut self, exchange: usize, next: i64) {
        let position = (FIRST_EXCHANGE + exchange as u32, self.id);
        self.moved |= self.positions.insert(position, next) != Some(next);
    }

    pub fn envelope(&mut self, envelope: Envelope, leaving: &mut Leaving) {
        if let Some(row) = envelope.row {
            self.process(envelope.exchange, row, leaving);
        }
        if let Some(watermark) = envelope.watermark {
            self.heard_from(envelope.exchange, envelope.from, watermark, leaving);
        }
    }

    fn process(&mut self, exchange: usize, row: Row, leaving: &mut Leaving) {
        if exchange == 0 {
            let key = (COUNT, row.key, 0);
            let count = self.get(key).map_or(1, |value| value.0 + 1);
            self.put(key, Some((count, 0)));
            self.output(row.key, rows::counted(&row, count), leaving);
            let to = task_of_key_group(group(row.bucket), self.assignment.parallelism);
            self.send(1, to, row, leaving);
        } else {
            let end = (row.time.div_euclid(WINDOW) + 1) * WINDOW;
            let key = (WINDOW_OPEN, row.bucket, end);
            let (count, sum) = self.get(key).unwrap_or((0, 0));
            self.put(key, Some((count + 1, sum + row.value)));
        }
    }

    fn output(&mut self, key: u32, value: Rc<[u8]>, leaving: &mut Leaving) {
        let to = TopicPartition { topic: self.topics.output, partition: key % OUTPUT_PARTITIONS };
        leaving.writes.push(Outgoing { to, value, commit_of: None });
    }

    fn send(&mut self, exchange: usize, to: u32, row: Row, leaving: &mut Leaving) {
        if self.assignment.owns(to) {
            let envelope = Envelope { exchange, from: self.id, to, row: Some(row), watermark: None };
            leaving.memory[exchange].push_back(envelope);
            return;
        }
        self.outboxes[exchange][to as usize].push(row);
        if self.outboxes[exchange][to as usize].len() >= MESSAGE_ROWS {
            self.seal(exchange, to, leaving);
        }
    }

    fn heard_from(&mut self, exchange: usize, from: u32, watermark: i64, leaving: &mut Leaving) {
        let key = (HEARD, exchange as u32, i64::from(from));
        if self.get(key).is_none_or(|value| value.0 < watermark) {
            self.put(key, Some((watermark, 0)));
        }
        if exchange == 0 { self.tell_memory(1, leaving) } else { self.close_windows(leaving) }
    }

    fn close_windows(&mut self, leaving: &mut Leaving) {
        let watermark = self.heard(1);
        let open = self.state.range((WINDOW_OPEN, 0, i64::MIN)..(WINDOW_OPEN + 1, 0, i64::MIN));
        let due: Vec<(Key, Value)> = open.filter(|(key, _)| key.2 <= watermark).map(|(k, v)| (*k, *v)).collect();
        for (key, (count, sum)) in due {
            self.put(key, None);
            self.output(key.1, rows::closed(key.1, key.2, count, sum), leaving);
        }
    }

    /// Tells the tasks of the same worker how far time has come.
    fn tell_memory(&mut self, exchange: usize, leaving: &mut Leaving) {
        let watermark = self.watermark(exchange);
        let (from, assignment) = (self.id, self.assignment);
        for to in assignment.tasks() {
            if self.told[exchange][to as usize] < watermark {
                self.told[exchange][to as usize] = watermark;
                let envelope = Envelope { exchange, from, to, row: None, watermark: Some(watermark) };
                leaving.memory[exchange].push_back(envelope);
            }
        }
    }

    /// Writes what waits for a task of another worker, numbered.
    fn seal(&mut self, exchange: usize, to: u32, leaving: &mut Leaving) {
        let rows = std::mem::take(&mut self.outboxes[exchange][to as usize]);
        let watermark = self.watermark(exchange);
        self.told[exchange][to as usize] = watermark;
        let number = self.links[exchange].send(to);
        let message = Message { from: self.id, number, watermark, rows };
        let to = TopicPartition { topic: self.topics.exchanges[exchange], partition: to };
        leaving.writes.push(Outgoing { to, value: message.encode(), commit_of: None });
    }

    // ---- epochs

    /// Writes the epoch's rows, watermarks, changes and positions, once memory is empty.
    /// Under `still` nothing was fed in, and the exchanges count.
    pub fn prepare(&mut self, heartbeat: bool, still: bool, leaving: &mut Leaving) -> Prepared {
        for exchange in 0..2 {
            let assignment = self.assignment;
            for to in (0..assignment.parallelism).filter(|to| !assignment.owns(*to)) {
                let late = self.told[exchange][to as usize] < self.watermark(exchange);
                if late || !self.outboxes[exchange][to as usize].is_empty() {
                    self.seal(exchange, to, leaving);
                }
            }
            for (to, count) in self.links[exchange].take_sent() {
                self.put((SENT, exchange as u32, i64::from(to)), Some((count as i64, 0)));
            }
            for (from, count) in self.links[exchange].take_received() {
                self.put((RECEIVED, exchange as u32, i64::from(from)), Some((count as i64, 0)));
            }
        }
        let finished = self.watermark(0) == i64::MAX && self.heard(0) == i64::MAX && self.heard(1) == i64::MAX;
        let changes: Vec<Change> = std::mem::take(&mut self.changes).into_iter().collect();
        let mut commit = None;
        if std::mem::take(&mut self.moved) || !changes.is_empty() || heartbeat || finished {
            commit = Some(self.write_commit(&changes, leaving));
        }
        Prepared { task: self.id, commit, changes, finished, still: still.then(|| self.cut()) }
    }

    /// What the commit that was just prepared says of the exchanges.
    fn cut(&self) -> TaskCut {
        let counts = |of: fn(&Links) -> &Counts| {
            let exchanges = self.links.iter().enumerate().map(|(at, links)| (FIRST_EXCHANGE + at as u32, of(links)));
            exchanges.filter(|(_, counts)| !counts.is_empty()).map(|(id, counts)| (id, counts.clone())).collect()
        };
        let (sent, received) = (counts(Links::all_sent), counts(Links::all_received));
        TaskCut { task: self.id, sequence: self.sequence, sent, received }
    }

    /// That an operator of positions reads.
    fn topic(&self, operator: u32) -> u16 {
        if operator == SCAN { SOURCE } else { self.topics.exchanges[(operator - FIRST_EXCHANGE) as usize] }
    }

    fn write_commit(&mut self, changes: &[Change], leaving: &mut Leaving) -> Commit {
        let to = self.topics.task_log(self.id);
        let claim = self.claim;
        for changes in changes.chunks(BATCH_CHANGES) {
            let changes = rows::encode_changes(changes);
            let value = LogRecord::Batch(Batch { claim, changes: &changes }).encode().into();
            leaving.writes.push(Outgoing { to, value, commit_of: None });
        }
        self.sequence += 1;
        let position = |(&(operator, partition), &offset): (&(u32, u32), &i64)| SourcePosition {
            operator,
            topic: self.topic(operator).to_string(),
            topic_id: String::new(),
            partition: partition as i32,
            offset,
            end: None,
        };
        let positions = self.positions.iter().map(position).collect();
        let commit = Commit { claim, sequence: self.sequence, positions };
        let value = LogRecord::Commit(commit.clone()).encode().into();
        leaving.writes.push(Outgoing { to, value, commit_of: Some(self.id) });
        commit
    }
}

/// The offset of an exchange in a commit: what lies before it was received.
pub fn exchange_offset(commit: &Commit, exchange: usize) -> Option<i64> {
    let position = commit.positions.iter().find(|p| p.operator == FIRST_EXCHANGE + exchange as u32);
    position.map(|position| position.offset)
}
