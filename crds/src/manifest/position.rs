//! Where in the text a value stands. The YAML parser tells positions only with errors, so a position is
//! asked for by reading the text once more and failing on purpose at the value in question; it happens for
//! the few places that are shown to a person. Not a parser of its own.

use super::{Place, Step};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A place in a text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// The position of `place` in the given document, or of what is nearest above it.
pub(super) fn of(yaml: &str, document: usize, place: &Place) -> Option<Position> {
    let mut place = place.clone();
    loop {
        let reader = serde_norway::Deserializer::from_str(yaml).nth(document)?;
        let seek = Seek { steps: &place.steps, key: place.key };
        match seek.deserialize(reader).err().and_then(|error| error.location()) {
            Some(at) => return Some(Position { line: at.line(), column: at.column() }),
            // A field that is missing has no position: its parent's key has.
            None => place.steps.pop()?,
        };
        place.key = true;
    }
}

/// Leads to a value, or to its key, and fails there.
struct Seek<'p> {
    steps: &'p [Step],
    key: bool,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.steps.is_empty() { deserializer.deserialize_any(Found) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a place")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Field(name), rest)) = self.steps.split_first() else {
            return IgnoredAny.visit_map(map).map(drop);
        };
        while let Some(is_it) = map.next_key_seed(Key { name, fail: self.key && rest.is_empty() })? {
            if is_it {
                map.next_value_seed(Seek { steps: rest, key: self.key })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Some((Step::Index(index), rest)) = self.steps.split_first() else {
            return IgnoredAny.visit_seq(sequence).map(drop);
        };
        for _ in 0..*index {
            if sequence.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        // The element itself stands for its key.
        while sequence.next_element_seed(Seek { steps: rest, key: self.key })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a mapping's key; true where it is the wanted one.
struct Key<'p> {
    name: &'p str,
    fail: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        if key == self.name && self.fail { Err(E::custom("found")) } else { Ok(key == self.name) }
    }
}

/// Fails on whatever it is shown.
struct Found;

impl<'de> Visitor<'de> for Found {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: the place is found")
    }
}

/// A text inside a manifest (the SQL of a job), and the way from its lines and columns to the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedText {
    /// Where the value begins: the `|` of a block scalar, the quote or first character of others.
    pub start: Position,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `|`: one line of the file for each line of the text.
    Literal { indent: usize },
    /// One line of the file, the text `skip` characters after the start.
    OneLine { skip: usize },
    /// Folded, or quoted over several lines: lines don't correspond.
    Other,
}

impl EmbeddedText {
    /// The position in the file of a position in the text; None where the style has no such correspondence.
    pub fn position(&self, line: usize, column: usize) -> Option<Position> {
        match self.style {
            Style::Literal { indent } => Some(Position { line: self.start.line + line, column: column + indent }),
            Style::OneLine { skip } if line == 1 => {
                Some(Position { line: self.start.line, column: self.start.column + skip + column - 1 })
            }
            Style::OneLine { .. } | Style::Other => None,
        }
    }
}

pub(super) fn embedded_text(yaml: &str, document: usize, place: &Place) -> Option<EmbeddedText> {
    let start = of(yaml, document, place)?;
    let line = yaml.lines().nth(start.line - 1)?;
    let value: String = line.chars().skip(start.column - 1).collect();
    let style = match value.chars().next()? {
        '|' => Style::Literal { indent: block_indent(yaml, start.line, line, &value)? },
        '>' => Style::Other,
        quote @ ('"' | '\'') => {
            let inner = &value[1..];
            let plain = inner.find(quote).is_some_and(|end| !inner[..end].contains('\\'));
            if plain { Style::OneLine { skip: 1 } } else { Style::Other }
        }
        _ => Style::OneLine { skip: 0 },
    };
    Some(EmbeddedText { start, style })
}

/// The indentation of a block scalar: as its header says, else that of its first line with text.
fn block_indent(yaml: &str, header_line: usize, header: &str, value: &str) -> Option<usize> {
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    match value.chars().take_while(|c| !c.is_whitespace()).find_map(|c| c.to_digit(10)) {
        Some(explicit) => Some(spaces(header) + explicit as usize),
        None => yaml.lines().skip(header_line).find(|line| !line.trim().is_empty()).map(spaces),
    }
}
