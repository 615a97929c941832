//! The statements of a script as parsed: our own forms for what Flink adds to SQL, sqlparser's for
//! queries and expressions. Not here: any meaning (`catalog.rs`, `bind/`).

use crate::types::DataType;
use sqlparser::ast::{Expr, Query};

/// A place in the script, both 1-based. `end` is just after the last character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub line: u64,
    pub column: u64,
    pub end_line: u64,
    pub end_column: u64,
}

/// A name with its parts unquoted: `catalog.database.table`, or fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectName {
    pub parts: Vec<String>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    CreateTable(Box<CreateTable>),
    CreateView(CreateView),
    DropTable {
        name: ObjectName,
        if_exists: bool,
    },
    DropView {
        name: ObjectName,
        if_exists: bool,
    },
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN … END`, or `BEGIN STATEMENT SET; … END`.
    StatementSet(Vec<Insert>),
    Set {
        key: String,
        value: String,
    },
    Reset {
        key: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDefinition>,
    pub watermark: Option<WatermarkDefinition>,
    pub primary_key: Option<PrimaryKey>,
    pub comment: Option<String>,
    /// In the order written, keys and values unquoted, with the span of the key.
    pub options: Vec<(String, String, Span)>,
    pub like: Option<TableLike>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    pub name: String,
    pub kind: ColumnKind,
    pub comment: Option<String>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    Physical {
        data_type: DataType,
    },
    /// `name AS expression`.
    Computed {
        expression: Box<Expr>,
    },
    /// `name type METADATA [FROM 'key'] [VIRTUAL]`; the key defaults to the column's name.
    Metadata {
        data_type: DataType,
        key: Option<String>,
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDefinition {
    /// A column, or a path into nested rows.
    pub column: Vec<String>,
    pub expression: Expr,
    pub span: Span,
}

/// `PRIMARY KEY (a, b) NOT ENFORCED`, as a table's or a column's constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct PrimaryKey {
    pub columns: Vec<String>,
    pub span: Span,
}

/// `LIKE source (INCLUDING …)`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLike {
    pub source: ObjectName,
    /// `("INCLUDING" | "EXCLUDING" | "OVERWRITING", feature)` in upper case, as written.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    pub name: ObjectName,
    pub if_not_exists: bool,
    /// Renames the query's columns, where given.
    pub columns: Vec<String>,
    pub query: Box<Query>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub target: ObjectName,
    /// Of a hint after the target, `/*+ OPTIONS('key' = 'value') */`; they go before those of its WITH.
    pub options: Vec<(String, String, Span)>,
    /// The columns named after the target; empty: all of its persisted columns, in order.
    pub columns: Vec<String>,
    pub query: Box<Query>,
    pub span: Span,
}
