//! One exchange, for one task: as the sender of its rows and progress, and as the receiver of others'.
//!
//! Its state, for records that go through Kafka only:
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 1, sent | task downstream (u32, big-endian) | version, number of the last record |
//! | 2, received | task upstream (u32, big-endian) | version, number of the last record, progress heard with it |

use super::{CatchUp, Envelope, ExchangeRecord, Outbound, Partitioner, Payload, Router};
use crate::error::{Error, Result};
use crate::operators::Progress;
use crate::operators::state_table::{Scope, StateTable};
use crate::sink::outputs::Outputs;
use crate::state::{StateChanges, StateEntries, TableId};
use arrow_array::{RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field};
use millrace_planner::plan::NodeId;
use millrace_protocol::link::Links;
use millrace_protocol::savepoint::Counts;
use std::collections::BTreeMap;
use std::sync::Arc;

const SENT: TableId = 1;
const RECEIVED: TableId = 2;
const VALUE_VERSION: u8 = 1;

/// The state tables of any exchange.
pub fn state_tables() -> Vec<StateTable> {
    let table = |id, name: &'static str| StateTable {
        id,
        name,
        scope: Scope::Link,
        layout: format!("link {VALUE_VERSION}"),
        fields: vec![Field::new("task", DataType::UInt32, false), Field::new("records", DataType::UInt64, false)],
        decode: Box::new(|entries| {
            let parsed = entries.iter().map(|(key, value)| parse_entry(key, value)).collect::<Result<Vec<_>>>()?;
            let tasks = UInt32Array::from_iter_values(parsed.iter().map(|(task, ..)| *task));
            let numbers = UInt64Array::from_iter_values(parsed.iter().map(|(_, number, _)| *number));
            Ok(vec![Arc::new(tasks), Arc::new(numbers)])
        }),
    };
    vec![table(SENT, "sent"), table(RECEIVED, "received")]
}

pub struct ExchangeStep {
    exchange: NodeId,
    operator_id: u32,
    task: u32,
    partitioner: Partitioner,
    router: Router,
    links: Links,
    /// None where this worker has every task.
    outbound: Option<Outbound>,
    /// By task upstream.
    heard: Vec<Heard>,
    /// By local task upstream: the number of the last record that it sent through Kafka, until received.
    awaited: BTreeMap<u32, u64>,
    catch_up: Arc<CatchUp>,
}

#[derive(Clone, Copy)]
struct Heard {
    local: bool,
    progress: Progress,
    /// Its epoch has ended. Of tasks of this worker only: the others' epochs are none of ours.
    ended: bool,
}

impl ExchangeStep {
    pub fn new(
        exchange: NodeId,
        operator_id: u32,
        task: u32,
        partitioner: Partitioner,
        router: Router,
        outbound: Option<Outbound>,
    ) -> Self {
        let heard = |from| Heard { local: router.is_local(from), progress: Progress::START, ended: false };
        Self {
            exchange,
            operator_id,
            task,
            partitioner,
            links: Links::new(task),
            outbound,
            heard: (0..router.parallelism()).map(heard).collect(),
            awaited: BTreeMap::new(),
            catch_up: Arc::default(),
            router,
        }
    }

    // ---- sending

    pub fn send_rows(&mut self, rows: &RecordBatch, now: i64, outputs: &mut Outputs) -> Result<()> {
        let Self { partitioner, router, links, outbound, exchange, task, .. } = self;
        partitioner.split(rows, |to, rows| match outbound {
            Some(outbound) if !router.is_local(to) => outbound.push(to, rows, now, links, outputs),
            _ => {
                router.send(Envelope { exchange: *exchange, from: *task, to, payload: Payload::Rows(rows) });
                Ok(())
            }
        })
    }

    pub fn send_progress(&mut self, progress: Progress) {
        self.send_to_local(|| Payload::Progress(progress));
        if let Some(outbound) = &mut self.outbound {
            outbound.advance(progress);
        }
    }

    pub fn end_epoch(&mut self, epoch: u64, now: i64, outputs: &mut Outputs) -> Result<()> {
        self.send_to_local(|| Payload::EndOfEpoch(epoch));
        match &mut self.outbound {
            Some(outbound) => outbound.end_epoch(now, &mut self.links, outputs),
            None => Ok(()),
        }
    }

    fn send_to_local(&self, payload: impl Fn() -> Payload) {
        for to in self.router.local_tasks() {
            self.router.send(Envelope { exchange: self.exchange, from: self.task, to, payload: payload() });
        }
    }

    // ---- receiving

    pub fn hear(&mut self, from: u32, progress: Progress) {
        let heard = &mut self.heard[from as usize];
        heard.progress = heard.progress.max(progress);
    }

    pub fn hear_end_of_epoch(&mut self, from: u32) {
        self.heard[from as usize].ended = true;
    }

    /// Checks that a record is the next of its sender, and takes note of its progress.
    pub fn receive(&mut self, record: &ExchangeRecord) -> Result<()> {
        let from = record.from;
        if from as usize >= self.heard.len() {
            return Err(Error::fail_job(format!(
                "a record of an exchange names task {from}, which the job does not have"
            )));
        }
        self.links.receive(from, record.number)?;
        if self.awaited.get(&from) == Some(&record.number) {
            self.awaited.remove(&from);
            self.catch_up.caught_up(self.exchange);
        }
        self.hear(from, record.progress);
        Ok(())
    }

    pub fn has_ended(&self, from: u32) -> bool {
        self.heard[from as usize].ended
    }

    /// Whether every task upstream, of this worker, has ended its epoch.
    pub fn have_all_ended(&self) -> bool {
        self.heard.iter().filter(|h| h.local).all(|h| h.ended)
    }

    /// The next epoch begins.
    pub fn begin_epoch(&mut self) {
        self.heard.iter_mut().for_each(|h| h.ended = false);
    }

    /// How far time has come over all tasks upstream.
    pub fn progress(&self) -> Progress {
        self.heard.iter().map(|h| h.progress).reduce(Progress::min).unwrap_or(Progress::START)
    }

    // ---- what was sent through Kafka and not yet received

    pub fn sent(&self, to: u32) -> u64 {
        self.links.sent(to)
    }

    pub fn received(&self, from: u32) -> u64 {
        self.links.received(from)
    }

    /// By task downstream.
    pub fn all_sent(&self) -> Counts {
        self.links.all_sent().clone()
    }

    /// By task upstream.
    pub fn all_received(&self) -> Counts {
        self.links.all_received().clone()
    }

    /// Records that local tasks have sent to this one and that are still to be received.
    pub fn await_records(&mut self, awaited: BTreeMap<u32, u64>, catch_up: Arc<CatchUp>) {
        self.awaited = awaited;
        self.catch_up = catch_up;
    }

    // ---- state

    pub fn snapshot(&mut self, changes: &mut StateChanges) {
        for (to, number) in self.links.take_sent() {
            changes.put(self.operator_id, SENT, 0, &to.to_be_bytes(), &versioned(number, None));
        }
        for (from, number) in self.links.take_received() {
            let value = versioned(number, Some(self.heard[from as usize].progress));
            changes.put(self.operator_id, RECEIVED, 0, &from.to_be_bytes(), &value);
        }
    }

    pub fn restore(&mut self, entries: &mut dyn StateEntries) -> Result<()> {
        entries.for_each(&mut |table, _, key, value| {
            let (task, number, progress) = parse_entry(key, value)?;
            match (table, progress) {
                (SENT, None) => self.links.restore_sent(task, number),
                (RECEIVED, Some(progress)) => {
                    self.links.restore_received(task, number);
                    // A task of this worker has started anew as well, and will say where it is.
                    // Another worker's was idle when it said so, and may have had more to read since: until it says so
                    // again it holds back.
                    if let Some(heard) = self.heard.get_mut(task as usize).filter(|h| !h.local) {
                        heard.progress = Progress { idle: false, ..progress };
                    }
                }
                _ => return Err(unknown_version()),
            }
            Ok(())
        })
    }
}

/// The task at the other end, the number of its last record, and the progress heard with it.
fn parse_entry(key: &[u8], value: &[u8]) -> Result<(u32, u64, Option<Progress>)> {
    let task = key.try_into().map(u32::from_be_bytes).map_err(|_| unknown_version())?;
    let (number, progress) = parse(value).ok_or_else(unknown_version)?;
    Ok((task, number, progress))
}

fn unknown_version() -> Error {
    Error::fail_job("the state of an exchange is not of this version")
}

fn versioned(number: u64, progress: Option<Progress>) -> Vec<u8> {
    let mut value = vec![VALUE_VERSION];
    value.extend_from_slice(&number.to_le_bytes());
    if let Some(progress) = progress {
        value.extend_from_slice(&progress.event.to_le_bytes());
        value.extend_from_slice(&progress.processing.to_le_bytes());
        value.push(u8::from(progress.idle));
    }
    value
}

fn parse(value: &[u8]) -> Option<(u64, Option<Progress>)> {
    let rest = value.strip_prefix(&[VALUE_VERSION])?;
    let (number, rest) = rest.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    if rest.is_empty() {
        return Some((number, None));
    }
    let (event, rest) = rest.split_first_chunk()?;
    let (processing, rest) = rest.split_first_chunk()?;
    let [idle] = rest else { return None };
    let (event, processing) = (i64::from_le_bytes(*event), i64::from_le_bytes(*processing));
    Some((number, Some(Progress { event, processing, idle: *idle != 0 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_progress_read_back_as_written() {
        let progress = Progress { event: -5, processing: i64::MAX, idle: true };
        for value in [(7, None), (u64::MAX, Some(progress))] {
            assert_eq!(parse(&versioned(value.0, value.1)), Some(value));
        }
        assert_eq!(parse(&[VALUE_VERSION + 1; 9]), None);
        assert_eq!(parse(&versioned(7, Some(progress))[..12]), None);
    }
}
