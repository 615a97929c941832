//! The plan of a job: a graph of operators in topological order, cut into stages by exchanges. Pure
//! data: it prints (`explain.rs`), serialises to JSON, and knows neither Kafka's client nor threads.
//!
//! A stage is the set of nodes that run on one task's batches without moving rows between tasks. A node
//! of kind [`Operator::Exchange`] is the last of its stage; the nodes that read it are in a later one.

use crate::expression::{Expression, Literal};
use crate::secret::Options;
use crate::types::DataType;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of this format; raised when a reader of the old one would misread the new one.
pub const PLAN_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    /// In topological order: every input of a node stands before it.
    pub nodes: Vec<Node>,
    /// The session's time zone (`SET 'table.local-time-zone'`), an IANA name; UTC when not set.
    pub time_zone: String,
}

/// Index into [`Plan::nodes`].
pub type NodeId = usize;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Stable across replanning of the same structure: state is found by it. At most 2^32 - 1.
    pub operator_id: u32,
    /// The stage it runs in; sources are in stage 0, every exchange on the way adds one.
    pub stage: u32,
    pub inputs: Vec<NodeId>,
    pub operator: Operator,
    /// The columns it emits. A sink emits none.
    pub schema: Schema,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Operator {
    /// Reads a table. Emits exactly `columns`.
    Scan(Scan),
    /// Filter, then projection. With a watermark column dropped or computed before it, see `Watermark`.
    Calc(Calc),
    /// Marks the event time: after it, the task's watermark follows this column.
    Watermark(WatermarkAssigner),
    /// Appends `window_start`, `window_end` (TIMESTAMP(3)) and `window_time` to each row, once for each
    /// window the row is in. Only where no aggregation consumes the window (that one assigns its own).
    WindowTableFunction(WindowTableFunction),
    /// First phase of a windowed aggregation, stateless between commits. Emits: the keys, `slice_end`
    /// (BIGINT, epoch milliseconds), then every aggregate call's partial columns.
    LocalWindowAggregate(WindowAggregate),
    /// Second phase, keyed; merges the partial columns. Emits: the keys, each call's result, then the
    /// window properties asked for.
    GlobalWindowAggregate(WindowAggregate),
    /// Two inputs, each behind an exchange by its keys: joins the rows that are in the same window and agree in
    /// their keys, once the window has passed. Emits what its `output` says.
    WindowJoin(WindowJoin),
    /// Sends each row to the task that owns its key; with no keys, to task 0.
    Exchange(Exchange),
    /// Passes on the rows of all its inputs, which have one schema; its watermark is the least of theirs.
    Union,
    /// A bounded source of constant rows, emitted once, by task 0.
    Values(Values),
    Sink(Sink),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    pub table: Table,
    /// What to read, in the order of the node's schema.
    pub columns: Vec<ScanColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScanColumn {
    /// A physical column, or a field in nested ROWs of one: `["bid", "price"]`. NULL where any step is.
    Physical { path: Vec<String> },
    /// A METADATA column by its connector's key: `timestamp`, `partition`, `offset`, `topic`, `headers`,
    /// `leader-epoch`, `timestamp-type`.
    Metadata { key: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Each with one literal for each column of the node's schema.
    pub rows: Vec<Vec<Literal>>,
}

/// A table of the catalogue as a connector needs it: a name, its physical columns, its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub connector: Connector,
    /// The physical columns as declared, whether read or not.
    pub physical: Vec<Column>,
    /// Names of the PRIMARY KEY's columns, NOT ENFORCED; empty without one.
    pub primary_key: Vec<String>,
    /// Every option of the WITH clause, validated by the planner's connector catalogue.
    pub options: Options,
    /// `scan.watermark.idle-timeout`: an input read to its end and silent this long doesn't hold the
    /// watermark back. Zero: it always does.
    pub idle_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connector {
    Kafka,
    Datagen,
    Print,
    Blackhole,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calc {
    /// BOOLEAN over the input; rows where it is not TRUE are dropped.
    pub filter: Option<Expression>,
    /// Over the input, one for each column of the node's schema.
    pub projection: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatermarkAssigner {
    /// The rowtime column of the input (TIMESTAMP or TIMESTAMP_LTZ).
    pub column: usize,
    /// The watermark's value for a row, same type as the column, over the input. The task's watermark is
    /// the maximum of it over the rows so far.
    pub expression: Expression,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowTableFunction {
    pub window: Window,
}

/// How time is cut into windows, and which time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub kind: WindowKind,
    pub time: WindowTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum WindowKind {
    Tumble {
        size: Millis,
        offset: Millis,
    },
    /// Rows are in `size / slide` windows.
    Hop {
        size: Millis,
        slide: Millis,
        offset: Millis,
    },
    /// Windows from a common start that grow by `step` up to `size`.
    Cumulate {
        size: Millis,
        step: Millis,
        offset: Millis,
    },
}

/// Milliseconds.
pub type Millis = i64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WindowTime {
    /// The rowtime column of the input. In the global phase, the input's `slice_end` column.
    Event { column: usize, local_time_zone: bool },
    /// The clock of the task. `local_time_zone`: always true (PROCTIME() is a TIMESTAMP_LTZ).
    Processing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowAggregate {
    pub window: Window,
    /// Indexes of the grouping columns in the input (of the phase).
    pub keys: Vec<usize>,
    pub calls: Vec<AggregateCall>,
    /// What the global phase appends to keys and results, in this order.
    pub properties: Vec<WindowProperty>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WindowProperty {
    /// TIMESTAMP(3) NOT NULL.
    Start,
    /// TIMESTAMP(3) NOT NULL.
    End,
    /// The rowtime of the result, `window_end - 1 ms`: TIMESTAMP(3), or TIMESTAMP_LTZ(3).
    Time,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// In the local phase: column of the argument in the input; None for COUNT(*).
    /// In the global phase: the first of this call's partial columns in the input.
    pub argument: Option<usize>,
    /// The argument's type; None for COUNT(*).
    pub argument_type: Option<DataType>,
    pub distinct: bool,
    /// A BOOLEAN column of the local phase's input: rows where it is not TRUE don't count. The global
    /// phase has none.
    pub filter: Option<usize>,
    /// The result's type by Flink's rules.
    pub data_type: DataType,
    /// The partial columns that the local phase emits and the global one merges, in order. A DISTINCT
    /// call is not aggregated locally: its partial is the (filtered) argument itself, see
    /// `LocalWindowAggregate`.
    pub partial: Vec<DataType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

/// An inner join of rows that carry their window. Where both inputs are meant, their columns are numbered
/// through: those of the left one, then those of the right one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowJoin {
    /// What windows the rows of both inputs are in. Always of event time.
    pub window: WindowKind,
    /// The windows follow the clock of the session's time zone, as those of a TIMESTAMP_LTZ do.
    pub local_time_zone: bool,
    pub left: JoinSide,
    pub right: JoinSide,
    /// BOOLEAN, over the columns of both inputs: pairs for which it is not TRUE don't join.
    pub condition: Option<Expression>,
    /// The columns of both inputs that it emits.
    pub output: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinSide {
    /// Columns of this input; each equals the one at the same place of the other side. A NULL equals nothing.
    pub keys: Vec<usize>,
    /// The column `window_end` of this input: with `window`, it says which window a row is in.
    pub window_end: usize,
}

/// Keys are indexes into the input; none sends everything to task 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub keys: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sink {
    pub table: Table,
    /// Where each column of the input goes, in the order of the input.
    pub targets: Vec<SinkTarget>,
    /// What becomes of a row with a NULL for a NOT NULL physical column. Metadata may be NULL all the same.
    #[serde(default)]
    pub not_null: NotNullEnforcer,
}

/// `SET 'table.exec.sink.not-null-enforcer'`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NotNullEnforcer {
    /// It can't go on.
    #[default]
    Error,
    /// It is counted and dropped.
    Drop,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SinkTarget {
    /// A physical column of the table, by name.
    Physical { name: String },
    /// A writable METADATA column: `timestamp` or `headers`.
    Metadata { key: String },
}

impl Plan {
    /// The nodes that read `node`.
    pub fn consumers(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().enumerate().filter(move |(_, n)| n.inputs.contains(&node)).map(|(id, _)| id)
    }

    pub fn scans(&self) -> impl Iterator<Item = (NodeId, &Scan)> {
        self.nodes.iter().enumerate().filter_map(|(id, n)| match &n.operator {
            Operator::Scan(scan) => Some((id, scan)),
            _ => None,
        })
    }

    /// The options of every table, once for each node that uses it.
    pub fn table_options_mut(&mut self) -> impl Iterator<Item = (&str, &mut Options)> {
        self.nodes.iter_mut().filter_map(|n| match &mut n.operator {
            Operator::Scan(Scan { table, .. }) | Operator::Sink(Sink { table, .. }) => {
                Some((table.name.as_str(), &mut table.options))
            }
            _ => None,
        })
    }

    /// The plan as it may be written: without the secrets in its tables' options.
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        masked.table_options_mut().for_each(|(_, options)| *options = options.masked());
        masked
    }

    pub fn exchanges(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, n)| matches!(n.operator, Operator::Exchange(_)))
    }

    pub fn sinks(&self) -> impl Iterator<Item = (NodeId, &Sink)> {
        self.nodes.iter().enumerate().filter_map(|(id, n)| match &n.operator {
            Operator::Sink(sink) => Some((id, sink)),
            _ => None,
        })
    }
}
