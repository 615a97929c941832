//! How SQL spells a call: its name and arguments as sqlparser has them, and the functions that are other
//! calls in disguise (`IF`, `NULLIF`, `YEAR`, `INSTR`, …). Not here: types of arguments (`call.rs`).

use super::expression::{ExpressionBinder, case};
use super::{aggregate, call, coerce, interval, literal, operator, window};
use crate::connector::nearest;
use crate::error::SqlError;
use crate::expression::Expression;
use crate::function;
use crate::types::TypeKind;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};

/// Functions of Flink that are not in the catalogue, so that the error can tell them from typing errors.
const NOT_YET: &[&str] = &[
    "ARRAY_AGG",
    "ARRAY_APPEND",
    "ARRAY_CONCAT",
    "ARRAY_CONTAINS",
    "ARRAY_DISTINCT",
    "ARRAY_EXCEPT",
    "ARRAY_INTERSECT",
    "ARRAY_JOIN",
    "ARRAY_MAX",
    "ARRAY_MIN",
    "ARRAY_POSITION",
    "ARRAY_PREPEND",
    "ARRAY_REMOVE",
    "ARRAY_REVERSE",
    "ARRAY_SLICE",
    "ARRAY_SORT",
    "ARRAY_UNION",
    "BIN",
    "COLLECT",
    "CURRENT_CATALOG",
    "CURRENT_DATABASE",
    "CURRENT_WATERMARK",
    "DAYNAME",
    "ELEMENT",
    "ELT",
    "FIRST_VALUE",
    "GROUP_ID",
    "GROUPING",
    "GROUPING_ID",
    "HEX",
    "IS_ALPHA",
    "IS_DECIMAL",
    "IS_DIGIT",
    "JSON_ARRAY",
    "JSON_ARRAYAGG",
    "JSON_EXISTS",
    "JSON_OBJECT",
    "JSON_OBJECTAGG",
    "JSON_QUERY",
    "JSON_QUOTE",
    "JSON_STRING",
    "JSON_UNQUOTE",
    "JSON_VALUE",
    "LAST_VALUE",
    "LISTAGG",
    "MAP_ENTRIES",
    "MAP_FROM_ARRAYS",
    "MAP_KEYS",
    "MAP_UNION",
    "MAP_VALUES",
    "PARSE_JSON",
    "PERCENTILE",
    "PRINTF",
    "RAND",
    "RAND_INTEGER",
    "REGEXP_COUNT",
    "REGEXP_EXTRACT_ALL",
    "REGEXP_INSTR",
    "REGEXP_SUBSTR",
    "SHA2",
    "SOURCE_WATERMARK",
    "SPLIT",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STR_TO_MAP",
    "SUBSTRING_INDEX",
    "SUM0",
    "TRANSLATE",
    "TRY_PARSE_JSON",
    "UNHEX",
    "URL_DECODE",
    "URL_ENCODE",
    "UUID",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
];

/// Spelled differently from their calls, in `spelled`.
const SPELLED: &[&str] = &[
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "HOUR",
    "IF",
    "IFNULL",
    "INSTR",
    "MINUTE",
    "MONTH",
    "NULLIF",
    "QUARTER",
    "ROW",
    "SECOND",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "TYPEOF",
    "WEEK",
    "YEAR",
];

impl ExpressionBinder<'_> {
    pub(super) fn function(&mut self, function: &Function) -> Result<Expression, SqlError> {
        let name = function.name.to_string().replace('`', "").to_ascii_uppercase();
        let place = || function.name.span().into();
        if function.over.is_some() {
            return Err(SqlError::unsupported(match name.as_str() {
                "ROW_NUMBER" | "RANK" | "DENSE_RANK" => format!("{name}() OVER (Top-N and deduplication)"),
                _ => format!("the OVER aggregation {name}"),
            })
            .at(place()));
        }
        if let Some(aggregate) = aggregate::function(&name) {
            return self.aggregate(aggregate, function);
        }
        if let Some(property) = window::auxiliary(&name) {
            return self.group_window_property(property, function);
        }
        if window::is_group_window(&name) {
            return Err(SqlError::invalid(format!(
                "{name} can only be used in GROUP BY, or as a table function in FROM"
            ))
            .at(place())
            .hint(format!("FROM TABLE({name}(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))")));
        }
        let arguments = expressions(function)?;
        if function.filter.is_some() {
            return Err(SqlError::invalid(format!("FILTER needs an aggregate function, and {name} is none")));
        }
        let call = match self.spelled(&name, &arguments) {
            Some(call) => call,
            None => self.of_catalogue(&name, &arguments),
        };
        call.map_err(|error| if error.span.is_none() { error.at(function.span().into()) } else { error })
    }

    fn of_catalogue(&mut self, name: &str, arguments: &[&Expr]) -> Result<Expression, SqlError> {
        let Some(definition) = function::by_sql_name(name) else {
            return match call::without_brackets(name) {
                Some(expression) if arguments.is_empty() => Ok(expression),
                _ => Err(unknown(name)),
            };
        };
        let bound = self.all(arguments)?;
        call::call(definition, bound)
    }

    fn all(&mut self, arguments: &[&Expr]) -> Result<Vec<Expression>, SqlError> {
        arguments.iter().map(|argument| self.bind(argument)).collect()
    }

    /// None if the name and the number of arguments are none of those here.
    fn spelled(&mut self, name: &str, arguments: &[&Expr]) -> Option<Result<Expression, SqlError>> {
        let unit = match name {
            "YEAR" | "QUARTER" | "MONTH" | "WEEK" | "HOUR" | "MINUTE" | "SECOND" => Some(name),
            "DAYOFMONTH" => Some("DAY"),
            "DAYOFWEEK" => Some("DOW"),
            "DAYOFYEAR" => Some("DOY"),
            _ => None,
        };
        Some(match (name, arguments) {
            (_, [time]) if unit.is_some() => {
                let unit = unit.unwrap_or_default();
                self.bind(time).and_then(|time| call::extract(unit, time))
            }
            ("IF", [condition, then, otherwise]) => self.if_then_else(condition, then, otherwise),
            ("IFNULL", [_, _]) => self.all(arguments).and_then(|bound| call::by_name("COALESCE", bound)),
            ("NULLIF", [value, other]) => self.null_if(value, other),
            ("ROW", [_, ..]) => self.all(arguments).and_then(|bound| call::by_name("ROW", bound)),
            ("INSTR", [text, search]) => self.all(&[search, text]).and_then(|bound| call::by_name("POSITION", bound)),
            ("LOCATE", [_, _]) => self.all(arguments).and_then(|bound| call::by_name("POSITION", bound)),
            ("LOG", [_]) => self.all(arguments).and_then(|bound| call::by_name("LN", bound)),
            ("TYPEOF", [value]) => self.bind(value).map(|value| literal::string(&value.data_type.to_string())),
            ("TIMESTAMPADD" | "TIMESTAMPDIFF", [unit, first, second]) => {
                let unit = unit_name(unit);
                match (self.bind(first), self.bind(second)) {
                    (Ok(count), Ok(time)) if name == "TIMESTAMPADD" => call::timestamp_add(&unit, count, time),
                    (Ok(from), Ok(to)) => call::timestamp_diff(&unit, from, to),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                }
            }
            _ if SPELLED.contains(&name) => {
                Err(SqlError::invalid(format!("{name} does not take {} arguments", arguments.len())))
            }
            _ => return None,
        })
    }

    fn if_then_else(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Result<Expression, SqlError> {
        let condition = self.bind(condition)?;
        if !matches!(condition.data_type.kind, TypeKind::Boolean | TypeKind::Null) {
            return Err(SqlError::invalid(format!(
                "IF needs a BOOLEAN first, but this is {}",
                condition.data_type.kind
            )));
        }
        let condition = coerce::cast(condition, &TypeKind::Boolean);
        case(vec![(condition, self.bind(then)?)], self.bind(otherwise)?)
    }

    fn null_if(&mut self, value: &Expr, other: &Expr) -> Result<Expression, SqlError> {
        let value = self.bind(value)?;
        let equal = operator::compare("EQUALS", value.clone(), self.bind(other)?)?;
        let null = literal::null(value.data_type.kind.clone());
        case(vec![(equal, null)], value)
    }
}

/// The unit of TIMESTAMPADD and TIMESTAMPDIFF, which stands there like a column.
fn unit_name(expression: &Expr) -> String {
    interval::singular(&expression.to_string().replace("SQL_TSI_", ""))
}

/// The arguments as plain expressions.
pub(super) fn expressions(function: &Function) -> Result<Vec<&Expr>, SqlError> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::Subquery(_) => return Err(SqlError::unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => list,
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
            FunctionArg::Unnamed(_) => Err(SqlError::syntax(format!("`*` is no argument of {}", function.name))),
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                Err(SqlError::unsupported("a named argument of a scalar function").at(argument.span().into()))
            }
        })
        .collect()
}

fn unknown(name: &str) -> SqlError {
    if NOT_YET.contains(&name) {
        return SqlError::unsupported(format!("the function {name}"));
    }
    let known = function::all().flat_map(|definition| definition.sql_names.iter().copied());
    let known = known.chain(SPELLED.iter().copied()).chain(aggregate::NAMES.iter().copied());
    let error = SqlError::not_found(format!("there is no function {name}"));
    match nearest(name, known) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
}
