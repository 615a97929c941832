//! From columns to the bytes of rows.

use super::ROW_VERSION;
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::DataType as ArrowType;

/// Writes the rows of one batch, in any order.
pub struct RowWriter {
    columns: Vec<Cells>,
}

/// A column, taken apart once for all of its rows.
struct Cells {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Fixed { bytes: Buffer, width: usize },
    Bytes { offsets: OffsetBuffer<i32>, bytes: Buffer },
    Row(Vec<Cells>),
    Array { offsets: OffsetBuffer<i32>, elements: Box<Cells> },
    Map { offsets: OffsetBuffer<i32>, entries: Box<[Cells; 2]> },
}

impl RowWriter {
    pub fn new(rows: &RecordBatch) -> Result<Self> {
        Ok(Self { columns: rows.columns().iter().map(Cells::new).collect::<Result<_>>()? })
    }

    /// Appends the bytes of a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(ROW_VERSION);
        write_row(&self.columns, row, out);
    }
}

impl Cells {
    fn new(array: &ArrayRef) -> Result<Self> {
        let values = match array.data_type() {
            ArrowType::Null => Values::Null,
            ArrowType::Boolean => Values::Boolean(array.as_boolean().clone()),
            ArrowType::Utf8 => {
                let array = array.as_string::<i32>();
                Values::Bytes { offsets: array.offsets().clone(), bytes: array.values().clone() }
            }
            ArrowType::Binary => {
                let array = array.as_binary::<i32>();
                Values::Bytes { offsets: array.offsets().clone(), bytes: array.values().clone() }
            }
            ArrowType::Struct(_) => {
                Values::Row(array.as_struct().columns().iter().map(Self::new).collect::<Result<_>>()?)
            }
            ArrowType::List(_) => {
                let array = array.as_list::<i32>();
                Values::Array { offsets: array.offsets().clone(), elements: Box::new(Self::new(array.values())?) }
            }
            ArrowType::Map(..) => {
                let array = array.as_map();
                let entries = [Self::new(array.keys())?, Self::new(array.values())?];
                Values::Map { offsets: array.offsets().clone(), entries: Box::new(entries) }
            }
            other => {
                let width = other
                    .primitive_width()
                    .ok_or_else(|| Error::fail_job(format!("a row with a column of type {other} can't be kept")))?;
                let data = array.to_data();
                let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
                Values::Fixed { bytes, width }
            }
        };
        Ok(Self { nulls: array.nulls().cloned(), values })
    }

    fn is_valid(&self, row: usize) -> bool {
        !matches!(self.values, Values::Null) && self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Null => {}
            Values::Boolean(values) => out.push(u8::from(values.value(row))),
            Values::Fixed { bytes, width } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Values::Bytes { offsets, bytes } => {
                let (start, end) = range(offsets, row);
                write_length(end - start, out);
                out.extend_from_slice(&bytes[start..end]);
            }
            Values::Row(fields) => write_row(fields, row, out),
            Values::Array { offsets, elements } => {
                let (start, end) = range(offsets, row);
                write_length(end - start, out);
                write_elements(elements, start, end, out);
            }
            Values::Map { offsets, entries } => {
                let (start, end) = range(offsets, row);
                write_length(end - start, out);
                entries.iter().for_each(|cells| write_elements(cells, start, end, out));
            }
        }
    }
}

fn range(offsets: &OffsetBuffer<i32>, row: usize) -> (usize, usize) {
    (offsets[row] as usize, offsets[row + 1] as usize)
}

fn write_row(columns: &[Cells], row: usize, out: &mut Vec<u8>) {
    write_bitmap(columns.iter().map(|cells| cells.is_valid(row)), out);
    columns.iter().filter(|cells| cells.is_valid(row)).for_each(|cells| cells.write(row, out));
}

fn write_elements(cells: &Cells, start: usize, end: usize, out: &mut Vec<u8>) {
    write_bitmap((start..end).map(|row| cells.is_valid(row)), out);
    (start..end).filter(|row| cells.is_valid(*row)).for_each(|row| cells.write(row, out));
}

fn write_bitmap(bits: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
    for (index, bit) in bits.enumerate() {
        if index % 8 == 0 {
            out.push(0);
        }
        let last = out.len() - 1;
        out[last] |= u8::from(bit) << (index % 8);
    }
}

fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length > 0x7F {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}
