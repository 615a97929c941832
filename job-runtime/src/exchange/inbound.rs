//! Records of other workers for the tasks of one thread, of one exchange: read `read_committed`, so they
//! arrive when their sender has committed, and in the order of each sender.

use super::record::ExchangeRecord;
use crate::batch::SourceRecords;
use crate::error::{Error, Result};
use crate::kafka::{FetchQueue, Fetched};
use crate::source::PartitionId;
use arrow_schema::SchemaRef;
use millrace_planner::plan::NodeId;
use std::collections::VecDeque;
use std::time::Duration;

/// A record for a task.
pub struct Arrival {
    pub exchange: NodeId,
    pub to: u32,
    pub record: ExchangeRecord,
    pub partition: PartitionId,
    /// Where reading goes on after it.
    pub next: i64,
}

pub struct Inbound {
    exchange: NodeId,
    schema: SchemaRef,
    queue: FetchQueue,
    fetched: Vec<Fetched>,
}

impl Inbound {
    /// The queue has the partitions of the thread's tasks assigned.
    pub fn new(exchange: NodeId, schema: SchemaRef, queue: FetchQueue) -> Self {
        Self { exchange, schema, queue, fetched: Vec::new() }
    }

    pub fn exchange(&self) -> NodeId {
        self.exchange
    }

    /// Takes what is there, without waiting.
    pub fn poll(&mut self, arrivals: &mut VecDeque<Arrival>) -> Result<()> {
        let mut fetched = std::mem::take(&mut self.fetched);
        self.queue.fetch(Duration::ZERO, &mut fetched)?;
        for item in fetched.drain(..) {
            let Fetched::Records(records) = item else { continue };
            for index in 0..records.len() {
                let partition = PartitionId { topic: records.topic().to_owned(), partition: records.partition() };
                let offset = records.offset(index);
                let place = || format!("{}-{}, offset {offset}", partition.topic, partition.partition);
                let payload = records.payload(index).ok_or_else(|| Error::fail_job(format!("{}: empty", place())))?;
                let record = ExchangeRecord::decode(payload, &self.schema).map_err(|e| e.context(place()))?;
                let to = partition.partition as u32;
                arrivals.push_back(Arrival { exchange: self.exchange, to, record, partition, next: offset + 1 });
            }
        }
        self.fetched = fetched;
        Ok(())
    }
}
