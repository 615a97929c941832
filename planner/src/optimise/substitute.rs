//! Rewriting expressions: replacing columns by what they stand for. Not here: evaluating constants
//! (`fold.rs`).

use super::fold;
use crate::expression::{Expression, ExpressionKind};
use crate::types::{DataType, TypeKind};

/// The expression with every column replaced, and folded on the way up.
pub(super) fn substitute(expression: Expression, replace: &dyn Fn(usize, DataType) -> Expression) -> Expression {
    let Expression { kind, data_type } = expression;
    let below = |input: Expression| substitute(input, replace);
    let kind = match kind {
        ExpressionKind::Column(index) => return replace(index, data_type),
        ExpressionKind::Literal(value) => ExpressionKind::Literal(value),
        ExpressionKind::Call { function, arguments } => {
            ExpressionKind::Call { function, arguments: arguments.into_iter().map(below).collect() }
        }
        ExpressionKind::Cast { input, try_cast } => ExpressionKind::Cast { input: Box::new(below(*input)), try_cast },
        ExpressionKind::Case { branches, otherwise } => ExpressionKind::Case {
            branches: branches.into_iter().map(|(when, then)| (below(when), below(then))).collect(),
            otherwise: Box::new(below(*otherwise)),
        },
        ExpressionKind::Field { input, index } => return field(below(*input), index),
    };
    fold::fold(Expression { kind, data_type })
}

/// A field of a ROW, straight from the ROW's constructor where that is what it is.
pub(super) fn field(input: Expression, index: usize) -> Expression {
    let nullable = input.data_type.nullable;
    let field = match &input.data_type.kind {
        TypeKind::Row(fields) => fields[index].data_type.clone(),
        // Only the NULL literal has fields without being a ROW.
        _ => DataType::nullable(TypeKind::Null),
    };
    if let ExpressionKind::Call { function, arguments } = &input.kind
        && function.name() == "ROW"
    {
        return arguments[index].clone();
    }
    let data_type = DataType { nullable: field.nullable || nullable, kind: field.kind };
    Expression { kind: ExpressionKind::Field { input: Box::new(input), index }, data_type }
}

/// Every column moved by a rule.
pub(super) fn renumbered(expression: Expression, place: &dyn Fn(usize) -> usize) -> Expression {
    substitute(expression, &|index, data_type| Expression::column(place(index), data_type))
}

/// Whether the expression uses a column that `is_meant` says.
pub(super) fn uses(expression: &Expression, is_meant: &dyn Fn(usize) -> bool) -> bool {
    let mut found = false;
    expression.walk(&mut |node| {
        found |= matches!(node.kind, ExpressionKind::Column(index) if is_meant(index));
    });
    found
}

/// How many nodes the expression has.
pub(super) fn size(expression: &Expression) -> usize {
    let mut count = 0;
    expression.walk(&mut |_| count += 1);
    count
}

/// The parts of a condition that are joined by AND.
pub(super) fn conjuncts(condition: Expression) -> Vec<Expression> {
    match condition.kind {
        ExpressionKind::Call { function, arguments } if function.name() == "AND" => arguments,
        kind => vec![Expression { kind, data_type: condition.data_type }],
    }
}

/// The parts joined by AND again, in their order.
pub(super) fn conjunction(conditions: Vec<Expression>) -> Option<Expression> {
    let mut parts: Vec<Expression> = Vec::new();
    for part in conditions.into_iter().flat_map(conjuncts) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if parts.len() < 2 {
        return parts.pop();
    }
    let nullable = parts.iter().any(|part| part.data_type.nullable);
    let data_type = DataType { kind: TypeKind::Boolean, nullable };
    Some(fold::fold(Expression { kind: fold::call("AND", parts), data_type }))
}
