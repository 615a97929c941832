//! Windows without slices, phases or state: what they have to agree with.

use super::{Line, Row, Setup};
use chrono::{DateTime, LocalResult, Offset, TimeZone};
use millrace_planner::plan::WindowKind;
use std::collections::BTreeMap;

/// Everything said once more, row by row and window by window.
pub(super) struct Oracle {
    pub(super) setup: Setup,
    pub(super) watermark: i64,
    pub(super) open: BTreeMap<i64, Vec<Row>>,
    pub(super) emitted: Vec<Line>,
    pub(super) late: usize,
}

impl Oracle {
    fn local(&self, time: i64) -> i64 {
        let Some(zone) = self.setup.zone else { return time };
        let utc = DateTime::from_timestamp_millis(time).unwrap().naive_utc();
        time + i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000
    }

    /// Minute by minute, the last instant at which a clock shows `local`, or the first one after it.
    fn fires(&self, window_end: i64) -> i64 {
        let Some(zone) = self.setup.zone else { return window_end - 1 };
        let shown = DateTime::from_timestamp_millis(window_end - 1).unwrap().naive_utc();
        match zone.from_local_datetime(&shown) {
            LocalResult::Single(time) => time.timestamp_millis(),
            LocalResult::Ambiguous(a, b) => a.max(b).timestamp_millis(),
            LocalResult::None => {
                let mut instant = (window_end - 1).div_euclid(60_000) * 60_000 - 86_400_000;
                while self.local(instant) < window_end - 1 {
                    instant += 60_000;
                }
                instant
            }
        }
    }

    /// Start and end of every window that holds a local time.
    fn windows(&self, local: i64) -> Vec<(i64, i64)> {
        match self.setup.kind {
            WindowKind::Tumble { size, offset } => {
                let start = (local - offset).div_euclid(size) * size + offset;
                vec![(start, start + size)]
            }
            WindowKind::Hop { size, slide, offset } => {
                let last = (local - offset).div_euclid(slide) * slide + offset;
                let starts = (0..).map(|i| last - i * slide).take_while(|start| start + size > local);
                starts.map(|start| (start, start + size)).collect()
            }
            WindowKind::Cumulate { size, step, offset } => {
                let start = (local - offset).div_euclid(size) * size + offset;
                let ends = (1..=size / step).map(|i| start + i * step).filter(|&end| end > local);
                ends.map(|end| (start, end)).collect()
            }
        }
    }

    pub(super) fn add(&mut self, row: &Row) {
        let windows = self.windows(self.local(row.time));
        let mut late = true;
        for (_, end) in windows {
            if self.fires(end) > self.watermark {
                self.open.entry(end).or_default().push(row.clone());
                late = false;
            }
        }
        self.late += usize::from(late);
    }

    pub(super) fn advance(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(watermark);
        let ends: Vec<i64> = self.open.keys().copied().filter(|&end| self.fires(end) <= self.watermark).collect();
        for end in ends {
            let rows = self.open.remove(&end).unwrap();
            let mut keys: Vec<_> = rows.iter().map(|r| r.key.clone()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let rows: Vec<&Row> = rows.iter().filter(|r| r.key == key).collect();
                self.emitted.push(self.line(key, &rows, end));
            }
        }
    }

    fn line(&self, key: Option<String>, rows: &[&Row], end: i64) -> Line {
        let show = |value: Option<i64>| value.map_or("-".to_owned(), |v| v.to_string());
        let flagged = || rows.iter().filter(|r| r.flag == Some(true));
        let values: Vec<i64> = rows.iter().filter_map(|r| r.value).collect();
        let count = values.len() as i64;
        let start = self.windows(self.local_of_end(end)).into_iter().find(|w| w.1 == end).unwrap().0;
        let users: std::collections::HashSet<i32> = flagged().filter_map(|r| r.user).collect();
        let time = if self.setup.zone.is_some() { self.fires(end) } else { end - 1 };
        vec![
            key.clone().unwrap_or("-".to_owned()),
            rows.len().to_string(),
            show(flagged().filter_map(|r| r.value).reduce(i64::wrapping_add)),
            show(values.iter().copied().min()),
            show((count > 0).then(|| values.iter().copied().fold(0, i64::wrapping_add) / count)),
            users.len().to_string(),
            key.unwrap_or("-".to_owned()),
            start.to_string(),
            end.to_string(),
            time.to_string(),
        ]
    }

    fn local_of_end(&self, end: i64) -> i64 {
        end - 1
    }
}
