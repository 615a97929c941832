//! From and to text and bytes. Not here: dates and times (`temporal.rs`), and what has parts
//! (`collection.rs`).

use super::Cast;
use crate::expression::call::{Arguments, Kernel, failure};
use crate::expression::decimal::{self, DecimalType};
use datafusion_common::Result;
use datafusion_common::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, PrimitiveArray};
use datafusion_common::arrow::datatypes::{
    Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType,
};
use millrace_planner::types::{MAX_LENGTH, TypeKind};
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn kernel(cast: &Cast) -> Option<Kernel> {
    match (&cast.from, &cast.to) {
        (_, to) if to.is_character() => to_text(cast),
        (from, to) if to.is_binary() && (from.is_character() || from.is_binary()) => Some(to_bytes(cast)),
        (from, _) if from.is_character() => from_text(cast),
        _ => None,
    }
}

/// Cut or padded to the length of a CHAR or VARCHAR.
pub(super) fn sized(text: Cow<'_, str>, to: &TypeKind) -> String {
    let (length, pad) = match to {
        TypeKind::Char { length } => (*length, true),
        TypeKind::VarChar { length } => (*length, false),
        _ => (MAX_LENGTH, false),
    };
    let mut text = text.into_owned();
    if length == MAX_LENGTH {
        return text;
    }
    if let Some((end, _)) = text.char_indices().nth(length as usize) {
        text.truncate(end);
    } else if pad {
        let missing = length as usize - text.chars().count();
        text.extend(std::iter::repeat_n(' ', missing));
    }
    text
}

fn to_text(cast: &Cast) -> Option<Kernel> {
    let to = cast.to.clone();
    macro_rules! show {
        ($arrow:ty, $show:expr) => {
            Arc::new(move |a: &Arguments| {
                let values = a.primitive::<$arrow>(0);
                a.collect_texts(|row| Some(sized($show(values.get(row)?).into(), &to)))
            })
        };
    }
    Some(match cast.from {
        TypeKind::TinyInt => show!(Int8Type, |v: i8| v.to_string()),
        TypeKind::SmallInt => show!(Int16Type, |v: i16| v.to_string()),
        TypeKind::Int => show!(Int32Type, |v: i32| v.to_string()),
        TypeKind::BigInt => show!(Int64Type, |v: i64| v.to_string()),
        TypeKind::Float => show!(Float32Type, |v: f32| show_floating(v.is_nan(), &format!("{v:e}"))),
        TypeKind::Double => show!(Float64Type, |v: f64| show_floating(v.is_nan(), &format!("{v:e}"))),
        TypeKind::Decimal { scale, .. } => show!(Decimal128Type, |v: i128| decimal::show(v, scale)),
        TypeKind::IntervalYearMonth => show!(IntervalYearMonthType, show_months),
        TypeKind::IntervalDayTime => show!(DurationMillisecondType, show_millis),
        TypeKind::Boolean => Arc::new(move |a| {
            let values = a.expanded(0)?;
            let values = values.as_boolean();
            a.collect_texts(|row| {
                let value = values.is_valid(row).then(|| values.value(row))?;
                Some(sized(if value { "TRUE" } else { "FALSE" }.into(), &to))
            })
        }),
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => Arc::new(move |a| {
            let text = a.text(0);
            a.collect_texts(|row| Some(sized(text.get(row)?.into(), &to)))
        }),
        TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => Arc::new(move |a| {
            let bytes = a.bytes(0);
            a.collect_texts(|row| Some(sized(String::from_utf8_lossy(bytes.get(row)?), &to)))
        }),
        _ => return None,
    })
}

/// As Java's `Double.toString`, from the shortest digits in the form `-1.25e-7`.
fn show_floating(is_nan: bool, scientific: &str) -> String {
    if is_nan {
        return "NaN".to_owned();
    }
    let (sign, scientific) = scientific.strip_prefix('-').map_or(("", scientific), |rest| ("-", rest));
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return format!("{sign}Infinity") };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    if digits == "0" {
        return format!("{sign}0.0");
    }
    let or_zero = |fraction: &str| if fraction.is_empty() { "0".to_owned() } else { fraction.to_owned() };
    match exponent {
        -3..0 => format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        0..7 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            format!("{sign}{}.{}", &padded[..whole], or_zero(&padded[whole..]))
        }
        _ => format!("{sign}{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    }
}

fn show_months(months: i32) -> String {
    let (sign, months) = (if months < 0 { '-' } else { '+' }, months.unsigned_abs());
    format!("{sign}{}-{:02}", months / 12, months % 12)
}

fn show_millis(millis: i64) -> String {
    let (sign, millis) = (if millis < 0 { '-' } else { '+' }, millis.unsigned_abs());
    let seconds = millis / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{sign}{days} {hours:02}:{minutes:02}:{seconds:02}.{:03}", millis % 1000)
}

fn from_text(cast: &Cast) -> Option<Kernel> {
    macro_rules! read {
        ($arrow:ty, $native:ty, $read:expr) => {{
            let cast = cast.clone();
            Arc::new(move |a: &Arguments| {
                let text = a.text(0);
                a.try_collect::<$arrow>(|row| {
                    let Some(text) = text.get(row) else { return Ok(None) };
                    let value: Option<$native> = $read(text.trim());
                    cast.or_null(value.map(Some).ok_or_else(|| unreadable(text, &cast.to)))
                })
            })
        }};
    }
    Some(match cast.to {
        TypeKind::TinyInt => read!(Int8Type, i8, |s| read_integer(s)?.try_into().ok()),
        TypeKind::SmallInt => read!(Int16Type, i16, |s| read_integer(s)?.try_into().ok()),
        TypeKind::Int => read!(Int32Type, i32, |s| read_integer(s)?.try_into().ok()),
        TypeKind::BigInt => read!(Int64Type, i64, read_integer),
        TypeKind::Float => read!(Float32Type, f32, |s| read_floating(s)?.parse().ok()),
        TypeKind::Double => read!(Float64Type, f64, |s| read_floating(s)?.parse().ok()),
        TypeKind::Boolean => {
            let cast = cast.clone();
            Arc::new(move |a| {
                let text = a.text(0);
                let read = |row| {
                    let Some(text) = text.get(row) else { return Ok(None) };
                    let value = read_boolean(text.trim());
                    cast.or_null(value.map(Some).ok_or_else(|| unreadable(text, &cast.to)))
                };
                Ok(Arc::new((0..a.rows).map(read).collect::<Result<BooleanArray>>()?))
            })
        }
        TypeKind::Decimal { precision, scale } => {
            let cast = cast.clone();
            Arc::new(move |a| read_decimals(&cast, a, DecimalType { precision, scale }))
        }
        _ => return None,
    })
}

pub(super) fn unreadable(text: &str, to: &TypeKind) -> datafusion_common::DataFusionError {
    failure(format!("cannot parse '{text}' as {to}"))
}

fn read_decimals(cast: &Cast, a: &Arguments, to: DecimalType) -> Result<ArrayRef> {
    let text = a.text(0);
    let read = |row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        cast.or_null(decimal::parse(text.trim(), to).map_err(|()| unreadable(text, &cast.to)))
    };
    let column = (0..a.rows).map(read).collect::<Result<PrimitiveArray<Decimal128Type>>>()?;
    Ok(Arc::new(column.with_precision_and_scale(to.precision, to.scale as i8)?))
}

/// Digits with a sign or without; a fraction is checked and dropped.
fn read_integer(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match whole {
        "" | "+" | "-" if !fraction.is_empty() => Some(0),
        _ => whole.parse().ok(),
    }
}

/// The text if Java's `parseDouble` takes it: Rust's takes more words.
fn read_floating(text: &str) -> Option<&str> {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match number {
        "NaN" | "Infinity" => Some(text),
        _ if digits => Some(text),
        _ => None,
    }
}

fn read_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn to_bytes(cast: &Cast) -> Kernel {
    let from_text = cast.from.is_character();
    let (length, pad) = match cast.to {
        TypeKind::Binary { length } => (length as usize, true),
        TypeKind::VarBinary { length } => (length as usize, false),
        _ => (MAX_LENGTH as usize, false),
    };
    Arc::new(move |a| {
        let mut builder = BinaryBuilder::new();
        for row in 0..a.rows {
            let bytes = if from_text { a.text(0).get(row).map(str::as_bytes) } else { a.bytes(0).get(row) };
            match bytes {
                None => builder.append_null(),
                Some(bytes) if pad && bytes.len() < length => {
                    let mut padded = bytes.to_vec();
                    padded.resize(length, 0);
                    builder.append_value(padded);
                }
                Some(bytes) => builder.append_value(&bytes[..bytes.len().min(length)]),
            }
        }
        Ok(Arc::new(builder.finish()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (123.25, "123.25"),
            (1_234_567.0, "1234567.0"),
            (1.0e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (f64::NEG_INFINITY, "-Infinity"),
            (-f64::NAN, "NaN"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(show_floating(value.is_nan(), &format!("{value:e}")), expected);
        }
    }

    #[test]
    fn intervals_print_with_their_sign() {
        assert_eq!(show_months(-14), "-1-02");
        assert_eq!(show_millis(93_784_005), "+1 02:03:04.005");
    }
}
