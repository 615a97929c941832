//! METADATA columns of Kafka: what a record has besides its value.

use crate::batch::SourceRecords;
use crate::error::{Error, Result};
use crate::kafka::consumer::FetchedRecords;
use arrow_array::builder::{BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, UInt32Array};
use millrace_planner::plan::ScanColumn;
use std::sync::Arc;

/// Where each column of a scan comes from, in order.
pub struct MetadataColumns {
    columns: Vec<ColumnSource>,
}

enum ColumnSource {
    Decoded,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    LeaderEpoch,
    Headers,
}

impl MetadataColumns {
    pub fn new(columns: &[ScanColumn]) -> Result<Self> {
        let source = |column: &ScanColumn| match column {
            ScanColumn::Physical { .. } => Ok(ColumnSource::Decoded),
            ScanColumn::Metadata { key } => match key.as_str() {
                "topic" => Ok(ColumnSource::Topic),
                "partition" => Ok(ColumnSource::Partition),
                "offset" => Ok(ColumnSource::Offset),
                "timestamp" => Ok(ColumnSource::Timestamp),
                "timestamp-type" => Ok(ColumnSource::TimestampType),
                "leader-epoch" => Ok(ColumnSource::LeaderEpoch),
                "headers" => Ok(ColumnSource::Headers),
                other => Err(Error::user_fault(format!("Kafka records have no metadata {other:?}"))),
            },
        };
        Ok(Self { columns: columns.iter().map(source).collect::<Result<_>>()? })
    }

    /// Puts the decoded columns and the metadata of the records that `index` names into the scan's order.
    pub fn merge(&self, decoded: Vec<ArrayRef>, records: &FetchedRecords, index: &UInt32Array) -> Vec<ArrayRef> {
        let mut decoded = decoded.into_iter();
        let rows = || index.values().iter().map(|&i| i as usize);
        let column = |source: &ColumnSource| -> ArrayRef {
            match source {
                ColumnSource::Decoded => decoded.next().expect("one decoded column for each physical one"),
                ColumnSource::Topic => Arc::new(StringArray::from_iter_values(rows().map(|_| records.topic()))),
                ColumnSource::Partition => Arc::new(Int32Array::from_value(records.partition(), index.len())),
                ColumnSource::Offset => Arc::new(Int64Array::from_iter_values(rows().map(|i| records.offset(i)))),
                ColumnSource::Timestamp => {
                    let millis = rows().map(|i| records.timestamp(i).map(|(millis, _)| millis));
                    Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
                }
                ColumnSource::TimestampType => {
                    let kind = |i| match records.timestamp(i) {
                        None => "NoTimestampType",
                        Some((_, true)) => "LogAppendTime",
                        Some((_, false)) => "CreateTime",
                    };
                    Arc::new(StringArray::from_iter_values(rows().map(kind)))
                }
                ColumnSource::LeaderEpoch => Arc::new(rows().map(|i| records.leader_epoch(i)).collect::<Int32Array>()),
                ColumnSource::Headers => headers(records, rows()),
            }
        };
        self.columns.iter().map(column).collect()
    }
}

fn headers(records: &FetchedRecords, rows: impl Iterator<Item = usize>) -> ArrayRef {
    let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
    for row in rows {
        for (name, value) in records.headers(row) {
            map.keys().append_value(name);
            map.values().append_option(value);
        }
        map.append(true).expect("as many keys as values");
    }
    Arc::new(map.finish())
}
