//! Aggregate functions over groups, column by column. An accumulator keeps one state for each group; a
//! state can be read again and again (results, partials, a commit's bytes) and is never used up. Not
//! here: which row belongs to which group (`operators/interner.rs`), and DISTINCT (`distinct.rs`), which
//! stands in front of an accumulator.

mod native;
mod count;
mod sum;
mod extremum;
mod average;
mod distinct;
#[cfg(test)]
mod tests;

pub(crate) use distinct::{Distinct, SeenElsewhere};

use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::schema::arrow_type;
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType as ArrowType;
use millrace_planner::plan::{AggregateCall, AggregateFunction};
use millrace_planner::types::DataType;

/// The states of one aggregate call. `groups` holds a group number for each row, below the last `resize`.
pub(crate) trait Accumulator: Send {
    /// Makes room for `groups` groups; new ones have seen no row.
    fn resize(&mut self, groups: usize);

    /// Adds rows. `argument` is None for COUNT(*); rows that `filter` is not TRUE for don't count.
    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()>;

    /// Adds what other accumulators of this call have seen, as `partials` gave it.
    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()>;

    /// The states as columns of the call's partial types, one row for each of `groups`.
    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// The call's result for each of `groups`.
    fn results(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Appends the state of a group, in a form that says where it ends.
    fn write(&self, group: u32, out: &mut Vec<u8>);

    /// Replaces the state of a group by one that `write` gave, and moves past it.
    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()>;

    fn memory_bytes(&self) -> usize;
}

/// The accumulator of a call, DISTINCT left aside.
pub(crate) fn accumulator(call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
    match call.function {
        AggregateFunction::Count => Ok(Box::new(count::Count::default())),
        AggregateFunction::Sum => sum::accumulator(&declared(call.partial.first(), "a partial")?),
        AggregateFunction::Min => extremum::accumulator(&declared(call.argument_type.as_ref(), "an argument")?, false),
        AggregateFunction::Max => extremum::accumulator(&declared(call.argument_type.as_ref(), "an argument")?, true),
        AggregateFunction::Avg => {
            average::accumulator(&declared(call.partial.first(), "a partial")?, arrow_type(&call.data_type.kind))
        }
    }
}

/// A distinct call's partial is its argument, so its inner accumulator's state has the type it would have
/// had without DISTINCT.
pub(crate) fn undistinct(call: &AggregateCall) -> Result<AggregateCall> {
    use millrace_planner::types::TypeKind::{BigInt, Decimal, Double, Float};
    let argument = call.argument_type.clone().ok_or_else(|| missing("an argument"))?;
    let kind = match (call.function, &argument.kind) {
        (AggregateFunction::Sum, _) => call.data_type.kind.clone(),
        (AggregateFunction::Avg, Decimal { scale, .. }) => Decimal { precision: 38, scale: *scale },
        (AggregateFunction::Avg, Float | Double) => Double,
        (AggregateFunction::Avg | AggregateFunction::Count, _) => BigInt,
        (AggregateFunction::Min | AggregateFunction::Max, kind) => kind.clone(),
    };
    Ok(AggregateCall { distinct: false, partial: vec![DataType::nullable(kind)], ..call.clone() })
}

fn declared(data_type: Option<&DataType>, what: &str) -> Result<ArrowType> {
    data_type.map(|t| arrow_type(&t.kind)).ok_or_else(|| missing(what))
}

fn missing(what: &str) -> Error {
    Error::fail_job(format!("the plan has an aggregate call without {what} type"))
}

fn unsupported(function: &str, arrow: &ArrowType) -> Error {
    Error::user_fault(format!("{function} of {arrow} is not supported yet"))
}

/// `array` as `to`; free where it is that already. A DECIMAL of the same scale is only relabelled.
fn cast_to(array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (ArrowType::Decimal128(_, from), ArrowType::Decimal128(_, scale)) if from == scale => {
            let relabelled = array.as_primitive::<Decimal128Type>().clone().with_data_type(to.clone());
            Ok(std::sync::Arc::new(relabelled))
        }
        (from, to) => {
            arrow_cast::cast(array, to).or_kind(ErrorKind::FailJob, format!("casting {from} to {to} to aggregate it"))
        }
    }
}

/// Calls `visit(row, group)` for the rows that are neither NULL nor filtered out.
#[inline]
fn for_each_row(
    groups: &[u32],
    nulls: Option<&NullBuffer>,
    filter: Option<&BooleanArray>,
    mut visit: impl FnMut(usize, usize),
) {
    match selected(nulls, filter) {
        None => groups.iter().enumerate().for_each(|(row, &group)| visit(row, group as usize)),
        Some(rows) => rows.set_indices().for_each(|row| visit(row, groups[row] as usize)),
    }
}

/// The rows that count; None for all.
fn selected(nulls: Option<&NullBuffer>, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let filter = filter.map(|f| match f.nulls() {
        Some(nulls) if nulls.null_count() > 0 => f.values() & nulls.inner(),
        _ => f.values().clone(),
    });
    match (nulls.filter(|n| n.null_count() > 0), filter) {
        (None, filter) => filter,
        (Some(nulls), None) => Some(nulls.inner().clone()),
        (Some(nulls), Some(filter)) => Some(nulls.inner() & &filter),
    }
}

/// Calls a macro with the Arrow primitive type that a column of `$arrow` is stored as, or evaluates
/// `$other` for one that isn't primitive.
macro_rules! with_primitive {
    ($arrow:expr, $call:ident, $other:expr) => {
        match $arrow {
            ArrowType::Int8 => $call!(Int8Type),
            ArrowType::Int16 => $call!(Int16Type),
            ArrowType::Int32 => $call!(Int32Type),
            ArrowType::Int64 => $call!(Int64Type),
            ArrowType::Float32 => $call!(Float32Type),
            ArrowType::Float64 => $call!(Float64Type),
            ArrowType::Decimal128(..) => $call!(Decimal128Type),
            ArrowType::Date32 => $call!(Date32Type),
            ArrowType::Time32(TimeUnit::Millisecond) => $call!(Time32MillisecondType),
            ArrowType::Timestamp(TimeUnit::Millisecond, _) => $call!(TimestampMillisecondType),
            ArrowType::Timestamp(TimeUnit::Microsecond, _) => $call!(TimestampMicrosecondType),
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => $call!(TimestampNanosecondType),
            ArrowType::Interval(IntervalUnit::YearMonth) => $call!(IntervalYearMonthType),
            ArrowType::Duration(TimeUnit::Millisecond) => $call!(DurationMillisecondType),
            _ => $other,
        }
    };
}
use with_primitive;
