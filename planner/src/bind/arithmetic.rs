//! The result types of arithmetic and of aggregates, by Flink's rules. Not here: what is converted to
//! what before (`coerce.rs`).

use crate::types::TypeKind;

const MAX_PRECISION: u8 = 38;
/// A division keeps at least so many decimal places, and so does a result that has to be cut to fit.
const MIN_DIVISION_SCALE: i32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Mod,
}

impl Arithmetic {
    pub(super) fn function(self) -> &'static str {
        match self {
            Self::Plus => "PLUS",
            Self::Minus => "MINUS",
            Self::Times => "TIMES",
            Self::Divide => "DIVIDE",
            Self::Mod => "MOD",
        }
    }

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Mod => "%",
        }
    }
}

/// The DECIMAL that holds every value of an exact numeric type.
pub(super) fn as_decimal(kind: &TypeKind) -> Option<(u8, u8)> {
    match kind {
        TypeKind::TinyInt => Some((3, 0)),
        TypeKind::SmallInt => Some((5, 0)),
        TypeKind::Int => Some((10, 0)),
        TypeKind::BigInt => Some((19, 0)),
        TypeKind::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

/// The result's type of an operation on two DECIMALs.
pub(super) fn decimal(operation: Arithmetic, left: (u8, u8), right: (u8, u8)) -> TypeKind {
    let (p1, s1) = (i32::from(left.0), i32::from(left.1));
    let (p2, s2) = (i32::from(right.0), i32::from(right.1));
    let larger_scale = s1.max(s2);
    match operation {
        Arithmetic::Plus | Arithmetic::Minus => fit((p1 - s1).max(p2 - s2) + larger_scale + 1, larger_scale),
        Arithmetic::Times => fit(p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = MIN_DIVISION_SCALE.max(s1 + p2 + 1);
            fit(p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Mod => fit((p1 - s1).min(p2 - s2) + larger_scale, larger_scale),
    }
}

/// Cuts a DECIMAL to 38 digits: decimal places go first, down to six.
fn fit(precision: i32, scale: i32) -> TypeKind {
    let most = i32::from(MAX_PRECISION);
    let (precision, scale) = if precision <= most {
        (precision, scale)
    } else {
        let whole = precision - scale;
        (most, (most - whole).max(scale.min(MIN_DIVISION_SCALE)))
    };
    TypeKind::Decimal { precision: precision.max(1) as u8, scale: scale as u8 }
}

/// ROUND and TRUNCATE of a DECIMAL to a known number of places.
pub(super) fn rounded(precision: u8, scale: u8, places: i32) -> TypeKind {
    if places >= i32::from(scale) {
        return TypeKind::Decimal { precision, scale };
    }
    let whole = i32::from(precision) - i32::from(scale) + 1;
    let scale = places.max(0);
    TypeKind::Decimal { precision: (whole + scale).min(i32::from(MAX_PRECISION)) as u8, scale: scale as u8 }
}

/// SUM keeps the argument's type; a DECIMAL gets all digits.
pub(super) fn sum(argument: &TypeKind) -> TypeKind {
    match argument {
        TypeKind::Decimal { scale, .. } => TypeKind::Decimal { precision: MAX_PRECISION, scale: *scale },
        kind => kind.clone(),
    }
}

/// AVG keeps the argument's type; a DECIMAL gets all digits and at least six decimal places.
pub(super) fn avg(argument: &TypeKind) -> TypeKind {
    match argument {
        TypeKind::Decimal { scale, .. } => {
            TypeKind::Decimal { precision: MAX_PRECISION, scale: (*scale).max(MIN_DIVISION_SCALE as u8) }
        }
        kind => kind.clone(),
    }
}

/// What AVG adds up in.
pub(super) fn avg_sum(argument: &TypeKind) -> TypeKind {
    match argument {
        kind if kind.is_integer() => TypeKind::BigInt,
        kind if kind.is_approximate() => TypeKind::Double,
        kind => sum(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: Arithmetic, left: (u8, u8), right: (u8, u8)) -> String {
        decimal(operation, left, right).to_string()
    }

    #[test]
    fn decimals_follow_flinks_rules() {
        assert_eq!(of(Arithmetic::Plus, (10, 2), (5, 4)), "DECIMAL(13, 4)");
        assert_eq!(of(Arithmetic::Times, (10, 2), (5, 4)), "DECIMAL(16, 6)");
        assert_eq!(of(Arithmetic::Divide, (10, 2), (5, 4)), "DECIMAL(20, 8)");
        assert_eq!(of(Arithmetic::Mod, (10, 2), (5, 4)), "DECIMAL(5, 4)");
    }

    #[test]
    fn a_result_too_long_loses_decimal_places_down_to_six() {
        assert_eq!(of(Arithmetic::Times, (38, 10), (38, 10)), "DECIMAL(38, 6)");
        assert_eq!(of(Arithmetic::Divide, (38, 2), (38, 2)), "DECIMAL(38, 6)");
        assert_eq!(of(Arithmetic::Times, (20, 18), (20, 18)), "DECIMAL(38, 33)");
    }

    #[test]
    fn averages_of_integers_stay_integers() {
        assert_eq!(avg(&TypeKind::Int), TypeKind::Int);
        assert_eq!(avg(&TypeKind::Decimal { precision: 10, scale: 2 }).to_string(), "DECIMAL(38, 6)");
        assert_eq!(sum(&TypeKind::Decimal { precision: 10, scale: 2 }).to_string(), "DECIMAL(38, 2)");
    }
}
