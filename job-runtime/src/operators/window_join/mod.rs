//! The inner join of rows in the same window: keeps the rows of both sides by window and key, and emits every pair
//! of rows with equal keys when the watermark has passed the window's end. Its rows are in memory, or, of what would be
//! too much, in the state's store only; a commit gets those that have come since the last one. Not here: how rows get into windows (`window_table_function.rs`, or an
//! aggregation), and how they get to the task that owns their key (`exchange/`).
//!
//! A row is late when its window has fired; that is judged here, by the watermark of both sides together, as in
//! Flink. A row with a NULL in its key joins nothing and is not kept.

mod state;
mod rows;
mod window;
mod firing;
mod columns;
#[cfg(test)]
mod tests;

pub(super) use self::columns::state_tables;
use self::firing::{Chunk, Firing, Rest};
use self::rows::Rows;
use self::state::Position;
use self::window::{ByKeyGroup, RowsReader, Spilled, Window};
use super::row_evaluation::evaluate_rows;
use super::slice_assigner::show_millis;
use super::spilled;
use super::window::{Windows, session_time_zone};
use super::window_progress::{Cursor, Limits};
use super::{Context, Operator, Output};
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::expression::{Compiler, Now, evaluate};
use crate::key::{KeyEncoder, hash, key_groups_of};
use crate::schema::arrow_schema;
use crate::state::spill::{Spill, whole_key};
use crate::state::{KEY_PREFIX, StateChanges, StateEntries};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use arrow_select::filter::{filter_record_batch, prep_null_mask_filter};
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;
use datafusion_physical_expr::PhysicalExpr;
use millrace_planner::expression::ExpressionKind;
use millrace_planner::plan::{self, JoinSide, Node, Schema};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub struct WindowJoin {
    operator_id: u32,
    /// The key groups of the task.
    groups: Range<u16>,
    has_keys: bool,
    windows: Windows,
    inputs: [Input; 2],
    pairs: Pairs,
    /// By the window's end.
    open: BTreeMap<i64, Window>,
    /// Every window that ends up to here, in local milliseconds, has fired or is firing.
    passed: i64,
    /// Every window that ends up to here is to fire before anything else happens: nothing comes into it any more.
    due: i64,
    firing: Option<Firing>,
    dead: Vec<Window>,
    /// Rows that have come.
    arrivals: u64,
    /// What the state has as cursor.
    cursor: Option<Cursor>,
    /// Where rows go that are too many for memory; None: they stay.
    spill: Option<Spill>,
    limits: Limits,
}

/// What is known of the rows of one side.
struct Input {
    keys: Vec<usize>,
    window_end: usize,
    encoder: KeyEncoder,
    schema: SchemaRef,
}

/// What becomes of a pair of rows.
struct Pairs {
    /// The columns that the condition or the output reads: side and column.
    gathered: Vec<(usize, usize)>,
    gathered_schema: SchemaRef,
    condition: Option<Arc<dyn PhysicalExpr>>,
    now: Now,
    /// Of the gathered columns.
    output: Vec<usize>,
    schema: SchemaRef,
}

impl WindowJoin {
    /// `inputs` are the schemas of both sides; the operator is that of task `task` of `parallelism`.
    pub fn new(
        node: &Node,
        plan: &plan::WindowJoin,
        inputs: [&Schema; 2],
        time_zone: &str,
        task: u32,
        parallelism: u32,
    ) -> Result<Self> {
        let zone = plan.local_time_zone.then(|| session_time_zone(time_zone)).transpose()?;
        let [left, right] = inputs;
        Ok(Self {
            operator_id: node.operator_id,
            groups: key_groups_of(task, parallelism),
            has_keys: !plan.left.keys.is_empty(),
            windows: Windows::new(plan.window, zone)?,
            inputs: [Input::new(&plan.left, left)?, Input::new(&plan.right, right)?],
            pairs: Pairs::new(plan, inputs, &node.schema, time_zone)?,
            open: BTreeMap::new(),
            passed: i64::MIN,
            due: i64::MIN,
            firing: None,
            dead: Vec::new(),
            arrivals: 0,
            cursor: None,
            spill: None,
            limits: Limits::default(),
        })
    }

    /// Keeps no more in memory than it says.
    pub fn with_spill(self, spill: Option<Spill>) -> Self {
        Self { spill, ..self }
    }

    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Keeps rows that are all in one window.
    fn keep(&mut self, side: usize, window_end: i64, rows: RecordBatch, output: &mut dyn Output) -> Result<()> {
        if window_end <= self.passed.max(self.due) {
            return fail_late(window_end, &rows, output);
        }
        let input = &mut self.inputs[side];
        let Some(rows) = without_null_keys(rows, &input.keys)? else { return Ok(()) };
        let keys: Vec<ArrayRef> = input.keys.iter().map(|&key| rows.column(key).clone()).collect();
        let keys = input.encoder.encode(&keys, rows.num_rows())?;
        let window = self.open.entry(window_end).or_insert_with(|| Window::new(window_end));
        let first = self.arrivals;
        self.arrivals += rows.num_rows() as u64;
        window.rows.add(side, rows, keys, first)
    }

    fn begin(&mut self, window_end: i64, from: Option<Position>) -> Result<()> {
        let mut window = self.open.remove(&window_end).unwrap_or_else(|| Window::new(window_end));
        window.thaw()?;
        self.passed = self.passed.max(window_end);
        self.firing = Some(if window.is_whole() {
            Firing::whole(window, self.limits, from)?
        } else {
            let spilled = self.spilled();
            let first = from.as_ref().map_or(self.groups.start, |from| spilled.key_group(hash(&from.key)));
            let rest = Rest { parts: ByKeyGroup::new(&window, &spilled), groups: first..self.groups.end };
            Firing::in_parts(window, rest, self.limits, from)?
        });
        Ok(())
    }

    /// Emits what is left of the window that fires, up to about `budget` bytes. Whether it is done.
    fn continue_firing(&mut self, budget: &mut usize, output: &mut dyn Output) -> Result<bool> {
        let Some(mut firing) = self.firing.take() else { return Ok(true) };
        loop {
            if firing.is_done() {
                if !self.read_on(&mut firing)? {
                    break;
                }
                continue;
            }
            if *budget == 0 {
                self.firing = Some(firing);
                return Ok(false);
            }
            let chunk = firing.chunk();
            let cost = self.pairs.emit(firing.rows(), &chunk, output)?;
            *budget = budget.saturating_sub(cost);
            firing.emitted(&chunk);
        }
        self.dead.extend(firing.window.into_dead());
        Ok(true)
    }

    /// Reads the next part of a window that fires in parts; false when there is none.
    fn read_on(&self, firing: &mut Firing) -> Result<bool> {
        let Some(rest) = &mut firing.rest else { return Ok(false) };
        let spilled = self.spilled();
        let mut part = Rows::default();
        while part.sides.iter().map(|side| side.groups.len()).sum::<usize>() < self.limits.rows {
            let Some(group) = rest.groups.next() else { break };
            rest.parts.read(&firing.window, group, &spilled, &mut part)?;
        }
        let is_read = !part.is_empty();
        firing.set_part(part)?;
        Ok(is_read)
    }

    fn spilled(&self) -> Spilled<'_> {
        Spilled {
            operator: self.operator_id,
            has_keys: self.has_keys,
            schemas: [0, 1].map(|side: usize| self.inputs[side].schema.clone()),
            spill: self.spill.as_ref(),
        }
    }

    /// Right after a snapshot: lets go of what the store has, and takes more out of use where there is too much.
    fn relieve_memory(&mut self) {
        let Some(mut spill) = self.spill.take() else { return };
        let has_keys = self.has_keys;
        self.open.values_mut().for_each(|window| window.let_go(has_keys, &spill));
        spill.report(self.memory_bytes());
        if spill.is_too_much() {
            self.open.values_mut().for_each(|window| window.freeze(&spill));
        }
        self.spill = Some(spill);
    }

    /// Takes note of what the store has, in place of reading it. Returns the cursor.
    fn leave_in_store(&mut self) -> Result<Option<Cursor>> {
        let spill = self.spill.as_ref().expect("only who may spill has a limit");
        self.open.clear();
        let mut prefix = Vec::new();
        for (group, table) in self.groups.clone().flat_map(|group| state::ROWS.map(|table| (group, table))) {
            whole_key(self.operator_id, table, group, &[], &mut prefix);
            spilled::for_each_prefix(spill, &prefix, state::WINDOW_PREFIX, &mut |key| {
                let (window_end, ..) = state::parse_row_key(&key[KEY_PREFIX..])?;
                self.open.entry(window_end).or_insert_with(|| Window::new(window_end)).set_stored(group);
                Ok(())
            })?;
        }
        whole_key(self.operator_id, state::CURSOR, self.groups.start, &[], &mut prefix);
        spill.get(&prefix)?.map(|value| Cursor::read(&value, &self.groups)).transpose()
    }

    fn current_cursor(&self) -> Cursor {
        let firing = self.firing.as_ref().and_then(|f| Some((f.window.end, f.position()?.write())));
        // A window of which nothing has been emitted fires anew after a restart.
        let unfired = self.firing.as_ref().filter(|_| firing.is_none()).map(|f| f.window.end - 1);
        let passed = unfired.unwrap_or(self.passed);
        Cursor { groups: self.groups.clone(), passed, arrivals: self.arrivals, firing }
    }

    fn resume(&mut self, cursor: Cursor) -> Result<()> {
        (self.passed, self.arrivals) = (cursor.passed, cursor.arrivals);
        if let Some((window_end, place)) = &cursor.firing {
            self.begin(*window_end, Some(Position::read(place)?))?;
        }
        self.cursor = Some(cursor);
        Ok(())
    }
}

impl Input {
    fn new(side: &JoinSide, input: &Schema) -> Result<Self> {
        let types = side.keys.iter().map(|&key| &input.columns[key].data_type);
        let encoder = KeyEncoder::new(types)?;
        Ok(Self { keys: side.keys.clone(), window_end: side.window_end, encoder, schema: arrow_schema(input) })
    }
}

impl Pairs {
    fn new(plan: &plan::WindowJoin, inputs: [&Schema; 2], output: &Schema, time_zone: &str) -> Result<Self> {
        let mut read: BTreeSet<usize> = plan.output.iter().copied().collect();
        if let Some(condition) = &plan.condition {
            condition.walk(&mut |e| {
                if let ExpressionKind::Column(column) = e.kind {
                    read.insert(column);
                }
            });
        }
        let read: Vec<usize> = read.into_iter().collect();
        let place = |column: usize| read.partition_point(|&other| other < column);
        let compiler = Compiler::new(time_zone)?;
        let condition = plan.condition.as_ref().map(|condition| compiler.compile(condition, &place)).transpose()?;
        let count = inputs[0].columns.len();
        let both = arrow_schema(&Schema { columns: inputs.map(|input| input.columns.as_slice()).concat() });
        let fields: Vec<_> = read.iter().map(|&column| both.fields()[column].clone()).collect();
        Ok(Self {
            gathered: read.iter().map(|&c| if c < count { (0, c) } else { (1, c - count) }).collect(),
            gathered_schema: Arc::new(ArrowSchema::new(fields)),
            condition,
            now: compiler.now(),
            output: plan.output.iter().map(|&column| place(column)).collect(),
            schema: arrow_schema(output),
        })
    }

    /// Emits the pairs that meet the condition; returns how many bytes all of them took.
    fn emit(&self, rows: &Rows, chunk: &Chunk, output: &mut dyn Output) -> Result<usize> {
        let columns = self.gathered.iter().map(|&(side, column)| {
            let arrays: Vec<&dyn Array> =
                rows.sides[side].batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&arrays, &chunk.sides[side]).or_kind(ErrorKind::FailJob, "joining rows")
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(chunk.sides[0].len()));
        let pairs = RecordBatch::try_new_with_options(self.gathered_schema.clone(), columns, &count)
            .or_kind(ErrorKind::FailJob, "joined rows don't have the planned types")?;
        // Pairs without columns are work, too.
        let cost = pairs.get_array_memory_size().max(pairs.num_rows());
        let pairs = self.meeting_condition(pairs, output)?;
        let columns = self.output.iter().map(|&column| pairs.column(column).clone()).collect();
        let count = RecordBatchOptions::new().with_row_count(Some(pairs.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &count)
            .or_kind(ErrorKind::FailJob, "joined rows don't have the planned types")?;
        if rows.num_rows() > 0 {
            output.emit(Batch::new(rows))?;
        }
        Ok(cost)
    }

    fn meeting_condition(&self, pairs: RecordBatch, output: &mut dyn Output) -> Result<RecordBatch> {
        let Some(condition) = &self.condition else { return Ok(pairs) };
        let evaluated = evaluate_rows(Batch::new(pairs), |rows| evaluate(condition.as_ref(), rows), output)?;
        let (pairs, keep): (Batch, ArrayRef) = evaluated;
        let keep = keep.as_boolean();
        let keep = if keep.null_count() > 0 { prep_null_mask_filter(keep) } else { keep.clone() };
        filter_record_batch(&pairs.rows, &keep).or_kind(ErrorKind::FailJob, "filtering joined rows")
    }
}

fn fail_late(window_end: i64, rows: &RecordBatch, output: &mut dyn Output) -> Result<()> {
    let batch = Batch::new(rows.clone());
    let message = format!(
        "the row is late for the join of the window that ends {}, which the watermark has passed",
        show_millis(window_end)
    );
    (0..rows.num_rows()).try_for_each(|row| output.fail(batch.failed(row, FailureReason::Late, message.as_str())))
}

/// The rows that have all of their keys; None where no row has.
fn without_null_keys(rows: RecordBatch, keys: &[usize]) -> Result<Option<RecordBatch>> {
    let nulls = keys.iter().fold(None, |nulls: Option<NullBuffer>, &key| {
        NullBuffer::union(nulls.as_ref(), rows.column(key).logical_nulls().as_ref())
    });
    let rows = match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => rows,
        Some(nulls) => filter_record_batch(&rows, &BooleanArray::new(nulls.into_inner(), None))
            .or_kind(ErrorKind::FailJob, "dropping rows without a key")?,
    };
    Ok((rows.num_rows() > 0).then_some(rows))
}

/// The rows of a batch by the window that they are in.
fn split(rows: RecordBatch, window_end: usize) -> Result<Vec<(i64, RecordBatch)>> {
    let ends = rows.column(window_end).as_primitive::<TimestampMillisecondType>();
    if ends.null_count() > 0 {
        return Err(Error::fail_job("a row without window_end, which every row of a window has"));
    }
    let Some(&first) = ends.values().first() else { return Ok(Vec::new()) };
    if ends.values().iter().all(|&end| end == first) {
        return Ok(vec![(first, rows)]);
    }
    let mut rows_of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, &end) in (0..).zip(ends.values()) {
        rows_of.entry(end).or_default().push(row);
    }
    let part = |(end, of_window)| {
        let part = take_record_batch(&rows, &UInt32Array::from(of_window)).or_kind(ErrorKind::FailJob, "splitting")?;
        Ok((end, part))
    };
    rows_of.into_iter().map(part).collect()
}

impl Operator for WindowJoin {
    fn process(&mut self, port: usize, batch: Batch, _context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        for (window_end, rows) in split(batch.rows, self.inputs[port].window_end)? {
            self.keep(port, window_end, rows, output)?;
        }
        Ok(())
    }

    fn advance(&mut self, context: &Context<'_>, output: &mut dyn Output) -> Result<bool> {
        self.pairs.now.set(context.clock.now_millis());
        let until = self.windows.passed(context.progress.event);
        self.due = self.due.max(until);
        let mut budget = self.limits.bytes;
        while self.continue_firing(&mut budget, output)? {
            match self.open.first_key_value() {
                Some((&window_end, _)) if window_end <= until => self.begin(window_end, None)?,
                _ => {
                    self.passed = self.passed.max(until);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A window that fires has rows of its own.
    fn is_interruptible(&self) -> bool {
        true
    }

    fn is_interrupted(&self) -> bool {
        self.firing.is_some()
    }

    fn snapshot(&mut self, changes: &mut StateChanges) -> Result<()> {
        let (mut open, mut firing) = (std::mem::take(&mut self.open), self.firing.take());
        let dead = std::mem::take(&mut self.dead);
        let spilled = self.spilled();
        dead.into_iter().for_each(|window| window.delete(&spilled, changes));
        let firing_window = firing.as_mut().map(|firing| &mut firing.window);
        open.values_mut().chain(firing_window).try_for_each(|window| window.take_changes(&spilled, changes))?;
        (self.open, self.firing) = (open, firing);
        let cursor = self.current_cursor();
        if self.cursor.as_ref() != Some(&cursor) {
            changes.put(self.operator_id, state::CURSOR, self.groups.start, &[], &cursor.write());
            self.cursor = Some(cursor);
        }
        self.relieve_memory();
        Ok(())
    }

    fn restore(&mut self, entries: &mut dyn StateEntries) -> Result<()> {
        let limit = self.spill.as_ref().map_or(usize::MAX, Spill::room_at_start);
        let (mut cursor, mut bytes) = (None, 0);
        let mut readers: BTreeMap<i64, RowsReader> = BTreeMap::new();
        let schemas = self.spilled().schemas;
        let Self { open, groups, .. } = self;
        entries.for_each_while(&mut |table, _, key, value| {
            bytes += spilled::memory_of_entry(key, value);
            if table == state::CURSOR {
                cursor = Some(Cursor::read(value, groups)?);
                return Ok(bytes <= limit);
            }
            let side = state::ROWS.iter().position(|rows| *rows == table);
            let side = side.ok_or_else(|| Error::fail_job(format!("a window join has no state table {table}")))?;
            let (window_end, key, number) = state::parse_row_key(key)?;
            let window = open.entry(window_end).or_insert_with(|| Window::new(window_end));
            let reader = match readers.entry(window_end) {
                Entry::Occupied(reader) => reader.into_mut(),
                Entry::Vacant(place) => place.insert(RowsReader::new(&schemas)?),
            };
            reader.read(side, key, number, value, &mut window.rows)?;
            Ok(bytes <= limit)
        })?;
        if bytes > limit {
            cursor = self.leave_in_store()?;
        } else {
            for (window_end, mut reader) in readers {
                let window = self.open.get_mut(&window_end).expect("its rows were read");
                reader.finish(&mut window.rows)?;
            }
        }
        cursor.map_or(Ok(()), |cursor| self.resume(cursor))?;
        let bytes = self.memory_bytes();
        self.spill.iter_mut().for_each(|spill| spill.report(bytes));
        Ok(())
    }

    fn change_bytes(&self) -> usize {
        self.open.values().map(|window| window.rows.new_bytes()).sum()
    }

    fn memory_bytes(&self) -> usize {
        let windows = self.open.values().chain(&self.dead).map(Window::memory_bytes).sum::<usize>();
        windows + self.firing.as_ref().map_or(0, Firing::memory_bytes)
    }
}
