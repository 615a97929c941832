//! The cursor over one document: whitespace, literals, and the strict walk over values that nobody asked
//! for. It accepts what RFC 8259 does, with the nesting limit of `serde_json`.

use super::fault::{Fault, Parsed};

/// Arrays and objects can be nested this deep, as `serde_json` allows.
pub(super) const MAX_DEPTH: u32 = 127;

const TOO_DEEP: &str = "arrays and objects are nested deeper than 127 levels";
const VALUE: &str = "expected a value";

pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) pos: usize,
    /// How many arrays and objects are open.
    depth: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0, depth: 0 }
    }

    /// The byte under the cursor; zero, which no document holds outside of strings, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        match self.bytes.get(self.pos) {
            Some(&byte) => byte,
            None => 0,
        }
    }

    /// Everything from the cursor on.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn skip_whitespace(&mut self) {
        // Most documents have none: the common case is a single comparison.
        while self.peek() <= b' ' && matches!(self.bytes.get(self.pos), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.pos += 1;
        }
    }

    /// Steps over the `{` or `[` under the cursor.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Parsed {
        if self.depth == MAX_DEPTH {
            return Err(Fault::malformed(self.pos, TOO_DEEP));
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    /// Steps over the `}` or `]` under the cursor.
    #[inline(always)]
    pub(super) fn close(&mut self) {
        self.depth -= 1;
        self.pos += 1;
    }

    /// The number of open arrays and objects, to come back to with [`Self::rewind`].
    pub(super) fn mark(&self) -> (usize, u32) {
        (self.pos, self.depth)
    }

    pub(super) fn rewind(&mut self, (pos, depth): (usize, u32)) {
        self.pos = pos;
        self.depth = depth;
    }

    /// Steps over `literal`, whose first byte is known to be there.
    #[inline(always)]
    pub(super) fn literal(&mut self, literal: &'static [u8]) -> Parsed {
        if self.rest().starts_with(literal) {
            self.pos += literal.len();
            Ok(())
        } else {
            Err(Fault::malformed(self.pos, "expected true, false or null"))
        }
    }

    /// Steps over the next element's separator: `first` says that nothing stands before it. False: the
    /// closing `end` is under the cursor.
    #[inline(always)]
    pub(super) fn next_element(&mut self, first: bool, end: u8) -> Parsed<bool> {
        self.skip_whitespace();
        let byte = self.peek();
        if byte == end {
            return Ok(false);
        }
        if !first {
            if byte != b',' {
                return Err(Fault::malformed(self.pos, "expected a comma or the end of the array or object"));
            }
            self.pos += 1;
            self.skip_whitespace();
        }
        Ok(true)
    }

    /// Steps over the colon behind a key.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Parsed {
        self.skip_whitespace();
        if self.peek() != b':' {
            return Err(Fault::malformed(self.pos, "expected a colon behind the key"));
        }
        self.pos += 1;
        self.skip_whitespace();
        Ok(())
    }

    /// Fails unless only whitespace is left.
    pub(super) fn end(&mut self) -> Parsed {
        self.skip_whitespace();
        if self.pos == self.bytes.len() {
            Ok(())
        } else {
            Err(Fault::malformed(self.pos, "expected nothing behind the document's value"))
        }
    }

    /// Walks over one value of any type, checking it. The cursor stands on its first byte.
    #[inline]
    pub(super) fn skip_value(&mut self) -> Parsed {
        match self.peek() {
            b'{' | b'[' => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    #[inline(always)]
    fn skip_scalar(&mut self) -> Parsed {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            b'n' => self.literal(b"null"),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            _ => Err(Fault::malformed(self.pos, VALUE)),
        }
    }

    /// Without recursion: one bit for each level says whether it is an object.
    #[inline(never)]
    fn skip_container(&mut self) -> Parsed {
        const _: () = assert!(MAX_DEPTH < u128::BITS);
        let outside = self.depth;
        let mut objects: u128 = 0;
        'open: loop {
            let mut object = self.peek() == b'{';
            objects = objects << 1 | u128::from(object);
            self.open()?;
            let mut first = true;
            loop {
                let end = if object { b'}' } else { b']' };
                if self.next_element(first, end)? {
                    first = false;
                    if object {
                        self.skip_key()?;
                    }
                    if matches!(self.peek(), b'{' | b'[') {
                        continue 'open;
                    }
                    self.skip_scalar()?;
                    continue;
                }
                self.close();
                if self.depth == outside {
                    return Ok(());
                }
                objects >>= 1;
                object = objects & 1 == 1;
                first = false;
            }
        }
    }

    #[inline(always)]
    fn skip_key(&mut self) -> Parsed {
        if self.peek() != b'"' {
            return Err(Fault::malformed(self.pos, "expected a key in quotes"));
        }
        self.string()?;
        self.colon()
    }
}
