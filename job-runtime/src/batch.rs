//! What flows between operators: an Arrow record batch, and, up to the first exchange, which source
//! record each row came from, so that a row that fails can be handed back whole.

use crate::error::{ErrorContext, ErrorKind, Result};
use crate::job::ErrorPolicy;
use arrow_array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_select::filter::{filter, filter_record_batch};
use prometheus_client::encoding::EncodeLabelValue;
use std::sync::Arc;

/// Rows in flight.
#[derive(Clone)]
pub struct Batch {
    pub rows: RecordBatch,
    /// None after an exchange, and for rows made by an operator.
    pub origin: Option<Origin>,
}

/// Where the rows of a batch came from.
#[derive(Clone)]
pub struct Origin {
    pub records: Arc<dyn SourceRecords>,
    /// For each row, the index of its record in `records`.
    pub index: UInt32Array,
}

/// The records that one fetch brought from one partition of one topic; they stay in memory as long as
/// a batch decoded from them is between its source and the first exchange.
pub trait SourceRecords: Send + Sync {
    fn topic(&self) -> &str;
    fn partition(&self) -> i32;
    fn offset(&self, record: usize) -> i64;
    fn key(&self, record: usize) -> Option<&[u8]>;
    fn payload(&self, record: usize) -> Option<&[u8]>;
}

/// Why a row can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum FailureReason {
    /// The record is not what the table's format says.
    Decode,
    /// An expression has no value for this row: a cast, an overflow, a timestamp out of bounds.
    Evaluate,
    /// Every window of the row has fired.
    Late,
}

impl FailureReason {
    pub const ALL: [Self; 3] = [Self::Decode, Self::Evaluate, Self::Late];

    /// As in the manifest's `errors`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Evaluate => "evaluate",
            Self::Late => "late",
        }
    }
}

/// A row that can't go on, with what a person needs to understand it.
pub struct FailedRow {
    pub reason: FailureReason,
    pub message: String,
    /// What becomes of it where the query has said so; None: what the job's policy for the reason says.
    pub policy: Option<ErrorPolicy>,
    /// None when the row is behind an exchange; then `message` holds the row itself.
    pub record: Option<(Arc<dyn SourceRecords>, usize)>,
}

impl Batch {
    pub fn new(rows: RecordBatch) -> Self {
        Self { rows, origin: None }
    }

    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The same rows with other columns.
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        debug_assert_eq!(rows.num_rows(), self.rows.num_rows());
        Self { rows, origin: self.origin.clone() }
    }

    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let origin =
            self.origin.as_ref().map(|o| Origin { records: o.records.clone(), index: o.index.slice(offset, length) });
        Self { rows: self.rows.slice(offset, length), origin }
    }

    /// The rows that `keep` is TRUE for, with where they came from.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let rows = filter_record_batch(&self.rows, keep).or_kind(ErrorKind::FailJob, "could not drop rows")?;
        Ok(Self { rows, origin: self.origin.as_ref().map(|origin| origin.filter(keep)) })
    }

    pub fn failed(&self, row: usize, reason: FailureReason, message: impl Into<String>) -> FailedRow {
        let record = self.origin.as_ref().map(|o| (o.records.clone(), o.index.value(row) as usize));
        let mut message = message.into();
        if record.is_none() {
            message = format!("{message}; row: {}", row_text(&self.rows, row));
        }
        FailedRow { reason, message, policy: None, record }
    }
}

/// A row as people read it: `(k = a, n = NULL)`.
fn row_text(rows: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let value = ArrayFormatter::try_new(column, &options).map(|values| values.value(row).to_string());
        format!("{} = {}", field.name(), value.as_deref().unwrap_or("…"))
    });
    format!("({})", columns.collect::<Vec<_>>().join(", "))
}

impl Origin {
    fn filter(&self, keep: &BooleanArray) -> Self {
        let index = filter(&self.index, keep).expect("a mask as long as the batch");
        let index = index.as_any().downcast_ref::<UInt32Array>().expect("filtering keeps the type").clone();
        Self { records: self.records.clone(), index }
    }
}
