//! The second phase of a windowed aggregation: merges partial results by slice and key, and fires every
//! window that its time has passed. Its hot state is in memory; a commit gets what has changed since the
//! last one. Not here: how rows get into slices (`slice_assigner.rs`), and partial results
//! (`local_window_aggregate.rs`).
//!
//! Windows of processing time fire when the clock has left their last millisecond behind at every
//! upstream task, because a row may still be stamped with it before. Their results carry `window_time` as
//! an event time, and the output's watermark is the processing time up to which all windows have fired:
//! so a window over `window_time` sees them in order and none of them late. A row that comes for a window
//! of processing time that has fired (a clock went back over a restart) counts in the one that is open.

mod table;
mod state;
mod firing;
mod columns;
#[cfg(test)]
mod tests;

pub(super) use self::columns::state_tables;
use self::firing::Firing;
use self::table::{Layout, Table};
use super::dead_keys::delete_all;
use super::slice_assigner::{show_millis, timestamps};
use super::window::{Windows, session_time_zone};
use super::window_progress::{Cursor, Limits};
use super::{Context, Operator, Output, Progress};
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyEncoder, key_groups_of};
use crate::schema::arrow_schema;
use crate::state::{StateChanges, StateEntries};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, UInt32Array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take_record_batch;
use millrace_planner::plan::{Node, Schema, WindowAggregate, WindowProperty, WindowTime};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

pub struct GlobalWindowAggregate {
    operator_id: u32,
    /// The key groups of the task.
    groups: Range<u16>,
    layout: Layout,
    windows: Windows,
    event_time: bool,
    properties: Vec<WindowProperty>,
    schema: SchemaRef,
    encoder: KeyEncoder,
    /// By the slice's end.
    slices: BTreeMap<i64, Table>,
    /// Every window that ends up to here, in local milliseconds, has fired or is firing.
    passed: i64,
    firing: Option<Firing>,
    /// Slices that no window needs any more, and the state still has.
    dead: Vec<(i64, Table)>,
    /// What the state has as cursor.
    cursor: Option<Cursor>,
    limits: Limits,
    scratch: Vec<u32>,
}

impl GlobalWindowAggregate {
    /// `input` is the schema of the rows; the operator is that of task `task` of `parallelism`.
    pub fn new(
        node: &Node,
        plan: &WindowAggregate,
        input: &Schema,
        time_zone: &str,
        task: u32,
        parallelism: u32,
    ) -> Result<Self> {
        let (event_time, local) = match plan.window.time {
            WindowTime::Event { local_time_zone, .. } => (true, local_time_zone),
            WindowTime::Processing => (false, true),
        };
        let zone = local.then(|| session_time_zone(time_zone)).transpose()?;
        let layout = Layout::new(plan, input)?;
        Ok(Self {
            operator_id: node.operator_id,
            groups: key_groups_of(task, parallelism),
            encoder: layout.encoder()?,
            layout,
            windows: Windows::new(plan.window.kind, zone)?,
            event_time,
            properties: plan.properties.clone(),
            schema: arrow_schema(&node.schema),
            slices: BTreeMap::new(),
            passed: i64::MIN,
            firing: None,
            dead: Vec::new(),
            cursor: None,
            limits: Limits::default(),
            scratch: Vec::new(),
        })
    }

    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The watermark that windows fire by.
    fn watermark(&self, progress: Progress) -> i64 {
        match (self.event_time, progress.processing) {
            (true, _) => progress.event,
            (false, i64::MIN | i64::MAX) => progress.processing,
            (false, processing) => processing - 1,
        }
    }

    /// Where the rows of a slice go: None if all its windows have fired.
    fn open_slice(&self, slice_end: i64) -> Option<i64> {
        if self.windows.last_window_end(slice_end) > self.passed {
            return Some(slice_end);
        }
        let start = if self.event_time { None } else { self.windows.slice_start(self.passed) };
        start.map(|start| start + self.windows.slice_length())
    }

    fn merge(&mut self, slice_end: i64, batch: &Batch, output: &mut dyn Output) -> Result<()> {
        let Some(open) = self.open_slice(slice_end) else {
            return self.fail_late(slice_end, batch, output);
        };
        let table = slice(&mut self.slices, &self.layout, open)?;
        table.merge_rows(&self.layout, &mut self.encoder, &mut self.scratch, &batch.rows)
    }

    /// What fails is a partial result, which stands for all rows of its key and slice.
    fn fail_late(&self, slice_end: i64, batch: &Batch, output: &mut dyn Output) -> Result<()> {
        let message = format!(
            "rows of the slice that ends {} are late: the watermark has passed the end of its last window, {}",
            show_millis(slice_end),
            show_millis(self.windows.last_window_end(slice_end)),
        );
        let keys = batch.rows.project(&self.layout.keys).or_kind(ErrorKind::FailJob, "showing a key")?;
        let keys = Batch::new(keys);
        (0..keys.num_rows()).try_for_each(|row| output.fail(keys.failed(row, FailureReason::Late, message.as_str())))
    }

    /// The end of the next window to fire, of those that end up to `until`.
    fn next_window(&self, until: i64) -> Option<i64> {
        let mut next: Option<i64> = None;
        for &slice_end in self.slices.keys() {
            // No window ends before its slices.
            if slice_end > next.unwrap_or(until) {
                break;
            }
            if let Some(end) = self.windows.next_window_end(slice_end, self.passed) {
                next = Some(next.map_or(end, |next| next.min(end)));
            }
        }
        next.filter(|&end| end <= until)
    }

    fn begin(&mut self, window_end: i64, after: Option<&[u8]>) -> Result<()> {
        let from = self.windows.window_start(window_end) + 1;
        let mut slices = self.slices.range(from..=window_end).map(|(&slice_end, _)| slice_end);
        let only = slices.next().filter(|_| slices.next().is_none());
        let last = only.filter(|&slice_end| self.windows.last_window_end(slice_end) == window_end);
        let table = match last.and_then(|slice_end| self.slices.remove(&slice_end)) {
            Some(table) => table,
            None => {
                let mut merged = Table::new(&self.layout)?;
                for table in self.slices.range(from..=window_end).map(|(_, table)| table) {
                    merged.merge_table(table)?;
                }
                merged
            }
        };
        self.passed = self.passed.max(window_end);
        self.firing = Some(Firing::new(window_end, table, last, self.limits.rows, after));
        Ok(())
    }

    /// Emits what is left of the window that fires, up to about `budget` bytes. Whether it is done.
    fn continue_firing(&mut self, budget: &mut usize, output: &mut dyn Output) -> Result<bool> {
        let Some(mut firing) = self.firing.take() else { return Ok(true) };
        while !firing.chunk().is_empty() {
            if *budget == 0 {
                self.firing = Some(firing);
                return Ok(false);
            }
            let rows = self.rows(&firing)?;
            firing.emitted(rows.num_rows());
            *budget = budget.saturating_sub(rows.get_array_memory_size());
            output.emit(Batch::new(rows))?;
        }
        if let Some(slice_end) = firing.slice_end {
            self.dead.push((slice_end, firing.table));
        }
        while let Some(slice) = self.slices.first_entry() {
            if self.windows.last_window_end(*slice.key()) > firing.window_end {
                break;
            }
            self.dead.push(slice.remove_entry());
        }
        // A slice that lived between two commits only leaves no trace.
        self.dead.retain(|(_, table)| table.persisted().next().is_some());
        Ok(true)
    }

    /// The next chunk of a window's results.
    fn rows(&self, firing: &Firing) -> Result<RecordBatch> {
        let groups = firing.chunk();
        let mut columns = firing.table.results(&self.layout, groups)?;
        for &property in &self.properties {
            let arrow = self.schema.field(columns.len()).data_type();
            let value = self.property(property, firing.window_end, arrow);
            columns.push(self.constant(value, groups.len(), arrow));
        }
        RecordBatch::try_new(self.schema.clone(), columns)
            .or_kind(ErrorKind::FailJob, "window results don't have the planned types")
    }

    fn property(&self, property: WindowProperty, window_end: i64, arrow: &ArrowType) -> i64 {
        match (property, arrow) {
            (WindowProperty::Start, _) => self.windows.window_start(window_end),
            (WindowProperty::End, _) => window_end,
            (WindowProperty::Time, ArrowType::Timestamp(_, Some(_))) => self.windows.window_time(window_end),
            (WindowProperty::Time, _) => window_end - 1,
        }
    }

    fn constant(&self, millis: i64, rows: usize, arrow: &ArrowType) -> ArrayRef {
        match arrow {
            ArrowType::Timestamp(_, Some(zone)) => Arc::new(
                PrimitiveArray::<TimestampMillisecondType>::from_value(millis, rows).with_timezone(zone.clone()),
            ),
            _ => timestamps(std::iter::repeat_n(millis, rows)),
        }
    }

    fn current_cursor(&self) -> Cursor {
        let firing = self.firing.as_ref().and_then(|f| Some((f.window_end, f.last_key()?.to_vec())));
        // A window of which nothing has been emitted fires anew after a restart.
        let unfired = self.firing.as_ref().filter(|f| f.last_key().is_none()).map(|f| f.window_end - 1);
        Cursor { groups: self.groups.clone(), passed: unfired.unwrap_or(self.passed), firing }
    }

    fn resume(&mut self, cursor: Cursor) -> Result<()> {
        self.passed = cursor.passed;
        if let Some((window_end, key)) = &cursor.firing {
            self.begin(*window_end, Some(key))?;
        }
        self.cursor = Some(cursor);
        Ok(())
    }
}

/// The table of a slice, made when there is none.
fn slice<'a>(slices: &'a mut BTreeMap<i64, Table>, layout: &Layout, slice_end: i64) -> Result<&'a mut Table> {
    match slices.entry(slice_end) {
        Entry::Occupied(table) => Ok(table.into_mut()),
        Entry::Vacant(place) => Ok(place.insert(Table::new(layout)?)),
    }
}

/// The rows of a batch by the value of an Int64 column.
fn split(batch: Batch, column: usize) -> Result<Vec<(i64, Batch)>> {
    let ends = batch.rows.column(column).as_primitive::<Int64Type>();
    let Some(&first) = ends.values().first() else { return Ok(Vec::new()) };
    if ends.values().iter().all(|&end| end == first) {
        return Ok(vec![(first, batch)]);
    }
    let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, &end) in ends.values().iter().enumerate() {
        rows.entry(end).or_default().push(row as u32);
    }
    let part = |(end, rows): (i64, Vec<u32>)| {
        let rows = take_record_batch(&batch.rows, &UInt32Array::from(rows)).or_kind(ErrorKind::FailJob, "splitting")?;
        Ok((end, Batch::new(rows)))
    };
    rows.into_iter().map(part).collect()
}

impl Operator for GlobalWindowAggregate {
    fn process(&mut self, _port: usize, batch: Batch, _context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        for (slice_end, batch) in split(batch, self.layout.slice_end)? {
            self.merge(slice_end, &batch, output)?;
        }
        Ok(())
    }

    fn advance(&mut self, context: &Context<'_>, output: &mut dyn Output) -> Result<bool> {
        let until = self.windows.passed(self.watermark(context.progress));
        let mut budget = self.limits.bytes;
        while self.continue_firing(&mut budget, output)? {
            match self.next_window(until) {
                Some(window_end) => self.begin(window_end, None)?,
                None => {
                    self.passed = self.passed.max(until);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn held_back(&self, progress: Progress) -> Progress {
        match self.event_time {
            true => progress,
            // All that is to come is of windows that end after this.
            false => Progress { event: self.watermark(progress), ..progress },
        }
    }

    fn snapshot(&mut self, changes: &mut StateChanges) -> Result<()> {
        let (operator, layout) = (self.operator_id, &self.layout);
        let mut key = Vec::new();
        for (slice_end, table) in self.dead.drain(..) {
            let prefix = state::slice_prefix(slice_end);
            delete_all(changes, operator, state::GROUPS, &prefix, |give| {
                for (group, hash) in table.persisted() {
                    state::group_key(slice_end, group, &mut key);
                    give(layout.key_group(hash), &key);
                }
            });
            delete_all(changes, operator, state::VALUES, &prefix, |give| {
                for (group, hash, call, value) in table.persisted_values() {
                    state::value_key(slice_end, group, call, value, &mut key);
                    give(layout.key_group(hash), &key);
                }
            });
        }
        let firing = self.firing.as_mut().and_then(|f| Some((f.slice_end?, &mut f.table)));
        for (slice_end, table) in self.slices.iter_mut().map(|(&end, table)| (end, table)).chain(firing) {
            table.take_changes(|group, hash, value| {
                state::group_key(slice_end, group, &mut key);
                changes.put(operator, state::GROUPS, layout.key_group(hash), &key, value);
            });
            table.take_new_values(|group, hash, call, value| {
                state::value_key(slice_end, group, call, value, &mut key);
                changes.put(operator, state::VALUES, layout.key_group(hash), &key, &[]);
            });
        }
        let cursor = self.current_cursor();
        if self.cursor.as_ref() != Some(&cursor) {
            changes.put(operator, state::CURSOR, self.groups.start, &[], &cursor.write());
            self.cursor = Some(cursor);
        }
        Ok(())
    }

    fn restore(&mut self, entries: &mut dyn StateEntries) -> Result<()> {
        let mut cursor = None;
        entries.for_each(&mut |table, _, key, value| match table {
            state::GROUPS => {
                let (slice_end, key) = state::parse_group_key(key)?;
                slice(&mut self.slices, &self.layout, slice_end)?.restore(key, value)
            }
            state::VALUES => {
                let (slice_end, key, call, value) = state::parse_value_key(key)?;
                slice(&mut self.slices, &self.layout, slice_end)?.restore_value(key, call, value)
            }
            state::CURSOR => {
                cursor = Some(Cursor::read(value, &self.groups)?);
                Ok(())
            }
            other => Err(Error::fail_job(format!("a windowed aggregation has no state table {other}"))),
        })?;
        cursor.map_or(Ok(()), |cursor| self.resume(cursor))
    }

    fn memory_bytes(&self) -> usize {
        let dead = self.dead.iter().map(|(_, table)| table);
        let firing = self.firing.iter().map(|firing| &firing.table);
        self.slices.values().chain(dead).chain(firing).map(Table::memory_bytes).sum()
    }
}
