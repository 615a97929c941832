//! Dates and times as Flink's JSON format writes them: a fraction only where it isn't zero, and without
//! its trailing zeros.

use super::number::write_integer;
use millrace_planner::connector::TimestampFormat;

const SECONDS_PER_DAY: i64 = 86_400;

/// DATE: days since the epoch as `"2026-01-31"`.
pub(super) fn write_date(days: i32, out: &mut Vec<u8>) {
    out.push(b'"');
    push_date(i64::from(days), out);
    out.push(b'"');
}

/// TIME: milliseconds of the day as `"12:30:00.5"`.
pub(super) fn write_time(millis: i32, out: &mut Vec<u8>) {
    let millis = i64::from(millis).rem_euclid(SECONDS_PER_DAY * 1000);
    out.push(b'"');
    push_time((millis / 1000) as u32, out);
    push_fraction((millis % 1000) as u32, 3, out);
    out.push(b'"');
}

#[inline]
pub(super) fn write_timestamp(
    value: i64,
    units_per_second: i64,
    zoned: bool,
    format: TimestampFormat,
    out: &mut Vec<u8>,
) {
    // Each unit on its own: a division by a constant is a multiplication.
    let (seconds, fraction, digits) = match units_per_second {
        1_000 => (value.div_euclid(1_000), value.rem_euclid(1_000), 3),
        1_000_000 => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000), 6),
        _ => (value.div_euclid(1_000_000_000), value.rem_euclid(1_000_000_000), 9),
    };
    out.push(b'"');
    push_date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(match format {
        TimestampFormat::Sql => b' ',
        TimestampFormat::Iso8601 => b'T',
    });
    push_time(seconds.rem_euclid(SECONDS_PER_DAY) as u32, out);
    push_fraction(fraction as u32, digits, out);
    if zoned {
        out.push(b'Z');
    }
    out.push(b'"');
}

#[inline]
fn push_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    let month_and_day = [two_digits(month), two_digits(day)];
    let [[m1, m0], [d1, d0]] = month_and_day;
    if (0..=9999).contains(&year) {
        let [[y3, y2], [y1, y0]] = [two_digits(year as u32 / 100), two_digits(year as u32 % 100)];
        out.extend_from_slice(&[y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0]);
        return;
    }
    out.push(if year < 0 { b'-' } else { b'+' });
    let digits = year.unsigned_abs();
    for bound in [1000, 100, 10] {
        if digits < bound {
            out.push(b'0');
        }
    }
    write_integer(digits, out);
    out.extend_from_slice(&[b'-', m1, m0, b'-', d1, d0]);
}

#[inline]
fn push_time(second_of_day: u32, out: &mut Vec<u8>) {
    let [[h1, h0], [m1, m0], [s1, s0]] =
        [second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60].map(two_digits);
    out.extend_from_slice(&[h1, h0, b':', m1, m0, b':', s1, s0]);
}

#[inline]
fn push_fraction(mut fraction: u32, mut digits: usize, out: &mut Vec<u8>) {
    if fraction == 0 {
        return;
    }
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    let mut text = [b'.'; 10];
    for at in (1..=digits).rev() {
        text[at] = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    out.extend_from_slice(&text[..=digits]);
}

#[inline(always)]
fn two_digits(value: u32) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}

/// Year, month and day in the proleptic Gregorian calendar, by years that begin in March, so that the leap
/// day is a year's last.
#[inline]
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    const EPOCH: i64 = 719_468;
    let days = days + EPOCH;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA) as u32;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    let year = era * 400 + i64::from(year_of_era) + i64::from(month <= 2);
    (year, month, day)
}
