//! CEIL, FLOOR, ROUND, TRUNCATE and SIGN of numbers. A floating-point number is rounded by the shortest
//! decimal that denotes it, as Java's `BigDecimal.valueOf` has it: ROUND(2.675, 2) is 2.68.

use super::call::{Arguments, Kernel};
use super::catalogue::Signature;
use super::decimal::{self, DecimalType, Rounding, fit, rescale};
use crate::error::Result;
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::{ArrayRef, PrimitiveArray};
use datafusion_common::arrow::datatypes::{
    Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use millrace_planner::types::TypeKind;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    let rounding = match signature.name {
        "CEIL" => Rounding::Ceiling,
        "FLOOR" => Rounding::Floor,
        "ROUND" => Rounding::HalfUp,
        "TRUNCATE" => Rounding::Down,
        "SIGN" => return sign(signature).map(Some),
        _ => return Ok(None),
    };
    macro_rules! integers {
        ($arrow:ty) => {
            Arc::new(move |a: &Arguments| {
                let values = a.primitive::<$arrow>(0);
                a.collect::<$arrow>(|row| {
                    let rounded = round_integer(i128::from(values.get(row)?), digits(a, row)?, rounding);
                    Some(rounded as _)
                })
            })
        };
    }
    Ok(Some(match signature.kind(0) {
        TypeKind::TinyInt => integers!(Int8Type),
        TypeKind::SmallInt => integers!(Int16Type),
        TypeKind::Int => integers!(Int32Type),
        TypeKind::BigInt => integers!(Int64Type),
        TypeKind::Float => Arc::new(move |a| {
            let values = a.primitive::<Float32Type>(0);
            // Through the shortest decimal of the float itself, not of the double next to it.
            a.collect::<Float32Type>(|row| {
                let (value, digits) = (values.get(row)?, digits(a, row)?);
                Some(round_shown(&value.to_string(), digits, rounding).map_or(value, |v| v as f32))
            })
        }),
        TypeKind::Double => Arc::new(move |a| {
            let values = a.double(0);
            a.collect::<Float64Type>(|row| Some(round_double(values.get(row)?, digits(a, row)?, rounding)))
        }),
        TypeKind::Decimal { scale, .. } => decimals(signature, i32::from(*scale), rounding)?,
        _ => return Err(signature.unsupported()),
    }))
}

/// The number of places asked for: of CEIL and FLOOR none.
fn digits(arguments: &Arguments, row: usize) -> Option<i32> {
    if arguments.values.len() > 1 { arguments.int(1).get(row) } else { Some(0) }
}

fn decimals(signature: &Signature<'_>, from: i32, rounding: Rounding) -> Result<Kernel> {
    let TypeKind::Decimal { precision, scale } = signature.result.kind else {
        return Err(signature.unsupported());
    };
    Ok(Arc::new(move |a| {
        let values = a.primitive::<Decimal128Type>(0);
        let round = |row| {
            let places = digits(a, row)?.clamp(-76, from);
            let rounded = rescale(i256::from_i128(values.get(row)?), from, places, rounding)?;
            fit(rescale(rounded, places, i32::from(scale), Rounding::HalfUp)?, precision)
        };
        let column = (0..a.rows).map(round).collect::<PrimitiveArray<Decimal128Type>>();
        Ok(Arc::new(column.with_precision_and_scale(precision, scale as i8)?))
    }))
}

fn round_integer(value: i128, digits: i32, rounding: Rounding) -> i128 {
    if digits >= 0 {
        return value;
    }
    let places = digits.max(-76);
    let rounded = rescale(i256::from_i128(value), 0, places, rounding).and_then(|v| rescale(v, places, 0, rounding));
    rounded.map_or(0, |v| v.as_i128())
}

fn round_double(value: f64, digits: i32, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Floor => value.floor(),
        Rounding::Ceiling => value.ceil(),
        _ => round_shown(&value.to_string(), digits, rounding).unwrap_or(value),
    }
}

/// None where there is nothing to round.
fn round_shown(shown: &str, digits: i32, rounding: Rounding) -> Option<f64> {
    let (whole, fraction) = shown.split_once('.').unwrap_or((shown, ""));
    if !shown.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') || digits >= fraction.len() as i32 {
        return None;
    }
    let unscaled = format!("{whole}{fraction}");
    let value = i256::from_string(&unscaled)?;
    let rounded = rescale(value, fraction.len() as i32, digits, rounding)?;
    format!("{rounded}e{}", -i64::from(digits)).parse().ok()
}

fn sign(signature: &Signature<'_>) -> Result<Kernel> {
    fn signum(a: &Arguments) -> EvalResult<ArrayRef> {
        let values = a.double(0);
        a.collect::<Float64Type>(|row| {
            let value = values.get(row)?;
            // Java's signum keeps zeros and NaN.
            Some(if value == 0.0 || value.is_nan() { value } else { value.signum() })
        })
    }
    Ok(match signature.kind(0) {
        TypeKind::TinyInt => {
            Arc::new(|a| a.collect::<Int8Type>(|row| Some(a.primitive::<Int8Type>(0).get(row)?.signum())))
        }
        TypeKind::SmallInt => {
            Arc::new(|a| a.collect::<Int16Type>(|row| Some(a.primitive::<Int16Type>(0).get(row)?.signum())))
        }
        TypeKind::Int => Arc::new(|a| a.collect::<Int32Type>(|row| Some(a.int(0).get(row)?.signum()))),
        TypeKind::BigInt => Arc::new(|a| a.collect::<Int64Type>(|row| Some(a.long(0).get(row)?.signum()))),
        TypeKind::Float => Arc::new(|a| {
            let values = a.primitive::<Float32Type>(0);
            a.collect::<Float32Type>(|row| {
                let value = values.get(row)?;
                Some(if value == 0.0 || value.is_nan() { value } else { value.signum() })
            })
        }),
        TypeKind::Double => Arc::new(signum),
        TypeKind::Decimal { precision, scale } => {
            let to = DecimalType { precision: *precision, scale: *scale };
            Arc::new(move |a| {
                let values = a.primitive::<Decimal128Type>(0);
                let sign = |row| decimal::convert(values.get(row)?.signum(), 0, to);
                let column = (0..a.rows).map(sign).collect::<PrimitiveArray<Decimal128Type>>();
                Ok(Arc::new(column.with_precision_and_scale(to.precision, to.scale as i8)?))
            })
        }
        _ => return Err(signature.unsupported()),
    })
}
