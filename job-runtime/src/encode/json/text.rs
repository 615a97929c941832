//! Strings and bytes as Jackson writes them: as few escapes as JSON allows, base64 with padding.

use crate::decode::json::find_special;

/// Appends a string in quotes.
#[inline]
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    // What can't stand in a string is the same for reading and writing.
    let (plain, _) = find_special(text, 0);
    out.extend_from_slice(&text[..plain]);
    if plain < text.len() {
        write_escaped(&text[plain..], out);
    }
    out.push(b'"');
}

/// The rest of a string from the first byte on that needs an escape.
#[inline(never)]
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 0xF)]]);
            }
        }
        let (end, _) = find_special(text, at + 1);
        out.extend_from_slice(&text[at + 1..end]);
        at = end;
    }
}

/// Appends bytes as base64 in quotes.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let symbols = |[a, b, c]: [u8; 3]| {
        let bits = u32::from_be_bytes([0, a, b, c]);
        [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 0x3F) as usize])
    };
    out.push(b'"');
    let (groups, rest) = bytes.as_chunks::<3>();
    for group in groups {
        out.extend_from_slice(&symbols(*group));
    }
    match rest {
        [a] => {
            out.extend_from_slice(&symbols([*a, 0, 0])[..2]);
            out.extend_from_slice(b"==");
        }
        [a, b] => {
            out.extend_from_slice(&symbols([*a, *b, 0])[..3]);
            out.push(b'=');
        }
        _ => {}
    }
    out.push(b'"');
}
