//! Functions of DOUBLE, as Java's Math has them.

use super::call::Kernel;
use datafusion_common::arrow::datatypes::Float64Type;
use std::sync::Arc;

pub(super) fn kernel(name: &str) -> Option<Kernel> {
    Some(match name {
        "PI" => constant(std::f64::consts::PI),
        "E" => constant(std::f64::consts::E),
        "SQRT" => unary(f64::sqrt),
        "EXP" => unary(f64::exp),
        "LN" => unary(f64::ln),
        "LOG10" => unary(f64::log10),
        "LOG2" => unary(f64::log2),
        "SIN" => unary(f64::sin),
        "COS" => unary(f64::cos),
        "TAN" => unary(f64::tan),
        "COT" => unary(|x| 1.0 / x.tan()),
        "ASIN" => unary(f64::asin),
        "ACOS" => unary(f64::acos),
        "ATAN" => unary(f64::atan),
        "SINH" => unary(f64::sinh),
        "COSH" => unary(f64::cosh),
        "TANH" => unary(f64::tanh),
        "DEGREES" => unary(f64::to_degrees),
        "RADIANS" => unary(f64::to_radians),
        "POWER" => binary(power),
        "ATAN2" => binary(f64::atan2),
        "LOG" => binary(|base, x| x.ln() / base.ln()),
        _ => return None,
    })
}

/// C's pow says 1 where Java's says NaN: for a NaN exponent of 1, and for 1 or -1 to an infinity.
fn power(base: f64, exponent: f64) -> f64 {
    let nan = exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite());
    if nan { f64::NAN } else { base.powf(exponent) }
}

fn constant(value: f64) -> Kernel {
    Arc::new(move |a| a.collect::<Float64Type>(|_| Some(value)))
}

fn unary(f: fn(f64) -> f64) -> Kernel {
    Arc::new(move |a| {
        let x = a.double(0);
        a.collect::<Float64Type>(|row| Some(f(x.get(row)?)))
    })
}

fn binary(f: fn(f64, f64) -> f64) -> Kernel {
    Arc::new(move |a| {
        let (x, y) = (a.double(0), a.double(1));
        a.collect::<Float64Type>(|row| Some(f(x.get(row)?, y.get(row)?)))
    })
}
