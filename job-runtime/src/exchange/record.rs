//! The record that carries rows between workers, versioned: a header of fixed length, then the rows as an
//! Arrow IPC message, compressed with LZ4. The schema is not in it: it is the plan's, and the topic's name
//! has its fingerprint.
//!
//! `version (u8) | flags (u8) | task upstream (u32) | number (u64) | event (i64) | processing (i64) |
//! ready at (i64) | length of the message's metadata (u32) | length of its body (u32) | metadata | body`,
//! little-endian; no metadata, no rows.

use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::operators::Progress;
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_ipc::{CompressionType, MetadataVersion, root_as_message};
use arrow_schema::SchemaRef;
use std::collections::HashMap;

const VERSION: u8 = 2;
const IDLE: u8 = 1;
const HEADER: usize = 2 + 4 + 8 + 8 + 8 + 8 + 4 + 4;

/// Rows of one task upstream, and how far its time has come after them.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeRecord {
    pub from: u32,
    /// Rises by one with each record between two tasks.
    pub number: u64,
    pub progress: Progress,
    /// When the first of its rows came, or the progress of one without rows: epoch milliseconds. For measuring.
    pub ready_at: i64,
    pub rows: Option<RecordBatch>,
}

/// Makes records; keeps the buffers of the compression.
pub(super) struct RecordEncoder {
    generator: IpcDataGenerator,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl RecordEncoder {
    pub(super) fn new() -> Result<Self> {
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(Some(CompressionType::LZ4_FRAME)))
            .or_kind(ErrorKind::FailJob, "could not set the exchange's format up")?;
        Ok(Self { generator: IpcDataGenerator::default(), options, context: IpcWriteContext::default() })
    }

    pub(super) fn encode(&mut self, record: &ExchangeRecord) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION, if record.progress.idle { IDLE } else { 0 }];
        bytes.extend_from_slice(&record.from.to_le_bytes());
        bytes.extend_from_slice(&record.number.to_le_bytes());
        bytes.extend_from_slice(&record.progress.event.to_le_bytes());
        bytes.extend_from_slice(&record.progress.processing.to_le_bytes());
        bytes.extend_from_slice(&record.ready_at.to_le_bytes());
        let Some(rows) = &record.rows else {
            bytes.extend_from_slice(&[0; 8]);
            return Ok(bytes);
        };
        let mut dictionaries = DictionaryTracker::new(false);
        let (_, encoded) = self
            .generator
            .encode(rows, &mut dictionaries, &self.options, &mut self.context)
            .or_kind(ErrorKind::FailJob, "could not write rows for the exchange")?;
        let length = |part: &[u8]| u32::try_from(part.len()).expect("a record is far below 4 GiB").to_le_bytes();
        bytes.reserve(8 + encoded.ipc_message.len() + encoded.arrow_data.len());
        bytes.extend_from_slice(&length(&encoded.ipc_message));
        bytes.extend_from_slice(&length(&encoded.arrow_data));
        bytes.extend_from_slice(&encoded.ipc_message);
        bytes.extend_from_slice(&encoded.arrow_data);
        Ok(bytes)
    }
}

impl RecordEncoder {
    /// The record in as many as it takes for each to have at most `limit` bytes, or one row. They are numbered from its
    /// number on; those before the last tell `before` in place of its progress, which comes after all of its rows.
    pub(super) fn encode_within(
        &mut self,
        record: ExchangeRecord,
        before: Progress,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let mut encoded = Vec::new();
        // The next one last.
        let mut waiting = vec![record.rows.clone()];
        while let Some(rows) = waiting.pop() {
            let progress = if waiting.is_empty() { record.progress } else { before };
            let number = record.number + encoded.len() as u64;
            let bytes = self.encode(&ExchangeRecord { number, progress, rows: rows.clone(), ..record })?;
            match rows.filter(|rows| bytes.len() > limit && rows.num_rows() > 1) {
                Some(rows) => {
                    let half = rows.num_rows() / 2;
                    waiting.push(Some(rows.slice(half, rows.num_rows() - half)));
                    waiting.push(Some(rows.slice(0, half)));
                }
                None => encoded.push(bytes),
            }
        }
        Ok(encoded)
    }
}

impl ExchangeRecord {
    /// Errors say that the record is corrupt or of a later version; both need a person.
    pub fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<Self> {
        let corrupt = |what: &str| Error::fail_job(format!("a record of an exchange is corrupt: {what}"));
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(|| corrupt("it is shorter than its header"))?;
        if header[0] != VERSION {
            return Err(Error::fail_job(format!(
                "an exchange has records of version {}, this version of Millrace reads {VERSION}: run the version that wrote it",
                header[0]
            )));
        }
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let i64_at = |at: usize| i64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let progress = Progress { event: i64_at(14), processing: i64_at(22), idle: header[1] & IDLE != 0 };
        let rows = match u32_at(38) as usize {
            0 => None,
            length => {
                let split = rest.split_at_checked(length).filter(|(_, body)| body.len() == u32_at(42) as usize);
                let (metadata, body) = split.ok_or_else(|| corrupt("it is not as long as its message"))?;
                Some(read_rows(metadata, body, schema)?)
            }
        };
        Ok(Self { from: u32_at(2), number: i64_at(6) as u64, progress, ready_at: i64_at(30), rows })
    }
}

fn read_rows(metadata: &[u8], body: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    let operation = "could not read rows of an exchange";
    let message = root_as_message(metadata).map_err(|e| Error::fail_job(format!("{operation}: {e}")))?;
    let batch = message
        .header_as_record_batch()
        .ok_or_else(|| Error::fail_job("a record of an exchange holds something else than rows"))?;
    // A copy, because the columns outlive the record, and aligned.
    let body = Buffer::from(body);
    arrow_ipc::reader::read_record_batch(&body, batch, schema.clone(), &HashMap::new(), None, &message.version())
        .or_kind(ErrorKind::FailJob, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use std::sync::Arc;

    fn rows(count: i64) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("key", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
        let keys: StringArray = (0..count).map(|i| (i % 3 != 0).then(|| format!("key {}", i % 7))).collect();
        let numbers: Int64Array = (0..count).map(|i| (i % 5 != 0).then_some(i)).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys) as ArrayRef, Arc::new(numbers)]).unwrap()
    }

    fn record(rows: Option<RecordBatch>) -> ExchangeRecord {
        let progress = Progress { event: -7, processing: i64::MAX, idle: true };
        ExchangeRecord { from: 23, number: 1 << 40, progress, ready_at: 1_700_000_000_000, rows }
    }

    #[test]
    fn a_record_reads_back_as_written_with_and_without_rows() {
        let mut encoder = RecordEncoder::new().unwrap();
        let schema = rows(0).schema();
        for rows in [None, Some(rows(0)), Some(rows(1)), Some(rows(5000)), Some(rows(5000).slice(13, 100))] {
            let record = record(rows);
            let bytes = encoder.encode(&record).unwrap();
            assert_eq!(ExchangeRecord::decode(&bytes, &schema).unwrap(), record);
        }
    }

    #[test]
    fn a_record_above_the_limit_becomes_several_and_time_passes_with_the_last() {
        let mut encoder = RecordEncoder::new().unwrap();
        let (whole, before) = (record(Some(rows(5000))), Progress { event: -9, ..Progress::START });
        let limit = encoder.encode(&whole).unwrap().len() / 3;
        let encoded = encoder.encode_within(whole.clone(), before, limit).unwrap();
        assert!(encoded.len() >= 3 && encoded.iter().all(|bytes| bytes.len() <= limit), "{} records", encoded.len());
        let schema = rows(0).schema();
        let read: Vec<_> = encoded.iter().map(|bytes| ExchangeRecord::decode(bytes, &schema).unwrap()).collect();
        let numbers: Vec<u64> = read.iter().map(|record| record.number).collect();
        assert_eq!(numbers, (whole.number..whole.number + read.len() as u64).collect::<Vec<_>>());
        let (last, earlier) = read.split_last().unwrap();
        assert_eq!(last.progress, whole.progress);
        assert!(earlier.iter().all(|record| record.progress == before));
        let rows_of = read.iter().map(|record| record.rows.as_ref().unwrap());
        assert_eq!(arrow_select::concat::concat_batches(&schema, rows_of).unwrap(), rows(5000));
    }

    #[test]
    fn what_fits_or_is_one_row_or_none_stays_one_record() {
        let mut encoder = RecordEncoder::new().unwrap();
        for (rows, limit) in [(None, 1), (Some(rows(1)), 1), (Some(rows(5000)), 1 << 20)] {
            let record = record(rows);
            let encoded = encoder.encode_within(record.clone(), Progress::START, limit).unwrap();
            assert_eq!(encoded, [encoder.encode(&record).unwrap()]);
        }
    }

    #[test]
    fn rows_that_repeat_are_compressed() {
        let bytes = RecordEncoder::new().unwrap().encode(&record(Some(rows(5000)))).unwrap();
        assert!(bytes.len() * 2 < rows(5000).get_array_memory_size(), "{} bytes", bytes.len());
    }

    #[test]
    fn what_is_cut_off_or_of_a_later_version_is_refused() {
        let bytes = RecordEncoder::new().unwrap().encode(&record(Some(rows(10)))).unwrap();
        let schema = rows(0).schema();
        for length in [0, HEADER - 1, HEADER + 1, bytes.len() - 1] {
            assert!(ExchangeRecord::decode(&bytes[..length], &schema).is_err(), "{length}");
        }
        let later = [&[VERSION + 1], &bytes[1..]].concat();
        let error = ExchangeRecord::decode(&later, &schema).unwrap_err();
        assert!(error.to_string().contains("run the version that wrote it"), "{error}");
    }
}
