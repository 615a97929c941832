//! The second phase of a windowed aggregation: merges partial results by slice and key, and fires every
//! window that its time has passed. Its state is in memory, or, of what would be too much, in the state's store only; a
//! commit gets what has changed since the last one. Not here: how rows get into slices (`slice_assigner.rs`), and
//! partial results (`local_window_aggregate.rs`).
//!
//! Windows of processing time fire when the clock has left their last millisecond behind at every
//! upstream task, because a row may still be stamped with it before. Their results carry `window_time` as
//! an event time, and the output's watermark is the processing time up to which all windows have fired:
//! so a window over `window_time` sees them in order and none of them late. A row that comes for a window
//! of processing time that has fired (a clock went back over a restart) counts in the one that is open.

mod table;
mod state;
mod slice;
mod firing;
mod columns;
#[cfg(test)]
mod tests;

pub(super) use self::columns::state_tables;
use self::firing::Firing;
use self::slice::{ByKeyGroup, Slice, Spilled};
use self::table::{Layout, Table};
use super::slice_assigner::{show_millis, timestamps};
use super::spilled;
use super::window::{Windows, session_time_zone};
use super::window_progress::{Cursor, Limits};
use super::{Context, Operator, Output, Progress};
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyEncoder, hash, key_groups_of};
use crate::schema::arrow_schema;
use crate::state::spill::{Spill, whole_key};
use crate::state::{KEY_PREFIX, StateChanges, StateEntries};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, UInt32Array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take_record_batch;
use millrace_planner::plan::{Node, Schema, WindowAggregate, WindowProperty, WindowTime};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, Range};
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
    slices: BTreeMap<i64, Slice>,
    /// Every window that ends up to here, in local milliseconds, has fired or is firing.
    passed: i64,
    /// Every window that ends up to here is to fire before anything else happens: nothing comes into it any more.
    due: i64,
    firing: Option<Firing>,
    /// Slices that no window needs any more, and the state still has.
    dead: Vec<Slice>,
    /// What the state has as cursor.
    cursor: Option<Cursor>,
    /// Where groups go that are too many for memory; None: they stay.
    spill: Option<Spill>,
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
            due: i64::MIN,
            firing: None,
            dead: Vec::new(),
            cursor: None,
            spill: None,
            limits: Limits::default(),
            scratch: Vec::new(),
        })
    }

    /// Keeps no more in memory than it says.
    pub fn with_spill(self, spill: Option<Spill>) -> Self {
        Self { spill, ..self }
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

    /// Where the rows of a slice go: None if all its windows have fired, or are to.
    fn open_slice(&self, slice_end: i64) -> Option<i64> {
        let closed = self.passed.max(self.due);
        if self.windows.last_window_end(slice_end) > closed {
            return Some(slice_end);
        }
        let start = if self.event_time { None } else { self.windows.slice_start(closed) };
        start.map(|start| start + self.windows.slice_length())
    }

    fn merge(&mut self, slice_end: i64, batch: &Batch, output: &mut dyn Output) -> Result<()> {
        let Some(open) = self.open_slice(slice_end) else {
            return self.fail_late(slice_end, batch, output);
        };
        let Self { operator_id, layout, slices, spill, encoder, scratch, .. } = self;
        let spilled = Spilled { operator: *operator_id, layout, spill: spill.as_ref() };
        slice(slices, layout, open)?.merge_rows(&spilled, encoder, scratch, &batch.rows)
    }

    fn spilled(&self) -> Spilled<'_> {
        Spilled { operator: self.operator_id, layout: &self.layout, spill: self.spill.as_ref() }
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
        let mut count = 0;
        for slice in self.slices.range_mut(from..=window_end).map(|(_, slice)| slice) {
            slice.thaw()?;
            count += 1;
        }
        let mut slices = self.slices.range(from..=window_end).map(|(_, slice)| slice);
        let rows = self.limits.rows;
        let firing = if !slices.clone().all(Slice::is_whole) {
            // Of a single slice no values need to be put together with those of others.
            let parts = ByKeyGroup::new(slices, &self.layout, count > 1);
            let first = after.map_or(self.groups.start, |key| self.layout.key_group(hash(key)));
            Firing::in_parts(window_end, parts, first..self.groups.end, rows, after)
        } else if let Some(slice) =
            slices.next().filter(|slice| count == 1 && self.windows.last_window_end(slice.end) == window_end)
        {
            let slice = self.slices.remove(&{ slice.end }).expect("just found");
            Firing::of_slice(window_end, slice, rows, after)
        } else {
            let mut merged = Table::new(&self.layout)?;
            for slice in self.slices.range(from..=window_end).map(|(_, slice)| slice) {
                merged.merge_table(slice.table())?;
            }
            Firing::of_table(window_end, merged, rows, after)
        };
        self.passed = self.passed.max(window_end);
        self.firing = Some(firing);
        Ok(())
    }

    /// Emits what is left of the window that fires, up to about `budget` bytes. Whether it is done.
    fn continue_firing(&mut self, budget: &mut usize, output: &mut dyn Output) -> Result<bool> {
        let Some(mut firing) = self.firing.take() else { return Ok(true) };
        loop {
            if firing.chunk().is_empty() {
                if !self.read_on(&mut firing)? {
                    break;
                }
                continue;
            }
            if *budget == 0 {
                self.firing = Some(firing);
                return Ok(false);
            }
            let rows = self.rows(&firing)?;
            firing.emitted(rows.num_rows());
            *budget = budget.saturating_sub(rows.get_array_memory_size());
            output.emit(Batch::new(rows))?;
        }
        self.dead.extend(firing.slice);
        while let Some(slice) = self.slices.first_entry() {
            if self.windows.last_window_end(*slice.key()) > firing.window_end {
                break;
            }
            self.dead.push(slice.remove());
        }
        // A slice that lived between two commits only leaves no trace.
        self.dead.retain(Slice::is_persisted);
        Ok(true)
    }

    /// Reads the next part of a window that fires in parts; false when there is none.
    fn read_on(&self, firing: &mut Firing) -> Result<bool> {
        let Some(rest) = &mut firing.rest else { return Ok(false) };
        let spilled = self.spilled();
        let mut part = Table::new(&self.layout)?;
        while part.len() < self.limits.rows {
            let Some(group) = rest.groups.next() else { break };
            for slice in rest.parts.slices().filter_map(|end| self.slices.get(&end)) {
                if rest.parts.has_one_slice() {
                    rest.parts.read(slice, group, &spilled, &mut part)?;
                } else {
                    let mut of_slice = Table::new(&self.layout)?;
                    rest.parts.read(slice, group, &spilled, &mut of_slice)?;
                    part.merge_table(&of_slice)?;
                }
            }
        }
        let is_read = part.len() > 0;
        firing.set_part(part);
        Ok(is_read)
    }

    /// The next chunk of a window's results.
    fn rows(&self, firing: &Firing) -> Result<RecordBatch> {
        let groups = firing.chunk();
        let mut columns = firing.table().results(&self.layout, groups)?;
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

    /// Right after a snapshot: lets go of what the store has, and takes more out of use where there is too much.
    fn relieve_memory(&mut self) -> Result<()> {
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        self.slices.values_mut().for_each(|slice| slice.let_go(&self.layout, &spill));
        spill.report(self.memory_bytes());
        if spill.is_too_much() {
            // A window that fires knows the groups of its slices by their numbers.
            let firing = self.firing.as_ref().map_or(i64::MIN, |firing| firing.window_end);
            let others = self.slices.range_mut((Bound::Excluded(firing), Bound::Unbounded));
            others.map(|(_, slice)| slice).try_for_each(|slice| slice.freeze(&self.layout, &spill))?;
        }
        self.spill = Some(spill);
        Ok(())
    }

    /// Takes note of what the store has, in place of reading it. Returns the cursor.
    fn leave_in_store(&mut self) -> Result<Option<Cursor>> {
        let spill = self.spill.as_ref().expect("only who may spill has a limit");
        self.slices.clear();
        let mut prefix = Vec::new();
        for group in self.groups.clone() {
            whole_key(self.operator_id, state::GROUPS, group, &[], &mut prefix);
            spilled::for_each_prefix(spill, &prefix, state::SLICE_PREFIX, &mut |key| {
                let (slice_end, _) = state::parse_group_key(&key[KEY_PREFIX..])?;
                slice(&mut self.slices, &self.layout, slice_end)?.set_stored(group);
                Ok(())
            })?;
        }
        whole_key(self.operator_id, state::CURSOR, self.groups.start, &[], &mut prefix);
        spill.get(&prefix)?.map(|value| Cursor::read(&value, &self.groups)).transpose()
    }

    fn current_cursor(&self) -> Cursor {
        let firing = self.firing.as_ref().and_then(|f| Some((f.window_end, f.last_key()?.to_vec())));
        // A window of which nothing has been emitted fires anew after a restart.
        let unfired = self.firing.as_ref().filter(|f| f.last_key().is_none()).map(|f| f.window_end - 1);
        Cursor { groups: self.groups.clone(), passed: unfired.unwrap_or(self.passed), arrivals: 0, firing }
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

/// A slice, made when there is none.
fn slice<'a>(slices: &'a mut BTreeMap<i64, Slice>, layout: &Layout, slice_end: i64) -> Result<&'a mut Slice> {
    match slices.entry(slice_end) {
        Entry::Occupied(slice) => Ok(slice.into_mut()),
        Entry::Vacant(place) => Ok(place.insert(Slice::new(slice_end, layout)?)),
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
        self.due = self.due.max(until);
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

    /// Rows that come into slices of a window that fires would count in it.
    fn is_interruptible(&self) -> bool {
        !self.windows.share_slices()
    }

    fn is_interrupted(&self) -> bool {
        self.firing.is_some()
    }

    fn held_back(&self, progress: Progress) -> Progress {
        match self.event_time {
            true => progress,
            // All that is to come is of windows that end after this.
            false => Progress { event: self.watermark(progress), ..progress },
        }
    }

    fn snapshot(&mut self, changes: &mut StateChanges) -> Result<()> {
        let Self { operator_id, layout, slices, firing, dead, spill, .. } = self;
        let spilled = Spilled { operator: *operator_id, layout, spill: spill.as_ref() };
        for slice in dead.drain(..) {
            slice.delete(&spilled, changes);
        }
        let firing = firing.as_mut().and_then(|firing| firing.slice.as_mut());
        for slice in slices.values_mut().chain(firing) {
            slice.take_changes(&spilled, changes);
        }
        let cursor = self.current_cursor();
        if self.cursor.as_ref() != Some(&cursor) {
            changes.put(self.operator_id, state::CURSOR, self.groups.start, &[], &cursor.write());
            self.cursor = Some(cursor);
        }
        self.relieve_memory()
    }

    fn restore(&mut self, entries: &mut dyn StateEntries) -> Result<()> {
        let limit = self.spill.as_ref().map_or(usize::MAX, Spill::room_at_start);
        let (mut cursor, mut bytes) = (None, 0);
        let Self { slices, layout, groups, .. } = self;
        entries.for_each_while(&mut |table, _, key, value| {
            bytes += spilled::memory_of_entry(key, value);
            match table {
                state::GROUPS => {
                    let (slice_end, key) = state::parse_group_key(key)?;
                    slice(slices, layout, slice_end)?.table_mut().restore(key, value)?;
                }
                state::VALUES => {
                    let (slice_end, key, call, value) = state::parse_value_key(key)?;
                    slice(slices, layout, slice_end)?.table_mut().restore_value(key, call, value)?;
                }
                state::CURSOR => cursor = Some(Cursor::read(value, groups)?),
                other => return Err(Error::fail_job(format!("a windowed aggregation has no state table {other}"))),
            }
            Ok(bytes <= limit)
        })?;
        if bytes > limit {
            cursor = self.leave_in_store()?;
        }
        cursor.map_or(Ok(()), |cursor| self.resume(cursor))?;
        let bytes = self.memory_bytes();
        self.spill.iter_mut().for_each(|spill| spill.report(bytes));
        Ok(())
    }

    fn change_bytes(&self) -> usize {
        self.slices.values().map(|slice| slice.table().change_bytes()).sum()
    }

    fn memory_bytes(&self) -> usize {
        let slices = self.slices.values().chain(&self.dead).map(Slice::memory_bytes).sum::<usize>();
        slices + self.firing.as_ref().map_or(0, Firing::memory_bytes)
    }
}
