//! A bound query: a tree of relational operators, with what is known of its columns beyond their types
//! (time attributes, windows). Not here: the plan's graph (`stages.rs`), which is built from it.

use crate::expression::{Expression, Literal};
use crate::plan::{AggregateCall, Column, Scan, Sink, Window, WindowJoin, WindowKind, WindowProperty};
use crate::types::DataType;

/// An operator with its inputs and the columns it emits.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) node: Node,
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Scan(Scan),
    Values {
        rows: Vec<Vec<Literal>>,
    },
    /// Filter, then projection.
    Calc {
        input: Box<Tree>,
        filter: Option<Expression>,
        projection: Vec<Expression>,
    },
    /// Emits its input's columns.
    Watermark {
        input: Box<Tree>,
        column: usize,
        expression: Expression,
    },
    /// Emits its input's columns, then `window_start`, `window_end` and `window_time`.
    WindowTableFunction {
        input: Box<Tree>,
        window: Window,
    },
    /// Emits the keys, the calls' results, then the properties.
    WindowAggregate {
        input: Box<Tree>,
        window: Window,
        keys: Vec<usize>,
        calls: Vec<AggregateCall>,
        properties: Vec<WindowProperty>,
    },
    /// Emits the columns that `join` says, of both inputs.
    WindowJoin {
        left: Box<Tree>,
        right: Box<Tree>,
        join: WindowJoin,
    },
    Union {
        inputs: Vec<Tree>,
    },
    Sink {
        input: Box<Tree>,
        sink: Sink,
    },
}

/// A query's result, or what stands in FROM.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) tree: Tree,
    /// One for each of the tree's columns.
    pub(crate) roles: Vec<Role>,
    /// The window that the columns of a window role belong to.
    pub(crate) window: Option<WindowOrigin>,
}

/// What a column is beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    /// An event-time attribute: the watermark follows it.
    Rowtime,
    /// A processing-time attribute: read when it is used.
    Proctime,
    WindowStart,
    WindowEnd,
    /// `window_time`, which is a time attribute again.
    WindowTime,
}

/// Which windows the rows of a relation are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowOrigin {
    pub(crate) kind: WindowKind,
    pub(crate) time: TimeKind,
    pub(crate) rows: WindowRows,
}

/// What the rows are that carry a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowRows {
    /// Those that a table function put in windows.
    Assigned,
    /// The results of an aggregation.
    Aggregated,
    /// Those of a window join.
    Joined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    Event { local_time_zone: bool },
    Processing,
}

impl Role {
    pub(crate) fn is_window(self) -> bool {
        matches!(self, Self::WindowStart | Self::WindowEnd | Self::WindowTime)
    }
}

impl Tree {
    /// Every column of the tree as an expression over it.
    pub(crate) fn identity(&self) -> Vec<Expression> {
        let columns = self.columns.iter().enumerate();
        columns.map(|(index, column)| Expression::column(index, column.data_type.clone())).collect()
    }

    pub(crate) fn calc(self, filter: Option<Expression>, projection: Vec<(String, Expression)>) -> Self {
        let columns = projection.iter().map(|(name, expression)| column(name, &expression.data_type)).collect();
        let projection = projection.into_iter().map(|(_, expression)| expression).collect();
        Self { node: Node::Calc { input: Box::new(self), filter, projection }, columns }
    }

    pub(crate) fn filter(self, filter: Expression) -> Self {
        let projection = self.identity();
        let columns = self.columns.clone();
        Self { node: Node::Calc { input: Box::new(self), filter: Some(filter), projection }, columns }
    }
}

impl Relation {
    /// With nothing known but the types.
    pub(crate) fn plain(tree: Tree) -> Self {
        let roles = vec![Role::Plain; tree.columns.len()];
        Self { tree, roles, window: None }
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.tree.columns.iter().map(|column| column.name.as_str())
    }

    pub(crate) fn rename(&mut self, names: impl IntoIterator<Item = String>) {
        for (column, name) in self.tree.columns.iter_mut().zip(names) {
            column.name = name;
        }
    }
}

pub(crate) fn column(name: &str, data_type: &DataType) -> Column {
    Column { name: name.to_owned(), data_type: data_type.clone() }
}
