//! Bound scalar expressions: every node knows its type, every column is an index into the input of
//! the operator that holds the expression. Pure data. Not here: how SQL binds to them (`bind/`),
//! nor how they are evaluated (`job-runtime/src/expression/`).
//!
//! The binder makes every conversion explicit as a `Cast`, so that the operands of a comparison or an
//! arithmetic operator have the types that the evaluation needs, and nothing is coerced later.

use crate::types::DataType;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    pub kind: ExpressionKind,
    pub data_type: DataType,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpressionKind {
    /// Index of a column of the operator's input.
    Column(usize),
    Literal(Literal),
    /// A built-in function or operator, by its canonical name in `function.rs`.
    Call {
        function: Function,
        arguments: Vec<Expression>,
    },
    /// To the `data_type` of this node. `try_cast` gives NULL where CAST fails the row.
    Cast {
        input: Box<Expression>,
        try_cast: bool,
    },
    /// `CASE WHEN c THEN r … ELSE e END`; conditions are BOOLEAN, a missing ELSE is a NULL literal.
    Case {
        branches: Vec<(Expression, Expression)>,
        otherwise: Box<Expression>,
    },
    /// A field of a ROW, by position.
    Field {
        input: Box<Expression>,
        index: usize,
    },
}

/// A constant. Times are counts since 1970-01-01T00:00:00 in the unit of their type's precision
/// (milliseconds up to 3, microseconds up to 6, else nanoseconds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Literal {
    Null,
    Boolean(bool),
    /// TINYINT to BIGINT.
    Integer(i64),
    /// The unscaled value; the scale is the type's.
    Decimal(#[serde(with = "digits")] i128),
    /// FLOAT and DOUBLE.
    Double(f64),
    String(String),
    Binary(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since midnight.
    Time(i32),
    /// TIMESTAMP and TIMESTAMP_LTZ.
    Timestamp(i64),
    Months(i32),
    Milliseconds(i64),
}

/// A built-in scalar function or operator, by Flink's upper-case name, for instance `PLUS`, `EQUALS`,
/// `AND`, `IS_NULL`, `LIKE`, `UPPER`, `DATE_FORMAT`. The catalogue with arities and types is
/// `function.rs`; a name outside it can't be constructed by the binder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Function(pub std::borrow::Cow<'static, str>);

impl Function {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Expression {
    /// The same expression over what `map` makes of each of its direct inputs. A column or a literal has none.
    pub fn map_inputs(self, map: &dyn Fn(Expression) -> Expression) -> Self {
        let boxed = |input: Box<Expression>| Box::new(map(*input));
        let kind = match self.kind {
            kind @ (ExpressionKind::Column(_) | ExpressionKind::Literal(_)) => kind,
            ExpressionKind::Call { function, arguments } => {
                ExpressionKind::Call { function, arguments: arguments.into_iter().map(map).collect() }
            }
            ExpressionKind::Cast { input, try_cast } => ExpressionKind::Cast { input: boxed(input), try_cast },
            ExpressionKind::Field { input, index } => ExpressionKind::Field { input: boxed(input), index },
            ExpressionKind::Case { branches, otherwise } => ExpressionKind::Case {
                branches: branches.into_iter().map(|(when, then)| (map(when), map(then))).collect(),
                otherwise: boxed(otherwise),
            },
        };
        Self { kind, ..self }
    }

    pub fn column(index: usize, data_type: DataType) -> Self {
        Self { kind: ExpressionKind::Column(index), data_type }
    }

    /// Calls `visit` for this node and every node below it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Expression)) {
        visit(self);
        match &self.kind {
            ExpressionKind::Column(_) | ExpressionKind::Literal(_) => {}
            ExpressionKind::Call { arguments, .. } => arguments.iter().for_each(|a| a.walk(visit)),
            ExpressionKind::Cast { input, .. } | ExpressionKind::Field { input, .. } => input.walk(visit),
            ExpressionKind::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    condition.walk(visit);
                    result.walk(visit);
                }
                otherwise.walk(visit);
            }
        }
    }
}

/// A DECIMAL's digits as text: JSON's readers don't agree on numbers beyond 64 bits.
mod digits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
