//! TUMBLE, HOP and CUMULATE where no aggregation consumes the window: appends `window_start`,
//! `window_end` and `window_time` to a row, once for each window that it is in. Late rows pass: nothing
//! here waits for a window.

use super::slice_assigner::{SliceAssigner, timestamps};
use super::{Context, Operator, Output, Progress};
use crate::batch::{Batch, Origin};
use crate::error::{ErrorContext, ErrorKind, Result};
use crate::schema::arrow_schema;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take_record_batch;
use millrace_planner::plan::{self, Schema, WindowTime};
use std::sync::Arc;

/// Rows of a batch emitted.
const CHUNK: usize = 8192;

pub struct WindowTableFunction {
    assigner: SliceAssigner,
    event_time: bool,
    schema: SchemaRef,
}

impl WindowTableFunction {
    pub fn new(plan: &plan::WindowTableFunction, output: &Schema, time_zone: &str) -> Result<Self> {
        let event_time = matches!(plan.window.time, WindowTime::Event { .. });
        let assigner = SliceAssigner::new(&plan.window, time_zone)?;
        Ok(Self { assigner, event_time, schema: arrow_schema(output) })
    }

    /// Each of `rows` with the end of one of its windows.
    fn emit(&self, batch: &Batch, rows: Vec<u32>, ends: &[i64], output: &mut dyn Output) -> Result<()> {
        let windows = &self.assigner.windows;
        let rows = UInt32Array::from(rows);
        let taken = take_record_batch(&batch.rows, &rows).or_kind(ErrorKind::FailJob, "repeating rows")?;
        let mut columns = taken.columns().to_vec();
        columns.push(timestamps(ends.iter().map(|&end| windows.window_start(end))));
        columns.push(timestamps(ends.iter().copied()));
        columns.push(match self.schema.field(columns.len()).data_type() {
            ArrowType::Timestamp(_, Some(zone)) => {
                let times = timestamps(ends.iter().map(|&end| windows.window_time(end)));
                let times = times.as_primitive::<TimestampMillisecondType>().clone();
                Arc::new(times.with_timezone(zone.clone()))
            }
            _ => timestamps(ends.iter().map(|&end| end - 1)),
        });
        let origin = batch.origin.as_ref().map(|origin| Origin {
            records: origin.records.clone(),
            index: rows.values().iter().map(|&row| origin.index.value(row as usize)).collect::<Vec<_>>().into(),
        });
        let rows = RecordBatch::try_new(self.schema.clone(), columns)
            .or_kind(ErrorKind::FailJob, "windowed rows don't have the planned types")?;
        output.emit(Batch { rows, origin })
    }
}

impl Operator for WindowTableFunction {
    fn process(&mut self, _port: usize, batch: Batch, context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        let assigned = self.assigner.assign(batch, false, context, output)?;
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        for (row, &slice_end) in assigned.slice_ends.iter().enumerate() {
            let mut next = Some(self.assigner.windows.first_window_end(slice_end));
            while let Some(end) = next {
                rows.push(row as u32);
                ends.push(end);
                if rows.len() == CHUNK {
                    self.emit(&assigned.batch, std::mem::take(&mut rows), &ends, output)?;
                    ends.clear();
                }
                next = self.assigner.windows.next_window_end(slice_end, end);
            }
        }
        if rows.is_empty() { Ok(()) } else { self.emit(&assigned.batch, rows, &ends, output) }
    }

    fn held_back(&self, progress: Progress) -> Progress {
        match (self.event_time, progress.processing) {
            (true, _) => progress,
            // As for a window of processing time: what follows has a later `window_time`.
            (false, i64::MIN | i64::MAX) => Progress { event: progress.processing, ..progress },
            (false, processing) => Progress { event: processing - 1, ..progress },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::ManualClock;
    use crate::operators::testing::{Collected, context, event, origin};
    use arrow_array::{Int32Array, PrimitiveArray};
    use millrace_planner::plan::{Column, Window, WindowKind};
    use millrace_planner::types::{DataType, TypeKind};

    #[test]
    fn a_row_is_in_every_window_of_a_hop_and_late_rows_pass() {
        let timestamp = |name: &str| Column {
            name: name.into(),
            data_type: DataType::nullable(TypeKind::Timestamp { precision: 3 }),
        };
        let number = Column { name: "n".into(), data_type: DataType::nullable(TypeKind::Int) };
        let columns = ["ts", "window_start", "window_end", "window_time"].map(timestamp);
        let output = Schema { columns: std::iter::once(number).chain(columns).collect() };
        let kind = WindowKind::Hop { size: 10, slide: 5, offset: 0 };
        let window = Window { kind, time: WindowTime::Event { column: 1, local_time_zone: false } };
        let mut function = WindowTableFunction::new(&plan::WindowTableFunction { window }, &output, "UTC").unwrap();
        let times = PrimitiveArray::<TimestampMillisecondType>::from(vec![Some(3), None, Some(12)]);
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(Int32Array::from(vec![1, 2, 3])) as _, true),
            ("ts", Arc::new(times) as _, true),
        ]);
        let batch = Batch { rows: rows.unwrap(), origin: Some(origin("t", 0, 3)) };
        let mut collected = Collected::default();
        let clock = ManualClock::at(0);
        function.process(0, batch, &context(&*clock, event(1_000)), &mut collected).unwrap();
        let rows = &collected.batches[0].rows;
        let millis = |column: usize| rows.column(column).as_primitive::<TimestampMillisecondType>().values().to_vec();
        assert_eq!(rows.column(0).as_primitive::<arrow_array::types::Int32Type>().values()[..], [1, 1, 3, 3]);
        assert_eq!(millis(2), [-5, 0, 5, 10]);
        assert_eq!(millis(3), [5, 10, 15, 20]);
        assert_eq!(millis(4), [4, 9, 14, 19]);
        assert_eq!(collected.batches[0].origin.as_ref().unwrap().index.values()[..], [0, 0, 2, 2]);
        assert_eq!(collected.failed.len(), 1, "the row without a rowtime");
    }
}
