//! JSON's numbers: their grammar, and their values as the SQL types want them. Numbers also come as
//! strings, where Java's rules apply instead of JSON's: that is how Flink reads them.

use super::fault::{Fault, Parsed};
use super::scan::Cursor;

/// A number as it stands in the document.
#[derive(Clone, Copy)]
pub(super) struct NumberToken<'a> {
    pub(super) bytes: &'a [u8],
    /// Without fraction and exponent.
    pub(super) integer: bool,
}

/// The digits that always fit into an i64.
const SAFE_DIGITS: usize = 18;

impl<'a> Cursor<'a> {
    /// Walks over the number under the cursor.
    #[inline]
    pub(super) fn number(&mut self) -> Parsed<NumberToken<'a>> {
        let start = self.pos;
        if self.peek() == b'-' {
            self.pos += 1;
        }
        if self.peek() == b'0' {
            self.pos += 1;
            if self.peek().is_ascii_digit() {
                return Err(Fault::malformed(self.pos, "a number can't begin with a zero"));
            }
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.peek() == b'.' {
            integer = false;
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            integer = false;
            self.pos += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(NumberToken { bytes: &self.bytes[start..self.pos], integer })
    }

    #[inline(always)]
    fn digits(&mut self) -> Parsed {
        if !self.peek().is_ascii_digit() {
            return Err(Fault::malformed(self.pos, "expected a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.pos += 1;
        }
        Ok(())
    }

    /// Reads an integer of up to 18 digits; with anything else under the cursor it stays where it is.
    #[inline(always)]
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let mut at = self.pos;
        let negative = self.peek() == b'-';
        at += usize::from(negative);
        let first = at;
        let mut value: i64 = 0;
        let mut stop = 0;
        while let Some(&byte) = self.bytes.get(at) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                stop = byte;
                break;
            }
            if at - first == SAFE_DIGITS {
                return None;
            }
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        let leading_zero = at - first > 1 && self.bytes[first] == b'0';
        if at == first || leading_zero || matches!(stop, b'.' | b'e' | b'E') {
            return None;
        }
        self.pos = at;
        Some(if negative { -value } else { value })
    }
}

/// Java's `String.trim`.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [0..=b' ', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., 0..=b' '] = text {
        text = rest;
    }
    text
}

/// Java's `Long.parseLong`: an optional sign, then digits.
pub(super) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Downwards, because the least i64 has no positive counterpart.
    let value = digits.iter().try_fold(0i64, |value, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_sub(i64::from(digit)) }
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// A number with a fraction or an exponent, cut towards zero to an integer: as Jackson does for INT and
/// BIGINT.
pub(super) fn truncate_to_i64(token: &[u8]) -> Option<i64> {
    let value = parse_f64(token)?.trunc();
    // The bounds are exact as doubles; the upper one is itself out of range.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) { Some(value as i64) } else { None }
}

/// The nearest double to a JSON number; None where it would be infinite.
#[inline]
pub(super) fn parse_f64(token: &[u8]) -> Option<f64> {
    if let Some(value) = exact_f64(token) {
        return Some(value);
    }
    let value = std::str::from_utf8(token).ok()?.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

pub(super) fn parse_f32(token: &[u8]) -> Option<f32> {
    let value = std::str::from_utf8(token).ok()?.parse::<f32>().ok()?;
    value.is_finite().then_some(value)
}

/// The value where it is the quotient of two integers that a double holds exactly: a single rounding,
/// hence the right one. No exponents.
#[inline]
fn exact_f64(token: &[u8]) -> Option<f64> {
    const MAX_LENGTH: usize = 16;
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > MAX_LENGTH {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut point = digits.len();
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' => point = at + 1,
            _ => return None,
        }
    }
    if mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(digits.len() - point)?;
    Some(if negative { -value } else { value })
}

/// A floating-point number in a string, with the words that Java has for what JSON can't say.
pub(super) fn parse_float_text<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let plain = unsigned.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let named = matches!(unsigned, b"NaN" | b"Infinity");
    if plain || named { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// A decimal's unscaled value; `Overflow` where it has more digits than its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decimal {
    Value(i128),
    Overflow,
}

/// Reads a decimal as Java's `BigDecimal` does and rounds it half up to `scale`. None: not a number.
pub(super) fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Option<Decimal> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mantissa_end = unsigned.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at(mantissa_end);
    let exponent = if exponent.is_empty() { 0 } else { parse_exponent(&exponent[1..])? };
    let point = mantissa.iter().position(|&b| b == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    let mut digits = whole.iter().chain(fraction).map(|b| b.wrapping_sub(b'0'));
    if whole.is_empty() && fraction.is_empty() || digits.clone().any(|d| d > 9) {
        return None;
    }

    // How many of the digits count at this scale; zeros are missing at the end if it exceeds them.
    let mut count = whole.len() as i64 + exponent + i64::from(scale);
    let mut value: i128 = 0;
    let mut next = digits.next();
    while next == Some(0) && count > 0 {
        next = digits.next();
        count -= 1;
    }
    if next.is_none() || count < 0 {
        return Some(Decimal::Value(0));
    }
    if count > i64::from(precision) {
        return Some(Decimal::Overflow);
    }
    for _ in 0..count {
        value = value * 10 + i128::from(next.unwrap_or(0));
        next = digits.next();
    }
    if next.is_some_and(|digit| digit >= 5) {
        value += 1;
    }
    if value >= 10i128.pow(u32::from(precision)) {
        return Some(Decimal::Overflow);
    }
    Some(Decimal::Value(if negative { -value } else { value }))
}

/// Saturates: beyond a few dozen all exponents mean the same here.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const BOUND: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, b| (value * 10 + i64::from(b - b'0')).min(BOUND));
    Some(if negative { -value } else { value })
}
