//! What a filter tells about the rows that pass it: where `event_type = 2` holds, the projection may
//! read 2 for `event_type`, and a CASE over it may become one of its branches.

use super::fold;
use super::substitute::conjuncts;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::types::TypeKind;

/// The projection as it is for rows that the filter lets through.
pub(super) fn given(filter: &Expression, projection: Vec<Expression>) -> Vec<Expression> {
    let known: Vec<(Expression, Expression)> = conjuncts(filter.clone()).into_iter().filter_map(equality).collect();
    if known.is_empty() {
        return projection;
    }
    projection
        .into_iter()
        .map(|expression| match expression.kind {
            // Passing a column on costs less than filling one.
            ExpressionKind::Column(_) | ExpressionKind::Field { .. } => expression,
            _ => replaced(expression, &known),
        })
        .collect()
}

/// `expression = constant`, in types whose equal values are the same in every way.
fn equality(condition: Expression) -> Option<(Expression, Expression)> {
    let ExpressionKind::Call { function, arguments } = condition.kind else { return None };
    if function.name() != "EQUALS" {
        return None;
    }
    let [left, right] = <[Expression; 2]>::try_from(arguments).ok()?;
    let (value, constant) = if matches!(left.kind, ExpressionKind::Literal(_)) { (right, left) } else { (left, right) };
    let exact = match &constant.kind {
        ExpressionKind::Literal(Literal::Integer(_)) => value.data_type.kind.is_integer(),
        ExpressionKind::Literal(Literal::String(_)) => matches!(value.data_type.kind, TypeKind::VarChar { .. }),
        _ => false,
    };
    let plain = matches!(value.kind, ExpressionKind::Column(_) | ExpressionKind::Field { .. });
    (exact && plain).then(|| {
        let constant = Expression { data_type: value.data_type.clone(), ..constant };
        (value, constant)
    })
}

fn replaced(expression: Expression, known: &[(Expression, Expression)]) -> Expression {
    if let Some((_, constant)) = known.iter().find(|(value, _)| *value == expression) {
        return constant.clone();
    }
    let Expression { kind, data_type } = expression;
    let below = |input: Expression| replaced(input, known);
    let kind = match kind {
        kind @ (ExpressionKind::Column(_) | ExpressionKind::Literal(_)) => kind,
        ExpressionKind::Call { function, arguments } => {
            ExpressionKind::Call { function, arguments: arguments.into_iter().map(below).collect() }
        }
        ExpressionKind::Cast { input, try_cast } => ExpressionKind::Cast { input: Box::new(below(*input)), try_cast },
        ExpressionKind::Case { branches, otherwise } => ExpressionKind::Case {
            branches: branches.into_iter().map(|(when, then)| (below(when), below(then))).collect(),
            otherwise: Box::new(below(*otherwise)),
        },
        ExpressionKind::Field { input, index } => ExpressionKind::Field { input: Box::new(below(*input)), index },
    };
    fold::fold(Expression { kind, data_type })
}
