//! Operators: comparison, logic, arithmetic, also with times and intervals. Each gives its operands the
//! types that the catalogue promises to the runtime.

use super::arithmetic::{self, Arithmetic, as_decimal};
use super::coerce::{self, cast, comparable};
use super::{call, literal};
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::types::{DataType, TypeKind};
use sqlparser::ast::BinaryOperator;

pub(super) fn binary(operator: &BinaryOperator, left: Expression, right: Expression) -> Result<Expression, SqlError> {
    match operator {
        BinaryOperator::Plus => arithmetic(Arithmetic::Plus, left, right),
        BinaryOperator::Minus => arithmetic(Arithmetic::Minus, left, right),
        BinaryOperator::Multiply => arithmetic(Arithmetic::Times, left, right),
        BinaryOperator::Divide => arithmetic(Arithmetic::Divide, left, right),
        BinaryOperator::Modulo => arithmetic(Arithmetic::Mod, left, right),
        BinaryOperator::Eq => compare("EQUALS", left, right),
        BinaryOperator::NotEq => compare("NOT_EQUALS", left, right),
        BinaryOperator::Lt => compare("LESS_THAN", left, right),
        BinaryOperator::LtEq => compare("LESS_THAN_OR_EQUAL", left, right),
        BinaryOperator::Gt => compare("GREATER_THAN", left, right),
        BinaryOperator::GtEq => compare("GREATER_THAN_OR_EQUAL", left, right),
        BinaryOperator::And => Ok(and(logical("AND", left)?, logical("AND", right)?)),
        BinaryOperator::Or => Ok(or(logical("OR", left)?, logical("OR", right)?)),
        BinaryOperator::StringConcat => call::by_name("CONCAT", vec![left, right])
            .map_err(|error| SqlError { message: error.message.replace("CONCAT", "||"), ..error }),
        other => Err(SqlError::syntax(format!("Flink SQL has no operator {other}"))),
    }
}

fn logical(operator: &str, operand: Expression) -> Result<Expression, SqlError> {
    match operand.data_type.kind {
        TypeKind::Boolean | TypeKind::Null => Ok(cast(operand, &TypeKind::Boolean)),
        kind => Err(SqlError::invalid(format!("{operator} needs BOOLEANs, but one side is {kind}"))),
    }
}

pub(super) fn and(left: Expression, right: Expression) -> Expression {
    connect("AND", left, right)
}

fn or(left: Expression, right: Expression) -> Expression {
    connect("OR", left, right)
}

/// `a AND b AND c` becomes one call.
fn connect(name: &'static str, left: Expression, right: Expression) -> Expression {
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let mut operands = Vec::new();
    for operand in [left, right] {
        match operand.kind {
            ExpressionKind::Call { function, arguments } if function.name() == name => operands.extend(arguments),
            kind => operands.push(Expression { kind, data_type: operand.data_type }),
        }
    }
    call::node(name, operands, DataType { kind: TypeKind::Boolean, nullable })
}

pub(super) fn not(operand: Expression) -> Expression {
    let data_type = operand.data_type.clone();
    call::node("NOT", vec![operand], data_type)
}

/// The operands in the type in which they compare.
pub(super) fn compare(name: &'static str, left: Expression, right: Expression) -> Result<Expression, SqlError> {
    let exact = as_literal_of(&right, &left).or_else(|| as_literal_of(&left, &right));
    let Some(kind) = exact.or_else(|| comparable(&left.data_type.kind, &right.data_type.kind)) else {
        let (l, r) = (&left.data_type.kind, &right.data_type.kind);
        return Err(SqlError::invalid(format!("{l} and {r} can't be compared"))
            .hint(format!("CAST one of them: CAST(… AS {})", if l.is_character() { r } else { l })));
    };
    if !is_comparable(&kind, name) {
        return Err(SqlError::invalid(format!("values of type {kind} can't be compared")));
    }
    call::by_name(name, vec![cast(left, &kind), cast(right, &kind)])
}

/// The other side's exact numeric type, where the literal has it without any loss: then only the literal
/// is converted, and not every row's value.
fn as_literal_of(literal: &Expression, other: &Expression) -> Option<TypeKind> {
    let ExpressionKind::Literal(value) = &literal.kind else { return None };
    let kind = &other.data_type.kind;
    let both_exact = as_decimal(kind).is_some() && as_decimal(&literal.data_type.kind).is_some();
    (both_exact && literal::converted(value, &literal.data_type.kind, kind).is_some()).then(|| kind.clone())
}

fn is_comparable(kind: &TypeKind, name: &str) -> bool {
    let by_equality = matches!(name, "EQUALS" | "NOT_EQUALS" | "IS_DISTINCT_FROM" | "IS_NOT_DISTINCT_FROM");
    match kind {
        TypeKind::Multiset(_) | TypeKind::Map(..) => false,
        TypeKind::Array(_) | TypeKind::Row(_) => by_equality,
        _ => true,
    }
}

pub(super) fn require_number_or_interval(symbol: &str, operand: Expression) -> Result<Expression, SqlError> {
    match &operand.data_type.kind {
        kind if kind.is_numeric() || kind.is_interval() || *kind == TypeKind::Null => Ok(operand),
        kind => Err(SqlError::invalid(format!("{symbol} needs a number, but this is {kind}"))),
    }
}

pub(super) fn negate(operand: Expression) -> Result<Expression, SqlError> {
    let operand = require_number_or_interval("-", operand)?;
    let negated = match &operand.kind {
        ExpressionKind::Literal(Literal::Integer(value)) => value.checked_neg().map(Literal::Integer),
        ExpressionKind::Literal(Literal::Decimal(value)) => value.checked_neg().map(Literal::Decimal),
        ExpressionKind::Literal(Literal::Double(value)) => Some(Literal::Double(-value)),
        ExpressionKind::Literal(Literal::Months(value)) => value.checked_neg().map(Literal::Months),
        ExpressionKind::Literal(Literal::Milliseconds(value)) => value.checked_neg().map(Literal::Milliseconds),
        ExpressionKind::Literal(Literal::Null) => Some(Literal::Null),
        _ => None,
    };
    let data_type = operand.data_type.clone();
    Ok(match negated {
        Some(value) => Expression { kind: ExpressionKind::Literal(value), data_type },
        None => call::node("NEGATE", vec![operand], data_type),
    })
}

/// `+ - * / %`.
pub(super) fn arithmetic(operation: Arithmetic, left: Expression, right: Expression) -> Result<Expression, SqlError> {
    let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    if (is_time(&l) && r.is_interval()) || (l.is_interval() && is_time(&r)) {
        return shift(operation, left, right);
    }
    if l.is_interval() || r.is_interval() {
        return with_interval(operation, left, right);
    }
    let (left, right) = match (&l, &r) {
        (TypeKind::Null, TypeKind::Null) => return Ok(literal::null(TypeKind::Null)),
        (TypeKind::Null, other) => (cast(left, other), right),
        (other, TypeKind::Null) => (left, cast(right, other)),
        _ => (left, right),
    };
    let (l, r) = (&left.data_type.kind, &right.data_type.kind);
    if !l.is_numeric() || !r.is_numeric() {
        return Err(not_applicable(operation, l, r));
    }
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let has_decimal = matches!(l, TypeKind::Decimal { .. }) || matches!(r, TypeKind::Decimal { .. });
    let (left, right, kind) = match (as_decimal(l), as_decimal(r)) {
        (Some(left_digits), Some(right_digits)) if has_decimal => {
            let kind = arithmetic::decimal(operation, left_digits, right_digits);
            (to_decimal(left, left_digits), to_decimal(right, right_digits), kind)
        }
        _ => {
            let kind = coerce::common(l, r).ok_or_else(|| not_applicable(operation, l, r))?;
            (cast(left, &kind), cast(right, &kind), kind)
        }
    };
    Ok(call::node(operation.function(), vec![left, right], DataType { kind, nullable }))
}

fn to_decimal(operand: Expression, (precision, scale): (u8, u8)) -> Expression {
    cast(operand, &TypeKind::Decimal { precision, scale })
}

fn not_applicable(operation: Arithmetic, left: &TypeKind, right: &TypeKind) -> SqlError {
    let symbol = operation.symbol();
    let error = SqlError::invalid(format!("{symbol} does not apply to {left} and {right}"));
    match operation {
        Arithmetic::Plus if left.is_character() || right.is_character() => error.hint("strings are joined with ||"),
        Arithmetic::Minus if is_time(left) && is_time(right) => {
            error.hint("TIMESTAMPDIFF(SECOND, earlier, later) gives the seconds between two times")
        }
        Arithmetic::Plus | Arithmetic::Minus if is_time(left) && right.is_numeric() => {
            error.hint("write the number as an interval: INTERVAL '5' SECOND")
        }
        _ if left.is_character() || right.is_character() => error.hint("CAST the string to a number"),
        _ => error,
    }
}

fn is_time(kind: &TypeKind) -> bool {
    kind.is_timestamp() || matches!(kind, TypeKind::Date | TypeKind::Time { .. })
}

/// `time + interval`, `interval + time`, `time - interval`.
fn shift(operation: Arithmetic, left: Expression, right: Expression) -> Result<Expression, SqlError> {
    let name = match operation {
        Arithmetic::Plus => "DATETIME_PLUS",
        Arithmetic::Minus if is_time(&left.data_type.kind) => "DATETIME_MINUS",
        _ => return Err(not_applicable(operation, &left.data_type.kind, &right.data_type.kind)),
    };
    let (time, interval) = if is_time(&left.data_type.kind) { (left, right) } else { (right, left) };
    let nullable = time.data_type.nullable || interval.data_type.nullable;
    // An interval has milliseconds, and so has the result.
    let kind = match &time.data_type.kind {
        TypeKind::Timestamp { precision } => TypeKind::Timestamp { precision: (*precision).max(3) },
        TypeKind::TimestampLtz { precision } => TypeKind::TimestampLtz { precision: (*precision).max(3) },
        other => other.clone(),
    };
    let time = cast(time, &kind);
    Ok(call::node(name, vec![time, interval], DataType { kind, nullable }))
}

/// `interval + interval`, `interval * number`.
fn with_interval(operation: Arithmetic, left: Expression, right: Expression) -> Result<Expression, SqlError> {
    let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let (left, right) = match operation {
        Arithmetic::Plus | Arithmetic::Minus if l == r => (left, right),
        Arithmetic::Times if r.is_integer() => (left, cast(right, &TypeKind::BigInt)),
        Arithmetic::Times if l.is_integer() => (right, cast(left, &TypeKind::BigInt)),
        _ => return Err(not_applicable(operation, &l, &r)),
    };
    let kind = left.data_type.kind.clone();
    Ok(call::node(operation.function(), vec![left, right], DataType { kind, nullable }))
}
