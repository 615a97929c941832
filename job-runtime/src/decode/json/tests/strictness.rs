//! What is JSON and what is not: the same as for `serde_json`, in parts that are read and in parts that are
//! skipped. The only difference allowed: a number too large for a double is JSON.

use super::{decoder, nullable, row};
use crate::decode::json::string::{find_special, portable};
use crate::decode::json::{JsonDecodeOptions, JsonDecoder};
use crate::decode::{DecodeError, Decoded, RecordDecoder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use millrace_planner::types::{DataType, MAX_LENGTH, TypeKind};
use serde_json::Value;
use std::path::Path;

const STRING: TypeKind = TypeKind::VarChar { length: MAX_LENGTH };

/// The document's value, or None if it is no JSON.
fn oracle(document: &[u8]) -> Option<Option<Value>> {
    match serde_json::from_slice(document) {
        Ok(value) => Some(Some(value)),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(None),
    }
}

/// Decoders that read different parts of a document. None of them fails for a value's type.
fn readers() -> Vec<JsonDecoder> {
    let lenient = JsonDecodeOptions { ignore_parse_errors: true, ..Default::default() };
    let list = |kind| TypeKind::Array(Box::new(nullable(kind)));
    let map = |kind| TypeKind::Map(Box::new(DataType::string()), Box::new(nullable(kind)));
    vec![
        decoder(&[], lenient),
        decoder(
            &[("a", TypeKind::BigInt), ("b", STRING), ("c.a", TypeKind::Double), ("c.b", TypeKind::Boolean)],
            lenient,
        ),
        decoder(
            &[("a", STRING), ("b", list(STRING)), ("c", map(STRING)), ("v", row(&[("a", list(TypeKind::Int))]))],
            lenient,
        ),
        decoder(
            &[("v", list(map(STRING))), ("c", STRING), ("s", STRING), ("c.v", TypeKind::Timestamp { precision: 3 })],
            lenient,
        ),
    ]
}

/// Fails unless every reader takes the document exactly if it is a JSON object.
fn check(readers: &mut [JsonDecoder], document: &[u8]) {
    let shown = || String::from_utf8_lossy(document).into_owned();
    let Some(expected) = oracle(document) else { return };
    let expected = if matches!(expected, Some(Value::Object(_))) { Decoded::Row } else { Decoded::Skipped };
    for reader in readers {
        assert_eq!(reader.decode(Some(document)).expect("errors are ignored"), expected, "{}", shown());
    }
}

#[test]
fn the_end_of_a_string_is_found_alike_by_all_scanners() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let length = random.below(70);
        let text: Vec<u8> =
            (0..length).map(|_| if random.below(8) == 0 { random.below(256) as u8 } else { b'x' }).collect();
        let from = random.below(length + 1);
        let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
        let end = text[from..].iter().position(special).map_or(length, |at| from + at);
        let expected = (end, !text[from..end].is_ascii());
        assert_eq!(find_special(&text, from), expected, "{text:?} from {from}");
        assert_eq!(portable::find_special(&text, from), expected, "{text:?} from {from}");
    }
}

#[test]
fn every_document_of_the_corpus_is_taken_or_refused_as_its_folder_says() {
    let corpus = Path::new("src/decode/json/tests/corpus");
    let mut count = 0;
    for (folder, accepted) in [("accept", true), ("reject", false)] {
        for entry in std::fs::read_dir(corpus.join(folder)).expect("the corpus is part of the sources") {
            let path = entry.expect("a file").path();
            let document = std::fs::read(&path).expect("a readable file");
            let verdict = oracle(&document).is_none_or(|value| value.is_some());
            assert_eq!(verdict, accepted, "serde_json on {}", path.display());
            let mut plain = decoder(&[], JsonDecodeOptions::default());
            let malformed = matches!(plain.decode(Some(&document)), Err(DecodeError::Malformed { .. }));
            assert_eq!(malformed, !accepted, "{}", path.display());
            // And in every place inside of a record.
            for (before, after) in [
                ("{\"x\":", "}"),
                ("{\"b\":", ",\"a\":1}"),
                ("{\"v\":[[", "]]}"),
                ("{\"s\": ", " }"),
                ("{\"c\":{\"a\":", "}}"),
            ] {
                check(&mut readers(), &[before.as_bytes(), &document, after.as_bytes()].concat());
            }
            count += 1;
        }
    }
    assert!(count > 150, "only {count} documents");
}

#[test]
fn nesting_is_limited_where_serde_json_limits_it() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [125, 126, 127, 128, 400] {
            let nested = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
            check(&mut readers(), nested.as_bytes());
        }
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&mut readers(), deep.as_bytes());
}

#[test]
fn mutated_documents_are_taken_exactly_if_serde_json_takes_them() {
    const ROUNDS: usize = 100_000;
    let seed = std::env::var("MILLRACE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_101);
    println!("MILLRACE_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    let mut readers = readers();
    for round in 0..ROUNDS {
        let mut document = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            mutate(&mut document, &mut random);
        }
        // The readers stay, so that what they remember of earlier documents is tried on later ones.
        check(&mut readers, &document);
        if let Some(Some(Value::Object(fields))) = oracle(&document) {
            check_values(&mut readers[1], &fields);
        }
        if round % 512 == 0 {
            readers.iter_mut().for_each(|reader| drop(reader.finish()));
        }
    }
}

/// The last row's values of the second reader.
fn check_values(reader: &mut JsonDecoder, fields: &serde_json::Map<String, Value>) {
    let columns = reader.finish();
    let last = columns[0].len() - 1;
    let at = |column: &ArrayRef| column.is_valid(last);
    if let Some(Value::Number(number)) = fields.get("a") {
        let expected = number.as_i64().or_else(|| number.as_f64().filter(|f| f.abs() < 9e18).map(|f| f as i64));
        if number.as_i64().is_some() || number.is_f64() && expected.is_some() {
            assert_eq!(
                at(&columns[0]).then(|| columns[0].as_primitive::<Int64Type>().value(last)),
                expected,
                "{fields:?}"
            );
        }
    }
    let text = columns[1].as_string::<i32>();
    match fields.get("b") {
        None | Some(Value::Null) => assert!(!at(&columns[1])),
        Some(Value::String(string)) => assert_eq!(text.value(last), string),
        Some(other) => assert_eq!(&serde_json::from_str::<Value>(text.value(last)).expect("its JSON text"), other),
    }
    if let Some(double) = fields.get("c").and_then(|c| c.get("a")).and_then(Value::as_f64) {
        // serde_json may be off in the last place, where its `float_roundtrip` is not switched on.
        let distance = columns[2].as_primitive::<Float64Type>().value(last).to_bits().abs_diff(double.to_bits());
        assert!(distance <= 1, "{fields:?}");
    }
    if let Some(boolean) = fields.get("c").and_then(|c| c.get("b")).and_then(Value::as_bool) {
        assert_eq!(columns[3].as_boolean().value(last), boolean);
    }
}

const SEEDS: &[&str] = &[
    r#"{"a":1,"b":"two","c":{"a":3.5,"b":true,"v":"2026-01-01 00:00:00.123"},"v":[{"k":"v"},{}],"s":null}"#,
    r#"{ "b" : "\u00e9\n😀" , "a" : -12 , "x" : [ 1 , [ ] , { } , "\ud83d\ude00" ] , "c" : { "b" : false } }"#,
    r#"{"x":{"a":[true,false,null],"b":"a \"quoted\" string that is longer than sixteen bytes"},"a":1e3,"b":[1,{"c":"d"}]}"#,
    r#"{"c":{"a":-0.0,"b":"true"},"a":9223372036854775807,"s":"ünïcödé in a longer string","b":{"x":[1.5E-7]}}"#,
    r#"{"event_type":2,"person":null,"auction":null,"a":1000,"bid":{"auction":1000,"bidder":1001,"extra":"abcdefghijklmnopqrstuvwxyz"}}"#,
    "{}",
    "[1]",
    "{\n\t\"a\": 0,\r\n\t\"v\": [ ],\n\t\"c\": { \"a\": 12345678901234567890, \"b\": null }\n}\n",
];

/// Changes a few bytes, preferring those that mean something.
fn mutate(document: &mut Vec<u8>, random: &mut Random) {
    const TOKENS: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\\",
        b" ",
        b"\t",
        b"\0",
        b"0",
        b"-",
        b"1",
        b".",
        b"e",
        b"+",
        b"null",
        b"true",
        b"false",
        b"\\u",
        b"\\ud800",
        b"\\u0061",
        b"\x7f",
        b"\x1f",
        b"\xc3",
        b"\xa9",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"\"a\":",
        b",\"b\":",
        b"{\"a\":1}",
        b"1e400",
        b"99999999999999999999",
        b"\\n",
        b"n",
    ];
    let at = random.below(document.len() + 1);
    let token = TOKENS[random.below(TOKENS.len())];
    match random.below(6) {
        0 => drop(document.splice(at..at, token.iter().copied())),
        1 if at < document.len() => {
            document.splice(at..at + 1, token.iter().copied());
        }
        2 if at < document.len() => drop(document.remove(at)),
        3 => document.truncate(at),
        4 => {
            let from = random.below(document.len() + 1);
            let part = document[from..(from + random.below(20)).min(document.len())].to_vec();
            document.splice(at..at, part);
        }
        _ if at < document.len() => document[at] ^= 1 << random.below(8),
        _ => {}
    }
}

/// Splitmix: any seed will do.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
