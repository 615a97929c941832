//! Random columns over random documents, however they are spelled, hold what `serde_json` finds at their
//! paths.

use super::{nullable, row};
use crate::decode::json::{JsonDecodeOptions, JsonDecoder};
use crate::decode::{DecodeError, Decoded, RecordDecoder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as ArrowType;
use chrono::{NaiveDate, NaiveDateTime};
use millrace_planner::types::{DataType, MAX_LENGTH, TypeKind};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const KEYS: [&str; 5] = ["a", "b", "key", "ключ", "a \"long\" key that is not remembered, because it is too long"];

/// Values of which many suit some type, and some none.
fn documents() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "",
        "12",
        " 7 ",
        "+5",
        "x",
        "true",
        "TRUE",
        "false",
        "1.5",
        "-0.005",
        "300",
        "2026-01-01 00:00:00.5",
        "2024-02-29",
        "1969-12-31 23:59:59.999",
        "2023-02-29",
        "tab\there",
        "\u{1}",
        "\\\"/",
        "é😀\u{10FFFF}",
        "sixteen bytes or more of text",
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        (-200..200i32).prop_map(|n| json!(n)),
        (-2_000_000..2_000_000i32).prop_map(|n| json!(f64::from(n) / 1000.0)),
        select(TEXTS).prop_map(|s| json!(s)),
        any::<String>().prop_map(|s| json!(s)),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        let object = prop::collection::btree_map(select(&KEYS[..]), inner.clone(), 0..5);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            2 => object.prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

fn records() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(select(&KEYS[..]), documents(), 0..6)
        .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn kinds() -> impl Strategy<Value = TypeKind> {
    let scalars = [
        TypeKind::Boolean,
        TypeKind::TinyInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Double,
        TypeKind::Decimal { precision: 5, scale: 2 },
        TypeKind::VarChar { length: MAX_LENGTH },
        TypeKind::Date,
        TypeKind::Timestamp { precision: 3 },
    ];
    prop::sample::select(scalars.to_vec()).prop_recursive(2, 8, 3, |inner| {
        let fields = prop::collection::btree_map(select(&KEYS[..]), inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|kind| TypeKind::Array(Box::new(nullable(kind)))),
            inner.prop_map(|kind| TypeKind::Map(Box::new(DataType::string()), Box::new(nullable(kind)))),
            fields.prop_map(|fields| row(&fields.into_iter().collect::<Vec<_>>())),
        ]
    })
}

type Wanted = Vec<(Vec<String>, DataType)>;

fn columns() -> impl Strategy<Value = Wanted> {
    let path = prop::collection::vec(select(&KEYS[..]).prop_map(str::to_owned), 1..4);
    prop::collection::vec((path, kinds().prop_map(nullable)), 0..6)
}

/// Decisions about spelling, used up one after the other and from the beginning again.
struct Spelling<'a> {
    choices: &'a [u8],
    at: usize,
    /// Whether keys may come twice.
    repeat: bool,
}

impl Spelling<'_> {
    fn choose(&mut self, among: u8) -> u8 {
        self.at += 1;
        self.choices.get(self.at % self.choices.len().max(1)).copied().unwrap_or(0) % among
    }

    fn space(&mut self, out: &mut String) {
        const SPACES: [&str; 8] = ["", "", "", "", " ", "\n", "\t  ", "\r\n"];
        out.push_str(SPACES[usize::from(self.choose(8))]);
    }

    fn string(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            let must = matches!(character, '"' | '\\' | '\0'..=' ') && character != ' ';
            if must || self.choose(16) == 1 {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(character);
            }
        }
        out.push('"');
    }

    fn value(&mut self, value: &Value, out: &mut String) {
        self.space(out);
        match value {
            Value::String(text) => self.string(text, out),
            Value::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    self.value(element, out);
                }
                self.space(out);
                out.push(']');
            }
            Value::Object(fields) => self.object(fields, out),
            scalar => out.push_str(&scalar.to_string()),
        }
        self.space(out);
    }

    fn object(&mut self, fields: &Map<String, Value>, out: &mut String) {
        let mut members: Vec<(&String, Value)> = fields.iter().map(|(key, value)| (key, value.clone())).collect();
        let turn = usize::from(self.choose(5)) % members.len().max(1);
        members.rotate_left(turn);
        if self.repeat && self.choose(3) == 0 {
            // The others' values come first under wrong keys, and don't count.
            let values: Vec<Value> = members.iter().rev().map(|(_, value)| value.clone()).collect();
            let repeated: Vec<_> = members.iter().map(|(key, _)| *key).zip(values).collect();
            members.splice(0..0, repeated);
        }
        out.push('{');
        for (at, (key, value)) in members.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            self.space(out);
            self.string(key, out);
            self.space(out);
            out.push(':');
            self.value(value, out);
        }
        self.space(out);
        out.push('}');
    }
}

/// What a column of this kind has to hold for a value; `Err` where it can't.
fn expected(kind: &TypeKind, value: &Value, lenient: bool) -> Result<Value, ()> {
    let inner = |data_type: &DataType, value: &Value| match expected(&data_type.kind, value, lenient) {
        Err(()) if lenient => Ok(Value::Null),
        result => result,
    };
    let text = || match value {
        Value::String(text) => Ok(text.trim_matches(|c| c <= ' ').to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(()),
    };
    let integer = |cuts: bool| match value {
        Value::Number(number) if cuts && number.is_f64() => Ok(number.as_f64().expect("a double") as i64),
        _ => text()?.parse::<i64>().map_err(drop),
    };
    let string = || value.as_str().ok_or(());
    if value.is_null() {
        return Ok(Value::Null);
    }
    Ok(match kind {
        TypeKind::Boolean => match value {
            Value::Bool(_) => value.clone(),
            _ => json!(text()?.eq_ignore_ascii_case("true")),
        },
        TypeKind::TinyInt => json!(i8::try_from(integer(false)?).map_err(drop)?),
        TypeKind::Int => json!(i32::try_from(integer(true)?).map_err(drop)?),
        TypeKind::BigInt => json!(integer(true)?),
        TypeKind::Double => json!(text()?.parse::<f64>().map_err(drop)?),
        TypeKind::Decimal { .. } => decimal_5_2(text()?.parse::<f64>().map_err(drop)?),
        TypeKind::VarChar { .. } => match value {
            Value::String(_) => value.clone(),
            other => json!(other.to_string()),
        },
        TypeKind::Date => {
            let date = NaiveDate::parse_from_str(string()?, "%Y-%m-%d").map_err(drop)?;
            json!((date - NaiveDate::default()).num_days())
        }
        TypeKind::Timestamp { .. } => {
            let time = NaiveDateTime::parse_from_str(string()?, "%Y-%m-%d %H:%M:%S%.f").map_err(drop)?;
            json!(time.and_utc().timestamp_millis())
        }
        TypeKind::Array(element) => {
            let elements = value.as_array().ok_or(())?.iter().map(|value| inner(element, value));
            Value::Array(elements.collect::<Result<_, _>>()?)
        }
        TypeKind::Map(_, entry) => {
            let entries =
                value.as_object().ok_or(())?.iter().map(|(key, value)| Ok((key.clone(), inner(entry, value)?)));
            Value::Object(entries.collect::<Result<_, ()>>()?)
        }
        TypeKind::Row(fields) => {
            let members = value.as_object().ok_or(())?;
            let fields = fields.iter().map(|field| {
                let value = members.get(&field.name).unwrap_or(&Value::Null);
                Ok((field.name.clone(), inner(&field.data_type, value)?))
            });
            Value::Object(fields.collect::<Result<_, ()>>()?)
        }
        other => unreachable!("no column is a {other}"),
    })
}

/// Rounds half up, away from zero; the documents' numbers have at most three digits behind the point, or
/// are far too large.
fn decimal_5_2(value: f64) -> Value {
    let thousandths = (value * 1000.0).round() as i128;
    let unscaled = (thousandths.abs() + 5) / 10 * thousandths.signum();
    if unscaled.abs() < 100_000 { json!(unscaled as i64) } else { Value::Null }
}

/// The same for a path into the record.
fn expected_at(path: &[String], data_type: &DataType, record: &Value, lenient: bool) -> Result<Value, ()> {
    let mut value = record;
    for step in path {
        value = match value {
            Value::Null => return Ok(Value::Null),
            Value::Object(fields) => fields.get(step).unwrap_or(&Value::Null),
            _ if lenient => return Ok(Value::Null),
            _ => return Err(()),
        };
    }
    match expected(&data_type.kind, value, lenient) {
        Err(()) if lenient => Ok(Value::Null),
        result => result,
    }
}

/// What an array holds.
fn shown(array: &ArrayRef, at: usize) -> Value {
    if array.is_null(at) {
        return Value::Null;
    }
    match array.data_type() {
        ArrowType::Boolean => json!(array.as_boolean().value(at)),
        ArrowType::Int8 => json!(array.as_primitive::<Int8Type>().value(at)),
        ArrowType::Int32 => json!(array.as_primitive::<Int32Type>().value(at)),
        ArrowType::Int64 => json!(array.as_primitive::<Int64Type>().value(at)),
        ArrowType::Float64 => json!(array.as_primitive::<Float64Type>().value(at)),
        ArrowType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value(at) as i64),
        ArrowType::Utf8 => json!(array.as_string::<i32>().value(at)),
        ArrowType::Date32 => json!(array.as_primitive::<Date32Type>().value(at)),
        ArrowType::Timestamp(..) => json!(array.as_primitive::<TimestampMillisecondType>().value(at)),
        ArrowType::List(_) => {
            let elements = array.as_list::<i32>().value(at);
            (0..elements.len()).map(|element| shown(&elements, element)).collect()
        }
        ArrowType::Map(..) => {
            let entries = array.as_map().value(at);
            let keys = entries.column(0).as_string::<i32>();
            let object: Map<_, _> = (0..entries.len())
                .map(|entry| (keys.value(entry).to_owned(), shown(entries.column(1), entry)))
                .collect();
            assert_eq!(object.len(), entries.len(), "no key comes twice");
            Value::Object(object)
        }
        ArrowType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), shown(column, at))).collect()
        }
        other => unreachable!("no column is {other}"),
    }
}

/// Equal, but for the spelling of JSON that became a string.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) if a != b => {
            let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
            parse(a).is_some_and(|a| parse(b).is_some_and(|b| same(&a, &b)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn columns_hold_what_stands_at_their_paths(
        columns in columns(),
        records in prop::collection::vec(records(), 1..8),
        choices in prop::collection::vec(any::<u8>(), 0..64),
        lenient in any::<bool>(),
    ) {
        let options = JsonDecodeOptions { ignore_parse_errors: lenient, ..Default::default() };
        let mut decoder = JsonDecoder::new(&columns, options).expect("supported columns");
        let mut spelling = Spelling { choices: &choices, at: 0, repeat: lenient };
        let mut rows = Vec::new();
        for record in records {
            let mut document = String::new();
            let record = Value::Object(record);
            spelling.value(&record, &mut document);
            prop_assert_eq!(&serde_json::from_str::<Value>(&document).expect("a document of ours"), &record);

            let expected = columns.iter().map(|(path, data_type)| expected_at(path, data_type, &record, lenient));
            match (expected.collect::<Result<Vec<_>, ()>>(), decoder.decode(Some(document.as_bytes()))) {
                // Some rows are taken back.
                (Ok(_), Ok(Decoded::Row)) if spelling.choose(4) == 1 => decoder.truncate(rows.len()),
                (Ok(row), Ok(Decoded::Row)) => rows.push(row),
                (Err(()), Err(DecodeError::Value { .. })) => {}
                (expected, decoded) => prop_assert!(false, "{document}: {expected:?}, but {decoded:?}"),
            }
            prop_assert_eq!(decoder.rows(), rows.len());
        }
        let arrays = decoder.finish();
        for (column, array) in arrays.iter().enumerate() {
            prop_assert_eq!(array.len(), rows.len());
            for (at, row) in rows.iter().enumerate() {
                let found = shown(array, at);
                prop_assert!(same(&found, &row[column]), "{:?}: {found} is not {}", columns[column], row[column]);
            }
        }
    }
}
