//! The first phase of a windowed aggregation: puts rows into slices and adds them up in memory, so that
//! the exchange carries a row for each slice and key instead of one for each event. Holds nothing over a
//! commit. Not here: windows, which the global phase makes of slices, and their firing.
//!
//! A DISTINCT call is not added up here: its argument (NULL where its filter is not TRUE) joins the key,
//! so that this phase removes duplicates, and travels on as the call's partial column.

use super::accumulator::{Accumulator, accumulator};
use super::interner::Interner;
use super::slice_assigner::{Assigned, SliceAssigner};
use super::{Context, Operator, Output};
use crate::batch::Batch;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyDecoder, KeyEncoder};
use crate::schema::arrow_schema;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::nullif::nullif;
use millrace_planner::plan::{AggregateCall, Schema, WindowAggregate};
use millrace_planner::types::{DataType, TypeKind};
use std::sync::Arc;

/// Rows of a batch emitted.
const CHUNK: usize = 8192;

pub struct LocalWindowAggregate {
    assigner: SliceAssigner,
    /// The grouping columns of the input.
    keys: Vec<usize>,
    calls: Vec<Call>,
    /// Of keys, slice end, then the arguments of the distinct calls.
    encoder: KeyEncoder,
    decoder: KeyDecoder,
    interner: Interner,
    limits: Limits,
    /// Memory of the accumulators that stays allocated while nothing is held.
    retained: usize,
    schema: SchemaRef,
    groups: Vec<u32>,
}

/// When what is held is emitted before anyone asks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub groups: usize,
    pub bytes: usize,
}

impl Limits {
    /// For a table of at most so many bytes. Beyond some thousands of groups it saves the exchange little.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { groups: 1 << 17, bytes }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of_bytes(16 << 20)
    }
}

struct Call {
    argument: Option<usize>,
    filter: Option<usize>,
    /// None for a distinct call.
    accumulator: Option<Box<dyn Accumulator>>,
}

impl Call {
    fn new(call: &AggregateCall) -> Result<Self> {
        let accumulator = if call.distinct { None } else { Some(accumulator(call)?) };
        Ok(Self { argument: call.argument, filter: call.filter, accumulator })
    }

    fn filter<'a>(&self, rows: &'a RecordBatch) -> Option<&'a BooleanArray> {
        self.filter.map(|column| rows.column(column).as_boolean())
    }

    /// What a distinct call adds to the key: its argument, NULL where the filter is not TRUE.
    fn distinct_argument(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let column = self.argument.ok_or_else(|| Error::fail_job("a DISTINCT call without an argument"))?;
        let argument = rows.column(column);
        let Some(filter) = self.filter(rows) else { return Ok(argument.clone()) };
        let dropped = filter.iter().map(|keep| Some(keep != Some(true))).collect::<BooleanArray>();
        nullif(argument, &dropped).or_kind(ErrorKind::FailJob, "filtering the argument of a DISTINCT call")
    }
}

impl LocalWindowAggregate {
    /// `input` is the schema of the rows, `output` of the node.
    pub fn new(plan: &WindowAggregate, input: &Schema, output: &Schema, time_zone: &str) -> Result<Self> {
        let slice_end = DataType::not_null(TypeKind::BigInt);
        let mut types: Vec<&DataType> = plan.keys.iter().map(|&key| &input.columns[key].data_type).collect();
        types.push(&slice_end);
        types.extend(plan.calls.iter().filter(|c| c.distinct).filter_map(|c| c.argument_type.as_ref()));
        Ok(Self {
            assigner: SliceAssigner::new(&plan.window, time_zone)?,
            keys: plan.keys.clone(),
            calls: plan.calls.iter().map(Call::new).collect::<Result<_>>()?,
            encoder: KeyEncoder::new(types.iter().copied())?,
            decoder: KeyDecoder::new(types.iter().copied())?,
            interner: Interner::default(),
            limits: Limits::default(),
            retained: 0,
            schema: arrow_schema(output),
            groups: Vec::new(),
        })
    }

    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    fn add(&mut self, assigned: Assigned) -> Result<()> {
        let rows = &assigned.batch.rows;
        let mut columns: Vec<ArrayRef> = self.keys.iter().map(|&key| rows.column(key).clone()).collect();
        columns.push(Arc::new(Int64Array::from(assigned.slice_ends)));
        for call in self.calls.iter().filter(|call| call.accumulator.is_none()) {
            columns.push(call.distinct_argument(rows)?);
        }
        let keys = self.encoder.encode(&columns, rows.num_rows())?;
        self.interner.intern_all(keys, &mut self.groups);
        for call in &mut self.calls {
            let (argument, filter) = (call.argument.map(|column| rows.column(column)), call.filter(rows));
            if let Some(accumulator) = &mut call.accumulator {
                accumulator.resize(self.interner.len());
                accumulator.update(&self.groups, argument, filter)?;
            }
        }
        Ok(())
    }

    /// The groups numbered `from` up to `until`, as rows.
    fn rows(&self, from: usize, until: usize) -> Result<RecordBatch> {
        let groups: Vec<u32> = (from as u32..until as u32).collect();
        let keys: Vec<&[u8]> = groups.iter().map(|&group| self.interner.key(group)).collect();
        let mut columns = self.decoder.decode(&keys)?;
        let mut distinct = columns.split_off(self.keys.len() + 1).into_iter();
        for call in &self.calls {
            match &call.accumulator {
                Some(accumulator) => columns.extend(accumulator.partials(&groups)?),
                None => columns.extend(distinct.next()),
            }
        }
        RecordBatch::try_new(self.schema.clone(), columns)
            .or_kind(ErrorKind::FailJob, "partial results don't have the planned types")
    }

    fn emit(&mut self, output: &mut dyn Output) -> Result<()> {
        let groups = self.interner.len();
        for from in (0..groups).step_by(CHUNK) {
            output.emit(Batch::new(self.rows(from, (from + CHUNK).min(groups))?))?;
        }
        self.interner.clear();
        for accumulator in self.calls.iter_mut().filter_map(|call| call.accumulator.as_mut()) {
            accumulator.resize(0);
        }
        self.retained = self.accumulators_bytes();
        Ok(())
    }

    fn accumulators_bytes(&self) -> usize {
        let accumulators = self.calls.iter().filter_map(|call| call.accumulator.as_ref());
        accumulators.map(|accumulator| accumulator.memory_bytes()).sum()
    }

    /// What is in use of its memory. What is only kept for later must not count, or it would grow with each round.
    fn held_bytes(&self) -> usize {
        self.interner.used_bytes() + self.accumulators_bytes().saturating_sub(self.retained)
    }
}

impl Operator for LocalWindowAggregate {
    fn process(&mut self, _port: usize, batch: Batch, context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        let assigned = self.assigner.assign(batch, true, context, output)?;
        if !assigned.slice_ends.is_empty() {
            self.add(assigned)?;
        }
        if self.interner.len() >= self.limits.groups || self.held_bytes() >= self.limits.bytes {
            self.emit(output)?;
        }
        Ok(())
    }

    fn flush(&mut self, _context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        self.emit(output)
    }

    fn memory_bytes(&self) -> usize {
        self.interner.memory_bytes() + self.accumulators_bytes()
    }
}
