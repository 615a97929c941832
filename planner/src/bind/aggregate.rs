//! Aggregate calls: COUNT, SUM, MIN, MAX and AVG with DISTINCT and FILTER, and their types. Not here:
//! how a query groups (`group.rs`).

use super::arithmetic;
use super::expression::ExpressionBinder;
use super::relation::TimeKind;
use super::window::{GroupWindow, window_bound, window_time};
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind};
use crate::plan::{AggregateFunction, WindowProperty};
use crate::types::{DataType, TypeKind};
use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};

pub(super) const NAMES: &[&str] = &["COUNT", "SUM", "MIN", "MAX", "AVG"];

/// While the clauses of a grouped query are bound, these stand for columns that its aggregation is going
/// to have: aggregate call `n` is column `RESULTS + n`, and a property of the window `PROPERTIES + n`.
pub(super) const RESULTS: usize = 1 << 24;
pub(super) const PROPERTIES: usize = 1 << 25;

/// The calls of a query, each once.
#[derive(Debug, Default)]
pub(super) struct AggregateCalls {
    pub(super) calls: Vec<BoundCall>,
    /// The window function in GROUP BY, if there is one.
    pub(super) group_window: Option<GroupWindow>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct BoundCall {
    pub(super) function: AggregateFunction,
    /// None for COUNT(*).
    pub(super) argument: Option<Expression>,
    pub(super) filter: Option<Expression>,
    pub(super) distinct: bool,
    pub(super) data_type: DataType,
}

pub(super) fn function(name: &str) -> Option<AggregateFunction> {
    match name {
        "COUNT" => Some(AggregateFunction::Count),
        "SUM" => Some(AggregateFunction::Sum),
        "MIN" => Some(AggregateFunction::Min),
        "MAX" => Some(AggregateFunction::Max),
        "AVG" => Some(AggregateFunction::Avg),
        _ => None,
    }
}

/// The order in which an aggregation's tree emits the properties.
pub(super) fn property_index(property: WindowProperty) -> usize {
    match property {
        WindowProperty::Start => 0,
        WindowProperty::End => 1,
        WindowProperty::Time => 2,
    }
}

pub(super) fn property_reference(property: WindowProperty, time: TimeKind) -> Expression {
    let data_type = match property {
        WindowProperty::Start | WindowProperty::End => window_bound(),
        WindowProperty::Time => window_time(time),
    };
    Expression::column(PROPERTIES + property_index(property), data_type)
}

impl ExpressionBinder<'_> {
    pub(super) fn aggregate(
        &mut self,
        aggregate: AggregateFunction,
        function: &Function,
    ) -> Result<Expression, SqlError> {
        let span: Span = function.span().into();
        let name = function.name.to_string().to_ascii_uppercase();
        if self.aggregates.is_none() {
            return Err(SqlError::invalid(format!("the aggregate function {name} can't be used in {}", self.clause))
                .at(span)
                .hint("a condition on the result of an aggregation goes into HAVING"));
        }
        // What stands inside a call is bound over the rows, where no aggregate can be.
        let clause = "an aggregate function";
        let (argument, distinct) = match argument(&name, function).map_err(|error| error.at(span))? {
            (Some(argument), distinct) => (Some(ExpressionBinder::new(self.scope, clause).bind(argument)?), distinct),
            (None, distinct) => (None, distinct),
        };
        let filter = match &function.filter {
            Some(filter) => Some(ExpressionBinder::new(self.scope, "FILTER").condition(filter)?),
            None => None,
        };
        let call = bound(aggregate, &name, argument, filter, distinct).map_err(|error| error.at(span))?;
        let Some(aggregates) = self.aggregates.as_deref_mut() else {
            return Err(SqlError::invalid(format!("{name} can't be used here")).at(span));
        };
        let known = aggregates.calls.iter().position(|other| *other == call);
        let data_type = call.data_type.clone();
        let index = known.unwrap_or_else(|| {
            aggregates.calls.push(call);
            aggregates.calls.len() - 1
        });
        Ok(Expression::column(RESULTS + index, data_type))
    }
}

/// The argument, None for `*`, and whether it is DISTINCT.
fn argument<'f>(name: &str, function: &'f Function) -> Result<(Option<&'f Expr>, bool), SqlError> {
    if !function.within_group.is_empty() {
        return Err(SqlError::unsupported(format!("WITHIN GROUP of {name}")));
    }
    let FunctionArguments::List(list) = &function.args else {
        return Err(SqlError::invalid(format!("{name} lacks its argument")));
    };
    if !list.clauses.is_empty() {
        return Err(SqlError::unsupported(format!("a clause inside of {name}")));
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_))]
            if name == "COUNT" && !distinct =>
        {
            Ok((None, false))
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Ok((Some(argument), distinct)),
        [] if name == "COUNT" => Err(SqlError::invalid("COUNT lacks its argument").hint("COUNT(*) counts rows")),
        [_, _, ..] if name == "COUNT" => Err(SqlError::unsupported("COUNT of several columns")),
        _ => Err(SqlError::invalid(format!("{name} takes one argument"))),
    }
}

fn bound(
    function: AggregateFunction,
    name: &str,
    argument: Option<Expression>,
    filter: Option<Expression>,
    distinct: bool,
) -> Result<BoundCall, SqlError> {
    use AggregateFunction as A;
    let Some(argument) = argument else {
        let data_type = DataType::not_null(TypeKind::BigInt);
        return Ok(BoundCall { function, argument: None, filter, distinct: false, data_type });
    };
    let kind = &argument.data_type.kind;
    let nullable = argument.data_type.nullable || filter.is_some();
    let data_type = match function {
        A::Count => DataType::not_null(TypeKind::BigInt),
        A::Sum if kind.is_numeric() => DataType { kind: arithmetic::sum(kind), nullable },
        A::Avg if kind.is_numeric() => DataType { kind: arithmetic::avg(kind), nullable },
        A::Min | A::Max if is_ordered(kind) => DataType { kind: kind.clone(), nullable },
        _ => {
            let needs = if matches!(function, A::Min | A::Max) { "an ordered type" } else { "a number" };
            return Err(SqlError::invalid(format!("{name} needs {needs}, but its argument is {kind}")));
        }
    };
    // The least of the distinct values is the least of all.
    let distinct = distinct && !matches!(function, A::Min | A::Max);
    // Counting what is never NULL is counting rows.
    let counts_rows = function == A::Count && !distinct && !argument.data_type.nullable;
    let argument = (!counts_rows).then_some(argument);
    let (argument, filter) = match (argument, filter) {
        // A DISTINCT call has no filter of its own: what is filtered out is NULL.
        (Some(argument), Some(filter)) if distinct => (Some(only_where(filter, argument)), None),
        other => other,
    };
    Ok(BoundCall { function, argument, filter, distinct, data_type })
}

/// `CASE WHEN filter THEN value END`.
fn only_where(filter: Expression, value: Expression) -> Expression {
    let kind = value.data_type.kind.clone();
    let otherwise = Box::new(super::literal::null(kind.clone()));
    Expression {
        kind: ExpressionKind::Case { branches: vec![(filter, value)], otherwise },
        data_type: DataType { kind, nullable: true },
    }
}

fn is_ordered(kind: &TypeKind) -> bool {
    !matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) | TypeKind::Null)
        && !kind.is_binary()
}

/// The partial columns that the local phase emits for a call.
pub(super) fn partial(function: AggregateFunction, argument: Option<&DataType>, distinct: bool) -> Vec<DataType> {
    let nullable = DataType::nullable;
    match (function, argument) {
        (_, Some(argument)) if distinct => vec![argument.clone().with_nullable(true)],
        (AggregateFunction::Sum, Some(argument)) => vec![nullable(arithmetic::sum(&argument.kind))],
        (AggregateFunction::Avg, Some(argument)) => {
            vec![nullable(arithmetic::avg_sum(&argument.kind)), DataType::not_null(TypeKind::BigInt)]
        }
        (AggregateFunction::Min | AggregateFunction::Max, Some(argument)) => vec![nullable(argument.kind.clone())],
        (_, _) => vec![DataType::not_null(TypeKind::BigInt)],
    }
}
