//! From a value of the document to a row of a column, by Flink's rules: numbers and booleans also come as
//! strings, and everything can become a string.

use super::base64;
use super::column::{Column, Entries, List, Map, Row, Storage};
use super::fault::{Fault, Parsed};
use super::number::{self, Decimal};
use super::runs::{Bytes, Parts, Runs};
use super::scan::Cursor;
use super::string::find_special;
use super::time;
use std::collections::HashMap;

/// The user's options, and the buffer for strings with escapes that don't stay strings.
pub(super) struct Rules {
    pub(super) fail_on_missing_field: bool,
    pub(super) ignore_parse_errors: bool,
    pub(super) scratch: Vec<u8>,
}

const TOO_LARGE: &str = "the batch is too large for another value of this size";

impl Column {
    /// Appends the value under the cursor. A fault leaves its row half done: `truncate` to take it back.
    #[inline]
    pub(super) fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        if rules.ignore_parse_errors {
            return self.append_or_null(cursor, rules);
        }
        self.append_value(cursor, rules)
    }

    /// Appends NULL in place of a value that the type can't take, if it is JSON at all.
    #[inline(never)]
    fn append_or_null(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        let start = cursor.mark();
        match self.append_value(cursor, rules) {
            Err(fault) if !fault.is_malformed() => {
                self.truncate(self.rows());
                cursor.rewind(start);
                cursor.skip_value()?;
                self.append_null();
                Ok(())
            }
            result => result,
        }
    }

    fn append_value(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        if cursor.peek() == b'n' {
            cursor.literal(b"null")?;
            self.append_null();
            return Ok(());
        }
        let start = cursor.pos;
        let scratch = &mut rules.scratch;
        let taken = match &mut self.storage {
            Storage::BigInt(values) => integer(cursor, scratch)?.map(|v| values.push(v)),
            Storage::Int(values) => narrow(integer(cursor, scratch)?).map(|v| values.push(v)),
            Storage::Timestamp { values, layout } => {
                let value = match cursor.common_timestamp(layout) {
                    Some(value) => Some(value),
                    None => text(cursor, scratch)?.and_then(|t| layout.parse(t)),
                };
                value.map(|v| values.push(v))
            }
            Storage::Text(bytes) => return append_text(bytes, cursor),
            Storage::Null(_) => {
                cursor.skip_value()?;
                self.append_null();
                return Ok(());
            }
            Storage::Boolean(values) => boolean(cursor, scratch)?.map(|v| values.push(v)),
            Storage::TinyInt(values) => narrow(whole(cursor, scratch)?).map(|v| values.push(v)),
            Storage::SmallInt(values) => narrow(whole(cursor, scratch)?).map(|v| values.push(v)),
            Storage::Float(values) => float(cursor, scratch, number::parse_f32)?.map(|v| values.push(v)),
            Storage::Double(values) => float(cursor, scratch, number::parse_f64)?.map(|v| values.push(v)),
            Storage::Decimal { values, precision, scale } => {
                let parsed = scalar(cursor, scratch)?.and_then(|t| number::parse_decimal(t, *precision, *scale));
                match parsed {
                    Some(Decimal::Overflow) => {
                        self.append_null();
                        return Ok(());
                    }
                    Some(Decimal::Value(value)) => {
                        values.push(value);
                        Some(())
                    }
                    None => None,
                }
            }
            Storage::Binary(bytes) => match text(cursor, scratch)?.and_then(|t| base64::decode(t, &mut bytes.parts)) {
                Some(()) => return end_row(bytes, start),
                None => None,
            },
            Storage::Date(values) => text(cursor, scratch)?.and_then(time::parse_date).map(|v| values.push(v)),
            Storage::Time { values, precision } => {
                text(cursor, scratch)?.and_then(|t| time::parse_time(t, *precision)).map(|v| values.push(v))
            }
            Storage::List(list) if cursor.peek() == b'[' => return list.append(cursor, rules),
            Storage::Map(map) if cursor.peek() == b'{' => return map.append(cursor, rules),
            Storage::Row(row) if cursor.peek() == b'{' => return row.append(cursor, rules),
            Storage::List(_) | Storage::Map(_) | Storage::Row(_) => None,
        };
        match taken {
            Some(()) => Ok(()),
            None => Err(Fault::not_a(start, &cursor.bytes[start..], &self.kind.to_string())),
        }
    }
}

/// The text of a string or a number; None: something else is under the cursor.
fn scalar<'s, 'a: 's>(cursor: &mut Cursor<'a>, scratch: &'s mut Vec<u8>) -> Parsed<Option<&'s [u8]>> {
    match cursor.peek() {
        b'-' | b'0'..=b'9' => cursor.number().map(|token| Some(token.bytes)),
        _ => Ok(text(cursor, scratch)?.map(number::trim)),
    }
}

/// A string; None: something else is under the cursor.
fn text<'s, 'a: 's>(cursor: &mut Cursor<'a>, scratch: &'s mut Vec<u8>) -> Parsed<Option<&'s [u8]>> {
    match cursor.peek() {
        b'"' => Ok(Some(cursor.string()?.text(scratch))),
        _ => Ok(None),
    }
}

fn narrow<T: TryFrom<i64>>(value: Option<i64>) -> Option<T> {
    value.and_then(|value| T::try_from(value).ok())
}

/// INT and BIGINT: a number with a fraction is cut towards zero, one in a string can't have one.
#[inline]
fn integer(cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Parsed<Option<i64>> {
    match cursor.short_integer() {
        Some(value) => Ok(Some(value)),
        None => long_integer(cursor, scratch),
    }
}

#[inline(never)]
fn long_integer(cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Parsed<Option<i64>> {
    if cursor.peek() == b'"' {
        return whole(cursor, scratch);
    }
    if !matches!(cursor.peek(), b'-' | b'0'..=b'9') {
        return Ok(None);
    }
    let token = cursor.number()?;
    Ok(if token.integer { number::parse_i64(token.bytes) } else { number::truncate_to_i64(token.bytes) })
}

/// TINYINT and SMALLINT: no fraction at all.
fn whole(cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Parsed<Option<i64>> {
    Ok(scalar(cursor, scratch)?.and_then(number::parse_i64))
}

fn float<T: std::str::FromStr>(
    cursor: &mut Cursor<'_>,
    scratch: &mut Vec<u8>,
    parse_number: fn(&[u8]) -> Option<T>,
) -> Parsed<Option<T>> {
    if matches!(cursor.peek(), b'-' | b'0'..=b'9') {
        return Ok(parse_number(cursor.number()?.bytes));
    }
    Ok(text(cursor, scratch)?.map(number::trim).and_then(number::parse_float_text))
}

/// Of strings and numbers, only the string `true` in any case is TRUE: Java's `Boolean.parseBoolean`.
fn boolean(cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Parsed<Option<bool>> {
    match cursor.peek() {
        b't' => cursor.literal(b"true").map(|()| Some(true)),
        b'f' => cursor.literal(b"false").map(|()| Some(false)),
        _ => Ok(scalar(cursor, scratch)?.map(|text| text.eq_ignore_ascii_case(b"true"))),
    }
}

/// A string is itself, anything else its JSON text without the whitespace between tokens.
#[inline]
fn append_text(bytes: &mut Bytes, cursor: &mut Cursor<'_>) -> Parsed {
    let start = cursor.pos;
    if cursor.peek() == b'"' {
        cursor.string()?.append_to(&mut bytes.parts);
    } else {
        cursor.skip_value()?;
        append_compact(&cursor.bytes[start..cursor.pos], &mut bytes.parts);
    }
    end_row(bytes, start)
}

#[inline]
fn end_row<P: Parts>(runs: &mut Runs<P>, position: usize) -> Parsed {
    if runs.end_row() { Ok(()) } else { Err(Fault::value(position, TOO_LARGE)) }
}

/// Copies a value that was walked over; its strings stay as they are written.
fn append_compact(json: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let start = at;
        at += 1;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => continue,
            b'"' => loop {
                at = find_special(json, at).0;
                match json.get(at) {
                    Some(b'\\') => at += 2,
                    _ => break at += 1,
                }
            },
            _ => {}
        }
        out.extend_from_slice(&json[start..at]);
    }
}

impl List {
    fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        let start = cursor.pos;
        cursor.open()?;
        let mut first = true;
        while cursor.next_element(first, b']')? {
            first = false;
            self.parts.append(cursor, rules)?;
        }
        cursor.close();
        end_row(self, start)
    }
}

impl Row {
    fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        self.fields.append_object(cursor, rules)?;
        self.validity.push_valid();
        Ok(())
    }
}

impl Map {
    fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        let start = cursor.mark();
        self.parts.append(cursor, rules, &[])?;
        let first = self.unended();
        if let Some(repeated) = self.parts.repeated_keys(first) {
            // Rare: read it again without them.
            self.parts.truncate(first);
            cursor.rewind(start);
            self.parts.append(cursor, rules, &repeated)?;
        }
        end_row(self, start.0)
    }
}

impl Entries {
    /// Appends the entries of the object under the cursor but for those at the places of `left_out`.
    fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules, left_out: &[bool]) -> Parsed {
        cursor.open()?;
        let mut place = 0;
        while cursor.next_element(place == 0, b'}')? {
            if cursor.peek() != b'"' {
                return Err(Fault::malformed(cursor.pos, "expected a key in quotes"));
            }
            let key_start = cursor.pos;
            let key = cursor.string()?;
            cursor.colon()?;
            let wanted = !left_out.get(place).copied().unwrap_or(false);
            place += 1;
            if !wanted {
                cursor.skip_value()?;
                continue;
            }
            key.append_to(&mut self.keys.parts);
            end_row(&mut self.keys, key_start)?;
            let value_start = cursor.pos;
            if self.values_required && cursor.peek() == b'n' {
                return Err(Fault::value(value_start, "a MULTISET's count can't be null"));
            }
            let appended = if self.values_required {
                self.values.append_value(cursor, rules)
            } else {
                self.values.append(cursor, rules)
            };
            appended.map_err(|fault| fault.within(&String::from_utf8_lossy(key.bytes)))?;
        }
        cursor.close();
        Ok(())
    }

    /// For each entry from `first` on, whether its key comes again later; None if no key does.
    fn repeated_keys(&self, first: usize) -> Option<Vec<bool>> {
        const FEW: usize = 8;
        let entries = self.count();
        if entries - first <= FEW {
            let distinct = (first + 1..entries).all(|b| (first..b).all(|a| self.keys.row(a) != self.keys.row(b)));
            if distinct {
                return None;
            }
        }
        let mut repeated = vec![false; entries - first];
        let mut last = HashMap::with_capacity(entries - first);
        for entry in first..entries {
            if let Some(earlier) = last.insert(self.keys.row(entry), entry) {
                repeated[earlier - first] = true;
            }
        }
        repeated.contains(&true).then_some(repeated)
    }
}
