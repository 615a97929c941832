//! Time zones of SQL functions: what a clock shows at an instant, and back, as Java's `ZonedDateTime`
//! has it. Not here: the zones of windows (`operators/window.rs`), which fire late rather than early.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

impl Zone {
    /// A name of the IANA database, or an offset: `+08:00`, `GMT+8`, `UTC-3:30`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Ok(zone) = name.parse() {
            return Some(Self::Named(zone));
        }
        let offset = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
        let (sign, digits) = match offset.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let valid = (0..=18).contains(&hours) && (0..60).contains(&minutes);
        FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).filter(|_| valid).map(Self::Fixed)
    }

    /// Seconds that the clock is ahead of UTC.
    pub(super) fn offset(&self, utc: NaiveDateTime) -> i32 {
        match self {
            Self::Named(Tz::UTC) => 0,
            Self::Named(zone) => zone.offset_from_utc_datetime(&utc).fix().local_minus_utc(),
            Self::Fixed(offset) => offset.local_minus_utc(),
        }
    }

    pub(super) fn to_local(self, utc: NaiveDateTime) -> Option<NaiveDateTime> {
        utc.checked_add_signed(TimeDelta::seconds(i64::from(self.offset(utc))))
    }

    /// Of two instants the earlier; a time that the clock skips is read by the offset before the gap.
    pub(super) fn to_utc(self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let offset = match self {
            Self::Fixed(offset) => offset.local_minus_utc(),
            Self::Named(zone) => match zone.offset_from_local_datetime(&local) {
                LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                LocalResult::Ambiguous(a, b) => a.fix().local_minus_utc().max(b.fix().local_minus_utc()),
                LocalResult::None => self.offset(local.checked_sub_signed(TimeDelta::days(1))?),
            },
        };
        local.checked_sub_signed(TimeDelta::seconds(i64::from(offset)))
    }
}

/// A count since the epoch as a date and time; `per_second` is its unit.
pub(super) fn from_epoch(count: i64, per_second: i64) -> Option<NaiveDateTime> {
    let nanos = count.rem_euclid(per_second) * (1_000_000_000 / per_second);
    Some(DateTime::from_timestamp(count.div_euclid(per_second), nanos as u32)?.naive_utc())
}

/// The opposite; None where the unit's 64 bits don't reach.
pub(super) fn to_epoch(time: NaiveDateTime, per_second: i64) -> Option<i64> {
    let time = time.and_utc();
    let fraction = i64::from(time.timestamp_subsec_nanos()) / (1_000_000_000 / per_second);
    time.timestamp().checked_mul(per_second)?.checked_add(fraction)
}
