//! Dates and times as Flink's JSON format writes them. The usual length has a path of its own, because
//! most records carry an event time. Unlike Flink, a day that its month does not have is an error here,
//! and not the month's last day.

use super::scan::Cursor;
use millrace_planner::connector::TimestampFormat;

/// What a column's timestamps look like, and how much of them it keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimestampLayout {
    pub(super) format: TimestampFormat,
    /// A `Z` stands behind the time.
    pub(super) zoned: bool,
    /// Fractional digits of the SQL type.
    pub(super) precision: u8,
    /// Units of the column in a second.
    pub(super) units_per_second: i64,
}

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A reading position in the text of a date or time.
struct Text<'a>(&'a [u8]);

impl TimestampLayout {
    fn separator(&self) -> u8 {
        match self.format {
            TimestampFormat::Sql => b' ',
            TimestampFormat::Iso8601 => b'T',
        }
    }

    /// The value of a timestamp in the column's unit.
    pub(super) fn parse(&self, text: &[u8]) -> Option<i64> {
        let mut text = Text(text);
        let days = text.date()?;
        let separated = text.accept(self.separator()) || self.format == TimestampFormat::Iso8601 && text.accept(b't');
        if !separated {
            return None;
        }
        let (seconds, nanos) = text.time(self.format == TimestampFormat::Iso8601)?;
        if self.zoned && !text.accept(b'Z') {
            return None;
        }
        let nanos = truncate_nanos(nanos, self.precision);
        if !text.0.is_empty() {
            return None;
        }
        let seconds = i64::from(days).checked_mul(SECONDS_PER_DAY)? + i64::from(seconds);
        let fraction = i64::from(nanos) / (NANOS_PER_SECOND / self.units_per_second);
        if seconds >= 0 {
            return seconds.checked_mul(self.units_per_second)?.checked_add(fraction);
        }
        // From the second above, so that the least value doesn't overflow on the way.
        (seconds + 1).checked_mul(self.units_per_second)?.checked_add(fraction - self.units_per_second)
    }
}

impl Cursor<'_> {
    /// Reads a string that holds a timestamp with no, three or six fractional digits and a year of four;
    /// with anything else under the cursor it stays where it is.
    #[inline]
    pub(super) fn common_timestamp(&mut self, layout: &TimestampLayout) -> Option<i64> {
        let rest = self.rest();
        let text: &[u8; 21] = rest.first_chunk()?;
        let mut check = Digits::default();
        let year = check.four([text[1], text[2], text[3], text[4]]);
        let month = check.two(text[6], text[7]);
        let day = check.two(text[9], text[10]);
        let hour = check.two(text[12], text[13]);
        let minute = check.two(text[15], text[16]);
        let second = check.two(text[18], text[19]);
        let separators = [text[0], text[5], text[8], text[11], text[14], text[17]];
        if separators != [b'"', b'-', b'-', layout.separator(), b':', b':'] {
            return None;
        }

        let mut length = 20;
        let mut micros = 0;
        if text[20] == b'.' {
            let millis: &[u8; 3] = rest[21..].first_chunk()?;
            micros = check.three(*millis) * 1000;
            length = 24;
            if let Some(more) = rest[24..].first_chunk::<3>().filter(|more| more[0].is_ascii_digit()) {
                micros += check.three(*more);
                length = 27;
            }
            if length > 21 + usize::from(layout.precision) {
                // More digits than the type keeps.
                return None;
            }
        }
        let in_range = check.valid() && hour < 24 && minute < 60 && second < 60;
        if !in_range || !is_date(year as i32, month, day) {
            return None;
        }
        if layout.zoned {
            if rest.get(length) != Some(&b'Z') {
                return None;
            }
            length += 1;
        }
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        let days = i64::from(days_from_civil(year as i32, month, day));
        let seconds = days * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
        let value = match layout.units_per_second {
            1_000 => seconds * 1_000 + i64::from(micros / 1_000),
            1_000_000 => seconds * 1_000_000 + i64::from(micros),
            // Nanoseconds can overflow.
            _ => return None,
        };
        self.pos += length + 1;
        Some(value)
    }
}

/// Turns digits into numbers and remembers whether all of them were digits.
#[derive(Default)]
struct Digits {
    wrong: u8,
}

impl Digits {
    #[inline(always)]
    fn one(&mut self, byte: u8) -> u32 {
        let digit = byte.wrapping_sub(b'0');
        // Above nine, adding 118 reaches the high bit; from 128 on it is there already.
        self.wrong |= digit | digit.wrapping_add(118);
        u32::from(digit)
    }

    #[inline(always)]
    fn two(&mut self, tens: u8, ones: u8) -> u32 {
        self.one(tens) * 10 + self.one(ones)
    }

    #[inline(always)]
    fn three(&mut self, [a, b, c]: [u8; 3]) -> u32 {
        self.one(a) * 100 + self.two(b, c)
    }

    #[inline(always)]
    fn four(&mut self, [a, b, c, d]: [u8; 4]) -> u32 {
        self.two(a, b) * 100 + self.two(c, d)
    }

    #[inline(always)]
    fn valid(&self) -> bool {
        self.wrong < 0x80
    }
}

/// DATE: `2026-01-31`, as days since the epoch.
pub(super) fn parse_date(text: &[u8]) -> Option<i32> {
    let mut text = Text(text);
    let days = text.date()?;
    text.0.is_empty().then_some(days)
}

/// TIME: `12:30:00.123`, as milliseconds of the day, cut to the type's precision.
pub(super) fn parse_time(text: &[u8], precision: u8) -> Option<i32> {
    let mut text = Text(text);
    let (seconds, nanos) = text.time(false)?;
    let millis = truncate_nanos(nanos, precision) / 1_000_000;
    text.0.is_empty().then_some((seconds * 1000 + millis) as i32)
}

fn truncate_nanos(nanos: u32, precision: u8) -> u32 {
    nanos - nanos % 10u32.pow(9 - u32::from(precision.min(9)))
}

impl Text<'_> {
    fn accept(&mut self, byte: u8) -> bool {
        let there = self.0.first() == Some(&byte);
        if there {
            self.0 = &self.0[1..];
        }
        there
    }

    /// As many digits as there are, at most nine.
    fn digits(&mut self) -> (u32, usize) {
        let count = self.0.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        let value = self.0[..count].iter().fold(0, |value, b| value * 10 + u32::from(b - b'0'));
        self.0 = &self.0[count..];
        (value, count)
    }

    fn two_digits(&mut self, below: u32) -> Option<u32> {
        let [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] = self.0 else { return None };
        self.0 = rest;
        let value = u32::from(a - b'0') * 10 + u32::from(b - b'0');
        (value < below).then_some(value)
    }

    /// Days since the epoch. As in Java, years beyond 9999 have a plus sign and those before zero a minus.
    fn date(&mut self) -> Option<i32> {
        let minus = self.accept(b'-');
        let plus = !minus && self.accept(b'+');
        let (year, digits) = self.digits();
        let length_fits = if plus { digits > 4 } else { digits >= 4 && (minus || digits == 4) };
        if !length_fits || !self.accept(b'-') {
            return None;
        }
        let year = if minus { -(year as i32) } else { year as i32 };
        let month = self.two_digits(13)?;
        if !self.accept(b'-') {
            return None;
        }
        let day = self.two_digits(32)?;
        // The days of these years fit into 32 bits.
        if !(-5_000_000..=5_000_000).contains(&year) || !is_date(year, month, day) {
            return None;
        }
        Some(days_from_civil(year, month, day))
    }

    /// Seconds of the day, and nanoseconds.
    fn time(&mut self, seconds_optional: bool) -> Option<(u32, u32)> {
        let hour = self.two_digits(24)?;
        if !self.accept(b':') {
            return None;
        }
        let minute = self.two_digits(60)?;
        if !self.accept(b':') {
            return seconds_optional.then_some((hour * 3600 + minute * 60, 0));
        }
        let second = self.two_digits(60)?;
        let mut nanos = 0;
        if self.accept(b'.') {
            // A point without digits is right in Java.
            let (fraction, digits) = self.digits();
            nanos = fraction * 10u32.pow(9 - digits as u32);
        }
        Some((hour * 3600 + minute * 60 + second, nanos))
    }
}

fn is_date(year: i32, month: u32, day: u32) -> bool {
    const LENGTHS: [u32; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let in_month = LENGTHS.get(month as usize).is_some_and(|&length| day >= 1 && day <= length);
    in_month && (month != 2 || day < 29 || leap)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March, so
/// that the leap day is a year's last.
fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    const DAYS_PER_ERA: i32 = 146_097;
    const EPOCH: i32 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let months_since_march = (month as i32 + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH
}
