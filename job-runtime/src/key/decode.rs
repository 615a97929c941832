//! The way back from canonical keys to columns: results need the keys that groups were found by. Keys
//! come from memory or from restored state, so every byte is checked.

use super::{END, ESCAPED_ZERO, KEY_VERSION, KeyColumn, NULL, VALUE};
use crate::error::{Error, Result};
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::*;
use arrow_array::{ArrayRef, ArrowPrimitiveType, NullArray};
use arrow_schema::{DataType as ArrowType, IntervalUnit, TimeUnit};
use millrace_planner::types::DataType;
use std::sync::Arc;

/// Decodes keys of one list of types.
pub struct KeyDecoder {
    columns: Vec<KeyColumn>,
}

impl KeyDecoder {
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self> {
        Ok(Self { columns: types.into_iter().map(KeyColumn::new).collect::<Result<_>>()? })
    }

    /// One array for each type, one row for each key.
    pub fn decode(&self, keys: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let mut rest = keys.to_vec();
        for key in &mut rest {
            match key.split_first() {
                Some((&KEY_VERSION, tail)) => *key = tail,
                Some((version, _)) => return Err(corrupt(format!("version {version}"))),
                None => return Err(corrupt("no bytes")),
            }
        }
        let columns = self.columns.iter().map(|c| decode_column(c, &mut rest)).collect::<Result<_>>()?;
        match rest.iter().find(|key| !key.is_empty()) {
            None => Ok(columns),
            Some(key) => Err(corrupt(format!("{} bytes too many", key.len()))),
        }
    }
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::fail_job(format!("not a key of this operator: {what}"))
}

fn decode_column(column: &KeyColumn, keys: &mut [&[u8]]) -> Result<ArrayRef> {
    use TimeUnit::{Microsecond, Millisecond};
    match &column.arrow {
        ArrowType::Null => {
            keys.iter_mut().try_for_each(|key| take::<1>(key).map(|_| ()))?;
            Ok(Arc::new(NullArray::new(keys.len())))
        }
        ArrowType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(keys.len());
            for key in keys {
                let [marker, value] = take(key)?;
                builder.append_option(present(marker)?.then_some(value != 0));
            }
            Ok(Arc::new(builder.finish()))
        }
        ArrowType::Int8 => primitive::<Int8Type, 1>(column, keys, |b| i8::from_be_bytes(b) ^ i8::MIN),
        ArrowType::Int16 => primitive::<Int16Type, 2>(column, keys, |b| i16::from_be_bytes(b) ^ i16::MIN),
        ArrowType::Int32 => primitive::<Int32Type, 4>(column, keys, to_i32),
        ArrowType::Date32 => primitive::<Date32Type, 4>(column, keys, to_i32),
        ArrowType::Time32(_) => primitive::<Time32MillisecondType, 4>(column, keys, to_i32),
        ArrowType::Interval(IntervalUnit::YearMonth) => primitive::<IntervalYearMonthType, 4>(column, keys, to_i32),
        ArrowType::Int64 => primitive::<Int64Type, 8>(column, keys, to_i64),
        ArrowType::Duration(_) => primitive::<DurationMillisecondType, 8>(column, keys, to_i64),
        ArrowType::Timestamp(Millisecond, _) => primitive::<TimestampMillisecondType, 8>(column, keys, to_i64),
        ArrowType::Timestamp(Microsecond, _) => primitive::<TimestampMicrosecondType, 8>(column, keys, to_i64),
        ArrowType::Timestamp(..) => primitive::<TimestampNanosecondType, 8>(column, keys, to_i64),
        ArrowType::Float32 => primitive::<Float32Type, 4>(column, keys, |b| {
            let bits = u32::from_be_bytes(b);
            f32::from_bits(if bits >> 31 == 1 { bits ^ 1 << 31 } else { !bits })
        }),
        ArrowType::Float64 => primitive::<Float64Type, 8>(column, keys, |b| {
            let bits = u64::from_be_bytes(b);
            f64::from_bits(if bits >> 63 == 1 { bits ^ 1 << 63 } else { !bits })
        }),
        ArrowType::Decimal128(..) if column.width == Some(8) => {
            primitive::<Decimal128Type, 8>(column, keys, |b| i128::from(to_i64(b)))
        }
        ArrowType::Decimal128(..) => {
            primitive::<Decimal128Type, 16>(column, keys, |b| i128::from_be_bytes(b) ^ i128::MIN)
        }
        ArrowType::Utf8 => {
            let mut builder = StringBuilder::new();
            decode_bytes(keys, |value| {
                let text = value.map(std::str::from_utf8).transpose().map_err(|_| corrupt("not UTF-8"))?;
                builder.append_option(text);
                Ok(())
            })?;
            Ok(Arc::new(builder.finish()))
        }
        _ => {
            let mut builder = BinaryBuilder::new();
            decode_bytes(keys, |value| {
                builder.append_option(value);
                Ok(())
            })?;
            Ok(Arc::new(builder.finish()))
        }
    }
}

fn to_i32(bytes: [u8; 4]) -> i32 {
    i32::from_be_bytes(bytes) ^ i32::MIN
}

fn to_i64(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

fn take<const N: usize>(key: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = key.split_first_chunk::<N>().ok_or_else(|| corrupt("it ends early"))?;
    *key = tail;
    Ok(*head)
}

fn present(marker: u8) -> Result<bool> {
    match marker {
        NULL => Ok(false),
        VALUE => Ok(true),
        other => Err(corrupt(format!("marker {other}"))),
    }
}

fn primitive<T: ArrowPrimitiveType, const W: usize>(
    column: &KeyColumn,
    keys: &mut [&[u8]],
    decode: impl Fn([u8; W]) -> T::Native,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(keys.len()).with_data_type(column.arrow.clone());
    for key in keys {
        let [marker] = take(key)?;
        let bytes = take(key)?;
        builder.append_option(present(marker)?.then(|| decode(bytes)));
    }
    Ok(Arc::new(builder.finish()))
}

fn decode_bytes(keys: &mut [&[u8]], mut append: impl FnMut(Option<&[u8]>) -> Result<()>) -> Result<()> {
    let mut unescaped = Vec::new();
    for key in keys {
        let [marker] = take(key)?;
        if !present(marker)? {
            append(None)?;
            continue;
        }
        unescaped.clear();
        loop {
            let zero = memchr::memchr(0, key).ok_or_else(|| corrupt("a string without end"))?;
            unescaped.extend_from_slice(&key[..zero]);
            let after = key.get(zero + 1).copied();
            *key = key.get(zero + 2..).unwrap_or_default();
            match after {
                Some(END) => break,
                Some(ESCAPED_ZERO) => unescaped.push(0),
                _ => return Err(corrupt("an unknown escape")),
            }
        }
        append(Some(&unescaped))?;
    }
    Ok(())
}
