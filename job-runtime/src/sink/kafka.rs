//! The Kafka sink: rows become JSON records in the epoch's transaction.

use super::outputs::{HeadedRecord, Outputs, RowsRecord};
use super::{SinkContext, SinkWriter};
use crate::batch::{Batch, FailedRow, FailureReason};
use crate::encode::EncodedRows;
use crate::encode::json::JsonEncoder;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::kafka::size::{MAX_MESSAGE_BYTES, record_bytes};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType as ArrowType, TimeUnit};
use millrace_planner::connector::{JsonOptions, KafkaOptions, Partitioner};
use millrace_planner::plan::{Column, Schema, Sink, SinkTarget};
use std::sync::Arc;

/// More than a record without headers takes beside its key and value.
const RECORD_OVERHEAD: usize = 128;

pub(super) struct KafkaSink {
    topic: Arc<str>,
    value: Projection,
    key: Option<Projection>,
    timestamp: Option<usize>,
    headers: Option<usize>,
    /// What the topic takes; None where that is not known.
    topic_bytes: Option<usize>,
    partitioner: Partitioner,
    partitions: i32,
    /// The partition that the next batch without keys goes to.
    next_partition: i32,
    task: u32,
}

/// Some of the input's columns, with their encoder.
struct Projection {
    columns: Vec<usize>,
    encoder: JsonEncoder,
}

impl Projection {
    fn encode(&mut self, rows: &RecordBatch, out: &mut EncodedRows) -> Result<()> {
        let projected =
            rows.project(&self.columns).or_kind(ErrorKind::FailJob, "could not project a sink's columns")?;
        self.encoder.encode(&projected, out)
    }
}

impl KafkaSink {
    pub(super) fn new(sink: &Sink, input: &Schema, context: &SinkContext<'_>) -> Result<Self> {
        let table = &sink.table.name;
        let options = KafkaOptions::from_table(&sink.table)
            .map_err(|e| Error::user_fault(format!("table {table}")).caused_by(e))?;
        let topic: Arc<str> = match options.topics.only() {
            Some(topic) => topic.into(),
            None => {
                return Err(Error::user_fault(format!("table {table} is written to, so it needs exactly one topic")));
            }
        };
        let target = |name: &str| {
            sink.targets.iter().position(|t| matches!(t, SinkTarget::Physical { name: physical } if physical == name))
        };
        let metadata = |key: &str| {
            sink.targets.iter().position(|t| matches!(t, SinkTarget::Metadata { key: metadata } if metadata == key))
        };
        let projection = |names: &[String], prefix: &str, format: &JsonOptions| -> Result<Projection> {
            let mut columns = Vec::new();
            let mut schema = Schema::default();
            for name in names {
                let Some(at) = target(name) else { continue };
                columns.push(at);
                let field = name.strip_prefix(prefix).unwrap_or(name).to_owned();
                schema.columns.push(Column { name: field, data_type: input.columns[at].data_type.clone() });
            }
            Ok(Projection { columns, encoder: JsonEncoder::new(&schema, format.into())? })
        };
        Ok(Self {
            topic_bytes: context.limits.of(&topic),
            topic,
            value: projection(&options.value.columns, "", &options.value.format)?,
            key: options.key.as_ref().map(|k| projection(&k.columns, &k.prefix, &k.format)).transpose()?,
            timestamp: metadata("timestamp"),
            headers: metadata("headers"),
            partitioner: options.partitioner,
            partitions: context.partitions.max(1),
            next_partition: context.task as i32,
            task: context.task,
        })
    }

    /// The rows whose records the topic does not take, with what each record takes.
    fn oversized(&self, rows: &RecordBatch, keys: Option<&EncodedRows>, values: &EncodedRows) -> Vec<(usize, usize)> {
        let Some(limit) = self.topic_bytes else { return Vec::new() };
        let all = values.total_bytes() + keys.map_or(0, EncodedRows::total_bytes);
        if self.headers.is_none() && all + RECORD_OVERHEAD <= limit {
            return Vec::new();
        }
        let bytes = |row| {
            let headers = self.headers.map(|at| headers(rows.column(at), row)).unwrap_or_default();
            record_bytes(keys.map(|k| k.row(row)), Some(values.row(row)), &headers)
        };
        (0..values.len()).map(|row| (row, bytes(row))).filter(|(_, bytes)| *bytes > limit).collect()
    }

    /// Writes a batch without the rows that the topic does not take.
    fn write_rest(
        &mut self,
        batch: &Batch,
        oversized: &[(usize, usize)],
        outputs: &mut Outputs,
        failed: &mut Vec<FailedRow>,
    ) -> Result<()> {
        let (topic, limit) = (&self.topic, self.topic_bytes.unwrap_or_default());
        failed.extend(oversized.iter().map(|&(row, bytes)| {
            let message = format!(
                "its record takes {bytes} bytes, and topic {topic} takes at most {limit} ({MAX_MESSAGE_BYTES})"
            );
            batch.failed(row, FailureReason::Evaluate, message)
        }));
        let mut fits = vec![true; batch.num_rows()];
        oversized.iter().for_each(|&(row, _)| fits[row] = false);
        let rest = batch.filter(&fits.into())?;
        if rest.num_rows() == 0 { Ok(()) } else { self.write(&rest, outputs, failed) }
    }

    /// None: by the key.
    fn partition(&mut self) -> Option<i32> {
        match self.partitioner {
            Partitioner::Default if self.key.is_some() => None,
            Partitioner::Fixed => Some(self.task as i32 % self.partitions),
            Partitioner::Default | Partitioner::RoundRobin => {
                // A whole batch to one partition makes whole batches for the broker; over time they spread evenly.
                self.next_partition = (self.next_partition + 1) % self.partitions;
                Some(self.next_partition)
            }
        }
    }

    /// Rows with a timestamp or headers of their own go one by one.
    fn write_headed(
        &mut self,
        rows: &RecordBatch,
        keys: Option<&EncodedRows>,
        values: &EncodedRows,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let partition = self.partition();
        let timestamps = self.timestamp.map(|at| to_millis(rows.column(at))).transpose()?;
        for row in 0..rows.num_rows() {
            let timestamp = timestamps.as_ref().filter(|t| t.is_valid(row));
            outputs.record(
                &self.topic,
                HeadedRecord {
                    partition,
                    key: keys.map(|k| k.row(row).to_vec()),
                    value: Some(values.row(row).to_vec()),
                    timestamp: timestamp.map(|t| t.as_primitive::<TimestampMillisecondType>().value(row)),
                    headers: self.headers.map(|at| headers(rows.column(at), row)).unwrap_or_default(),
                },
            )?;
        }
        Ok(())
    }
}

impl SinkWriter for KafkaSink {
    fn write(&mut self, batch: &Batch, outputs: &mut Outputs, failed: &mut Vec<FailedRow>) -> Result<()> {
        let mut values = outputs.buffer();
        self.value.encode(&batch.rows, &mut values)?;
        let keys = match &mut self.key {
            None => None,
            Some(key) => {
                let mut keys = outputs.buffer();
                key.encode(&batch.rows, &mut keys)?;
                Some(keys)
            }
        };
        let oversized = self.oversized(&batch.rows, keys.as_ref(), &values);
        if !oversized.is_empty() {
            return self.write_rest(batch, &oversized, outputs, failed);
        }
        if self.timestamp.is_some() || self.headers.is_some() {
            return self.write_headed(&batch.rows, keys.as_ref(), &values, outputs);
        }
        let partition = self.partition();
        outputs.rows(&self.topic, RowsRecord { partition, keys, values })
    }
}

fn to_millis(column: &ArrayRef) -> Result<ArrayRef> {
    let plain = cast(column, &ArrowType::Timestamp(TimeUnit::Millisecond, None));
    plain.or_kind(ErrorKind::FailJob, "could not read the timestamp of a record")
}

fn headers(column: &ArrayRef, row: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let map = column.as_map();
    if map.is_null(row) {
        return Vec::new();
    }
    let entries = map.value(row);
    let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
    let header = |i| (names.value(i).to_owned(), values.is_valid(i).then(|| values.value(i).to_vec()));
    (0..entries.len()).map(header).collect()
}
