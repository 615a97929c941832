//! Constants evaluated here, as far as the result can't depend on anything but the arguments: logic,
//! whole numbers that don't overflow, comparison of whole numbers and strings, CASE with a known
//! condition. All else is left to the runtime.

use crate::bind::explicit_cast;
use crate::expression::{Expression, ExpressionKind, Function, Literal};
use crate::function;
use crate::types::{DataType, TypeKind};

/// A call of a function in the catalogue.
pub(super) fn call(name: &'static str, arguments: Vec<Expression>) -> ExpressionKind {
    let function = function::by_name(name).expect("the optimiser only names functions of the catalogue").function();
    ExpressionKind::Call { function, arguments }
}

/// The node with its children already folded.
pub(super) fn fold(expression: Expression) -> Expression {
    let Expression { kind, data_type } = expression;
    match kind {
        ExpressionKind::Call { function, arguments } => fold_call(function, arguments, data_type),
        ExpressionKind::Case { branches, otherwise } => fold_case(branches, *otherwise, data_type),
        ExpressionKind::Cast { input, try_cast } => explicit_cast(*input, data_type, try_cast),
        kind => Expression { kind, data_type },
    }
}

fn fold_call(function: Function, arguments: Vec<Expression>, data_type: DataType) -> Expression {
    let value = match function.name() {
        "AND" => return connect("AND", arguments, false),
        "OR" => return connect("OR", arguments, true),
        "NOT" => return negation(arguments, data_type),
        "IS_NULL" => known_null(&arguments).map(Literal::Boolean),
        "IS_NOT_NULL" => known_null(&arguments).map(|null| Literal::Boolean(!null)),
        name => match arguments.as_slice() {
            [
                Expression { kind: ExpressionKind::Literal(left), .. },
                Expression { kind: ExpressionKind::Literal(right), .. },
            ] => binary(name, left, right, &data_type.kind),
            _ => None,
        },
    };
    match value {
        Some(value) => Expression { kind: ExpressionKind::Literal(value), data_type },
        None => Expression { kind: ExpressionKind::Call { function, arguments }, data_type },
    }
}

fn binary(name: &str, left: &Literal, right: &Literal, kind: &TypeKind) -> Option<Literal> {
    let compared = match (left, right) {
        (Literal::Integer(left), Literal::Integer(right)) => Some(left.cmp(right)),
        (Literal::String(left), Literal::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    if let Some(order) = compared {
        let holds = match name {
            "EQUALS" => Some(order.is_eq()),
            "NOT_EQUALS" => Some(order.is_ne()),
            "LESS_THAN" => Some(order.is_lt()),
            "LESS_THAN_OR_EQUAL" => Some(order.is_le()),
            "GREATER_THAN" => Some(order.is_gt()),
            "GREATER_THAN_OR_EQUAL" => Some(order.is_ge()),
            _ => None,
        };
        if let Some(holds) = holds {
            return Some(Literal::Boolean(holds));
        }
    }
    match (left, right) {
        (Literal::Integer(left), Literal::Integer(right)) => {
            let value = match name {
                "PLUS" => left.checked_add(*right),
                "MINUS" => left.checked_sub(*right),
                "TIMES" => left.checked_mul(*right),
                // By zero fails at run time, row by row.
                "DIVIDE" => left.checked_div(*right),
                "MOD" => left.checked_rem(*right),
                _ => None,
            }?;
            let fits = match kind {
                TypeKind::TinyInt => i8::try_from(value).is_ok(),
                TypeKind::SmallInt => i16::try_from(value).is_ok(),
                TypeKind::Int => i32::try_from(value).is_ok(),
                TypeKind::BigInt => true,
                _ => false,
            };
            fits.then_some(Literal::Integer(value))
        }
        (Literal::Milliseconds(interval), Literal::Integer(count)) if name == "TIMES" => {
            interval.checked_mul(*count).map(Literal::Milliseconds)
        }
        (Literal::Months(interval), Literal::Integer(count)) if name == "TIMES" => {
            interval.checked_mul(i32::try_from(*count).ok()?).map(Literal::Months)
        }
        _ => None,
    }
}

/// AND and OR: without what changes nothing, and at once where one side decides.
fn connect(name: &'static str, arguments: Vec<Expression>, decides: bool) -> Expression {
    let boolean = |value| Expression {
        kind: ExpressionKind::Literal(Literal::Boolean(value)),
        data_type: DataType::not_null(TypeKind::Boolean),
    };
    let mut kept = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument.kind {
            ExpressionKind::Literal(Literal::Boolean(value)) if value == decides => return boolean(decides),
            ExpressionKind::Literal(Literal::Boolean(_)) => {}
            ExpressionKind::Call { function, arguments } if function.name() == name => kept.extend(arguments),
            kind => kept.push(Expression { kind, data_type: argument.data_type }),
        }
    }
    match kept.len() {
        0 => boolean(!decides),
        1 => kept.swap_remove(0),
        _ => {
            let nullable = kept.iter().any(|argument| argument.data_type.nullable);
            Expression { kind: call(name, kept), data_type: DataType { kind: TypeKind::Boolean, nullable } }
        }
    }
}

fn negation(mut arguments: Vec<Expression>, data_type: DataType) -> Expression {
    match arguments.as_mut_slice() {
        [Expression { kind: ExpressionKind::Literal(Literal::Boolean(value)), .. }] => {
            Expression { kind: ExpressionKind::Literal(Literal::Boolean(!*value)), data_type }
        }
        [Expression { kind: ExpressionKind::Call { function, arguments: inner }, .. }]
            if function.name() == "NOT" && inner.len() == 1 =>
        {
            inner.swap_remove(0)
        }
        _ => Expression { kind: call("NOT", arguments), data_type },
    }
}

/// Whether the only argument is NULL, where the types or the value tell.
fn known_null(arguments: &[Expression]) -> Option<bool> {
    match arguments {
        [Expression { kind: ExpressionKind::Literal(value), .. }] => Some(*value == Literal::Null),
        // An expression of a NOT NULL type may still fail its row, which a constant would hide.
        [Expression { kind: ExpressionKind::Column(_), data_type }] if !data_type.nullable => Some(false),
        _ => None,
    }
}

fn fold_case(branches: Vec<(Expression, Expression)>, otherwise: Expression, data_type: DataType) -> Expression {
    let mut kept = Vec::with_capacity(branches.len());
    let mut last = otherwise;
    for (condition, result) in branches {
        match condition.kind {
            ExpressionKind::Literal(Literal::Boolean(true)) => {
                last = result;
                break;
            }
            ExpressionKind::Literal(Literal::Boolean(false) | Literal::Null) => {}
            kind => kept.push((Expression { kind, data_type: condition.data_type }, result)),
        }
    }
    if kept.is_empty() {
        return Expression { kind: last.kind, data_type };
    }
    Expression { kind: ExpressionKind::Case { branches: kept, otherwise: Box::new(last) }, data_type }
}
