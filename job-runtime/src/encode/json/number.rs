//! Numbers as Java prints them. The digits of floating-point numbers are the fewest that identify the
//! number, as in Java since release 19.

pub(super) fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn write_double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_non_finite(value.is_nan(), value.is_sign_negative(), out);
    }
    // Java prints two digits at least, and of the smallest numbers the two nearest ones: 4.9E-324.
    if value.is_subnormal() {
        return write_subnormal(ryu::Buffer::new().format_finite(value), format!("{value:.1e}"), out);
    }
    write_shortest(ryu::Buffer::new().format_finite(value), out);
}

pub(crate) fn write_float(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_non_finite(value.is_nan(), value.is_sign_negative(), out);
    }
    if value.is_subnormal() {
        return write_subnormal(ryu::Buffer::new().format_finite(value), format!("{value:.1e}"), out);
    }
    write_shortest(ryu::Buffer::new().format_finite(value), out);
}

/// As strings, which is how Jackson writes what JSON has no numbers for.
#[cold]
fn write_non_finite(nan: bool, negative: bool, out: &mut Vec<u8>) {
    let text: &[u8] = match (nan, negative) {
        (true, _) => b"\"NaN\"",
        (false, true) => b"\"-Infinity\"",
        (false, false) => b"\"Infinity\"",
    };
    out.extend_from_slice(text);
}

#[cold]
fn write_subnormal(shortest: &str, two_digits: String, out: &mut Vec<u8>) {
    let one_digit = !shortest.contains('.');
    write_shortest(if one_digit { &two_digits } else { shortest }, out);
}

/// Rewrites a number of the form `12.5` or `1.25e-7` as `Double.toString` does: with a point between
/// 10^-3 and 10^7, with an exponent elsewhere.
fn write_shortest(text: &str, out: &mut Vec<u8>) {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.len() < text.len() {
        out.push(b'-');
    }
    let (mantissa, exponent) = match unsigned.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().expect("a formatted exponent")),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

    // All significant digits, and the power of ten of the first.
    let mut buffer = [0; 32];
    let mut length = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        buffer[length] = digit;
        length += 1;
    }
    let zeros = buffer[..length].iter().take_while(|&&digit| digit == b'0').count();
    let trailing = buffer[zeros..length].iter().rev().take_while(|&&digit| digit == b'0').count();
    let digits = &buffer[zeros..length - trailing];
    if digits.is_empty() {
        out.extend_from_slice(b"0.0");
        return;
    }
    let power = exponent + whole.len() as i32 - 1 - zeros as i32;

    match power {
        0..7 => {
            let whole = power as usize + 1;
            let (before, after) = digits.split_at(whole.min(digits.len()));
            out.extend_from_slice(before);
            out.extend(std::iter::repeat_n(b'0', whole - before.len()));
            out.push(b'.');
            out.extend_from_slice(if after.is_empty() { b"0" } else { after });
        }
        -3..0 => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-power - 1) as usize));
            out.extend_from_slice(digits);
        }
        _ => {
            out.extend_from_slice(&[digits[0], b'.']);
            out.extend_from_slice(if digits.len() == 1 { b"0" } else { &digits[1..] });
            out.push(b'E');
            write_integer(power, out);
        }
    }
}

/// All digits of the scale if `plain`, else as Flink does: without trailing zeros, not even those of an
/// integer, then as `BigDecimal.toString`.
pub(crate) fn write_decimal(unscaled: i128, scale: u8, plain: bool, out: &mut Vec<u8>) {
    /// Java prints an exponent where the first digit stands behind more places than this.
    const MAX_PLACES: i32 = 6;
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    let scale = i32::from(scale);
    if plain {
        return write_plain(digits, scale as usize, out);
    }
    if unscaled == 0 {
        out.push(b'0');
        return;
    }
    let zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    let digits = &digits[..digits.len() - zeros];
    let scale = scale - zeros as i32;
    let power = digits.len() as i32 - 1 - scale;
    if scale >= 0 && power >= -MAX_PLACES {
        return write_plain(digits, scale as usize, out);
    }
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if power < 0 { b"E" } else { b"E+" });
    write_integer(power, out);
}

/// The digits with a point before the last `scale` of them.
fn write_plain(digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits);
    }
}
