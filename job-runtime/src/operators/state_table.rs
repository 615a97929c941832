//! What an operator keeps, as its node of the plan describes it: the tables of its state, whose entries they are, and
//! their columns for people and tools. Known without a running operator, so that savepoints can be written, looked
//! at and compared from a plan alone. Not here: the bytes, which each operator's own `state.rs` knows.

use super::{global_window_aggregate, watermark, window_join};
use crate::error::Result;
use crate::exchange;
use crate::state::TableId;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_schema::{DataType as ArrowType, Field, TimeUnit};
use millrace_planner::plan::{Node, Operator, Plan};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A table of an operator's state.
pub struct StateTable {
    pub id: TableId,
    pub name: &'static str,
    pub scope: Scope,
    /// The form of keys and values, for people to read: what was written under another one can't be read under it.
    pub layout: String,
    /// The columns that `decode` gives.
    pub fields: Vec<Field>,
    pub decode: Decode,
}

/// The table's own key, and the value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// The columns of entries, a row for each.
pub type Decode = Box<dyn Fn(&[Entry<'_>]) -> Result<Vec<ArrayRef>> + Send>;

/// Whose an entry is, and so where it goes when the tasks are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Of the task that has its key group.
    KeyGroup,
    /// One for each task, which says how far it has come; all say the same when nothing is under way.
    Cursor,
    /// Of the task that has the source partition, which is what the entry's key ends with.
    Partition,
    /// Of a pair of tasks: of no use when the tasks are others.
    Link,
}

/// The tables of a node; none where it keeps nothing.
pub fn state_tables(plan: &Plan, node: &Node) -> Result<Vec<StateTable>> {
    match &node.operator {
        Operator::Watermark(_) => Ok(vec![watermark::state_table()]),
        Operator::GlobalWindowAggregate(aggregate) => global_window_aggregate::state_tables(plan, node, aggregate),
        Operator::WindowJoin(join) => window_join::state_tables(plan, node, join),
        Operator::Exchange(_) => Ok(exchange::state_tables()),
        Operator::Scan(_)
        | Operator::Calc(_)
        | Operator::WindowTableFunction(_)
        | Operator::LocalWindowAggregate(_)
        | Operator::Union
        | Operator::Values(_)
        | Operator::Sink(_) => Ok(Vec::new()),
    }
}

/// The column of a point in local time, in milliseconds.
pub(crate) fn time_field(name: &str) -> Field {
    Field::new(name, ArrowType::Timestamp(TimeUnit::Millisecond, None), true)
}

pub(crate) fn times(millis: Vec<i64>) -> ArrayRef {
    Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(millis))
}
