//! Values as Flink's `print` connector shows them: the `toString` of Java's types, so a TIMESTAMP has a `T`,
//! a DOUBLE a point, a MAP braces.

use crate::encode::json::number::{write_decimal, write_double, write_float};
use crate::error::{ErrorContext, ErrorKind, Result};
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{date32_to_datetime, time32ms_to_time};
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, Time32MillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType as ArrowType, TimeUnit};
use chrono::{DateTime, NaiveDateTime, Timelike};
use std::fmt::Write;

/// Appends the value of `column` in `row`.
pub(super) fn append(text: &mut String, column: &ArrayRef, row: usize) -> Result<()> {
    if column.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        ArrowType::Null => text.push_str("null"),
        ArrowType::Boolean => write_display(text, column.as_boolean().value(row)),
        ArrowType::Int8 => write_display(text, column.as_primitive::<Int8Type>().value(row)),
        ArrowType::Int16 => write_display(text, column.as_primitive::<Int16Type>().value(row)),
        ArrowType::Int32 => write_display(text, column.as_primitive::<Int32Type>().value(row)),
        ArrowType::Int64 => write_display(text, column.as_primitive::<Int64Type>().value(row)),
        ArrowType::Float32 => float(text, f64::from(column.as_primitive::<Float32Type>().value(row)), |out| {
            write_float(column.as_primitive::<Float32Type>().value(row), out);
        }),
        ArrowType::Float64 => float(text, column.as_primitive::<Float64Type>().value(row), |out| {
            write_double(column.as_primitive::<Float64Type>().value(row), out);
        }),
        ArrowType::Decimal128(_, scale) => {
            let unscaled = column.as_primitive::<Decimal128Type>().value(row);
            bytes(text, |out| write_decimal(unscaled, scale.unsigned_abs(), true, out));
        }
        ArrowType::Utf8 => text.push_str(column.as_string::<i32>().value(row)),
        ArrowType::Binary => list(text, column.as_binary::<i32>().value(row).iter().map(|&b| b as i8)),
        ArrowType::Date32 => {
            let date = date32_to_datetime(column.as_primitive::<Date32Type>().value(row));
            date.into_iter().for_each(|d| write_display(text, d.date()));
        }
        ArrowType::Time32(_) => {
            let time = time32ms_to_time(column.as_primitive::<Time32MillisecondType>().value(row));
            time.into_iter().for_each(|t| append_time(text, t));
        }
        ArrowType::Timestamp(_, zone) => append_timestamp(text, column, row, zone.is_some())?,
        ArrowType::Interval(_) => write_display(text, column.as_primitive::<IntervalYearMonthType>().value(row)),
        ArrowType::Duration(_) => write_display(text, column.as_primitive::<DurationMillisecondType>().value(row)),
        ArrowType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            joined(text, "[", "]", items.len(), |text, i| append(text, &items, i))?;
        }
        ArrowType::Map(..) => {
            let entries = column.as_map().value(row);
            joined(text, "{", "}", entries.len(), |text, i| {
                append(text, entries.column(0), i)?;
                text.push('=');
                append(text, entries.column(1), i)
            })?;
        }
        ArrowType::Struct(_) => {
            let fields = column.as_struct().columns();
            joined(text, "+I[", "]", fields.len(), |text, i| append(text, &fields[i], row))?;
        }
        other => unreachable!("no SQL type is kept as {other}"),
    }
    Ok(())
}

fn write_display(text: &mut String, value: impl std::fmt::Display) {
    write!(text, "{value}").expect("writing to a String can't fail");
}

fn bytes(text: &mut String, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    text.push_str(&String::from_utf8_lossy(&out));
}

fn float(text: &mut String, value: f64, write: impl FnOnce(&mut Vec<u8>)) {
    match value {
        v if v.is_nan() => text.push_str("NaN"),
        f64::INFINITY => text.push_str("Infinity"),
        f64::NEG_INFINITY => text.push_str("-Infinity"),
        _ => bytes(text, write),
    }
}

fn list(text: &mut String, items: impl Iterator<Item = i8>) {
    text.push('[');
    for (i, item) in items.enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        write_display(text, item);
    }
    text.push(']');
}

fn joined(
    text: &mut String,
    open: &str,
    close: &str,
    count: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<()>,
) -> Result<()> {
    text.push_str(open);
    for i in 0..count {
        text.push_str(if i == 0 { "" } else { ", " });
        item(text, i)?;
    }
    text.push_str(close);
    Ok(())
}

/// `LocalDateTime.toString`, and with a zone `Instant.toString`.
fn append_timestamp(text: &mut String, column: &ArrayRef, row: usize, zoned: bool) -> Result<()> {
    let nanos = cast(&column.slice(row, 1), &ArrowType::Timestamp(TimeUnit::Microsecond, None));
    let micros = nanos.or_kind(ErrorKind::FailJob, "could not print a timestamp")?;
    let micros = micros.as_primitive::<arrow_array::types::TimestampMicrosecondType>().value(0);
    let time: NaiveDateTime = DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc()).unwrap_or_default();
    write_display(text, time.date());
    text.push('T');
    if zoned {
        // An instant always shows its seconds.
        write!(text, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
            .expect("writing to a String can't fail");
        append_fraction(text, time.nanosecond());
        text.push('Z');
    } else {
        append_time(text, time.time());
    }
    Ok(())
}

/// `LocalTime.toString`: seconds only where they or a fraction are not zero.
fn append_time(text: &mut String, time: chrono::NaiveTime) {
    write!(text, "{:02}:{:02}", time.hour(), time.minute()).expect("writing to a String can't fail");
    if time.second() > 0 || time.nanosecond() > 0 {
        write!(text, ":{:02}", time.second()).expect("writing to a String can't fail");
        append_fraction(text, time.nanosecond());
    }
}

/// Three, six or nine digits, as few as tell all.
fn append_fraction(text: &mut String, nanos: u32) {
    match nanos {
        0 => {}
        n if n % 1_000_000 == 0 => write_display(text, format_args!(".{:03}", n / 1_000_000)),
        n if n % 1_000 == 0 => write_display(text, format_args!(".{:06}", n / 1_000)),
        n => write_display(text, format_args!(".{n:09}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, Float64Array, StringArray, StructArray, TimestampMillisecondArray};
    use arrow_schema::Field;
    use std::sync::Arc;

    fn shown(column: impl Array + 'static) -> String {
        let mut text = String::new();
        append(&mut text, &(Arc::new(column) as ArrayRef), 0).unwrap();
        text
    }

    #[test]
    fn values_look_as_java_prints_them() {
        assert_eq!(shown(BooleanArray::from(vec![true])), "true");
        assert_eq!(shown(Float64Array::from(vec![1.0])), "1.0");
        assert_eq!(shown(Float64Array::from(vec![f64::NAN])), "NaN");
        assert_eq!(shown(StringArray::from(vec![None::<&str>])), "null");
        assert_eq!(shown(TimestampMillisecondArray::from(vec![0])), "1970-01-01T00:00");
        assert_eq!(shown(TimestampMillisecondArray::from(vec![1_500])), "1970-01-01T00:00:01.500");
        assert_eq!(shown(TimestampMillisecondArray::from(vec![0]).with_timezone("UTC")), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_nested_row_shows_its_kind() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let row = StructArray::from(vec![(Arc::new(Field::new("x", ArrowType::Utf8, true)), text)]);
        assert_eq!(shown(row), "+I[a]");
    }
}
