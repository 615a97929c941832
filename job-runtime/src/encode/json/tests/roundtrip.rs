//! Rows of random schemas are the same after a trip through JSON, and `serde_json` reads in it what they
//! were made of.

use crate::decode::json::{JsonDecodeOptions, JsonDecoder, TimestampFormat};
use crate::decode::{Decoded, RecordDecoder};
use crate::encode::EncodedRows;
use crate::encode::json::{JsonEncodeOptions, JsonEncoder};
use crate::schema::arrow_schema;
use arrow_array::RecordBatch;
use millrace_planner::plan::{Column, Schema};
use millrace_planner::types::{DataType, MAX_LENGTH, RowField, TypeKind};
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

/// Every type that JSON can hold, nested up to three levels deep.
fn kinds() -> impl Strategy<Value = TypeKind> {
    let scalar = prop_oneof![
        Just(TypeKind::Boolean),
        Just(TypeKind::TinyInt),
        Just(TypeKind::SmallInt),
        Just(TypeKind::Int),
        Just(TypeKind::BigInt),
        Just(TypeKind::Float),
        Just(TypeKind::Double),
        (1..=38u8)
            .prop_flat_map(|p| (Just(p), 0..=p))
            .prop_map(|(precision, scale)| TypeKind::Decimal { precision, scale }),
        Just(TypeKind::VarChar { length: MAX_LENGTH }),
        Just(TypeKind::VarBinary { length: MAX_LENGTH }),
        Just(TypeKind::Date),
        (0..=9u8).prop_map(|precision| TypeKind::Time { precision }),
        (0..=9u8).prop_map(|precision| TypeKind::Timestamp { precision }),
        (0..=9u8).prop_map(|precision| TypeKind::TimestampLtz { precision }),
        Just(TypeKind::IntervalYearMonth),
        Just(TypeKind::IntervalDayTime),
        Just(TypeKind::Multiset(Box::new(DataType::string()))),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let field = ("[a-d\"é ]{1,3}", inner.clone());
        prop_oneof![
            inner.clone().prop_map(|kind| TypeKind::Array(Box::new(DataType::nullable(kind)))),
            inner.prop_map(|kind| TypeKind::Map(Box::new(DataType::string()), Box::new(DataType::nullable(kind)))),
            prop::collection::vec(field, 0..4).prop_map(|mut fields| {
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                fields.dedup_by(|(a, _), (b, _)| a == b);
                TypeKind::Row(
                    fields
                        .into_iter()
                        .map(|(name, kind)| RowField { name, data_type: DataType::nullable(kind) })
                        .collect(),
                )
            }),
        ]
    })
}

/// A value of the type as JSON, NULL now and then.
fn value(kind: &TypeKind) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 5 => not_null(kind)].boxed()
}

fn not_null(kind: &TypeKind) -> BoxedStrategy<Value> {
    let nanos = any::<i64>().prop_map(|n| n / 10);
    match kind {
        TypeKind::Null => Just(Value::Null).boxed(),
        TypeKind::Boolean => any::<bool>().prop_map(|b| json!(b)).boxed(),
        TypeKind::TinyInt => any::<i8>().prop_map(|n| json!(n)).boxed(),
        TypeKind::SmallInt => any::<i16>().prop_map(|n| json!(n)).boxed(),
        TypeKind::Int | TypeKind::IntervalYearMonth => any::<i32>().prop_map(|n| json!(n)).boxed(),
        TypeKind::BigInt | TypeKind::IntervalDayTime => any::<i64>().prop_map(|n| json!(n)).boxed(),
        TypeKind::Float => {
            any::<f32>().prop_map(|n| if n.is_finite() { json!(n.to_string()) } else { json!("NaN") }).boxed()
        }
        TypeKind::Double => {
            any::<f64>().prop_map(|n| if n.is_finite() { json!(n) } else { json!("-Infinity") }).boxed()
        }
        TypeKind::Decimal { scale, .. } => {
            let scale = *scale;
            any::<i128>()
                .prop_flat_map(move |n| (Just(n), 0..128u32))
                .prop_map(move |(n, shift)| json!(format!("{}e-{scale}", n >> shift)))
                .boxed()
        }
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => any::<String>().prop_map(|s| json!(s)).boxed(),
        TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => {
            "([A-Za-z0-9+/]{4}){0,9}([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?".prop_map(|s| json!(s)).boxed()
        }
        TypeKind::Date => nanos.prop_map(|n| json!(instant(n).format("%Y-%m-%d").to_string())).boxed(),
        TypeKind::Time { .. } => nanos.prop_map(|n| json!(instant(n).format("%H:%M:%S%.9f").to_string())).boxed(),
        TypeKind::Timestamp { .. } => {
            nanos.prop_map(|n| json!(instant(n).format("%Y-%m-%d %H:%M:%S%.9f").to_string())).boxed()
        }
        TypeKind::TimestampLtz { .. } => {
            nanos.prop_map(|n| json!(instant(n).format("%Y-%m-%d %H:%M:%S%.9fZ").to_string())).boxed()
        }
        TypeKind::Array(element) => prop::collection::vec(value(&element.kind), 0..5).prop_map(Value::Array).boxed(),
        TypeKind::Map(_, entry) => object(value(&entry.kind)),
        TypeKind::Multiset(_) => object(any::<i32>().prop_map(|n| json!(n)).boxed()),
        TypeKind::Row(fields) => {
            let mut row = Just(Map::new()).boxed();
            for field in fields {
                let name = field.name.clone();
                row = (row, value(&field.data_type.kind))
                    .prop_map(move |(mut row, value)| {
                        row.insert(name.clone(), value);
                        row
                    })
                    .boxed();
            }
            row.prop_map(Value::Object).boxed()
        }
    }
}

fn object(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::btree_map(any::<String>(), values, 0..12)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
        .boxed()
}

fn instant(nanos: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_nanos(nanos)
}

fn encode_options() -> impl Strategy<Value = JsonEncodeOptions> {
    let formats = Union::new([Just(TimestampFormat::Sql), Just(TimestampFormat::Iso8601)]);
    (formats, any::<bool>(), any::<bool>()).prop_map(
        |(timestamp_format, decimal_as_plain_number, ignore_null_fields)| JsonEncodeOptions {
            timestamp_format,
            decimal_as_plain_number,
            ignore_null_fields,
            ..Default::default()
        },
    )
}

fn decode(kind: &TypeKind, documents: &[Vec<u8>], timestamp_format: TimestampFormat) -> RecordBatch {
    let columns = [(vec!["v".to_owned()], DataType::nullable(kind.clone()))];
    let options = JsonDecodeOptions { timestamp_format, ..Default::default() };
    let mut decoder = JsonDecoder::new(&columns, options).expect("a supported type");
    for document in documents {
        let decoded = decoder.decode(Some(document));
        assert_eq!(decoded, Ok(Decoded::Row), "{kind}: {}", String::from_utf8_lossy(document));
    }
    RecordBatch::try_new(arrow_schema(&schema(kind)), decoder.finish()).expect("the column of the schema")
}

fn schema(kind: &TypeKind) -> Schema {
    Schema { columns: vec![Column { name: "v".to_owned(), data_type: DataType::nullable(kind.clone()) }] }
}

/// Whether a value can be compared as it is: the others have more than one spelling.
fn has_one_spelling(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Boolean | TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => true,
        TypeKind::VarChar { .. } | TypeKind::Date | TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime => true,
        TypeKind::Array(element) | TypeKind::Map(_, element) => has_one_spelling(&element.kind),
        TypeKind::Multiset(_) => true,
        TypeKind::Row(fields) => fields.iter().all(|field| has_one_spelling(&field.data_type.kind)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rows_are_the_same_after_a_trip_through_json(
        (kind, values) in kinds().prop_flat_map(|kind| {
            let values = prop::collection::vec(value(&kind), 1..12);
            (Just(kind), values)
        }),
        options in encode_options(),
    ) {
        let documents: Vec<_> = values.iter().map(|v| json!({ "v": v }).to_string().into_bytes()).collect();
        let rows = decode(&kind, &documents, TimestampFormat::Sql);
        let mut out = EncodedRows::default();
        let mut encoder = JsonEncoder::new(&schema(&kind), options.clone()).expect("a supported type");
        encoder.encode(&rows, &mut out).expect("rows that can be written");

        let written: Vec<_> = out.iter().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(&decode(&kind, &written, options.timestamp_format), &rows);
        for (written, value) in written.iter().zip(&values) {
            let read: Value = serde_json::from_slice(written).expect("JSON");
            if has_one_spelling(&kind) && !options.ignore_null_fields {
                prop_assert_eq!(&read["v"], value);
            }
        }
        // Slices are written like the rows they are of.
        let from = rows.num_rows() / 2;
        out.clear();
        encoder.encode(&rows.slice(from, rows.num_rows() - from), &mut out).expect("rows that can be written");
        prop_assert!(out.iter().eq(written[from..].iter().map(Vec::as_slice)));
    }
}
