//! From a record's payload to columns: what every format's decoder is to its caller, and the formats.
//! Not here: metadata columns (`source/`), nor what happens to a record that can't be decoded.

pub mod json;

use arrow_array::ArrayRef;
use std::fmt;

/// Decodes records one by one into the columns it was made for, and hands the columns out as a batch.
pub trait RecordDecoder: Send {
    /// Appends the row that `payload` holds; `None` is a record without a value (a tombstone). On `Err`
    /// nothing was appended.
    fn decode(&mut self, payload: Option<&[u8]>) -> Result<Decoded, DecodeError>;

    /// How many rows the columns hold. Also right when no columns were asked for.
    fn rows(&self) -> usize;

    /// Keeps the first `rows` rows: takes back rows that turned out to be none.
    fn truncate(&mut self, rows: usize);

    /// Takes the columns, in the order given at construction; the decoder is empty after it.
    fn finish(&mut self) -> Vec<ArrayRef>;

    /// The bytes that the rows in the columns take; zero after `finish`.
    fn memory_bytes(&self) -> usize;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    Row,
    /// The format says that this record is no row.
    Skipped,
}

/// Why a record is not what its table's format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The payload is not of the format at all.
    #[error("not valid JSON at byte {position}: {expected}")]
    Malformed { position: usize, expected: &'static str },
    /// The payload is of the format, but not what the column's type needs.
    #[error("{}{message}", FieldPrefix(.field))]
    Value {
        /// The path of the field, joined by dots; empty for the record itself.
        field: String,
        position: usize,
        message: String,
    },
}

struct FieldPrefix<'a>(&'a str);

impl fmt::Display for FieldPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "field {}: ", self.0) }
    }
}
