//! Event times in SQL's format with milliseconds, `2025-01-01 00:00:00.000`. The date and time of
//! the last second are kept: events come in order, thousands to a second.

/// Writes timestamps; fastest when they rise.
#[derive(Default)]
pub(crate) struct TimestampWriter {
    second: Option<u64>,
    text: Vec<u8>,
}

impl TimestampWriter {
    pub(crate) fn write(&mut self, epoch_ms: u64, to: &mut Vec<u8>) {
        let second = epoch_ms / 1000;
        if self.second != Some(second) {
            self.text = date_and_time(second).into_bytes();
            self.second = Some(second);
        }
        to.extend_from_slice(&self.text);
        let millis = epoch_ms % 1000;
        let digit = |value: u64| b'0' + (value % 10) as u8;
        to.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
    }
}

fn date_and_time(epoch_s: u64) -> String {
    let (days, second) = (epoch_s / 86_400, epoch_s % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the
/// leap day is a year's last and months before it have the same lengths in every year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01_TO_EPOCH: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_FROM_0000_03_01_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}
