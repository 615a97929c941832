//! Calls of the functions in the catalogue: finding them, giving their arguments the promised types, and
//! their result's type. Not here: aggregates (`aggregate.rs`), and spellings of other functions
//! (`spelling.rs`).

use super::arithmetic::{self, Arithmetic};
use super::coerce::{self, cast, common};
use super::{interval, literal, operator};
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::function::{self, FunctionDefinition, Nulls, Parameter, ResultType};
use crate::types::{DataType, RowField, TypeKind};

pub(super) fn node(name: &'static str, arguments: Vec<Expression>, data_type: DataType) -> Expression {
    let function = function::by_name(name).expect("the binder only names functions of the catalogue").function();
    Expression { kind: ExpressionKind::Call { function, arguments }, data_type }
}

pub(super) fn by_name(name: &'static str, arguments: Vec<Expression>) -> Result<Expression, SqlError> {
    let definition = function::by_name(name).expect("the binder only names functions of the catalogue");
    call(definition, arguments)
}

/// Checks and converts the arguments.
pub(super) fn call(
    definition: &'static FunctionDefinition,
    arguments: Vec<Expression>,
) -> Result<Expression, SqlError> {
    if definition.name == "MOD"
        && let [_, _] = arguments.as_slice()
    {
        let mut operands = arguments.into_iter();
        let (left, right) = (operands.next(), operands.next());
        return match (left, right) {
            (Some(left), Some(right)) => operator::arithmetic(Arithmetic::Mod, left, right),
            _ => Err(SqlError::invalid("MOD takes two arguments")),
        };
    }
    check_count(definition, arguments.len())?;
    let mut arguments = with_defaults(definition, arguments);
    let common = common_kind(definition, &arguments)?;
    for (index, argument) in arguments.iter_mut().enumerate() {
        let parameter = parameter(definition, index);
        let value = std::mem::replace(argument, literal::null(TypeKind::Null));
        *argument = convert(definition, parameter, index, value, common.as_ref())?;
    }
    if definition.name == "ITEM" {
        return item(arguments);
    }
    let kind = result_kind(definition, &arguments, common)?;
    // Rounding an integer to a whole number leaves it as it is.
    if matches!(definition.name, "CEIL" | "FLOOR") && arguments.len() == 1 && kind.is_integer() {
        return Ok(arguments.swap_remove(0));
    }
    let nullable = match definition.nulls {
        Nulls::Never => false,
        Nulls::StrictNullable if is_arithmetic(definition.name) => any_nullable(&arguments),
        Nulls::StrictNullable => true,
        Nulls::Own if definition.name == "COALESCE" => arguments.iter().all(|argument| argument.data_type.nullable),
        Nulls::Own if definition.name == "CONCAT_WS" => arguments[0].data_type.nullable,
        Nulls::Strict | Nulls::Own => any_nullable(&arguments),
    };
    Ok(node(definition.name, arguments, DataType { kind, nullable }))
}

fn is_arithmetic(name: &str) -> bool {
    matches!(name, "PLUS" | "MINUS" | "TIMES" | "DIVIDE" | "MOD")
}

fn any_nullable(arguments: &[Expression]) -> bool {
    arguments.iter().any(|argument| argument.data_type.nullable)
}

fn parameter(definition: &FunctionDefinition, index: usize) -> Parameter {
    let parameters = definition.parameters;
    parameters.get(index).or(parameters.last()).copied().unwrap_or(Parameter::Any)
}

fn check_count(definition: &FunctionDefinition, given: usize) -> Result<(), SqlError> {
    let (least, most) = (definition.required, definition.parameters.len());
    if given >= least && (given <= most || definition.variadic) {
        return Ok(());
    }
    let wanted = match (least, most) {
        _ if definition.variadic => format!("at least {}", plural(least)),
        (0, 0) => "no arguments".to_owned(),
        (least, most) if least == most => plural(most),
        (least, most) => format!("{least} to {}", plural(most)),
    };
    Err(SqlError::invalid(format!("{} takes {wanted}, but {given} are given", definition.name))
        .hint(first_sentence(definition.doc)))
}

fn plural(count: usize) -> String {
    if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") }
}

fn first_sentence(doc: &str) -> &str {
    doc.split_once(". ").map_or(doc, |(first, _)| first)
}

fn with_defaults(definition: &FunctionDefinition, mut arguments: Vec<Expression>) -> Vec<Expression> {
    let fixed = definition.parameters.len() - definition.defaults.len();
    if arguments.len() >= fixed {
        for default in definition.defaults.iter().skip(arguments.len() - fixed) {
            arguments.push(match default {
                function::Default::String(text) => literal::string(text),
                function::Default::Int(value) => literal::int(*value),
            });
        }
    }
    arguments
}

/// The type that the `Common` arguments get.
fn common_kind(definition: &FunctionDefinition, arguments: &[Expression]) -> Result<Option<TypeKind>, SqlError> {
    let compares = definition.result == ResultType::Boolean;
    let mut kind: Option<TypeKind> = None;
    for (index, argument) in arguments.iter().enumerate() {
        if parameter(definition, index) != Parameter::Common {
            continue;
        }
        let next = &argument.data_type.kind;
        kind = Some(match kind {
            None => next.clone(),
            Some(kind) => {
                let both = if compares { coerce::comparable(&kind, next) } else { common(&kind, next) };
                both.ok_or_else(|| {
                    SqlError::invalid(format!(
                        "the arguments of {} have no common type: {kind} and {next}",
                        definition.name
                    ))
                    .hint("CAST them to one type")
                })?
            }
        });
    }
    Ok(kind)
}

fn convert(
    definition: &FunctionDefinition,
    parameter: Parameter,
    index: usize,
    argument: Expression,
    common: Option<&TypeKind>,
) -> Result<Expression, SqlError> {
    let kind = argument.data_type.kind.clone();
    let null = kind == TypeKind::Null;
    let (fits, target) = match parameter {
        Parameter::Any => (true, None),
        Parameter::Common => (true, common.cloned()),
        Parameter::Boolean => (kind == TypeKind::Boolean, Some(TypeKind::Boolean)),
        Parameter::Int => (kind.is_integer(), Some(TypeKind::Int)),
        Parameter::BigInt => (kind.is_integer(), Some(TypeKind::BigInt)),
        Parameter::Double => (kind.is_numeric(), Some(TypeKind::Double)),
        Parameter::String => (kind.is_character(), Some(DataType::string().kind)),
        Parameter::Bytes => (kind.is_binary(), Some(TypeKind::VarBinary { length: crate::types::MAX_LENGTH })),
        Parameter::Numeric => (kind.is_numeric(), null.then_some(TypeKind::Int)),
        Parameter::Timestamp if kind.is_timestamp() => (true, None),
        Parameter::Timestamp => {
            (kind == TypeKind::Date || kind.is_character(), Some(TypeKind::Timestamp { precision: 3 }))
        }
        Parameter::Temporal => {
            let is_time = kind.is_timestamp() || matches!(kind, TypeKind::Date | TypeKind::Time { .. });
            (is_time, null.then_some(TypeKind::Timestamp { precision: 3 }))
        }
        Parameter::Interval => (kind.is_interval(), null.then_some(TypeKind::IntervalDayTime)),
        Parameter::Unit => (matches!(argument.kind, ExpressionKind::Literal(Literal::String(_))), None),
        Parameter::Collection => (matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_)), None),
    };
    let takes_null = null && target.is_some();
    if !(fits || takes_null) {
        return Err(wrong_type(definition, parameter, index, &kind));
    }
    Ok(match target {
        Some(target) => cast(argument, &target),
        None => argument,
    })
}

fn wrong_type(definition: &FunctionDefinition, parameter: Parameter, index: usize, kind: &TypeKind) -> SqlError {
    let wanted = match parameter {
        Parameter::Boolean => "a BOOLEAN",
        Parameter::Int | Parameter::BigInt => "an integer",
        Parameter::Double | Parameter::Numeric => "a number",
        Parameter::String => "a string",
        Parameter::Bytes => "BYTES",
        Parameter::Timestamp => "a TIMESTAMP",
        Parameter::Temporal => "a date or a time",
        Parameter::Interval => "an INTERVAL",
        Parameter::Unit => "a unit of time",
        Parameter::Collection => "an ARRAY or a MAP",
        Parameter::Any | Parameter::Common => "something else",
    };
    let name = definition.name;
    let error = SqlError::invalid(format!("argument {} of {name} is {kind}, but must be {wanted}", index + 1));
    match parameter {
        Parameter::String => error.hint("CAST(… AS STRING)"),
        Parameter::Int | Parameter::BigInt if kind.is_character() || kind.is_numeric() => {
            error.hint("CAST(… AS BIGINT)")
        }
        Parameter::Double | Parameter::Numeric if kind.is_character() => error.hint("CAST(… AS DOUBLE)"),
        Parameter::Timestamp if kind.is_integer() => {
            error.hint("TO_TIMESTAMP_LTZ(n, 3) reads milliseconds since the epoch")
        }
        _ => error,
    }
}

fn result_kind(
    definition: &FunctionDefinition,
    arguments: &[Expression],
    common: Option<TypeKind>,
) -> Result<TypeKind, SqlError> {
    let argument = |index: usize| arguments.get(index).map_or(TypeKind::Null, |a| a.data_type.kind.clone());
    Ok(match definition.result {
        ResultType::Boolean => TypeKind::Boolean,
        ResultType::Int => TypeKind::Int,
        ResultType::BigInt => TypeKind::BigInt,
        ResultType::Double => TypeKind::Double,
        ResultType::String => DataType::string().kind,
        ResultType::Bytes => TypeKind::VarBinary { length: crate::types::MAX_LENGTH },
        ResultType::Date => TypeKind::Date,
        ResultType::Time => TypeKind::Time { precision: 0 },
        ResultType::Timestamp => TypeKind::Timestamp { precision: 3 },
        ResultType::TimestampLtz => TypeKind::TimestampLtz { precision: 3 },
        ResultType::Argument(index) => argument(index),
        ResultType::Common => common.unwrap_or(TypeKind::Null),
        ResultType::Rule => return rule(definition.name, arguments, common),
    })
}

/// The results that depend on more than one type.
fn rule(name: &str, arguments: &[Expression], common: Option<TypeKind>) -> Result<TypeKind, SqlError> {
    let first = arguments.first().map_or(TypeKind::Null, |argument| argument.data_type.kind.clone());
    Ok(match (name, first) {
        ("CEIL" | "FLOOR", TypeKind::Decimal { precision, .. }) => TypeKind::Decimal { precision, scale: 0 },
        ("ROUND" | "TRUNCATE", TypeKind::Decimal { precision, scale }) => match &arguments[1].kind {
            ExpressionKind::Literal(Literal::Integer(places)) => {
                arithmetic::rounded(precision, scale, (*places).clamp(-38, 38) as i32)
            }
            _ => TypeKind::Decimal { precision, scale },
        },
        ("ARRAY", _) => {
            let kind = common.unwrap_or(TypeKind::Null);
            TypeKind::Array(Box::new(DataType { kind, nullable: any_nullable(arguments) }))
        }
        ("ROW", _) => TypeKind::Row(
            arguments
                .iter()
                .enumerate()
                .map(|(index, argument)| RowField {
                    name: format!("EXPR${index}"),
                    data_type: argument.data_type.clone(),
                })
                .collect(),
        ),
        (_, kind) => kind,
    })
}

/// `array[i]`, `map[key]`.
fn item(mut arguments: Vec<Expression>) -> Result<Expression, SqlError> {
    let (Some(key), Some(collection)) = (arguments.pop(), arguments.pop()) else {
        return Err(SqlError::invalid("a subscript takes one index"));
    };
    let (key_kind, element) = match &collection.data_type.kind {
        TypeKind::Array(element) if key.data_type.kind.is_integer() => (TypeKind::Int, element.as_ref().clone()),
        TypeKind::Map(map_key, value) if coerce::comparable(&map_key.kind, &key.data_type.kind).is_some() => {
            (map_key.kind.clone(), value.as_ref().clone())
        }
        kind => {
            return Err(SqlError::invalid(format!("{kind} has no element [{}]", key.data_type.kind))
                .hint("an ARRAY is indexed from 1 by integers, a MAP by its keys"));
        }
    };
    let key = cast(key, &key_kind);
    Ok(node("ITEM", vec![collection, key], element.with_nullable(true)))
}

/// `EXTRACT(unit FROM time)`.
pub(super) fn extract(unit: &str, time: Expression) -> Result<Expression, SqlError> {
    const OF_DATE: &[&str] =
        &["MILLENNIUM", "CENTURY", "DECADE", "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "DOY", "EPOCH"];
    const OF_CLOCK: &[&str] = &["HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"];
    let allowed: Vec<&str> = match &time.data_type.kind {
        TypeKind::Date => OF_DATE.to_vec(),
        TypeKind::Time { .. } => OF_CLOCK.to_vec(),
        TypeKind::IntervalYearMonth => vec!["YEAR", "QUARTER", "MONTH"],
        TypeKind::IntervalDayTime => [&["DAY", "EPOCH"][..], OF_CLOCK].concat(),
        kind if kind.is_timestamp() || *kind == TypeKind::Null => [OF_DATE, OF_CLOCK].concat(),
        kind => return Err(SqlError::invalid(format!("{unit} can't be extracted from {kind}"))),
    };
    if !allowed.contains(&unit) {
        return Err(SqlError::invalid(format!("{unit} can't be extracted from {}", time.data_type.kind))
            .hint(format!("the units are {}", allowed.join(", "))));
    }
    by_name("EXTRACT", vec![literal::string(unit), time])
}

/// `FLOOR(time TO unit)`, `CEIL(time TO unit)`.
pub(super) fn floor_to(function: &str, time: Expression, unit: &str) -> Result<Expression, SqlError> {
    const UNITS: &[&str] = &[
        "MILLENNIUM",
        "CENTURY",
        "DECADE",
        "YEAR",
        "QUARTER",
        "MONTH",
        "WEEK",
        "DAY",
        "HOUR",
        "MINUTE",
        "SECOND",
        "MILLISECOND",
    ];
    if !UNITS.contains(&unit) {
        return Err(SqlError::invalid(format!("{function} to {unit} has no meaning"))
            .hint(format!("the units are {}", UNITS.join(", "))));
    }
    let name = if function == "CEIL" { "CEIL_TO" } else { "FLOOR_TO" };
    by_name(name, vec![time, literal::string(unit)])
}

/// `TIMESTAMPDIFF(unit, from, to)`.
pub(super) fn timestamp_diff(unit: &str, from: Expression, to: Expression) -> Result<Expression, SqlError> {
    const UNITS: &[&str] = &["SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];
    if !UNITS.contains(&unit) {
        return Err(SqlError::invalid(format!("TIMESTAMPDIFF has no unit {unit}"))
            .hint(format!("the units are {}", UNITS.join(", "))));
    }
    let (l, r) = (&from.data_type.kind, &to.data_type.kind);
    let kind = common(l, r).filter(|kind| kind.is_timestamp() || *kind == TypeKind::Date).ok_or_else(|| {
        SqlError::invalid(format!("TIMESTAMPDIFF needs two dates or timestamps, but these are {l} and {r}"))
    })?;
    by_name("TIMESTAMPDIFF", vec![literal::string(unit), cast(from, &kind), cast(to, &kind)])
}

/// `TIMESTAMPADD(unit, count, time)` is the time plus so many intervals.
pub(super) fn timestamp_add(unit: &str, count: Expression, time: Expression) -> Result<Expression, SqlError> {
    let Some(interval) = interval::of_unit(unit) else {
        return Err(SqlError::invalid(format!("TIMESTAMPADD has no unit {unit}"))
            .hint("the units are SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER and YEAR"));
    };
    let interval = operator::arithmetic(Arithmetic::Times, interval, count)?;
    operator::arithmetic(Arithmetic::Plus, time, interval)
}

/// The functions that are written without brackets.
pub(super) fn without_brackets(name: &str) -> Option<Expression> {
    let name = match name.to_ascii_uppercase().as_str() {
        "CURRENT_TIMESTAMP" => "CURRENT_TIMESTAMP",
        "LOCALTIMESTAMP" => "LOCALTIMESTAMP",
        "CURRENT_DATE" => "CURRENT_DATE",
        "CURRENT_TIME" | "LOCALTIME" => "LOCALTIME",
        _ => return None,
    };
    by_name(name, Vec::new()).ok()
}
