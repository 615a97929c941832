//! Functions of strings. Positions and lengths count characters, from 1.

use super::call::{Arguments, Kernel};
use super::catalogue::Signature;
use datafusion_common::Result;
use datafusion_common::arrow::array::ArrayRef;
use datafusion_common::arrow::datatypes::Int32Type;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Option<Kernel> {
    Some(match signature.name {
        "UPPER" => mapped(|s| s.to_uppercase().into()),
        "LOWER" => mapped(|s| s.to_lowercase().into()),
        "INITCAP" => mapped(|s| initcap(s).into()),
        "REVERSE" => mapped(|s| s.chars().rev().collect::<String>().into()),
        "CHAR_LENGTH" => Arc::new(|a| {
            let s = a.text(0);
            a.collect::<Int32Type>(|row| Some(length(s.get(row)?)))
        }),
        "ASCII" => Arc::new(|a| {
            let s = a.text(0);
            a.collect::<Int32Type>(|row| Some(s.get(row)?.bytes().next().map_or(0, i32::from)))
        }),
        "CHR" => Arc::new(|a| {
            let n = a.long(0);
            a.collect_texts(|row| Some(chr(n.get(row)?)))
        }),
        "CONCAT" => Arc::new(concat),
        "CONCAT_WS" => Arc::new(concat_ws),
        "SUBSTRING" => Arc::new(|a| {
            let (s, position) = (a.text(0), a.int(1));
            match a.values.len() {
                2 => a.collect_texts(|row| Some(substring(s.get(row)?, position.get(row)?, i32::MAX))),
                _ => {
                    let length = a.int(2);
                    a.collect_texts(|row| {
                        let length = length.get(row)?;
                        (length >= 0).then_some(substring(s.get(row)?, position.get(row)?, length))
                    })
                }
            }
        }),
        "LEFT" => with_count(|s, n| first(s, n).into()),
        "RIGHT" => with_count(|s, n| last(s, n).into()),
        "REPEAT" => with_count(|s, n| s.repeat(n.max(0) as usize).into()),
        "BTRIM" => with_text(|s, set| s.trim_matches(|c| set.contains(c)).into()),
        "LTRIM" => with_text(|s, set| s.trim_start_matches(|c| set.contains(c)).into()),
        "RTRIM" => with_text(|s, set| s.trim_end_matches(|c| set.contains(c)).into()),
        "LPAD" => Arc::new(|a| pad(a, true)),
        "RPAD" => Arc::new(|a| pad(a, false)),
        "REPLACE" => Arc::new(|a| {
            let (s, search, replacement) = (a.text(0), a.text(1), a.text(2));
            a.collect_texts(|row| Some(s.get(row)?.replace(search.get(row)?, replacement.get(row)?)))
        }),
        "OVERLAY" => Arc::new(overlay),
        "POSITION" => Arc::new(|a| {
            let (search, s) = (a.text(0), a.text(1));
            a.collect::<Int32Type>(|row| Some(position(search.get(row)?, s.get(row)?, 1)))
        }),
        "LOCATE" => Arc::new(|a| {
            let (search, s, from) = (a.text(0), a.text(1), a.int(2));
            a.collect::<Int32Type>(|row| Some(position(search.get(row)?, s.get(row)?, from.get(row)?)))
        }),
        "STARTSWITH" => tested(|s, prefix| s.starts_with(prefix)),
        "ENDSWITH" => tested(|s, suffix| s.ends_with(suffix)),
        "SPLIT_INDEX" => Arc::new(|a| {
            let (s, delimiter, index) = (a.text(0), a.text(1), a.int(2));
            a.collect_texts(|row| split_index(s.get(row)?, delimiter.get(row)?, index.get(row)?))
        }),
        _ => return None,
    })
}

fn mapped(f: for<'a> fn(&'a str) -> Cow<'a, str>) -> Kernel {
    Arc::new(move |a| {
        let s = a.text(0);
        a.collect_texts(|row| Some(f(s.get(row)?)))
    })
}

fn with_count(f: for<'a> fn(&'a str, i32) -> Cow<'a, str>) -> Kernel {
    Arc::new(move |a| {
        let (s, n) = (a.text(0), a.int(1));
        a.collect_texts(|row| Some(f(s.get(row)?, n.get(row)?)))
    })
}

fn with_text(f: for<'a> fn(&'a str, &str) -> Cow<'a, str>) -> Kernel {
    Arc::new(move |a| {
        let (s, other) = (a.text(0), a.text(1));
        a.collect_texts(|row| Some(f(s.get(row)?, other.get(row)?)))
    })
}

fn tested(f: fn(&str, &str) -> bool) -> Kernel {
    Arc::new(move |a| {
        let (s, other) = (a.text(0), a.text(1));
        a.collect_booleans(|row| Some(f(s.get(row)?, other.get(row)?)))
    })
}

fn length(s: &str) -> i32 {
    s.chars().count() as i32
}

/// Where the character at `index`, from 0, begins; the end of `s` where it has fewer.
fn byte_at(s: &str, index: usize) -> usize {
    if s.is_ascii() {
        return index.min(s.len());
    }
    s.char_indices().nth(index).map_or(s.len(), |(at, _)| at)
}

fn first(s: &str, n: i32) -> &str {
    &s[..byte_at(s, n.max(0) as usize)]
}

fn last(s: &str, n: i32) -> &str {
    let skip = length(s).saturating_sub(n.max(0)).max(0);
    &s[byte_at(s, skip as usize)..]
}

fn substring(s: &str, position: i32, count: i32) -> &str {
    let start = match position {
        0 => 0,
        1.. => position - 1,
        _ => match length(s) + position {
            start @ 0.. => start,
            _ => return "",
        },
    };
    first(&s[byte_at(s, start as usize)..], count)
}

fn initcap(s: &str) -> String {
    let mut in_word = false;
    s.chars()
        .map(|c| {
            let first = !in_word;
            in_word = c.is_ascii_alphanumeric();
            if first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
        })
        .collect()
}

fn chr(n: i64) -> String {
    match n {
        0.. => char::from((n % 256) as u8).to_string(),
        _ => String::new(),
    }
}

fn concat(a: &Arguments) -> Result<ArrayRef> {
    let parts: Vec<_> = (0..a.values.len()).map(|argument| a.text(argument)).collect();
    a.collect_texts(|row| parts.iter().map(|part| part.get(row)).collect::<Option<String>>())
}

fn concat_ws(a: &Arguments) -> Result<ArrayRef> {
    let separator = a.text(0);
    let parts: Vec<_> = (1..a.values.len()).map(|argument| a.text(argument)).collect();
    a.collect_texts(|row| {
        let parts: Vec<&str> = parts.iter().filter_map(|part| part.get(row)).collect();
        Some(parts.join(separator.get(row)?))
    })
}

fn pad(a: &Arguments, at_start: bool) -> Result<ArrayRef> {
    let (s, length, padding) = (a.text(0), a.int(1), a.text(2));
    a.collect_texts(|row| {
        let (s, length, padding) = (s.get(row)?, length.get(row)?, padding.get(row)?);
        if length < 0 || padding.is_empty() {
            return None;
        }
        let missing = (length as usize).saturating_sub(s.chars().count());
        if missing == 0 {
            return Some(first(s, length).to_owned());
        }
        let padding: String = padding.chars().cycle().take(missing).collect();
        Some(if at_start { padding + s } else { s.to_owned() + &padding })
    })
}

fn overlay(a: &Arguments) -> Result<ArrayRef> {
    let (s, replacement, position) = (a.text(0), a.text(1), a.int(2));
    let count = (a.values.len() > 3).then(|| a.int(3));
    a.collect_texts(|row| {
        let (s, replacement, position) = (s.get(row)?, replacement.get(row)?, position.get(row)?);
        let count = match &count {
            Some(count) => count.get(row)?,
            None => length(replacement),
        };
        if position <= 0 || position > length(s) {
            return Some(s.to_owned());
        }
        let start = byte_at(s, position as usize - 1);
        // A negative length reaches to the end, as in Flink.
        let end = if count < 0 { s.len() } else { start + byte_at(&s[start..], count as usize) };
        Some(format!("{}{replacement}{}", &s[..start], &s[end..]))
    })
}

/// Of characters from 1; 0 where there is none at or after `from`.
fn position(search: &str, s: &str, from: i32) -> i32 {
    if from <= 0 || from - 1 > length(s) {
        return 0;
    }
    let start = byte_at(s, from as usize - 1);
    s[start..].find(search).map_or(0, |at| length(&s[..start + at]) + 1)
}

fn split_index<'a>(s: &'a str, delimiter: &str, index: i32) -> Option<&'a str> {
    if s.is_empty() {
        return None;
    }
    if delimiter.is_empty() {
        return (index == 0).then_some(s);
    }
    s.split(delimiter).nth(usize::try_from(index).ok()?)
}
