//! The Kafka source of one scan, for the tasks of one thread: whole fetches are decoded at once, each into
//! batches of one partition. Where partitions start and end was settled before (`startup.rs`).

use super::idleness::{Answer, Asker, Inquiry, Looks, Silence};
use super::metadata::MetadataColumns;
use super::{PartitionId, Source, SourceBatch};
use crate::batch::{Batch, FailedRow, FailureReason, Origin, SourceRecords};
use crate::decode::{Decoded, RecordDecoder};
use crate::env::Clock;
use crate::error::{ErrorContext, ErrorKind, Result};
use crate::kafka::consumer::FetchedRecords;
use crate::kafka::{FetchQueue, Fetched};
use crate::operators::ActiveInput;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use millrace_planner::plan::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A partition and who reads it from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    pub task: u32,
    pub partition: PartitionId,
    /// The first offset to read.
    pub start: i64,
    /// A bounded scan ends before this offset.
    pub end: Option<i64>,
}

/// How the columns of a scan come about.
pub struct ScanLayout {
    pub scan: NodeId,
    pub schema: SchemaRef,
    /// Of the columns that come from the value.
    pub decoder: Box<dyn RecordDecoder>,
    pub key: Option<KeyDecoder>,
    pub metadata: MetadataColumns,
    /// Zero: a partition is never idle.
    pub idle_timeout: Duration,
    /// Every partition has an end.
    pub bounded: bool,
}

/// Columns that come from the record's key.
pub struct KeyDecoder {
    pub decoder: Box<dyn RecordDecoder>,
    /// For each physical column of the scan, in order: whether it is one of them.
    pub from_key: Vec<bool>,
}

pub struct KafkaSource {
    layout: ScanLayout,
    queue: FetchQueue,
    partitions: BTreeMap<PartitionId, PartitionState>,
    moved: Vec<(u32, PartitionId, i64)>,
    fetched: Vec<Fetched>,
    looks: Looks,
    asker: Asker,
    clock: Arc<dyn Clock>,
}

struct PartitionState {
    task: u32,
    next: i64,
    end: Option<i64>,
    silence: Silence,
}

impl PartitionState {
    fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

impl KafkaSource {
    pub fn new(
        layout: ScanLayout,
        queue: FetchQueue,
        partitions: Vec<AssignedPartition>,
        inquiry: Inquiry,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut source = Self {
            layout,
            queue,
            partitions: BTreeMap::new(),
            moved: Vec::new(),
            fetched: Vec::new(),
            looks: Looks::default(),
            asker: Asker::new(inquiry),
            clock,
        };
        for partition in partitions {
            source.add_partition(partition)?;
        }
        Ok(source)
    }

    fn end_of_partition(&mut self, topic: String, partition: i32, next: i64) {
        let id = PartitionId { topic, partition };
        let now = self.clock.monotonic();
        if let Some(state) = self.partitions.get_mut(&id) {
            // Transaction markers take offsets without being records.
            if next > state.next {
                state.next = next;
                self.moved.push((state.task, id, next));
            }
            state.silence.begin(now);
        }
    }

    fn look_for_idle_partitions(&mut self) {
        let timeout = self.layout.idle_timeout;
        if timeout.is_zero() {
            return;
        }
        let now = self.clock.monotonic();
        let Self { partitions, queue, looks, asker, .. } = self;
        while let Ok(Answer { partition, next, nothing_more }) = asker.answers.try_recv() {
            if let Some(state) = partitions.get_mut(&partition).filter(|state| state.next == next) {
                state.silence.answered(nothing_more, now);
            }
        }
        if looks.look(now) {
            partitions.values_mut().for_each(|state| state.silence.not_observed(now));
        }
        if !looks.is_round(now) {
            return;
        }
        for (partition, state) in partitions {
            if state.silence.is_due(now, timeout) {
                asker.ask(queue.consumer(), partition, state.next);
            }
        }
    }

    fn decode(&mut self, records: &Arc<FetchedRecords>, batches: &mut Vec<SourceBatch>) -> Result<()> {
        let partition = PartitionId { topic: records.topic().to_owned(), partition: records.partition() };
        let Some(state) = self.partitions.get_mut(&partition) else { return Ok(()) };
        if state.finished() {
            return Ok(());
        }
        let count = match state.end {
            None => records.len(),
            Some(end) => (0..records.len()).take_while(|&i| records.offset(i) < end).count(),
        };
        let next = match (count < records.len(), state.end) {
            (true, Some(end)) => end,
            _ => records.offset(count - 1) + 1,
        };
        let (mut index, mut failed, mut bytes) = (Vec::with_capacity(count), Vec::new(), 0);
        for record in 0..count {
            let payload = records.payload(record);
            bytes += payload.map_or(0, <[u8]>::len) as u64;
            let rows = self.layout.decoder.rows();
            let decoded = match (self.layout.decoder.decode(payload), &mut self.layout.key) {
                (Ok(Decoded::Row), Some(key)) => key.decoder.decode(records.key(record)),
                (decoded, _) => decoded,
            };
            if decoded != Ok(Decoded::Row) {
                // The value may have been a row although the key is none.
                self.layout.decoder.truncate(rows);
            }
            match decoded {
                Ok(Decoded::Row) => index.push(record as u32),
                // A record without a key has no row, like one without a value.
                Ok(Decoded::Skipped) => {}
                Err(error) => failed.push(FailedRow {
                    reason: FailureReason::Decode,
                    message: error.to_string(),
                    policy: None,
                    record: Some((records.clone(), record)),
                }),
            }
        }
        let mut physical = self.layout.decoder.finish();
        if let Some(key) = &mut self.layout.key {
            physical = key.interleave(physical);
        }
        let index = UInt32Array::from(index);
        let columns = self.layout.metadata.merge(physical, records, &index);
        let rows = record_batch(&self.layout.schema, columns, index.len())?;
        let origin = Origin { records: records.clone(), index };
        state.next = next;
        state.silence = Silence::None;
        batches.push(SourceBatch {
            scan: self.layout.scan,
            task: state.task,
            batch: Batch { rows, origin: Some(origin) },
            failed,
            partition,
            next,
            records: count as u64,
            bytes,
        });
        Ok(())
    }
}

impl Source for KafkaSource {
    fn scan(&self) -> NodeId {
        self.layout.scan
    }

    fn poll(&mut self, timeout: Duration, batches: &mut Vec<SourceBatch>) -> Result<()> {
        let mut fetched = std::mem::take(&mut self.fetched);
        self.queue.fetch(timeout, &mut fetched)?;
        for item in fetched.drain(..) {
            match item {
                Fetched::Records(records) => self.decode(&records, batches)?,
                Fetched::EndOfPartition { topic, partition, next } => self.end_of_partition(topic, partition, next),
            }
        }
        self.fetched = fetched;
        self.look_for_idle_partitions();
        Ok(())
    }

    fn finished(&self, task: u32) -> bool {
        self.layout.bounded && self.partitions.values().filter(|p| p.task == task).all(PartitionState::finished)
    }

    fn active_inputs(&self, task: u32) -> Vec<ActiveInput<'_>> {
        let idle = |state: &PartitionState| state.silence == Silence::Confirmed || state.finished();
        let of_task = self.partitions.iter().filter(|(_, state)| state.task == task);
        of_task
            .map(|(id, state)| ActiveInput { topic: &id.topic, partition: id.partition, idle: idle(state) })
            .collect()
    }

    fn stand_still(&mut self) {
        let now = self.clock.monotonic();
        self.partitions.values_mut().for_each(|state| state.silence.not_observed(now));
    }

    fn take_positions(&mut self) -> Vec<(u32, PartitionId, i64)> {
        std::mem::take(&mut self.moved)
    }

    fn add_partition(&mut self, partition: AssignedPartition) -> Result<()> {
        let AssignedPartition { task, partition, start, end } = partition;
        let state = PartitionState { task, next: start, end, silence: Silence::None };
        if !state.finished() {
            self.queue.consumer().assign(&partition.topic, partition.partition, start, &self.queue)?;
        }
        self.partitions.insert(partition, state);
        Ok(())
    }
}

impl KeyDecoder {
    /// The key's and the value's columns, in the scan's order.
    fn interleave(&mut self, value: Vec<ArrayRef>) -> Vec<ArrayRef> {
        let (mut key, mut value) = (self.decoder.finish().into_iter(), value.into_iter());
        let next = |&from_key: &bool| if from_key { key.next() } else { value.next() };
        self.from_key.iter().map(next).map(|column| column.expect("as many columns as were asked for")).collect()
    }
}

fn record_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .or_kind(ErrorKind::FailJob, "the decoder's columns don't fit the scan's schema")
}
