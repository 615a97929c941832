//! Between dates, times and timestamps, and from and to their text.

use super::Cast;
use super::text::{sized, unreadable};
use crate::expression::call::Kernel;
use crate::expression::temporal::TemporalType;
use crate::expression::temporal_text::{read_time, read_timestamp, show_date, show_time, show_timestamp};
use chrono::{NaiveDate, NaiveDateTime, Timelike};
use datafusion_common::Result;
use millrace_planner::types::TypeKind;
use std::sync::Arc;

const DAY_MILLIS: i64 = 86_400_000;

pub(super) fn kernel(cast: &Cast) -> Option<Kernel> {
    let cast = cast.clone();
    match (TemporalType::of(&cast.from, cast.zone), TemporalType::of(&cast.to, cast.zone)) {
        (Some(from), Some(to)) => Some(between(cast, from, to)),
        (Some(from), None) if cast.to.is_character() => Some(Arc::new(move |a| {
            let numbers = from.numbers(a, 0)?;
            a.collect_texts(|row| Some(sized(show(from.shown(numbers.get(row)?)?, &cast.from).into(), &cast.to)))
        })),
        (None, Some(to)) if cast.from.is_character() => Some(Arc::new(move |a| {
            let text = a.text(0);
            let read = |row| {
                let Some(text) = text.get(row) else { return Ok(None) };
                let number = read(text.trim(), &cast.to).and_then(|time| number(&to, time, &cast.to));
                cast.or_null(number.map(Some).ok_or_else(|| unreadable(text, &cast.to)))
            };
            let numbers = (0..a.rows).map(read).collect::<Result<Vec<_>>>()?;
            to.column(a, |row| numbers[row])
        })),
        _ => None,
    }
}

fn between(cast: Cast, from: TemporalType, to: TemporalType) -> Kernel {
    Arc::new(move |a| {
        let numbers = from.numbers(a, 0)?;
        to.column(a, |row| number(&to, from.shown(numbers.get(row)?)?, &cast.to))
    })
}

/// A time as a number of the type, without the digits that its precision doesn't have.
fn number(to: &TemporalType, time: NaiveDateTime, kind: &TypeKind) -> Option<i64> {
    let precision = precision(kind);
    let unit = 10u32.pow(9 - u32::from(precision.min(9)));
    let number = to.number_shown(time.with_nanosecond(time.nanosecond() / unit * unit)?)?;
    Some(if to.time_only { number.rem_euclid(DAY_MILLIS) } else { number })
}

fn precision(kind: &TypeKind) -> u8 {
    match kind {
        TypeKind::Time { precision } | TypeKind::Timestamp { precision } | TypeKind::TimestampLtz { precision } => {
            *precision
        }
        _ => 0,
    }
}

fn show(time: NaiveDateTime, kind: &TypeKind) -> String {
    match kind {
        TypeKind::Date => show_date(time.date()),
        TypeKind::Time { precision } => show_time(time.time(), *precision),
        _ => show_timestamp(time, precision(kind)),
    }
}

fn read(text: &str, kind: &TypeKind) -> Option<NaiveDateTime> {
    match kind {
        // A time of day after the date is read and dropped.
        TypeKind::Date => read_timestamp(text)?.date().and_hms_opt(0, 0, 0),
        TypeKind::Time { .. } => Some(NaiveDate::default().and_time(read_time(text)?)),
        _ => read_timestamp(text),
    }
}
