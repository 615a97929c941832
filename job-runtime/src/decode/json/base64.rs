//! Base64 as Jackson reads it for BINARY and BYTES: the standard alphabet, with its padding.

/// Appends what `text` stands for. None: it is not base64, and bytes may have been appended.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (groups, []) = text.as_chunks::<4>() else { return None };
    let Some((last, full)) = groups.split_last() else { return Some(()) };
    out.reserve(groups.len() * 3);
    for group in full {
        out.extend_from_slice(&bytes(*group)?);
    }
    let length = match last {
        [_, _, b'=', b'='] => 1,
        [_, _, _, b'='] => 2,
        _ => 3,
    };
    let mut unpadded = *last;
    unpadded[length + 1..].fill(b'A');
    out.extend_from_slice(&bytes(unpadded)?[..length]);
    Some(())
}

fn bytes(group: [u8; 4]) -> Option<[u8; 3]> {
    let mut bits: u32 = 0;
    for byte in group {
        bits = bits << 6 | u32::from(sextet(byte)?);
    }
    let [_, a, b, c] = bits.to_be_bytes();
    Some([a, b, c])
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
