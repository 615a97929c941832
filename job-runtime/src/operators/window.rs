//! How time is cut: which slice a row is in, which windows a slice is part of, and when a window has
//! passed. Every window is a union of slices, so a row is aggregated once and not once for each window.
//! Not here: what is kept for a slice (`global_window_aggregate/`).
//!
//! Windows of a TIMESTAMP_LTZ follow the clock on the wall of the session's time zone: they are computed
//! in *local* milliseconds (what that clock shows, read as if it were UTC), and only the moment at which
//! one fires is an instant again. All `end`s here are local; where there is no zone the two are one.

use crate::error::{Error, Result};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use millrace_planner::plan::{Millis, WindowKind};
use std::cell::Cell;

/// The session's time zone from the plan.
pub(crate) fn session_time_zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| Error::user_fault(format!("'{name}' is not a time zone of the IANA database")))
}

/// A window function's grid, and the zone it is drawn in.
pub(crate) struct Windows {
    kind: WindowKind,
    /// The length of a slice: windows begin and end at multiples of it.
    slice: Millis,
    zone: Option<Zone>,
}

impl Windows {
    /// `zone` is None for a TIMESTAMP column.
    pub(crate) fn new(kind: WindowKind, zone: Option<Tz>) -> Result<Self> {
        let (size, every, offset) = match kind {
            WindowKind::Tumble { size, offset } => (size, size, offset),
            WindowKind::Hop { size, slide, offset } => (size, slide, offset),
            WindowKind::Cumulate { size, step, offset } => (size, step, offset),
        };
        let uneven = matches!(kind, WindowKind::Cumulate { .. }) && every > 0 && size % every != 0;
        if size <= 0 || every <= 0 || every > size || offset.checked_abs().is_none_or(|o| o >= size) || uneven {
            let message = format!("a window of {size} ms every {every} ms from {offset} ms can't be cut into slices");
            return Err(Error::user_fault(message));
        }
        let slice = match kind {
            WindowKind::Hop { .. } => gcd(size, every),
            _ => every,
        };
        Ok(Self { kind, slice, zone: zone.filter(|&zone| zone != Tz::UTC).map(Zone::new) })
    }

    fn size(&self) -> Millis {
        match self.kind {
            WindowKind::Tumble { size, .. } | WindowKind::Hop { size, .. } | WindowKind::Cumulate { size, .. } => size,
        }
    }

    fn offset(&self) -> Millis {
        match self.kind {
            WindowKind::Tumble { offset, .. }
            | WindowKind::Hop { offset, .. }
            | WindowKind::Cumulate { offset, .. } => offset,
        }
    }

    pub(crate) fn has_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// What a clock in the zone shows at an instant; None where no calendar reaches.
    pub(crate) fn to_local(&self, instant: i64) -> Option<i64> {
        match &self.zone {
            None => Some(instant),
            Some(zone) => zone.to_local(instant),
        }
    }

    /// Where the slice that a local time is in starts; it ends `slice_length` later. None beyond what
    /// milliseconds can hold.
    pub(crate) fn slice_start(&self, local: i64) -> Option<i64> {
        let start = floor(local, self.offset(), self.slice)?;
        // All windows of the slice have to be representable too.
        start.checked_add(self.slice)?.checked_add(self.size())?;
        start.checked_sub(self.size())?;
        Some(start)
    }

    /// Whether a slice may be part of several windows.
    pub(crate) fn share_slices(&self) -> bool {
        !matches!(self.kind, WindowKind::Tumble { .. })
    }

    pub(crate) fn slice_length(&self) -> Millis {
        self.slice
    }

    /// The end of the earliest window with this slice in it.
    pub(crate) fn first_window_end(&self, slice_end: i64) -> i64 {
        match self.kind {
            WindowKind::Tumble { .. } | WindowKind::Cumulate { .. } => slice_end,
            // Window ends are where starts are, a size later.
            WindowKind::Hop { size, slide, offset } => ceil(slice_end, offset.wrapping_add(size), slide),
        }
    }

    pub(crate) fn last_window_end(&self, slice_end: i64) -> i64 {
        match self.kind {
            WindowKind::Tumble { .. } => slice_end,
            WindowKind::Hop { size, slide, offset } => {
                let start = slice_end - self.slice;
                start - (start - offset).rem_euclid(slide) + size
            }
            WindowKind::Cumulate { .. } => self.cumulation_start(slice_end) + self.size(),
        }
    }

    fn cumulation_start(&self, slice_end: i64) -> i64 {
        let last = slice_end - 1;
        last - (last - self.offset()).rem_euclid(self.size())
    }

    /// The end of the earliest window with this slice in it that ends after `passed`.
    pub(crate) fn next_window_end(&self, slice_end: i64, passed: i64) -> Option<i64> {
        let first = self.first_window_end(slice_end);
        if first > passed {
            return Some(first);
        }
        let last = self.last_window_end(slice_end);
        if last <= passed {
            return None;
        }
        let every = match self.kind {
            WindowKind::Tumble { size, .. } => size,
            WindowKind::Hop { slide, .. } => slide,
            WindowKind::Cumulate { step, .. } => step,
        };
        let next = first + ((passed - first) / every + 1) * every;
        Some(next)
    }

    pub(crate) fn window_start(&self, window_end: i64) -> i64 {
        match self.kind {
            WindowKind::Cumulate { .. } => self.cumulation_start(window_end),
            _ => window_end - self.size(),
        }
    }

    /// The instant at which a window fires, which is the rowtime of its results: `window_end - 1 ms`.
    pub(crate) fn window_time(&self, window_end: i64) -> i64 {
        match &self.zone {
            None => window_end - 1,
            Some(zone) => zone.to_instant(window_end - 1),
        }
    }

    /// The largest local time such that every window that ends up to it has fired at this watermark.
    pub(crate) fn passed(&self, watermark: i64) -> i64 {
        let Some(zone) = &self.zone else { return watermark.saturating_add(1) };
        if watermark == i64::MIN || watermark == i64::MAX {
            return watermark;
        }
        let Some(local) = zone.to_local(watermark) else { return watermark };
        let end = local.saturating_add(1);
        if zone.to_instant(end - 1) <= watermark {
            return end;
        }
        // The first pass through an hour that the clock will show twice: its windows fire in the second.
        let (mut passed, mut pending) = (end - 2 * DAY, end);
        while pending - passed > 1 {
            let middle = passed + (pending - passed) / 2;
            if zone.to_instant(middle - 1) <= watermark {
                passed = middle;
            } else {
                pending = middle;
            }
        }
        passed
    }
}

const DAY: Millis = 86_400_000;

fn gcd(a: Millis, b: Millis) -> Millis {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The largest multiple of `step` from `offset` that is not after `time`.
fn floor(time: i64, offset: Millis, step: Millis) -> Option<i64> {
    time.checked_sub(time.checked_sub(offset)?.rem_euclid(step))
}

/// The smallest multiple of `step` from `offset` that is not before `time`.
fn ceil(time: i64, offset: Millis, step: Millis) -> i64 {
    time + (offset - time).rem_euclid(step)
}

/// A time zone with the last offset used at hand, for rows come in runs.
struct Zone {
    zone: Tz,
    /// Offset in milliseconds, and from when until when it is known to hold.
    known: Cell<(i64, i64, i64)>,
}

/// Offsets change at multiples of a quarter of an hour.
const QUARTER: Millis = 900_000;

impl Zone {
    fn new(zone: Tz) -> Self {
        Self { zone, known: Cell::new((0, 0, 0)) }
    }

    fn to_local(&self, instant: i64) -> Option<i64> {
        let (offset, from, until) = self.known.get();
        if (from..until).contains(&instant) {
            return Some(instant + offset);
        }
        let offset = self.offset(instant)?;
        let from = instant - instant.rem_euclid(QUARTER);
        if self.offset(from) == Some(offset) && self.offset(from + QUARTER - 1) == Some(offset) {
            self.known.set((offset, from, from + QUARTER));
        }
        Some(instant + offset)
    }

    fn offset(&self, instant: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp_millis(instant)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000)
    }

    /// The instant when a clock shows `local`: the later of two, and the end of the gap where the clock
    /// skips it. Both are Flink's choice, so that no row of the window comes after it has fired.
    fn to_instant(&self, local: i64) -> i64 {
        let Some(shown) = DateTime::from_timestamp_millis(local).map(|time| time.naive_utc()) else { return local };
        match self.zone.offset_from_local_datetime(&shown) {
            LocalResult::Single(offset) => local - i64::from(offset.fix().local_minus_utc()) * 1000,
            LocalResult::Ambiguous(a, b) => {
                let smaller = a.fix().local_minus_utc().min(b.fix().local_minus_utc());
                local - i64::from(smaller) * 1000
            }
            LocalResult::None => self.end_of_gap(shown, local),
        }
    }

    /// The first instant after a gap that `local` lies in: where the offset changes, found by halving.
    fn end_of_gap(&self, shown: NaiveDateTime, local: i64) -> i64 {
        let offset_at = |instant| self.offset(instant).unwrap_or_default();
        let (mut before, mut after) = (local - 2 * DAY, local + 2 * DAY);
        let skipped = |instant: i64| instant + offset_at(instant) > shown.and_utc().timestamp_millis();
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if skipped(middle) { after = middle } else { before = middle }
        }
        after
    }
}
