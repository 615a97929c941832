//! Arrays on their way out: each is looked at once a batch to find its type, then written value by value.

use super::{Field, JsonEncodeOptions, MapNullKey, Shape, number, text, time};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType as ArrowType;
use millrace_planner::types::TypeKind;

/// Why a row can't be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the column's data is {0}, which is not how a {1} is kept")]
    Layout(ArrowType, TypeKind),
    #[error("the column's data is {0}, which is not how an ARRAY, MAP or ROW of this schema is kept")]
    NestedLayout(ArrowType),
    #[error(
        "a MAP has a NULL key, which JSON can't have: drop such entries or name them with \
         'json.map-null-key.mode'"
    )]
    NullKey,
}

/// The fields of a row or of a nested ROW.
pub(super) struct RowWriter<'a> {
    fields: Vec<(&'a [u8], Writer<'a>)>,
}

struct Writer<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    TinyInt(&'a [i8]),
    SmallInt(&'a [i16]),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Decimal { values: &'a [i128], scale: u8 },
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Timestamp { values: &'a [i64], units_per_second: i64, zoned: bool },
    List { offsets: &'a [i32], elements: Box<Writer<'a>> },
    Map { offsets: &'a [i32], keys: &'a StringArray, values: Box<Writer<'a>> },
    Row(RowWriter<'a>),
}

impl<'a> RowWriter<'a> {
    pub(super) fn new(fields: &'a [Field], columns: &'a [ArrayRef]) -> Result<Self, Fault> {
        let fields =
            fields.iter().zip(columns).map(|(field, column)| Ok((&*field.lead, Writer::new(&field.shape, column)?)));
        Ok(Self { fields: fields.collect::<Result<_, Fault>>()? })
    }

    #[inline]
    pub(super) fn write(&self, row: usize, options: &JsonEncodeOptions, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.push(b'{');
        // The first field's comma is left out.
        let mut from = 1;
        for (lead, writer) in &self.fields {
            if options.ignore_null_fields && writer.is_null(row) {
                continue;
            }
            out.extend_from_slice(&lead[from..]);
            from = 0;
            writer.write(row, options, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

impl<'a> Writer<'a> {
    fn new(shape: &'a Shape, array: &'a dyn Array) -> Result<Self, Fault> {
        let nested = || Fault::NestedLayout(array.data_type().clone());
        let values = match shape {
            Shape::Scalar(kind) => {
                scalar(kind, array).ok_or_else(|| Fault::Layout(array.data_type().clone(), kind.clone()))?
            }
            Shape::Array(element) => {
                let list = array.as_list_opt::<i32>().ok_or_else(nested)?;
                let elements = Box::new(Writer::new(element, list.values())?);
                Values::List { offsets: list.value_offsets(), elements }
            }
            Shape::Map(value) => {
                let map = array.as_map_opt().ok_or_else(nested)?;
                let keys = map.keys().as_string_opt::<i32>().ok_or_else(nested)?;
                Values::Map { offsets: map.value_offsets(), keys, values: Box::new(Writer::new(value, map.values())?) }
            }
            Shape::Row(fields) => {
                let row = array.as_struct_opt().filter(|row| row.num_columns() == fields.len()).ok_or_else(nested)?;
                Values::Row(RowWriter::new(fields, row.columns())?)
            }
        };
        Ok(Self { nulls: array.nulls(), values })
    }

    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row)) || matches!(self.values, Values::Null)
    }

    #[inline]
    fn write(&self, row: usize, options: &JsonEncodeOptions, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::BigInt(values) => number::write_integer(values[row], out),
            Values::Int(values) => number::write_integer(values[row], out),
            Values::Text(values) => text::write_string(values.value(row).as_bytes(), out),
            Values::Timestamp { values, units_per_second, zoned } => {
                time::write_timestamp(values[row], *units_per_second, *zoned, options.timestamp_format, out);
            }
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::TinyInt(values) => number::write_integer(values[row], out),
            Values::SmallInt(values) => number::write_integer(values[row], out),
            Values::Float(values) => number::write_float(values[row], out),
            Values::Double(values) => number::write_double(values[row], out),
            Values::Decimal { values, scale } => {
                number::write_decimal(values[row], *scale, options.decimal_as_plain_number, out);
            }
            Values::Binary(values) => text::write_base64(values.value(row), out),
            Values::Date(values) => time::write_date(values[row], out),
            Values::Time(values) => time::write_time(values[row], out),
            Values::List { offsets, elements } => {
                out.push(b'[');
                for element in part(offsets, row) {
                    if element != offsets[row] as usize {
                        out.push(b',');
                    }
                    elements.write(element, options, out)?;
                }
                out.push(b']');
            }
            Values::Map { offsets, keys, values } => write_map(part(offsets, row), keys, values, options, out)?,
            Values::Row(fields) => fields.write(row, options, out)?,
        }
        Ok(())
    }
}

/// Where the elements of a row are.
fn part(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

/// Arrow's own constructors refuse maps with NULL keys; arrays that came another way may have them.
fn write_map(
    entries: std::ops::Range<usize>,
    keys: &StringArray,
    values: &Writer<'_>,
    options: &JsonEncodeOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    out.push(b'{');
    let mut first = true;
    for entry in entries {
        let key = match (&options.map_null_key, keys.is_null(entry)) {
            (_, false) => keys.value(entry),
            (MapNullKey::Literal(literal), true) => literal,
            (MapNullKey::Drop, true) => continue,
            (MapNullKey::Fail, true) => return Err(Fault::NullKey),
        };
        if !first {
            out.push(b',');
        }
        first = false;
        text::write_string(key.as_bytes(), out);
        out.push(b':');
        values.write(entry, options, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn scalar<'a>(kind: &TypeKind, array: &'a dyn Array) -> Option<Values<'a>> {
    Some(match kind {
        TypeKind::Null => Values::Null,
        TypeKind::Boolean => Values::Boolean(array.as_boolean_opt()?),
        TypeKind::TinyInt => Values::TinyInt(primitive::<Int8Type>(array)?),
        TypeKind::SmallInt => Values::SmallInt(primitive::<Int16Type>(array)?),
        TypeKind::Int => Values::Int(primitive::<Int32Type>(array)?),
        TypeKind::BigInt => Values::BigInt(primitive::<Int64Type>(array)?),
        TypeKind::Float => Values::Float(primitive::<Float32Type>(array)?),
        TypeKind::Double => Values::Double(primitive::<Float64Type>(array)?),
        TypeKind::Decimal { scale, .. } => {
            Values::Decimal { values: primitive::<Decimal128Type>(array)?, scale: *scale }
        }
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => Values::Text(array.as_string_opt()?),
        TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => Values::Binary(array.as_binary_opt()?),
        TypeKind::Date => Values::Date(primitive::<Date32Type>(array)?),
        TypeKind::Time { .. } => Values::Time(primitive::<Time32MillisecondType>(array)?),
        TypeKind::Timestamp { .. } => timestamp(array, false)?,
        TypeKind::TimestampLtz { .. } => timestamp(array, true)?,
        TypeKind::IntervalYearMonth => Values::Int(primitive::<IntervalYearMonthType>(array)?),
        TypeKind::IntervalDayTime => Values::BigInt(primitive::<DurationMillisecondType>(array)?),
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => return None,
    })
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    Some(array.as_primitive_opt::<T>()?.values())
}

fn timestamp(array: &dyn Array, zoned: bool) -> Option<Values<'_>> {
    let (values, units_per_second) = if let Some(millis) = primitive::<TimestampMillisecondType>(array) {
        (millis, 1_000)
    } else if let Some(micros) = primitive::<TimestampMicrosecondType>(array) {
        (micros, 1_000_000)
    } else {
        (primitive::<TimestampNanosecondType>(array)?, 1_000_000_000)
    };
    Some(Values::Timestamp { values, units_per_second, zoned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int32Array;

    #[test]
    fn a_null_key_of_a_map_fails_is_dropped_or_has_a_name() {
        let keys = StringArray::from(vec![None, Some("a"), None, Some("b")]);
        let numbers = Int32Array::from(vec![Some(0), Some(1), Some(2), None]);
        let shape = Shape::Scalar(TypeKind::Int);
        let values = Writer::new(&shape, &numbers).expect("an INT");
        let write = |map_null_key| {
            let options = JsonEncodeOptions { map_null_key, ..Default::default() };
            let mut out = Vec::new();
            write_map(1..4, &keys, &values, &options, &mut out).map(|()| String::from_utf8(out).expect("UTF-8"))
        };
        assert!(matches!(write(MapNullKey::Fail), Err(Fault::NullKey)));
        assert_eq!(write(MapNullKey::Drop).expect("dropped"), r#"{"a":1,"b":null}"#);
        assert_eq!(write(MapNullKey::Literal("none".into())).expect("named"), r#"{"a":1,"none":2,"b":null}"#);
    }
}
