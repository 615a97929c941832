//! Constants: their types as Flink gives them, dates, timestamps and intervals from their text, and
//! conversions that are exact. Not here: conversions that depend on the session (time zones), which
//! stay Cast nodes.

use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::types::{DataType, TypeKind};

const MILLIS_PER_DAY: i64 = 86_400_000;

pub(super) fn constant(value: Literal, kind: TypeKind) -> Expression {
    let nullable = value == Literal::Null;
    Expression { kind: ExpressionKind::Literal(value), data_type: DataType { kind, nullable } }
}

pub(super) fn null(kind: TypeKind) -> Expression {
    constant(Literal::Null, kind)
}

pub(super) fn boolean(value: bool) -> Expression {
    constant(Literal::Boolean(value), TypeKind::Boolean)
}

pub(super) fn int(value: i32) -> Expression {
    constant(Literal::Integer(value.into()), TypeKind::Int)
}

/// CHAR of its length, as in Flink; the empty string is a VARCHAR.
pub(super) fn string(value: &str) -> Expression {
    let kind = match value.chars().count() as u32 {
        0 => TypeKind::VarChar { length: 1 },
        length => TypeKind::Char { length },
    };
    constant(Literal::String(value.to_owned()), kind)
}

/// `12`, `1.50`, `1e3`: INT, BIGINT or DECIMAL by its digits; with an exponent a DOUBLE.
pub(super) fn number(text: &str) -> Result<Expression, SqlError> {
    let too_long = || SqlError::invalid(format!("the number {text} has more than 38 digits"));
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| SqlError::syntax(format!("{text} is not a number")))?;
        if !value.is_finite() {
            return Err(SqlError::invalid(format!("the number {text} is too large for a DOUBLE")));
        }
        return Ok(constant(Literal::Double(value), TypeKind::Double));
    }
    let Some((whole, fraction)) = text.split_once('.') else {
        if let Ok(value) = text.parse::<i64>() {
            let kind = if i32::try_from(value).is_ok() { TypeKind::Int } else { TypeKind::BigInt };
            return Ok(constant(Literal::Integer(value), kind));
        }
        let value: i128 = text.parse().map_err(|_| too_long())?;
        let precision = text.trim_start_matches('0').len() as u8;
        return match precision {
            0..=38 => Ok(constant(Literal::Decimal(value), TypeKind::Decimal { precision, scale: 0 })),
            _ => Err(too_long()),
        };
    };
    let digits = format!("{whole}{fraction}");
    let value: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| too_long())? };
    let scale = fraction.len();
    let precision = digits.trim_start_matches('0').len().max(scale).max(1);
    if precision > 38 {
        return Err(too_long());
    }
    let kind = TypeKind::Decimal { precision: precision as u8, scale: scale as u8 };
    Ok(constant(Literal::Decimal(value), kind))
}

/// The value in another type where that is exact and always succeeds; None leaves it to the runtime.
pub(super) fn converted(value: &Literal, from: &TypeKind, to: &TypeKind) -> Option<Literal> {
    let to_kind = to;
    match (value, to) {
        (Literal::Null, _) => Some(Literal::Null),
        (value, to) if from == to => Some(value.clone()),
        (Literal::Integer(value), to) if to.is_integer() => {
            let fits = match to {
                TypeKind::TinyInt => i8::try_from(*value).is_ok(),
                TypeKind::SmallInt => i16::try_from(*value).is_ok(),
                TypeKind::Int => i32::try_from(*value).is_ok(),
                _ => true,
            };
            fits.then_some(Literal::Integer(*value))
        }
        (Literal::Integer(value), TypeKind::Double) if value.abs() <= 1 << 53 => Some(Literal::Double(*value as f64)),
        (Literal::Integer(value), TypeKind::Decimal { precision, scale }) => {
            rescaled(i128::from(*value), 0, *precision, *scale)
        }
        (Literal::Decimal(value), TypeKind::Decimal { precision, scale }) => match from {
            TypeKind::Decimal { scale: from_scale, .. } => rescaled(*value, *from_scale, *precision, *scale),
            _ => None,
        },
        (Literal::Decimal(value), TypeKind::Double) => match from {
            // Reading the digits is what rounds correctly.
            TypeKind::Decimal { scale, .. } => decimal_text(*value, *scale).parse().ok().map(Literal::Double),
            _ => None,
        },
        (Literal::String(text), TypeKind::VarChar { length }) => {
            (text.chars().count() <= *length as usize).then(|| Literal::String(text.clone()))
        }
        (
            Literal::Timestamp(value),
            TypeKind::Timestamp { precision: to } | TypeKind::TimestampLtz { precision: to },
        ) if std::mem::discriminant(from) == std::mem::discriminant(to_kind) => match from {
            TypeKind::Timestamp { precision } | TypeKind::TimestampLtz { precision } if precision <= to => {
                value.checked_mul(per_second(*to) / per_second(*precision)).map(Literal::Timestamp)
            }
            _ => None,
        },
        (Literal::String(text), TypeKind::Date) => date(text).map(Literal::Date),
        (Literal::String(text), TypeKind::Timestamp { precision }) => {
            timestamp(text, *precision).map(Literal::Timestamp)
        }
        _ => None,
    }
}

/// Units of a timestamp's precision in a second.
pub(crate) fn per_second(precision: u8) -> i64 {
    match precision {
        0..=3 => 1_000,
        4..=6 => 1_000_000,
        _ => 1_000_000_000,
    }
}

fn rescaled(value: i128, from_scale: u8, precision: u8, scale: u8) -> Option<Literal> {
    let factor = 10_i128.checked_pow(u32::from(scale.checked_sub(from_scale)?))?;
    let value = value.checked_mul(factor)?;
    let limit = 10_i128.checked_pow(precision.into())?;
    (value.abs() < limit).then_some(Literal::Decimal(value))
}

/// The digits of a DECIMAL with its point.
pub(crate) fn decimal_text(value: i128, scale: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Days since 1970-01-01 of `yyyy-MM-dd`.
pub(super) fn date(text: &str) -> Option<i32> {
    let mut parts = text.trim().splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if year == 0 || day == 0 || day > days_in_month {
        return None;
    }
    // Counted from 0000-03-01, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    i32::try_from(days).ok()
}

/// `yyyy-MM-dd` of days since 1970-01-01.
pub(crate) fn date_text(days: i64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// At most `most` digits, and nothing else.
fn digits(text: &str, most: usize) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Nanoseconds since midnight of `HH:mm[:ss[.fraction]]`.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = if fraction.is_empty() { 0 } else { digits(&format!("{fraction:0<9}"), 9)? };
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}

/// Milliseconds since midnight.
pub(super) fn time(text: &str) -> Option<i32> {
    i32::try_from(time_of_day(text.trim())? / 1_000_000).ok()
}

/// In the unit of its precision, since the epoch. Further digits of the fraction are cut.
pub(super) fn timestamp(text: &str, precision: u8) -> Option<i64> {
    let text = text.trim();
    let (day, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let days = i64::from(date(day)?);
    let nanos = time_of_day(clock.trim())?;
    // Digits below the precision are gone, whatever the unit that the value is kept in.
    let step = 10_i64.pow(9 - u32::from(precision.min(9)));
    let nanos = nanos / step * step;
    match precision {
        0..=3 => Some(days * MILLIS_PER_DAY + nanos / 1_000_000),
        4..=6 => days.checked_mul(MILLIS_PER_DAY * 1_000)?.checked_add(nanos / 1_000),
        _ => days.checked_mul(MILLIS_PER_DAY * 1_000_000)?.checked_add(nanos),
    }
}

/// The number of digits of a timestamp literal's fraction: its precision.
pub(super) fn fraction_digits(text: &str) -> u8 {
    text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.trim_end().len().min(9) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-02-29"), Some(11_016));
        assert_eq!(date("1969-12-31"), Some(-1));
        assert_eq!(date("2026-02-29"), None);
        assert_eq!(date("2026-13-01"), None);
    }

    #[test]
    fn every_day_prints_as_it_was_read() {
        for days in (-200_000..200_000).step_by(17) {
            assert_eq!(date(&date_text(days)), Some(days as i32));
        }
    }

    #[test]
    fn timestamps_are_kept_in_the_unit_of_their_precision() {
        assert_eq!(timestamp("1970-01-01 00:00:01.234567", 3), Some(1_234));
        assert_eq!(timestamp("1970-01-01 00:00:01.234567", 6), Some(1_234_567));
        assert_eq!(timestamp("1970-01-01 00:00:01.9", 0), Some(1_000));
        assert_eq!(timestamp("1970-01-01T00:00", 9), Some(0));
        assert_eq!(timestamp("1970-01-01 24:00:00", 3), None);
    }

    #[test]
    fn numbers_get_flinks_types() {
        let kind = |text| number(text).expect("a number").data_type.to_string();
        assert_eq!(kind("12"), "INT NOT NULL");
        assert_eq!(kind("3000000000"), "BIGINT NOT NULL");
        assert_eq!(kind("9223372036854775808"), "DECIMAL(19, 0) NOT NULL");
        assert_eq!(kind("1.50"), "DECIMAL(3, 2) NOT NULL");
        assert_eq!(kind("0.05"), "DECIMAL(2, 2) NOT NULL");
        assert_eq!(kind("1e3"), "DOUBLE NOT NULL");
    }
}
