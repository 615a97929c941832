//! The `json` format: one object a row, its fields in the order of the schema, written as Flink's `json`
//! format and the Jackson under it do:
//!
//! - DOUBLE and FLOAT as Java's `toString`: `1.0`, `1.0E10`; NaN and the infinities as strings;
//! - DECIMAL as a `BigDecimal` without trailing zeros (`2.7E-8`, and `1E+2` for 100.00), or with all digits
//!   of its scale by `json.encode.decimal-as-plain-number`;
//! - times without trailing zeros in the fraction, TIMESTAMP_LTZ in UTC with a `Z`;
//! - BINARY as base64, intervals as their number of months or milliseconds;
//! - in strings only quotes, backslashes and control characters are escaped.
//!
//! Knowingly different from Flink, to no reader's harm: characters beyond U+FFFF are written as they are
//! and not as two escapes; floating-point numbers have the fewest digits that identify them, which Java's
//! have only since release 19. And TIME keeps its milliseconds.

pub(crate) mod number;
mod text;
mod time;
mod writer;

#[cfg(test)]
mod tests;

pub use millrace_planner::connector::{MapNullKey, TimestampFormat};

use super::EncodedRows;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use arrow_array::RecordBatch;
use millrace_planner::connector::JsonOptions;
use millrace_planner::plan::Schema;
use millrace_planner::types::{DataType, TypeKind};
use writer::RowWriter;

/// The options of Flink's `json` format that encoding knows. The defaults are Flink's.
#[derive(Clone, Debug)]
pub struct JsonEncodeOptions {
    /// `json.timestamp-format.standard`
    pub timestamp_format: TimestampFormat,
    /// `json.encode.decimal-as-plain-number`
    pub decimal_as_plain_number: bool,
    /// `json.encode.ignore-null-fields`: leave out fields that are NULL, in nested ROWs too.
    pub ignore_null_fields: bool,
    /// `json.map-null-key.mode`
    pub map_null_key: MapNullKey,
}

impl Default for JsonEncodeOptions {
    fn default() -> Self {
        Self::from(&JsonOptions::default())
    }
}

impl From<&JsonOptions> for JsonEncodeOptions {
    fn from(options: &JsonOptions) -> Self {
        Self {
            timestamp_format: options.timestamp_format,
            decimal_as_plain_number: options.encode_decimal_as_plain_number,
            ignore_null_fields: options.encode_ignore_null_fields,
            map_null_key: options.map_null_key.clone(),
        }
    }
}

/// Encodes rows as JSON objects.
pub struct JsonEncoder {
    fields: Vec<Field>,
    options: JsonEncodeOptions,
}

/// A field of an object.
struct Field {
    /// What stands in front of its value: `,"name":`.
    lead: Box<[u8]>,
    shape: Shape,
}

/// A type, with all that doesn't change from row to row.
enum Shape {
    Scalar(TypeKind),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Row(Vec<Field>),
}

impl JsonEncoder {
    pub fn new(schema: &Schema, options: JsonEncodeOptions) -> Result<Self> {
        let fields = schema.columns.iter().map(|column| Field::new(&column.name, &column.data_type));
        Ok(Self { fields: fields.collect::<Result<_>>()?, options })
    }

    /// Appends the rows of a batch. On `Err` nothing was appended.
    pub fn encode(&mut self, rows: &RecordBatch, out: &mut EncodedRows) -> Result<()> {
        if rows.num_columns() != self.fields.len() {
            let message = format!("a batch of {} columns came for {}", rows.num_columns(), self.fields.len());
            return Err(Error::fail_job(message).context("encode JSON"));
        }
        let writer = RowWriter::new(&self.fields, rows.columns()).or_kind(ErrorKind::FailJob, "encode JSON")?;
        let (bytes, ends) = (out.bytes.len(), out.ends.len());
        out.ends.reserve(rows.num_rows());
        for row in 0..rows.num_rows() {
            if let Err(fault) = writer.write(row, &self.options, &mut out.bytes) {
                out.bytes.truncate(bytes);
                out.ends.truncate(ends);
                return Err(fault).or_kind(ErrorKind::UserFault, format_args!("encode JSON, row {row}"));
            }
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

impl Field {
    fn new(name: &str, data_type: &DataType) -> Result<Self> {
        let mut lead = vec![b','];
        text::write_string(name.as_bytes(), &mut lead);
        lead.push(b':');
        let shape = Shape::new(&data_type.kind).map_err(|e| e.context(name))?;
        Ok(Self { lead: lead.into(), shape })
    }
}

impl Shape {
    fn new(kind: &TypeKind) -> Result<Self> {
        Ok(match kind {
            TypeKind::Array(element) => Self::Array(Box::new(Self::new(&element.kind)?)),
            TypeKind::Map(key, value) => Self::map(kind, key, Self::new(&value.kind)?)?,
            TypeKind::Multiset(element) => Self::map(kind, element, Self::Scalar(TypeKind::Int))?,
            TypeKind::Row(fields) => {
                Self::Row(fields.iter().map(|f| Field::new(&f.name, &f.data_type)).collect::<Result<_>>()?)
            }
            scalar => Self::Scalar(scalar.clone()),
        })
    }

    fn map(kind: &TypeKind, key: &DataType, values: Self) -> Result<Self> {
        if key.kind.is_character() {
            return Ok(Self::Map(Box::new(values)));
        }
        Err(Error::user_fault(format!(
            "the JSON format doesn't support a type other than a character string as the key of a map: {kind}"
        )))
    }
}
