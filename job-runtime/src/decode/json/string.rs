//! JSON's strings: finding their end sixteen bytes at a time, checking their UTF-8 only where bytes above
//! ASCII were seen, and undoing escapes straight into the buffer they end up in.

use super::fault::{Fault, Parsed};
use super::scan::Cursor;

/// A string as it stands in the document, its quotes and escapes known to be well formed.
#[derive(Clone, Copy)]
pub(super) struct RawString<'a> {
    /// Between the quotes.
    pub(super) bytes: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> RawString<'a> {
    /// The string itself, which `scratch` holds if it has escapes.
    pub(super) fn text<'s>(self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if !self.escaped {
            return self.bytes;
        }
        scratch.clear();
        self.append_to(scratch);
        scratch
    }

    /// Appends the string, unescaped.
    #[inline]
    pub(super) fn append_to(self, out: &mut Vec<u8>) {
        if self.escaped {
            unescape(self.bytes, out);
        } else {
            out.extend_from_slice(self.bytes);
        }
    }
}

impl<'a> Cursor<'a> {
    /// Reads a string; the cursor stands on its opening quote.
    #[inline]
    pub(super) fn string(&mut self) -> Parsed<RawString<'a>> {
        let start = self.pos + 1;
        let (end, non_ascii) = find_special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.pos = end + 1;
            let bytes = &self.bytes[start..end];
            if non_ascii {
                check_utf8(bytes, start)?;
            }
            return Ok(RawString { bytes, escaped: false });
        }
        self.string_with_escapes(start, end, non_ascii)
    }

    /// The rest of `string` from the first byte that is neither plain nor the closing quote.
    #[inline(never)]
    fn string_with_escapes(&mut self, start: usize, mut at: usize, mut non_ascii: bool) -> Parsed<RawString<'a>> {
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at = check_escape(self.bytes, at)?,
                Some(_) => return Err(Fault::malformed(at, "a control character in a string has to be escaped")),
                None => return Err(Fault::malformed(at, "the document ends inside a string")),
            }
            let (next, more) = find_special(self.bytes, at);
            at = next;
            non_ascii |= more;
        }
        self.pos = at + 1;
        let bytes = &self.bytes[start..at];
        if non_ascii {
            check_utf8(bytes, start)?;
        }
        Ok(RawString { bytes, escaped: true })
    }
}

#[inline(never)]
fn check_utf8(bytes: &[u8], start: usize) -> Parsed {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(e) => Err(Fault::malformed(start + e.valid_up_to(), "a string is not valid UTF-8")),
    }
}

/// Checks the escape whose backslash is at `at`; returns where it ends. A surrogate has to be followed by
/// its other half.
fn check_escape(bytes: &[u8], at: usize) -> Parsed<usize> {
    const UNKNOWN: &str = "a string holds an unknown escape";
    const SURROGATE: &str = "a string holds half of a surrogate pair";
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = hex4(bytes, at + 2).ok_or_else(|| Fault::malformed(at, UNKNOWN))?;
            match unit {
                0xD800..=0xDBFF => {
                    let low = match bytes.get(at + 6..at + 8) {
                        Some(b"\\u") => hex4(bytes, at + 8),
                        _ => None,
                    };
                    match low {
                        Some(0xDC00..=0xDFFF) => Ok(at + 12),
                        _ => Err(Fault::malformed(at, SURROGATE)),
                    }
                }
                0xDC00..=0xDFFF => Err(Fault::malformed(at, SURROGATE)),
                _ => Ok(at + 6),
            }
        }
        _ => Err(Fault::malformed(at, UNKNOWN)),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &b| Some(value << 4 | (b as char).to_digit(16)?))
}

/// Undoes the escapes of a string that `check_escape` has passed.
#[inline(never)]
fn unescape(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        out.extend_from_slice(&bytes[..at]);
        let (plain, length) = match bytes.get(at + 1) {
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0C, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'u') => {
                bytes = &bytes[at + unescape_unit(&bytes[at..], out)..];
                continue;
            }
            Some(&other) => (other, 2),
            None => break,
        };
        out.push(plain);
        bytes = &bytes[at + length..];
    }
    out.extend_from_slice(bytes);
}

/// Appends the character of the `\uXXXX` (or pair of them) that `bytes` begins with; returns its length.
fn unescape_unit(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = hex4(bytes, 2).unwrap_or(0xFFFD);
    let (code, length) = if (0xD800..=0xDBFF).contains(&unit) {
        let low = hex4(bytes, 8).unwrap_or(0xDC00);
        (0x10000 + ((unit - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF), 12)
    } else {
        (unit, 6)
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    length
}

/// The first byte at or after `from` that ends a run of plain string bytes (a quote, a backslash or a
/// control character; the document's length if there is none), and whether a byte above ASCII comes
/// before it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn find_special(bytes: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    let mut non_ascii = false;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let (special, high) = sse2::classify(block);
        if special != 0 {
            let offset = special.trailing_zeros();
            return (at + offset as usize, non_ascii | (high & ((1 << offset) - 1) != 0));
        }
        non_ascii |= high != 0;
        at += 16;
    }
    // Fewer than sixteen bytes are left: look at the document's last sixteen, ignoring those before `at`.
    if let Some(block) = bytes.last_chunk::<16>() {
        let passed = at.saturating_sub(bytes.len() - 16).min(16) as u32;
        let (special, high) = sse2::classify(block);
        let (special, high) = (special >> passed, high >> passed);
        if special != 0 {
            let offset = special.trailing_zeros();
            return (at + offset as usize, non_ascii | (high & ((1 << offset) - 1) != 0));
        }
        return (bytes.len(), non_ascii | (high != 0));
    }
    // The whole document is shorter than sixteen bytes.
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len());
    (at + length, non_ascii | !rest[..length].is_ascii())
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use portable::find_special;

/// SSE2 is part of every x86-64.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    /// One bit for each byte that can't stand in a string as it is, and one for each above ASCII.
    #[inline]
    pub(super) fn classify(block: &[u8; 16]) -> (u32, u32) {
        // SAFETY: SSE2 is always there on x86-64; the load reads exactly the sixteen bytes of `block` and
        // asks for no alignment.
        unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().cast::<__m128i>());
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
            let special = _mm_or_si128(_mm_or_si128(quotes, backslashes), controls);
            (_mm_movemask_epi8(special) as u32, _mm_movemask_epi8(bytes) as u32)
        }
    }
}

/// The same for every other processor, eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) mod portable {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    pub(crate) fn find_special(bytes: &[u8], from: usize) -> (usize, bool) {
        let mut at = from;
        let mut non_ascii = false;
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*block);
            let special = zero_bytes(word ^ (ONES * b'"' as u64))
                | zero_bytes(word ^ (ONES * b'\\' as u64))
                | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS);
            if special != 0 {
                // The lowest bit is exact; borrows only blur those above it.
                let offset = special.trailing_zeros() / 8;
                let before = word & ((1u64 << (offset * 8)) - 1);
                return (at + offset as usize, non_ascii | (before & HIGHS != 0));
            }
            non_ascii |= word & HIGHS != 0;
            at += 8;
        }
        while let Some(&byte) = bytes.get(at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                break;
            }
            non_ascii |= byte >= 0x80;
            at += 1;
        }
        (at, non_ascii)
    }

    /// The high bit of every byte that is zero (and perhaps of bytes above the lowest such).
    fn zero_bytes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
}
