//! Arithmetic and mathematics.

use super::{Default, FunctionDefinition as F, Nulls, Parameter as P, ResultType as R};

const ARITHMETIC: &str = "Integers and floating-point numbers: both arguments have the result's type; \
    integers wrap around on overflow, as in Java. DECIMAL: each argument is a DECIMAL of its own precision \
    and scale; the exact result is rounded half up to the result's scale, and is NULL where it does not fit \
    its precision. Intervals: PLUS and MINUS of two of one kind; TIMES of an interval (first) and a BIGINT.";

pub static FUNCTIONS: &[F] = &[
    F::new("PLUS", &[P::Any, P::Any], R::Rule, ARITHMETIC).nulls(Nulls::StrictNullable),
    F::new("MINUS", &[P::Any, P::Any], R::Rule, ARITHMETIC).nulls(Nulls::StrictNullable),
    F::new("TIMES", &[P::Any, P::Any], R::Rule, ARITHMETIC).nulls(Nulls::StrictNullable),
    F::new(
        "DIVIDE",
        &[P::Numeric, P::Numeric],
        R::Rule,
        "As PLUS. Integers truncate towards zero. Division of an integer or DECIMAL by zero fails the row; \
         of FLOAT and DOUBLE it follows IEEE 754.",
    )
    .nulls(Nulls::StrictNullable),
    F::new(
        "MOD",
        &[P::Numeric, P::Numeric],
        R::Rule,
        "The remainder, with the sign of the dividend (`%`, MOD). Types and zero as with DIVIDE.",
    )
    .called(&["MOD"])
    .nulls(Nulls::StrictNullable),
    F::new("NEGATE", &[P::Any], R::Argument(0), "The opposite of a number (integers wrap) or an interval."),
    F::new("ABS", &[P::Numeric], R::Argument(0), "The absolute value; the smallest integer stays itself.")
        .called(&["ABS"]),
    F::new(
        "CEIL",
        &[P::Numeric],
        R::Rule,
        "Rounded up to a whole number: FLOAT and DOUBLE keep their type, DECIMAL(p, s) becomes scale 0. \
         (Of integers the binder leaves it out.)",
    )
    .called(&["CEIL", "CEILING"]),
    F::new("FLOOR", &[P::Numeric], R::Rule, "Rounded down to a whole number; types as with CEIL.").called(&["FLOOR"]),
    F::new(
        "ROUND",
        &[P::Numeric, P::Int],
        R::Rule,
        "Rounded half up (away from zero) to that many decimal places, also negative; by default 0. Every \
         type but DECIMAL stays the same.",
    )
    .called(&["ROUND"])
    .defaults(&[Default::Int(0)]),
    F::new("TRUNCATE", &[P::Numeric, P::Int], R::Rule, "Like ROUND, but cut off towards zero.")
        .called(&["TRUNCATE"])
        .defaults(&[Default::Int(0)]),
    F::new("SIGN", &[P::Numeric], R::Argument(0), "-1, 0 or 1 in the argument's type.").called(&["SIGN"]),
    F::new("POWER", &[P::Double, P::Double], R::Double, "Java's Math.pow.").called(&["POWER"]),
    F::new("SQRT", &[P::Double], R::Double, "NaN for a negative number.").called(&["SQRT"]),
    F::new("EXP", &[P::Double], R::Double, "e to that power.").called(&["EXP"]),
    F::new("LN", &[P::Double], R::Double, "The natural logarithm (also: LOG of one argument).").called(&["LN"]),
    F::new("LOG10", &[P::Double], R::Double, "The logarithm to base 10.").called(&["LOG10"]),
    F::new("LOG2", &[P::Double], R::Double, "The logarithm to base 2.").called(&["LOG2"]),
    F::new("LOG", &[P::Double, P::Double], R::Double, "LOG(base, x).").called(&["LOG"]),
    F::new("SIN", &[P::Double], R::Double, "Of an angle in radians.").called(&["SIN"]),
    F::new("COS", &[P::Double], R::Double, "Of an angle in radians.").called(&["COS"]),
    F::new("TAN", &[P::Double], R::Double, "Of an angle in radians.").called(&["TAN"]),
    F::new("COT", &[P::Double], R::Double, "1 / TAN.").called(&["COT"]),
    F::new("ASIN", &[P::Double], R::Double, "In radians.").called(&["ASIN"]),
    F::new("ACOS", &[P::Double], R::Double, "In radians.").called(&["ACOS"]),
    F::new("ATAN", &[P::Double], R::Double, "In radians.").called(&["ATAN"]),
    F::new("ATAN2", &[P::Double, P::Double], R::Double, "ATAN2(y, x) in radians.").called(&["ATAN2"]),
    F::new("SINH", &[P::Double], R::Double, "The hyperbolic sine.").called(&["SINH"]),
    F::new("COSH", &[P::Double], R::Double, "The hyperbolic cosine.").called(&["COSH"]),
    F::new("TANH", &[P::Double], R::Double, "The hyperbolic tangent.").called(&["TANH"]),
    F::new("DEGREES", &[P::Double], R::Double, "From radians.").called(&["DEGREES"]),
    F::new("RADIANS", &[P::Double], R::Double, "From degrees.").called(&["RADIANS"]),
    F::new("PI", &[], R::Double, "3.141592653589793").called(&["PI"]).nulls(Nulls::Never),
    F::new("E", &[], R::Double, "2.718281828459045").called(&["E"]).nulls(Nulls::Never),
];
