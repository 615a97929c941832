//! Conversions between types: which type several expressions have in common, which casts Flink allows,
//! and the Cast nodes that make an implicit conversion explicit.

use super::arithmetic::as_decimal;
use super::literal;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::types::{DataType, MAX_LENGTH, TypeKind};

/// The type that both convert to without loss of meaning, or None.
pub(super) fn common(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    use TypeKind as T;
    if same(left, right) {
        return Some(left.clone());
    }
    match (left, right) {
        (T::Null, other) | (other, T::Null) => Some(other.clone()),
        (l, r) if l.is_numeric() && r.is_numeric() => Some(common_number(l, r)),
        (l, r) if l.is_character() && r.is_character() => Some(T::VarChar { length: length(l).max(length(r)) }),
        (l, r) if l.is_binary() && r.is_binary() => Some(T::VarBinary { length: length(l).max(length(r)) }),
        (T::Time { precision: l }, T::Time { precision: r }) => Some(T::Time { precision: *l.max(r) }),
        (T::Timestamp { precision: l }, T::Timestamp { precision: r }) => Some(T::Timestamp { precision: *l.max(r) }),
        (
            T::TimestampLtz { precision: l } | T::Timestamp { precision: l },
            T::TimestampLtz { precision: r } | T::Timestamp { precision: r },
        ) => Some(T::TimestampLtz { precision: *l.max(r) }),
        (T::Date, stamp @ (T::Timestamp { .. } | T::TimestampLtz { .. }))
        | (stamp @ (T::Timestamp { .. } | T::TimestampLtz { .. }), T::Date) => Some(stamp.clone()),
        (T::Array(l), T::Array(r)) => {
            let kind = common(&l.kind, &r.kind)?;
            Some(T::Array(Box::new(DataType { kind, nullable: l.nullable || r.nullable })))
        }
        (T::Row(l), T::Row(r)) if l.len() == r.len() => {
            let mut fields = l.clone();
            for (field, other) in fields.iter_mut().zip(r) {
                field.data_type.kind = common(&field.data_type.kind, &other.data_type.kind)?;
                field.data_type.nullable |= other.data_type.nullable;
            }
            Some(T::Row(fields))
        }
        _ => None,
    }
}

fn common_number(left: &TypeKind, right: &TypeKind) -> TypeKind {
    use TypeKind as T;
    match (left, right) {
        (T::Double, _) | (_, T::Double) => T::Double,
        (T::Float, T::Float) => T::Float,
        (T::Float, _) | (_, T::Float) => T::Double,
        (l, r) if l.is_integer() && r.is_integer() => {
            if width(l) >= width(r) {
                l.clone()
            } else {
                r.clone()
            }
        }
        (l, r) => {
            let ((p1, s1), (p2, s2)) =
                (as_decimal(l).unwrap_or((MAX_DIGITS, 0)), as_decimal(r).unwrap_or((MAX_DIGITS, 0)));
            let whole = (p1 - s1).max(p2 - s2);
            let scale = s1.max(s2).min(MAX_DIGITS - whole.min(MAX_DIGITS));
            T::Decimal { precision: (whole + scale).min(MAX_DIGITS), scale }
        }
    }
}

const MAX_DIGITS: u8 = 38;

/// Bytes of an integer type.
fn width(kind: &TypeKind) -> u8 {
    match kind {
        TypeKind::TinyInt => 1,
        TypeKind::SmallInt => 2,
        TypeKind::Int => 4,
        _ => 8,
    }
}

fn length(kind: &TypeKind) -> u32 {
    match kind {
        TypeKind::Char { length }
        | TypeKind::VarChar { length }
        | TypeKind::Binary { length }
        | TypeKind::VarBinary { length } => *length,
        _ => MAX_LENGTH,
    }
}

/// The type in which two operands are compared; strings are read as what they are compared to.
pub(super) fn comparable(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    let is_time = |kind: &TypeKind| kind.is_timestamp() || matches!(kind, TypeKind::Date | TypeKind::Time { .. });
    match (left, right) {
        (time, text) | (text, time) if is_time(time) && text.is_character() => Some(match time {
            TypeKind::Timestamp { precision } => TypeKind::Timestamp { precision: (*precision).max(3) },
            TypeKind::TimestampLtz { precision } => TypeKind::TimestampLtz { precision: (*precision).max(3) },
            other => other.clone(),
        }),
        (l, r) if l.is_character() && r.is_character() => Some(TypeKind::VarChar { length: MAX_LENGTH }),
        (l, r) => common(l, r),
    }
}

/// Whether the types are one but for the nullability of their parts.
pub(super) fn same(left: &TypeKind, right: &TypeKind) -> bool {
    match (left, right) {
        (TypeKind::Array(l), TypeKind::Array(r)) | (TypeKind::Multiset(l), TypeKind::Multiset(r)) => {
            same(&l.kind, &r.kind)
        }
        (TypeKind::Map(lk, lv), TypeKind::Map(rk, rv)) => same(&lk.kind, &rk.kind) && same(&lv.kind, &rv.kind),
        (TypeKind::Row(l), TypeKind::Row(r)) => {
            l.len() == r.len()
                && l.iter().zip(r).all(|(l, r)| l.name == r.name && same(&l.data_type.kind, &r.data_type.kind))
        }
        (l, r) => l == r,
    }
}

/// Whether CAST and TRY_CAST convert between the types.
pub(super) fn castable(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    match (from, to) {
        (T::Null, _) => true,
        (from, to) if same(from, to) => true,
        (from, to) if from.is_character() => {
            !matches!(to, T::Array(_) | T::Map(..) | T::Multiset(_) | T::Row(_) | T::Null) && !to.is_interval()
        }
        // Everything prints.
        (_, to) if to.is_character() => true,
        (from, to) if from.is_binary() => to.is_binary(),
        (T::Boolean, to) => to.is_numeric() || *to == T::Boolean,
        (from, T::Boolean) => from.is_numeric(),
        (from, to) if from.is_numeric() => to.is_numeric(),
        (T::Date, to) => to.is_timestamp(),
        (T::Time { .. }, to) => matches!(to, T::Time { .. }) || to.is_timestamp(),
        (from, to) if from.is_timestamp() => to.is_timestamp() || matches!(to, T::Date | T::Time { .. }),
        (T::Array(from), T::Array(to)) => castable(&from.kind, &to.kind),
        (T::Map(from_key, from), T::Map(to_key, to)) => {
            castable(&from_key.kind, &to_key.kind) && castable(&from.kind, &to.kind)
        }
        (T::Row(from), T::Row(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| castable(&from.data_type.kind, &to.data_type.kind))
        }
        _ => false,
    }
}

/// Whether a query's column may be written to a table's column of another type without a CAST.
pub(super) fn assignable(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    match (from, to) {
        (T::Null, _) => true,
        (from, to) if same(from, to) => true,
        (from, to) if from.is_integer() && to.is_integer() => width(from) <= width(to),
        (from, T::Decimal { .. }) => from.is_numeric(),
        (from, T::Float) => from.is_integer() || matches!(from, T::Decimal { .. }),
        (from, T::Double) => from.is_numeric(),
        (from, T::VarChar { .. }) => from.is_character(),
        (from, T::VarBinary { .. }) => from.is_binary(),
        (T::Char { .. }, T::Char { .. }) | (T::Binary { .. }, T::Binary { .. }) => true,
        (from, T::Timestamp { .. } | T::TimestampLtz { .. } | T::Date) => from.is_timestamp(),
        (from, T::Time { .. }) => from.is_timestamp() || matches!(from, T::Time { .. }),
        (T::Array(from), T::Array(to)) => assignable(&from.kind, &to.kind),
        (T::Map(from_key, from), T::Map(to_key, to)) => {
            assignable(&from_key.kind, &to_key.kind) && assignable(&from.kind, &to.kind)
        }
        (T::Row(from), T::Row(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| assignable(&from.data_type.kind, &to.data_type.kind))
        }
        _ => false,
    }
}

/// The expression in another type, with a Cast where one is needed. Literals are converted here where
/// that is exact. The nullability stays.
pub(super) fn cast(input: Expression, kind: &TypeKind) -> Expression {
    if same(&input.data_type.kind, kind) {
        return input;
    }
    // Strings differ by their declared length only, and implicit conversions never cut them.
    if input.data_type.kind.is_character() && matches!(kind, TypeKind::VarChar { .. }) {
        if let ExpressionKind::Literal(Literal::String(_)) = input.kind {
            return Expression { data_type: DataType { kind: kind.clone(), ..input.data_type }, ..input };
        }
        return input;
    }
    let data_type = DataType { kind: kind.clone(), nullable: input.data_type.nullable };
    explicit_cast(input, data_type, false)
}

/// CAST or TRY_CAST as written.
pub(crate) fn explicit_cast(input: Expression, data_type: DataType, try_cast: bool) -> Expression {
    if is_constructed_row(&input) {
        return constructed_row(input, data_type, try_cast);
    }
    if let ExpressionKind::Literal(value) = &input.kind
        && let Some(value) = literal::converted(value, &input.data_type.kind, &data_type.kind)
    {
        return Expression { kind: ExpressionKind::Literal(value), data_type };
    }
    Expression { kind: ExpressionKind::Cast { input: Box::new(input), try_cast }, data_type }
}

fn is_constructed_row(input: &Expression) -> bool {
    matches!(&input.kind, ExpressionKind::Call { function, .. } if function.name() == "ROW")
}

/// `ROW(…)` in another type takes its fields in that type, names and all.
fn constructed_row(input: Expression, data_type: DataType, try_cast: bool) -> Expression {
    let (ExpressionKind::Call { function, arguments }, TypeKind::Row(fields)) = (&input.kind, &data_type.kind) else {
        return Expression { kind: ExpressionKind::Cast { input: Box::new(input), try_cast }, data_type };
    };
    let values = arguments.iter().zip(fields).map(|(value, field)| {
        if same(&value.data_type.kind, &field.data_type.kind) {
            return value.clone();
        }
        let target = field.data_type.clone().with_nullable(value.data_type.nullable || try_cast);
        explicit_cast(value.clone(), target, try_cast)
    });
    let kind = ExpressionKind::Call { function: function.clone(), arguments: values.collect() };
    Expression { kind, data_type }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TypeKind as T;

    #[test]
    fn numbers_meet_in_the_wider_type() {
        assert_eq!(common(&T::Int, &T::BigInt), Some(T::BigInt));
        assert_eq!(common(&T::Int, &T::Float), Some(T::Double));
        let decimal = T::Decimal { precision: 10, scale: 2 };
        assert_eq!(common(&T::Int, &decimal), Some(T::Decimal { precision: 12, scale: 2 }));
        assert_eq!(common(&T::Int, &T::Boolean), None);
    }

    #[test]
    fn an_insert_widens_and_never_narrows_integers() {
        assert!(assignable(&T::Int, &T::BigInt));
        assert!(!assignable(&T::BigInt, &T::Int));
        assert!(!assignable(&T::Int, &T::VarChar { length: 10 }));
        assert!(assignable(&T::Timestamp { precision: 3 }, &T::TimestampLtz { precision: 3 }));
    }
}
