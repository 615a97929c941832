//! Puts the rows of a batch into slices, and picks out the rows that can't be in one: no rowtime, one
//! that no calendar reaches, or one whose windows have all fired. Not here: the grid itself (`window.rs`).

use super::window::{Windows, session_time_zone};
use super::{Context, Output};
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use millrace_planner::plan::{Window, WindowTime};
use std::sync::Arc;

pub(super) struct SliceAssigner {
    pub(super) windows: Windows,
    time: WindowTime,
    /// The latest processing time that a row was stamped with.
    stamped: i64,
}

/// The slices of the rows that have one.
pub(super) struct Assigned {
    pub(super) batch: Batch,
    /// The local end of each row's slice.
    pub(super) slice_ends: Vec<i64>,
}

impl SliceAssigner {
    pub(super) fn new(window: &Window, time_zone: &str) -> Result<Self> {
        let local = match window.time {
            WindowTime::Event { local_time_zone, .. } => local_time_zone,
            WindowTime::Processing => true,
        };
        let zone = local.then(|| session_time_zone(time_zone)).transpose()?;
        Ok(Self { windows: Windows::new(window.kind, zone)?, time: window.time, stamped: i64::MIN })
    }

    /// Hands rows without a slice to `output.fail`. `judge_lateness` is false for a window function
    /// alone, which emits late rows too.
    pub(super) fn assign(
        &mut self,
        batch: Batch,
        judge_lateness: bool,
        context: &Context<'_>,
        output: &mut dyn Output,
    ) -> Result<Assigned> {
        let WindowTime::Event { column, .. } = self.time else {
            return self.assign_now(batch, context);
        };
        let passed = if judge_lateness { self.windows.passed(context.progress.event) } else { i64::MIN };
        let mut slice_ends = Vec::with_capacity(batch.num_rows());
        let mut failed = Vec::new();
        let mut run = Run::default();
        for_each_rowtime(batch.rows.column(column), |row, time| {
            if let Some(time) = time
                && (run.from..run.until).contains(&time)
            {
                slice_ends.push(run.slice_end);
                return;
            }
            match self.slice(time, passed, &mut run) {
                Ok(slice_end) => slice_ends.push(slice_end),
                Err(failure) => failed.push((row, failure)),
            }
        })?;
        if failed.is_empty() {
            return Ok(Assigned { batch, slice_ends });
        }
        let mut keep = vec![true; batch.num_rows()];
        for (row, (reason, message)) in failed {
            keep[row] = false;
            output.fail(batch.failed(row, reason, message))?;
        }
        Ok(Assigned { batch: batch.filter(&BooleanArray::from(keep))?, slice_ends })
    }

    fn slice(&self, time: Option<i64>, passed: i64, run: &mut Run) -> Result<i64, (FailureReason, String)> {
        let Some(time) = time else {
            let message = "RowTime field should not be null, please convert it to a non-null long value.";
            return Err((FailureReason::Evaluate, message.to_owned()));
        };
        let local = self.windows.to_local(time);
        let Some((local, start)) = local.and_then(|local| Some((local, self.windows.slice_start(local)?))) else {
            return Err((FailureReason::Evaluate, format!("no window can hold the rowtime {time} ms")));
        };
        let slice_end = start + self.windows.slice_length();
        if self.windows.last_window_end(slice_end) <= passed {
            let message = format!(
                "rowtime {} is late: the watermark has passed the end of its last window, {}",
                show_millis(local),
                show_millis(self.windows.last_window_end(slice_end)),
            );
            return Err((FailureReason::Late, message));
        }
        // Without a zone the rest of the slice needs no computation; with one, offsets could change in it.
        if !self.windows.has_zone() {
            *run = Run { from: start, until: slice_end, slice_end };
        }
        Ok(slice_end)
    }

    fn assign_now(&mut self, batch: Batch, context: &Context<'_>) -> Result<Assigned> {
        self.stamped = self.stamped.max(context.clock.now_millis()).max(context.progress.processing);
        let start = self.windows.to_local(self.stamped).and_then(|local| self.windows.slice_start(local));
        let start = start
            .ok_or_else(|| Error::fail_job(format!("no window can hold the processing time {} ms", self.stamped)))?;
        let slice_ends = vec![start + self.windows.slice_length(); batch.num_rows()];
        Ok(Assigned { batch, slice_ends })
    }
}

/// The slice of the row before: the next is most often in it too.
#[derive(Default)]
struct Run {
    from: i64,
    until: i64,
    slice_end: i64,
}

/// Epoch milliseconds as Flink prints a TIMESTAMP(3); the number where no calendar reaches.
pub(super) fn show_millis(millis: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(millis) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        None => millis.to_string(),
    }
}

/// Calls `visit` with each row's time in epoch milliseconds, rounded down.
pub(super) fn for_each_rowtime(column: &ArrayRef, mut visit: impl FnMut(usize, Option<i64>)) -> Result<()> {
    fn each(values: &[i64], array: &dyn Array, divisor: i64, mut visit: impl FnMut(usize, Option<i64>)) {
        let millis = |value: i64| if divisor == 1 { value } else { value.div_euclid(divisor) };
        match array.nulls() {
            None => values.iter().enumerate().for_each(|(row, &value)| visit(row, Some(millis(value)))),
            Some(nulls) => values.iter().enumerate().for_each(|(row, &value)| {
                visit(row, nulls.is_valid(row).then(|| millis(value)));
            }),
        }
    }
    let array = column.as_ref();
    match column.data_type() {
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
            each(column.as_primitive::<TimestampMillisecondType>().values(), array, 1, &mut visit);
        }
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            each(column.as_primitive::<TimestampMicrosecondType>().values(), array, 1_000, &mut visit);
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            each(column.as_primitive::<TimestampNanosecondType>().values(), array, 1_000_000, &mut visit);
        }
        other => return Err(Error::fail_job(format!("a rowtime of type {other}, where a timestamp was planned"))),
    }
    Ok(())
}

/// A column of TIMESTAMP(3).
pub(super) fn timestamps(millis: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(PrimitiveArray::<TimestampMillisecondType>::from_iter_values(millis))
}
