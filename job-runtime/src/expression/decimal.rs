//! Exact arithmetic on unscaled values: rounding half up as Java's BigDecimal does, and None where a
//! result has more digits than its type. Not here: which type a result has, the planner decides that.

use datafusion_common::arrow::datatypes::i256;

/// A DECIMAL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecimalType {
    pub(super) precision: u8,
    pub(super) scale: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest; a half away from zero.
    HalfUp,
    /// Towards zero.
    Down,
    Floor,
    Ceiling,
}

/// `value / divisor` as a whole number; the divisor is positive.
fn divide_rounded(value: i256, divisor: i256, rounding: Rounding) -> i256 {
    let (quotient, remainder) = (value.wrapping_div(divisor), value.wrapping_rem(divisor));
    let negative = value < i256::ZERO;
    let away = match rounding {
        Rounding::Down => false,
        Rounding::HalfUp => remainder.wrapping_abs() >= divisor.wrapping_sub(remainder.wrapping_abs()),
        Rounding::Floor => negative && remainder != i256::ZERO,
        Rounding::Ceiling => !negative && remainder != i256::ZERO,
    };
    match (away, negative) {
        (false, _) => quotient,
        (true, false) => quotient.wrapping_add(i256::ONE),
        (true, true) => quotient.wrapping_sub(i256::ONE),
    }
}

fn power_of_ten(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// An unscaled value of scale `from` at scale `to`, which may be negative: zeros before the point.
pub(super) fn rescale(value: i256, from: i32, to: i32, rounding: Rounding) -> Option<i256> {
    match to >= from {
        true => value.checked_mul(power_of_ten((to - from) as u32)?),
        false => Some(match power_of_ten((from - to) as u32) {
            Some(divisor) => divide_rounded(value, divisor, rounding),
            None => i256::ZERO,
        }),
    }
}

/// The value where it has at most `precision` digits.
pub(super) fn fit(value: i256, precision: u8) -> Option<i128> {
    let value = value.to_i128()?;
    (value.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(value)
}

pub(super) fn convert(value: i128, from: i32, to: DecimalType) -> Option<i128> {
    fit(rescale(i256::from_i128(value), from, i32::from(to.scale), Rounding::HalfUp)?, to.precision)
}

pub(super) fn plus(a: (i128, u8), b: (i128, u8), to: DecimalType) -> Option<i128> {
    let scale = i32::from(a.1.max(b.1));
    let wide = |(value, from): (i128, u8)| rescale(i256::from_i128(value), i32::from(from), scale, Rounding::Down);
    let sum = wide(a)?.checked_add(wide(b)?)?;
    fit(rescale(sum, scale, i32::from(to.scale), Rounding::HalfUp)?, to.precision)
}

pub(super) fn times(a: (i128, u8), b: (i128, u8), to: DecimalType) -> Option<i128> {
    let scale = i32::from(a.1) + i32::from(b.1);
    if scale == i32::from(to.scale)
        && let Some(product) = a.0.checked_mul(b.0)
    {
        return (product.unsigned_abs() < 10u128.pow(u32::from(to.precision))).then_some(product);
    }
    let product = i256::from_i128(a.0).checked_mul(i256::from_i128(b.0))?;
    fit(rescale(product, scale, i32::from(to.scale), Rounding::HalfUp)?, to.precision)
}

/// By a `b` that is not zero.
pub(super) fn divide(a: (i128, u8), b: (i128, u8), to: DecimalType) -> Option<i128> {
    let negative = (a.0 < 0) != (b.0 < 0);
    let mut dividend = i256::from_i128(a.0).wrapping_abs();
    let mut divisor = i256::from_i128(b.0).wrapping_abs();
    let digits = i32::from(to.scale) + i32::from(b.1) - i32::from(a.1);
    if digits < 0 {
        divisor = divisor.checked_mul(power_of_ten(digits.unsigned_abs())?)?;
    }
    // Digit by digit, because dividend and power together can have more digits than 256 bits hold.
    let mut quotient = dividend.wrapping_div(divisor);
    dividend = dividend.wrapping_rem(divisor);
    for _ in 0..digits {
        dividend = dividend.wrapping_mul(i256::from_i128(10));
        quotient = quotient.checked_mul(i256::from_i128(10))?.checked_add(dividend.wrapping_div(divisor))?;
        dividend = dividend.wrapping_rem(divisor);
    }
    if dividend >= divisor.wrapping_sub(dividend) {
        quotient = quotient.checked_add(i256::ONE)?;
    }
    fit(if negative { quotient.wrapping_neg() } else { quotient }, to.precision)
}

/// By a `b` that is not zero; the sign is the dividend's.
pub(super) fn remainder(a: (i128, u8), b: (i128, u8), to: DecimalType) -> Option<i128> {
    let scale = i32::from(a.1.max(b.1));
    let wide = |(value, from): (i128, u8)| rescale(i256::from_i128(value), i32::from(from), scale, Rounding::Down);
    let remainder = wide(a)?.checked_rem(wide(b)?)?;
    fit(rescale(remainder, scale, i32::from(to.scale), Rounding::HalfUp)?, to.precision)
}

/// Digits with a point before the last `scale`, as BigDecimal's `toPlainString`.
pub(super) fn show(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let sign = if value < 0 { "-" } else { "" };
    match digits.split_at(digits.len() - scale) {
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// A decimal number, with a fraction and an exponent or without. Err if it isn't one, None inside if it
/// has too many digits for `to`.
pub(super) fn parse(text: &str, to: DecimalType) -> Result<Option<i128>, ()> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| ())?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return Err(());
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(Some(0));
    }
    // Beyond 76 digits only the magnitude matters, and whether what is cut off rounds.
    let kept = &digits[..digits.len().min(76)];
    let scale = i64::from(fraction.len() as u32) - i64::from(exponent) - (digits.len() - kept.len()) as i64;
    let Ok(scale) = i32::try_from(scale) else { return Ok(None) };
    let value = i256::from_string(kept).ok_or(())?;
    let value = if negative { value.wrapping_neg() } else { value };
    Ok(rescale(value, scale, i32::from(to.scale), Rounding::HalfUp).and_then(|v| fit(v, to.precision)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDE: DecimalType = DecimalType { precision: 38, scale: 6 };

    proptest! {
        #[test]
        fn quotients_are_the_nearest_of_their_scale(a in -1_000_000i64..1_000_000, b in -1000i64..1000, digits in 0u8..7) {
            prop_assume!(b != 0);
            let to = DecimalType { precision: 38, scale: digits };
            let quotient = divide((i128::from(a), 2), (i128::from(b), 1), to).unwrap();
            // |a/100 / (b/10) - q/10^digits| is at most half a unit of the last digit.
            let power = 10i128.pow(u32::from(digits));
            let error = (i128::from(a) * power - quotient * i128::from(b) * 10).abs() * 2;
            prop_assert!(error <= i128::from(b).abs() * 10);
        }

        #[test]
        fn a_decimal_reads_what_it_shows(value in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0u8..39) {
            prop_assert_eq!(parse(&show(value, scale), DecimalType { precision: 38, scale }), Ok(Some(value)));
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        let to = DecimalType { precision: 5, scale: 0 };
        assert_eq!(convert(25, 1, to), Some(3));
        assert_eq!(convert(-25, 1, to), Some(-3));
        assert_eq!(divide((-1, 0), (2, 0), to), Some(-1));
    }

    #[test]
    fn what_has_too_many_digits_is_null() {
        let to = DecimalType { precision: 3, scale: 1 };
        assert_eq!(plus((999, 1), (1, 1), to), None);
        assert_eq!(times((10i128.pow(37), 0), (10i128.pow(37), 0), WIDE), None);
        assert_eq!(parse("1e99999", WIDE), Ok(None));
        assert_eq!(parse("1e-99999", WIDE), Ok(Some(0)));
        assert_eq!(parse("1.2.3", WIDE), Err(()));
    }
}
