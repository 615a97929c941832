//! Dates and times as text: Flink's own forms, which casts use too, and patterns.

use super::call::{Arguments, Kernel, failure};
use super::catalogue::Signature;
use super::pattern::Pattern;
use super::temporal::TemporalType;
use super::zone::{Zone, from_epoch, to_epoch};
use crate::error::{Error, Result};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::ArrayRef;
use datafusion_common::arrow::datatypes::{Date32Type, Int64Type, TimestampMillisecondType};
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    let zone = signature.zone;
    Ok(Some(match signature.name {
        "DATE_FORMAT" => date_format(signature)?,
        "TO_TIMESTAMP" if signature.arguments.len() == 1 => Arc::new(|a| {
            let text = a.text(0);
            a.collect::<TimestampMillisecondType>(|row| to_epoch(read_timestamp(text.get(row)?)?, 1000))
        }),
        "TO_TIMESTAMP" => {
            let patterns = Patterns::of(signature, 1)?;
            Arc::new(move |a| a.collect::<TimestampMillisecondType>(|row| to_epoch(patterns.read(a, 0, 1, row)?, 1000)))
        }
        "TO_DATE" => {
            let patterns = Patterns::of(signature, 1)?;
            Arc::new(move |a| {
                a.collect::<Date32Type>(|row| {
                    Some((to_epoch(patterns.read(a, 0, 1, row)?, 1)?.div_euclid(86_400)) as i32)
                })
            })
        }
        "FROM_UNIXTIME" => {
            let patterns = Patterns::of(signature, 1)?;
            Arc::new(move |a| from_unixtime(a, &patterns, zone))
        }
        "UNIX_TIMESTAMP" if signature.arguments.is_empty() => {
            let now = signature.now.clone();
            Arc::new(move |a| a.collect::<Int64Type>(|_| Some(now.millis().div_euclid(1000))))
        }
        "UNIX_TIMESTAMP" => {
            let patterns = Patterns::of(signature, 1)?;
            Arc::new(move |a| {
                let (text, pattern) = (a.text(0), a.text(1));
                a.collect::<Int64Type>(|row| {
                    text.get(row).and(pattern.get(row))?;
                    let time = patterns.read(a, 0, 1, row).and_then(|time| to_epoch(zone.to_utc(time)?, 1));
                    Some(time.unwrap_or(i64::MIN))
                })
            })
        }
        "CONVERT_TZ" => Arc::new(|a| {
            let (text, from, to) = (a.text(0), a.text(1), a.text(2));
            a.collect_texts(|row| {
                let utc = Zone::parse(from.get(row)?)?.to_utc(read_timestamp(text.get(row)?)?)?;
                Some(show_timestamp(Zone::parse(to.get(row)?)?.to_local(utc)?, 0))
            })
        }),
        _ => return Ok(None),
    }))
}

/// The pattern of a call: parsed once where it is a literal.
struct Patterns {
    literal: Option<Pattern>,
}

impl Patterns {
    fn of(signature: &Signature<'_>, argument: usize) -> Result<Self> {
        let literal = signature.literal(argument).map(Pattern::parse).transpose();
        Ok(Self { literal: literal.map_err(|message| Error::user_fault(format!("{}: {message}", signature.name)))? })
    }

    fn get(&self, text: &str) -> Result<Cow<'_, Pattern>, String> {
        match &self.literal {
            Some(pattern) => Ok(Cow::Borrowed(pattern)),
            None => Pattern::parse(text).map(Cow::Owned),
        }
    }

    /// The time that a text argument says by a pattern argument.
    fn read(&self, a: &Arguments, text: usize, pattern: usize, row: usize) -> Option<NaiveDateTime> {
        self.get(a.text(pattern).get(row)?).ok()?.read(a.text(text).get(row)?)
    }
}

fn date_format(signature: &Signature<'_>) -> Result<Kernel> {
    let time = TemporalType::of(signature.kind(0), signature.zone).ok_or_else(|| signature.unsupported())?;
    let patterns = Patterns::of(signature, 1)?;
    Ok(Arc::new(move |a| {
        let (numbers, pattern) = (time.numbers(a, 0)?, a.text(1));
        a.try_collect_texts(|row| {
            let (Some(number), Some(pattern)) = (numbers.get(row), pattern.get(row)) else { return Ok(None) };
            let shown = time.shown(number).ok_or_else(|| failure(format!("no calendar reaches {number}")))?;
            let utc = time.zone.and_then(|zone| Some(zone.offset(zone.to_utc(shown)?)));
            let pattern = patterns.get(pattern).map_err(failure)?;
            Ok(Some(pattern.format(shown, utc.unwrap_or(0))))
        })
    }))
}

fn from_unixtime(a: &Arguments, patterns: &Patterns, zone: Zone) -> EvalResult<ArrayRef> {
    let (seconds, pattern) = (a.long(0), a.text(1));
    a.try_collect_texts(|row| {
        let (Some(seconds), Some(pattern)) = (seconds.get(row), pattern.get(row)) else { return Ok(None) };
        let utc = from_epoch(seconds, 1).ok_or_else(|| failure(format!("no calendar reaches {seconds}")))?;
        let local = zone.to_local(utc).ok_or_else(|| failure(format!("no calendar reaches {seconds}")))?;
        Ok(Some(patterns.get(pattern).map_err(failure)?.format(local, zone.offset(utc))))
    })
}

pub(super) fn show_date(date: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// With `precision` digits of the second's fraction.
pub(super) fn show_time(time: NaiveTime, precision: u8) -> String {
    let whole = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    match precision {
        0 => whole,
        _ => format!("{whole}.{}", &format!("{:09}", time.nanosecond())[..usize::from(precision.min(9))]),
    }
}

pub(super) fn show_timestamp(time: NaiveDateTime, precision: u8) -> String {
    format!("{} {}", show_date(time.date()), show_time(time.time(), precision))
}

/// `yyyy-MM-dd`, where month and day may have one digit or be left out.
pub(super) fn read_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4, 4)?;
    let month = parts.next().map_or(Some(1), |month| number(month, 1, 2))?;
    let day = parts.next().map_or(Some(1), |day| number(day, 1, 2))?;
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(year as i32, month, day)
}

/// `HH:mm:ss[.fraction]`, where seconds and minutes may be left out.
pub(super) fn read_time(text: &str) -> Option<NaiveTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let hour = number(parts.next()?, 1, 2)?;
    let minute = parts.next().map_or(Some(0), |minute| number(minute, 1, 2))?;
    let second = parts.next().map_or(Some(0), |second| number(second, 1, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let nanos = number(fraction, 1, 9)? * 10u32.pow(9 - fraction.len() as u32);
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
}

/// A date, then a time after a blank or a `T`, or none.
pub(super) fn read_timestamp(text: &str) -> Option<NaiveDateTime> {
    match text.split_once([' ', 'T']) {
        None => read_date(text)?.and_hms_opt(0, 0, 0),
        Some((date, time)) => Some(read_date(date)?.and_time(read_time(time)?)),
    }
}

fn number(text: &str, least: usize, most: usize) -> Option<u32> {
    let digits = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}
