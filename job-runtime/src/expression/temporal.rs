//! Arithmetic of dates, times, timestamps and intervals, and the current time. Not here: their text
//! (`temporal_text.rs`).

use super::call::{Arguments, Kernel, View, failure};
use super::catalogue::Signature;
use super::zone::{Zone, from_epoch, to_epoch};
use crate::error::Result;
use crate::schema::arrow_type;
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion_common::arrow::compute::cast;
use datafusion_common::arrow::datatypes::{
    DataType, Date32Type, DurationMillisecondType, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType,
    TimestampMillisecondType,
};
use millrace_planner::types::TypeKind;
use std::sync::Arc;

const DAY_MILLIS: i64 = 86_400_000;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    Ok(Some(match signature.name {
        "DATETIME_PLUS" => shift(signature, 1)?,
        "DATETIME_MINUS" => shift(signature, -1)?,
        "TIMESTAMPDIFF" => difference(signature)?,
        "EXTRACT" => extract(signature)?,
        "FLOOR_TO" => round_to(signature, false)?,
        "CEIL_TO" => round_to(signature, true)?,
        "TO_TIMESTAMP_LTZ" => Arc::new(|a| {
            let (count, precision) = (a.long(0), a.int(1));
            instants(a, |row| match precision.get(row)? {
                0 => count.get(row)?.checked_mul(1000),
                3 => count.get(row),
                _ => None,
            })
        }),
        "CURRENT_TIMESTAMP" | "PROCTIME" => {
            let now = signature.now.clone();
            Arc::new(move |a| instants(a, |_| Some(now.millis())))
        }
        "LOCALTIMESTAMP" | "CURRENT_DATE" | "LOCALTIME" => local_now(signature),
        _ => return Ok(None),
    }))
}

/// A column of TIMESTAMP_LTZ(3).
fn instants(a: &Arguments, millis: impl Fn(usize) -> Option<i64>) -> EvalResult<ArrayRef> {
    let column = a.collect::<TimestampMillisecondType>(millis)?;
    Ok(Arc::new(column.as_primitive::<TimestampMillisecondType>().clone().with_timezone("UTC")))
}

fn local_now(signature: &Signature<'_>) -> Kernel {
    let (now, zone) = (signature.now.clone(), signature.zone);
    let millis = move || {
        let utc = from_epoch(now.millis(), 1000)?;
        to_epoch(zone.to_local(utc)?, 1000)
    };
    match signature.name {
        "CURRENT_DATE" => Arc::new(move |a| a.collect::<Date32Type>(|_| Some(millis()?.div_euclid(DAY_MILLIS) as i32))),
        "LOCALTIME" => Arc::new(move |a| {
            a.collect::<Time32MillisecondType>(|_| Some((millis()?.rem_euclid(DAY_MILLIS) / 1000 * 1000) as i32))
        }),
        _ => Arc::new(move |a| a.collect::<TimestampMillisecondType>(|_| millis())),
    }
}

/// What the numbers of a column of dates or times mean.
#[derive(Clone, Debug)]
pub(super) struct TemporalType {
    pub(super) arrow: DataType,
    /// Units in a second; for a DATE the unit is a day and this is zero.
    pub(super) per_second: i64,
    /// Where it is an instant, the session's zone.
    pub(super) zone: Option<Zone>,
    pub(super) time_only: bool,
}

impl TemporalType {
    pub(super) fn of(kind: &TypeKind, zone: Zone) -> Option<Self> {
        let per_second = |precision: u8| match precision {
            0..=3 => 1_000,
            4..=6 => 1_000_000,
            _ => 1_000_000_000,
        };
        let (per_second, zone, time_only) = match kind {
            TypeKind::Date => (0, None, false),
            TypeKind::Time { .. } => (1_000, None, true),
            TypeKind::Timestamp { precision } => (per_second(*precision), None, false),
            TypeKind::TimestampLtz { precision } => (per_second(*precision), Some(zone), false),
            _ => return None,
        };
        Some(Self { arrow: arrow_type(kind), per_second, zone, time_only })
    }

    /// The argument's numbers.
    pub(super) fn numbers(&self, a: &Arguments, argument: usize) -> EvalResult<Numbers> {
        let array = a.expanded(argument)?;
        let array = match array.data_type() {
            DataType::Date32 | DataType::Time32(_) => cast(&cast(&array, &DataType::Int32)?, &DataType::Int64)?,
            _ => cast(&array, &DataType::Int64)?,
        };
        Ok(Numbers(array.as_primitive::<Int64Type>().clone()))
    }

    /// A column of this type.
    pub(super) fn column(&self, a: &Arguments, number: impl Fn(usize) -> Option<i64>) -> EvalResult<ArrayRef> {
        let numbers: Int64Array = (0..a.rows).map(number).collect();
        Ok(match self.arrow {
            DataType::Date32 | DataType::Time32(_) => cast(&cast(&numbers, &DataType::Int32)?, &self.arrow)?,
            _ => cast(&numbers, &self.arrow)?,
        })
    }

    /// What calendar and clock show, of an instant in the session's zone.
    pub(super) fn shown(&self, number: i64) -> Option<NaiveDateTime> {
        let time = self.utc(number)?;
        self.zone.map_or(Some(time), |zone| zone.to_local(time))
    }

    /// As `shown`, of an instant in UTC.
    fn utc(&self, number: i64) -> Option<NaiveDateTime> {
        match self.per_second {
            0 => from_epoch(number.checked_mul(86_400)?, 1),
            per_second => from_epoch(number, per_second),
        }
    }

    /// The opposite of `shown`.
    pub(super) fn number_shown(&self, shown: NaiveDateTime) -> Option<i64> {
        self.number_in_utc(self.zone.map_or(Some(shown), |zone| zone.to_utc(shown))?)
    }

    fn number_in_utc(&self, time: NaiveDateTime) -> Option<i64> {
        match self.per_second {
            0 => Some(to_epoch(time, 1)?.div_euclid(86_400)),
            per_second => to_epoch(time, per_second),
        }
    }
}

pub(super) struct Numbers(Int64Array);

impl Numbers {
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        use datafusion_common::arrow::array::Array;
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

fn temporal(signature: &Signature<'_>, argument: usize) -> Result<TemporalType> {
    TemporalType::of(signature.kind(argument), signature.zone).ok_or_else(|| signature.unsupported())
}

fn shift(signature: &Signature<'_>, sign: i64) -> Result<Kernel> {
    let time = temporal(signature, 0)?;
    if *signature.kind(1) == TypeKind::IntervalYearMonth {
        return Ok(Arc::new(move |a| {
            let (numbers, months) = (time.numbers(a, 0)?, a.primitive::<IntervalYearMonthType>(1));
            time.column(a, |row| {
                let (number, months) = (numbers.get(row)?, months.get(row)?);
                if time.time_only {
                    return Some(number);
                }
                time.number_in_utc(add_months(time.utc(number)?, i64::from(months) * sign)?)
            })
        }));
    }
    Ok(Arc::new(move |a| {
        let (numbers, millis) = (time.numbers(a, 0)?, a.primitive::<DurationMillisecondType>(1));
        let millis: View<_> = millis;
        time.column(a, |row| {
            let (number, millis) = (numbers.get(row)?, millis.get(row)?.checked_mul(sign)?);
            match (time.per_second, time.time_only) {
                (0, _) => number.checked_add(millis / DAY_MILLIS),
                (_, true) => Some((number + millis % DAY_MILLIS).rem_euclid(DAY_MILLIS)),
                (per_second, false) => number.checked_add(millis.checked_mul(per_second / 1000)?),
            }
        })
    }))
}

/// The day of the month stays, or becomes the month's last.
fn add_months(time: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { time.checked_sub_months(count) } else { time.checked_add_months(count) }
}

fn difference(signature: &Signature<'_>) -> Result<Kernel> {
    let time = temporal(signature, 1)?;
    let unit = signature.literal(0).ok_or_else(|| signature.unsupported())?;
    let in_months = match unit {
        "MONTH" => Some(1),
        "QUARTER" => Some(3),
        "YEAR" => Some(12),
        _ => None,
    };
    let seconds = match unit {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3_600,
        "DAY" => 86_400,
        "WEEK" => 604_800,
        _ if in_months.is_some() => 1,
        _ => return Err(signature.unsupported()),
    };
    Ok(Arc::new(move |a| {
        let (from, to) = (time.numbers(a, 1)?, time.numbers(a, 2)?);
        a.collect::<Int32Type>(|row| {
            let (from, to) = (time.utc(from.get(row)?)?, time.utc(to.get(row)?)?);
            Some(match in_months {
                Some(months) => (months_between(from, to)? / months) as i32,
                None => (to.signed_duration_since(from).num_milliseconds() / (seconds * 1000)) as i32,
            })
        })
    }))
}

/// Whole months, negative where `to` is before `from`.
fn months_between(from: NaiveDateTime, to: NaiveDateTime) -> Option<i64> {
    if to < from {
        return Some(-months_between(to, from)?);
    }
    let index = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
    let months = index(to) - index(from);
    Some(if add_months(from, months)? > to { months - 1 } else { months })
}

fn extract(signature: &Signature<'_>) -> Result<Kernel> {
    let unit = signature.literal(0).ok_or_else(|| signature.unsupported())?;
    match signature.kind(1) {
        TypeKind::IntervalYearMonth => {
            let part: fn(i32) -> i32 = match unit {
                "YEAR" => |months| months / 12,
                "QUARTER" => |months| months % 12 / 3 + 1,
                "MONTH" => |months| months % 12,
                _ => return Err(signature.unsupported()),
            };
            return Ok(Arc::new(move |a| {
                let months = a.primitive::<IntervalYearMonthType>(1);
                a.collect::<Int64Type>(|row| Some(i64::from(part(months.get(row)?))))
            }));
        }
        TypeKind::IntervalDayTime => {
            let (divisor, modulus) = match unit {
                "DAY" => (DAY_MILLIS, i64::MAX),
                "HOUR" => (3_600_000, 24),
                "MINUTE" => (60_000, 60),
                "SECOND" => (1_000, 60),
                "MILLISECOND" => (1, 60_000),
                "EPOCH" => (1_000, i64::MAX),
                _ => return Err(signature.unsupported()),
            };
            return Ok(Arc::new(move |a| {
                let millis = a.primitive::<DurationMillisecondType>(1);
                a.collect::<Int64Type>(|row| Some(millis.get(row)? / divisor % modulus))
            }));
        }
        _ => {}
    }
    let time = temporal(signature, 1)?;
    let part = part(unit).ok_or_else(|| signature.unsupported())?;
    let epoch = unit == "EPOCH";
    Ok(Arc::new(move |a| {
        let numbers = time.numbers(a, 1)?;
        a.collect::<Int64Type>(|row| {
            let number = numbers.get(row)?;
            Some(part(if epoch { time.utc(number)? } else { time.shown(number)? }))
        })
    }))
}

fn part(unit: &str) -> Option<fn(NaiveDateTime) -> i64> {
    fn rounded_up(year: i32, by: i32) -> i64 {
        i64::from(if year > 0 { (year + by - 1) / by } else { (year - by + 1) / by })
    }
    fn seconds(t: NaiveDateTime, per_second: i64) -> i64 {
        i64::from(t.second()) * per_second + i64::from(t.nanosecond()) / (1_000_000_000 / per_second)
    }
    Some(match unit {
        "MILLENNIUM" => |t| rounded_up(t.year(), 1000),
        "CENTURY" => |t| rounded_up(t.year(), 100),
        "DECADE" => |t| i64::from(t.year().div_euclid(10)),
        "YEAR" => |t| i64::from(t.year()),
        "QUARTER" => |t| i64::from(t.month0() / 3 + 1),
        "MONTH" => |t| i64::from(t.month()),
        "WEEK" => |t| i64::from(t.iso_week().week()),
        "DAY" => |t| i64::from(t.day()),
        "DOW" => |t| i64::from(t.weekday().number_from_sunday()),
        "DOY" => |t| i64::from(t.ordinal()),
        "HOUR" => |t| i64::from(t.hour()),
        "MINUTE" => |t| i64::from(t.minute()),
        "SECOND" => |t| i64::from(t.second()),
        "MILLISECOND" => |t| seconds(t, 1_000),
        "MICROSECOND" => |t| seconds(t, 1_000_000),
        "EPOCH" => |t| t.and_utc().timestamp(),
        _ => return None,
    })
}

fn round_to(signature: &Signature<'_>, up: bool) -> Result<Kernel> {
    let time = temporal(signature, 0)?;
    let unit = signature.literal(1).ok_or_else(|| signature.unsupported())?;
    let unit = Unit::parse(unit).ok_or_else(|| signature.unsupported())?;
    Ok(Arc::new(move |a| {
        let numbers = time.numbers(a, 0)?;
        let overflow = || failure("a date or time out of range");
        let rounded = (0..a.rows).map(|row| {
            let Some(number) = numbers.get(row) else { return Ok(None) };
            let shown = time.shown(number).ok_or_else(overflow)?;
            let floor = unit.floor(shown).ok_or_else(overflow)?;
            let result = if up && floor < shown { unit.next(floor).ok_or_else(overflow)? } else { floor };
            let number = time.number_shown(result).ok_or_else(overflow)?;
            Ok(Some(if time.time_only { number.rem_euclid(DAY_MILLIS) } else { number }))
        });
        let rounded = rounded.collect::<EvalResult<Vec<_>>>()?;
        time.column(a, |row| rounded[row])
    }))
}

#[derive(Clone, Copy)]
enum Unit {
    /// Of years, starting with one whose number leaves this remainder.
    Years(i32, i32),
    Months(u32),
    Week,
    Nanos(i64),
}

impl Unit {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "MILLENNIUM" => Self::Years(1000, 1),
            "CENTURY" => Self::Years(100, 1),
            "DECADE" => Self::Years(10, 0),
            "YEAR" => Self::Years(1, 0),
            "QUARTER" => Self::Months(3),
            "MONTH" => Self::Months(1),
            "WEEK" => Self::Week,
            "DAY" => Self::Nanos(86_400_000_000_000),
            "HOUR" => Self::Nanos(3_600_000_000_000),
            "MINUTE" => Self::Nanos(60_000_000_000),
            "SECOND" => Self::Nanos(1_000_000_000),
            "MILLISECOND" => Self::Nanos(1_000_000),
            "MICROSECOND" => Self::Nanos(1_000),
            _ => return None,
        })
    }

    fn floor(self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        let date = match self {
            Self::Years(count, remainder) => {
                let year = time.year() - (time.year() - remainder).rem_euclid(count);
                NaiveDate::from_ymd_opt(year, 1, 1)?
            }
            Self::Months(count) => NaiveDate::from_ymd_opt(time.year(), time.month0() / count * count + 1, 1)?,
            Self::Week => time.date().checked_sub_days(Days::new(u64::from(time.weekday().num_days_from_sunday())))?,
            Self::Nanos(nanos) => {
                let of_day = i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond());
                return time.checked_sub_signed(TimeDelta::nanoseconds(of_day % nanos));
            }
        };
        date.and_hms_opt(0, 0, 0)
    }

    /// The start of the next unit.
    fn next(self, floor: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Years(count, _) => add_months(floor, i64::from(count) * 12),
            Self::Months(count) => add_months(floor, i64::from(count)),
            Self::Week => floor.checked_add_days(Days::new(7)),
            Self::Nanos(nanos) => floor.checked_add_signed(TimeDelta::nanoseconds(nanos)),
        }
    }
}
