//! Why decoding stopped, as it travels out of the walk: one word wide, so that the results of the hot
//! functions stay in registers. Not here: what the caller sees of it (`DecodeError`).

use crate::decode::DecodeError;

pub(super) type Parsed<T = ()> = Result<T, Fault>;

#[derive(Debug)]
pub(super) struct Fault(Box<Detail>);

#[derive(Debug)]
struct Detail {
    /// None: the document is not JSON, `expected` says why.
    message: Option<String>,
    expected: &'static str,
    position: usize,
    /// From the innermost step outwards: steps are added while the fault leaves the walk.
    path: Vec<String>,
}

/// How much of an offending value an error shows.
const SHOWN_BYTES: usize = 64;

impl Fault {
    #[cold]
    #[inline(never)]
    pub(super) fn malformed(position: usize, expected: &'static str) -> Self {
        Self(Box::new(Detail { message: None, expected, position, path: Vec::new() }))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn value(position: usize, message: impl Into<String>) -> Self {
        Self(Box::new(Detail { message: Some(message.into()), expected: "", position, path: Vec::new() }))
    }

    /// `"abc" is not a BIGINT`. `text` is the rest of the document from the value on, or the value.
    #[cold]
    #[inline(never)]
    pub(super) fn not_a(position: usize, text: &[u8], type_name: &str) -> Self {
        let end = text.iter().position(|b| matches!(b, b',' | b'}' | b']' | b'\n')).unwrap_or(text.len());
        let shown = String::from_utf8_lossy(&text[..end.min(SHOWN_BYTES)]).into_owned();
        let more = if end > SHOWN_BYTES { "…" } else { "" };
        Self::value(position, format!("{shown}{more} is not a valid {type_name}"))
    }

    /// Says in which field it happened.
    #[cold]
    #[inline(never)]
    pub(super) fn within(mut self, step: &str) -> Self {
        self.0.path.push(step.to_owned());
        self
    }

    /// Whether the document is not JSON, as opposed to a value that its column can't take.
    pub(super) fn is_malformed(&self) -> bool {
        self.0.message.is_none()
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        let Detail { message, expected, position, mut path } = *fault.0;
        match message {
            None => Self::Malformed { position, expected },
            Some(message) => {
                path.reverse();
                Self::Value { field: path.join("."), position, message }
            }
        }
    }
}
