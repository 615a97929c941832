//! The canonical encoding of a row's key and its hash: what decides which task owns a row, and under
//! which bytes its state is found. Persisted, therefore versioned and frozen by test vectors. Not here:
//! how keys are looked up (`operators/interner.rs`), nor the other parts of a state key (`state/`).
//!
//! A key is a version byte, then for each column a marker (0: NULL, 1: a value) and the value:
//!
//! | type | bytes |
//! | --- | --- |
//! | BOOLEAN | 0 or 1 |
//! | integers, DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ, intervals | big-endian, sign bit flipped |
//! | DECIMAL | the unscaled value like an integer of 8 bytes up to precision 18, else of 16 |
//! | FLOAT, DOUBLE | big-endian, in the order of the values; -0.0 as 0.0, every NaN as one |
//! | CHAR, VARCHAR, BINARY, VARBINARY | the bytes with 00 as 00 FF, ended by 00 00 |
//!
//! A NULL of a fixed-width type is padded with zeros, so that keys of such types all have one length.
//! The order of the bytes is the order of the values, column by column, NULL first.

use crate::error::{Error, Result};
use crate::schema::arrow_type;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray};
use arrow_schema::{DataType as ArrowType, IntervalUnit, TimeUnit};
use millrace_planner::types::{DataType, TypeKind};
use xxhash_rust::xxh3::xxh3_64;

mod decode;
#[cfg(test)]
mod tests;

pub use decode::KeyDecoder;
pub use millrace_protocol::assignment::{KEY_GROUPS, key_groups_of, task_of_key_group as task_of};

/// The first byte of every key. Another encoding gets another number.
pub const KEY_VERSION: u8 = 1;

const NULL: u8 = 0;
const VALUE: u8 = 1;
/// Stands after a zero byte that belongs to the value.
const ESCAPED_ZERO: u8 = 0xFF;
/// Stands after the zero byte that ends the value.
const END: u8 = 0;

/// XXH3-64, seed 0, of a canonical key.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The key group of a key with this hash.
#[inline]
pub fn key_group(hash: u64) -> u16 {
    (hash % u64::from(KEY_GROUPS)) as u16
}

/// The keys of a batch, one after another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EncodedKeys {
    pub bytes: Vec<u8>,
    /// Where each key ends in `bytes`; it starts where the one before ends.
    pub ends: Vec<u32>,
}

impl EncodedKeys {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.bytes[start..self.ends[row] as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let key = &self.bytes[start..end as usize];
            start = end as usize;
            key
        })
    }
}

/// Encodes the key columns of batches. Holds its buffers, so that a batch costs no allocation.
pub struct KeyEncoder {
    columns: Vec<KeyColumn>,
    keys: EncodedKeys,
    /// Where the next column of each row goes; unused while every column has a fixed width.
    cursors: Vec<u32>,
}

/// A column's type, and the length of its value where all have the same.
#[derive(Clone, Debug, PartialEq)]
struct KeyColumn {
    arrow: ArrowType,
    width: Option<usize>,
}

impl KeyColumn {
    fn new(data_type: &DataType) -> Result<Self> {
        let width = match &data_type.kind {
            TypeKind::Null => Some(0),
            TypeKind::Boolean | TypeKind::TinyInt => Some(1),
            TypeKind::SmallInt => Some(2),
            TypeKind::Int | TypeKind::Float | TypeKind::Date | TypeKind::Time { .. } | TypeKind::IntervalYearMonth => {
                Some(4)
            }
            TypeKind::BigInt
            | TypeKind::Double
            | TypeKind::Timestamp { .. }
            | TypeKind::TimestampLtz { .. }
            | TypeKind::IntervalDayTime => Some(8),
            TypeKind::Decimal { precision, .. } => Some(if *precision <= 18 { 8 } else { 16 }),
            TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => {
                None
            }
            TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
                return Err(Error::user_fault(format!("a key of type {} is not supported yet", data_type.kind)));
            }
        };
        Ok(Self { arrow: arrow_type(&data_type.kind), width })
    }
}

impl KeyEncoder {
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self> {
        let columns = types.into_iter().map(KeyColumn::new).collect::<Result<_>>()?;
        Ok(Self { columns, keys: EncodedKeys::default(), cursors: Vec::new() })
    }

    /// The keys of `rows` rows; the columns are of the types given to `new`, in their order.
    pub fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<&EncodedKeys> {
        self.check(columns, rows)?;
        let fixed: Option<usize> = self.columns.iter().map(|c| c.width.map(|w| w + 1)).sum();
        match fixed {
            Some(width) => self.encode_fixed(columns, rows, width + 1)?,
            None => self.encode_variable(columns, rows)?,
        }
        Ok(&self.keys)
    }

    fn check(&self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let fits = columns.len() == self.columns.len()
            && columns.iter().zip(&self.columns).all(|(c, k)| c.len() == rows && *c.data_type() == k.arrow);
        if fits {
            return Ok(());
        }
        let types: Vec<_> = columns.iter().map(|c| c.data_type().to_string()).collect();
        Err(Error::fail_job(format!("key columns of types [{}] where others were planned", types.join(", "))))
    }

    fn encode_fixed(&mut self, columns: &[ArrayRef], rows: usize, stride: usize) -> Result<()> {
        let total = u32::try_from(rows * stride).map_err(|_| too_large(rows))?;
        let bytes = &mut self.keys.bytes;
        bytes.clear();
        bytes.resize(total as usize, 0);
        bytes.iter_mut().step_by(stride).for_each(|b| *b = KEY_VERSION);
        self.keys.ends.clear();
        self.keys.ends.extend((1..=rows).map(|row| (row * stride) as u32));
        let mut base = 1;
        for (array, column) in columns.iter().zip(&self.columns) {
            write_column(array, &column.arrow, column.width, bytes, |row| base + row * stride);
            base += 1 + column.width.expect("only columns of fixed width come here");
        }
        Ok(())
    }

    fn encode_variable(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let Self { columns: layout, keys, cursors } = self;
        let fixed: usize = 1 + layout.iter().map(|c| 1 + c.width.unwrap_or(0)).sum::<usize>();
        cursors.clear();
        cursors.resize(rows, fixed as u32);
        for (array, _) in columns.iter().zip(layout.iter()).filter(|(_, c)| c.width.is_none()) {
            add_lengths(array, cursors);
        }
        keys.ends.clear();
        let mut total = 0u64;
        for cursor in cursors.iter_mut() {
            let start = total as u32;
            total += u64::from(*cursor);
            *cursor = start + 1;
            keys.ends.push(total as u32);
        }
        if u32::try_from(total).is_err() {
            return Err(too_large(rows));
        }
        keys.bytes.clear();
        keys.bytes.resize(total as usize, 0);
        cursors.iter().for_each(|&cursor| keys.bytes[cursor as usize - 1] = KEY_VERSION);
        for (array, column) in columns.iter().zip(layout.iter()) {
            match column.width {
                Some(width) => write_column(array, &column.arrow, column.width, &mut keys.bytes, |row| {
                    let at = cursors[row];
                    cursors[row] += 1 + width as u32;
                    at as usize
                }),
                None => write_bytes_column(array, &mut keys.bytes, cursors),
            }
        }
        Ok(())
    }
}

fn too_large(rows: usize) -> Error {
    Error::fail_job(format!("the keys of a batch of {rows} rows exceed 4 GiB"))
}

/// Writes marker and value of every row of a column of fixed width at `at(row)`. The bytes are zero before.
fn write_column(
    array: &ArrayRef,
    arrow: &ArrowType,
    width: Option<usize>,
    out: &mut [u8],
    mut at: impl FnMut(usize) -> usize,
) {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match arrow {
        ArrowType::Null => (0..array.len()).for_each(|row| {
            at(row);
        }),
        ArrowType::Boolean => write_booleans(array.as_boolean(), out, at),
        ArrowType::Int8 => write::<Int8Type, 1>(array, out, at, |v| (v ^ i8::MIN).to_be_bytes()),
        ArrowType::Int16 => write::<Int16Type, 2>(array, out, at, |v| (v ^ i16::MIN).to_be_bytes()),
        ArrowType::Int32 => write::<Int32Type, 4>(array, out, at, ordered_i32),
        ArrowType::Date32 => write::<Date32Type, 4>(array, out, at, ordered_i32),
        ArrowType::Time32(_) => write::<Time32MillisecondType, 4>(array, out, at, ordered_i32),
        ArrowType::Interval(IntervalUnit::YearMonth) => write::<IntervalYearMonthType, 4>(array, out, at, ordered_i32),
        ArrowType::Int64 => write::<Int64Type, 8>(array, out, at, ordered_i64),
        ArrowType::Duration(_) => write::<DurationMillisecondType, 8>(array, out, at, ordered_i64),
        ArrowType::Timestamp(Millisecond, _) => write::<TimestampMillisecondType, 8>(array, out, at, ordered_i64),
        ArrowType::Timestamp(Microsecond, _) => write::<TimestampMicrosecondType, 8>(array, out, at, ordered_i64),
        ArrowType::Timestamp(Nanosecond, _) => write::<TimestampNanosecondType, 8>(array, out, at, ordered_i64),
        ArrowType::Float32 => write::<Float32Type, 4>(array, out, at, ordered_f32),
        ArrowType::Float64 => write::<Float64Type, 8>(array, out, at, ordered_f64),
        ArrowType::Decimal128(..) if width == Some(8) => {
            write::<Decimal128Type, 8>(array, out, at, |v| ordered_i64(v as i64))
        }
        ArrowType::Decimal128(..) => write::<Decimal128Type, 16>(array, out, at, |v| (v ^ i128::MIN).to_be_bytes()),
        ArrowType::Timestamp(Second, _) => unreachable!("schema.rs has no seconds"),
        other => unreachable!("KeyColumn::new admits no {other}"),
    }
}

/// A NULL keeps its zeros; `at` is called for it all the same, because it may count.
fn write<T: ArrowPrimitiveType, const W: usize>(
    array: &ArrayRef,
    out: &mut [u8],
    mut at: impl FnMut(usize) -> usize,
    encode: impl Fn(T::Native) -> [u8; W],
) {
    let array = array.as_primitive::<T>();
    let mut put = |row: usize, value: T::Native, valid: bool| {
        let at = at(row);
        if valid {
            let slot = &mut out[at..at + 1 + W];
            slot[0] = VALUE;
            slot[1..].copy_from_slice(&encode(value));
        }
    };
    let values = array.values().iter().enumerate();
    match array.nulls() {
        None => values.for_each(|(row, value)| put(row, *value, true)),
        Some(nulls) => values.zip(nulls.iter()).for_each(|((row, value), valid)| put(row, *value, valid)),
    }
}

fn write_booleans(array: &BooleanArray, out: &mut [u8], mut at: impl FnMut(usize) -> usize) {
    for (row, value) in array.iter().enumerate() {
        let at = at(row);
        if let Some(value) = value {
            out[at..at + 2].copy_from_slice(&[VALUE, u8::from(value)]);
        }
    }
}

fn ordered_i32(value: i32) -> [u8; 4] {
    (value ^ i32::MIN).to_be_bytes()
}

fn ordered_i64(value: i64) -> [u8; 8] {
    (value ^ i64::MIN).to_be_bytes()
}

/// Negative values have all bits flipped, others the sign bit: then the bits order as the values do.
fn ordered_f32(value: f32) -> [u8; 4] {
    let value = if value.is_nan() { f32::NAN } else { value + 0.0 };
    let bits = value.to_bits();
    (if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }).to_be_bytes()
}

fn ordered_f64(value: f64) -> [u8; 8] {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits();
    (if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }).to_be_bytes()
}

/// Adds to each row the length of its value, escaped and ended; a NULL is its marker alone.
fn add_lengths(array: &ArrayRef, lengths: &mut [u32]) {
    for_each_bytes(array, |row, value| {
        if let Some(value) = value {
            lengths[row] += (value.len() + memchr::memchr_iter(0, value).count() + 2) as u32;
        }
    });
}

fn write_bytes_column(array: &ArrayRef, out: &mut [u8], cursors: &mut [u32]) {
    for_each_bytes(array, |row, value| {
        let mut at = cursors[row] as usize;
        match value {
            None => out[at] = NULL,
            Some(value) => {
                out[at] = VALUE;
                at += 1;
                let mut start = 0;
                for zero in memchr::memchr_iter(0, value) {
                    let part = &value[start..=zero];
                    out[at..at + part.len()].copy_from_slice(part);
                    at += part.len();
                    out[at] = ESCAPED_ZERO;
                    at += 1;
                    start = zero + 1;
                }
                let part = &value[start..];
                out[at..at + part.len()].copy_from_slice(part);
                at += part.len();
                out[at..at + 2].copy_from_slice(&[0, END]);
                at += 1;
            }
        }
        cursors[row] = at as u32 + 1;
    });
}

fn for_each_bytes(array: &ArrayRef, mut visit: impl FnMut(usize, Option<&[u8]>)) {
    match array.data_type() {
        ArrowType::Utf8 => {
            array.as_string::<i32>().iter().enumerate().for_each(|(r, v)| visit(r, v.map(str::as_bytes)));
        }
        _ => array.as_binary::<i32>().iter().enumerate().for_each(|(r, v)| visit(r, v)),
    }
}
