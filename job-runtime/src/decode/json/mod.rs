//! The `json` format: reads the columns that are wanted straight out of the document into Arrow, and checks
//! the rest without building it.
//!
//! What is JSON is decided strictly by RFC 8259, also in the parts that nobody asked for; arrays and
//! objects can be nested 127 levels deep. What a value means to a column follows Flink's `json` format:
//!
//! - a record without a payload, and the document `null`, are no rows;
//! - a missing field is NULL, or an error with `json.fail-on-missing-field`;
//! - of a key that comes twice the last value counts; keys are compared exactly, unescaped;
//! - INT and BIGINT cut a number's fraction off, TINYINT and SMALLINT refuse it; all of them read numbers
//!   in strings, and refuse what is out of their range;
//! - BOOLEAN is TRUE for `true` and `"true"` in any case, FALSE for every other string and number;
//! - STRING takes everything: strings as they are, other values as their JSON text without whitespace;
//! - DECIMAL rounds half up, and is NULL where the digits don't fit;
//! - with `json.ignore-parse-errors` a value that its column can't take is NULL, and what isn't JSON is no
//!   row.
//!
//! Knowingly different from Flink 2.2, where it would lose or change data without a word: a number beyond the
//! range of DOUBLE or FLOAT is an error, not infinity; a day that its month doesn't have is one, not the
//! month's last; so are bytes behind the document, an empty payload, and BOOLEAN for an object or array. TIME
//! keeps its milliseconds. Of a repeated key Flink's faster parser takes the first value, its older one the
//! last. JSON that becomes a STRING keeps the spelling of its numbers and strings. An array in place of the
//! record, which Flink makes several rows of, is an error.

mod base64;
mod column;
mod fault;
mod fields;
mod keys;
mod number;
mod read;
mod runs;
mod scan;
mod string;
mod time;
mod tree;
mod validity;

#[cfg(test)]
mod tests;

pub use millrace_planner::connector::TimestampFormat;
pub(crate) use string::find_special;

use super::{DecodeError, Decoded, RecordDecoder};
use crate::error::{Error, Result};
use arrow_array::ArrayRef;
use fault::{Fault, Parsed};
use fields::Fields;
use millrace_planner::connector::JsonOptions;
use millrace_planner::types::DataType;
use read::Rules;
use scan::Cursor;

/// The options of Flink's `json` format that decoding knows. The defaults are Flink's.
#[derive(Clone, Copy, Debug)]
pub struct JsonDecodeOptions {
    /// `json.fail-on-missing-field`
    pub fail_on_missing_field: bool,
    /// `json.ignore-parse-errors`; excludes the former.
    pub ignore_parse_errors: bool,
    /// `json.timestamp-format.standard`
    pub timestamp_format: TimestampFormat,
}

impl Default for JsonDecodeOptions {
    fn default() -> Self {
        Self::from(&JsonOptions::default())
    }
}

impl From<&JsonOptions> for JsonDecodeOptions {
    fn from(options: &JsonOptions) -> Self {
        Self {
            fail_on_missing_field: options.fail_on_missing_field,
            ignore_parse_errors: options.ignore_parse_errors,
            timestamp_format: options.timestamp_format,
        }
    }
}

/// Decodes JSON objects, one a record.
pub struct JsonDecoder {
    record: Fields,
    columns: usize,
    rules: Rules,
}

impl JsonDecoder {
    /// A decoder of the values at these paths, as these types.
    pub fn new(columns: &[(Vec<String>, DataType)], options: JsonDecodeOptions) -> Result<Self> {
        if options.fail_on_missing_field && options.ignore_parse_errors {
            return Err(Error::user_fault(
                "json.fail-on-missing-field and json.ignore-parse-errors shouldn't both be true",
            ));
        }
        let rules = Rules {
            fail_on_missing_field: options.fail_on_missing_field,
            ignore_parse_errors: options.ignore_parse_errors,
            scratch: Vec::new(),
        };
        Ok(Self { record: tree::build(columns, options.timestamp_format)?, columns: columns.len(), rules })
    }

    fn append(&mut self, document: &[u8]) -> Parsed<Decoded> {
        let mut cursor = Cursor::new(document);
        cursor.skip_whitespace();
        if cursor.peek() == b'{' {
            self.record.append_object(&mut cursor, &mut self.rules)?;
            cursor.end()?;
            return Ok(Decoded::Row);
        }
        let start = cursor.pos;
        cursor.skip_value()?;
        cursor.end()?;
        if document[start] == b'n' {
            return Ok(Decoded::Skipped);
        }
        Err(Fault::not_a(start, &document[start..], "JSON object"))
    }
}

impl RecordDecoder for JsonDecoder {
    fn decode(&mut self, payload: Option<&[u8]>) -> Result<Decoded, DecodeError> {
        let Some(document) = payload else { return Ok(Decoded::Skipped) };
        let rows = self.record.rows();
        self.append(document).or_else(|fault| {
            self.record.truncate(rows);
            if self.rules.ignore_parse_errors { Ok(Decoded::Skipped) } else { Err(fault.into()) }
        })
    }

    fn rows(&self) -> usize {
        self.record.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.record.truncate(rows);
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        self.record.finish(self.columns)
    }

    fn memory_bytes(&self) -> usize {
        self.record.memory_bytes()
    }
}
