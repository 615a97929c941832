//! Frozen vectors, round trips and the order of keys.

use super::*;
use arrow_array::*;
use proptest::prelude::*;
use std::sync::Arc;

fn types(kinds: &[TypeKind]) -> Vec<DataType> {
    kinds.iter().cloned().map(DataType::nullable).collect()
}

fn encode(types: &[DataType], columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let mut encoder = KeyEncoder::new(types).unwrap();
    let keys = encoder.encode(columns, columns[0].len()).unwrap();
    keys.iter().map(<[u8]>::to_vec).collect()
}

fn string() -> TypeKind {
    TypeKind::VarChar { length: millrace_planner::types::MAX_LENGTH }
}

/// One column of each type, with values that show every rule of the encoding.
fn vector_columns() -> Vec<(TypeKind, ArrayRef)> {
    vec![
        (TypeKind::Null, Arc::new(NullArray::new(1)) as ArrayRef),
        (TypeKind::Boolean, Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]))),
        (TypeKind::TinyInt, Arc::new(Int8Array::from(vec![Some(-128), Some(0), None]))),
        (TypeKind::SmallInt, Arc::new(Int16Array::from(vec![-1, 1]))),
        (TypeKind::Int, Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(7), None]))),
        (TypeKind::BigInt, Arc::new(Int64Array::from(vec![Some(-1), Some(0), Some(1), None]))),
        (TypeKind::Float, Arc::new(Float32Array::from(vec![-1.5, -0.0, 0.0, f32::NAN]))),
        (TypeKind::Double, Arc::new(Float64Array::from(vec![-1.5, -0.0, f64::INFINITY, -f64::NAN]))),
        (
            TypeKind::Decimal { precision: 18, scale: 2 },
            Arc::new(Decimal128Array::from(vec![-1, 12345]).with_data_type(ArrowType::Decimal128(18, 2))),
        ),
        (
            TypeKind::Decimal { precision: 38, scale: 0 },
            Arc::new(Decimal128Array::from(vec![-1, 12345]).with_data_type(ArrowType::Decimal128(38, 0))),
        ),
        (string(), Arc::new(StringArray::from(vec![Some(""), Some("a\0b"), Some("Zürich"), None]))),
        (TypeKind::VarBinary { length: 9 }, Arc::new(BinaryArray::from(vec![Some(&[0u8, 255][..]), None]))),
        (TypeKind::Date, Arc::new(Date32Array::from(vec![20_000]))),
        (TypeKind::Time { precision: 0 }, Arc::new(Time32MillisecondArray::from(vec![86_399_999]))),
        (TypeKind::Timestamp { precision: 3 }, Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_000]))),
        (
            TypeKind::TimestampLtz { precision: 6 },
            Arc::new(TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC")),
        ),
        (TypeKind::Timestamp { precision: 9 }, Arc::new(TimestampNanosecondArray::from(vec![5]))),
        (TypeKind::IntervalYearMonth, Arc::new(IntervalYearMonthArray::from(vec![-12]))),
        (TypeKind::IntervalDayTime, Arc::new(DurationMillisecondArray::from(vec![1000]))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn keys_and_hashes_are_those_of_the_frozen_vectors() {
    let mut lines = String::new();
    for (kind, column) in vector_columns() {
        for (row, key) in encode(&types(std::slice::from_ref(&kind)), &[column]).iter().enumerate() {
            lines += &format!("{kind} {row} {} {:016x}\n", hex(key), hash(key));
        }
    }
    let columns: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![Some(42), None])),
        Arc::new(StringArray::from(vec![Some("user"), Some("")])),
        Arc::new(BooleanArray::from(vec![true, false])),
    ];
    for (row, key) in encode(&types(&[TypeKind::BigInt, string(), TypeKind::Boolean]), &columns).iter().enumerate() {
        lines += &format!("BIGINT,STRING,BOOLEAN {row} {} {:016x}\n", hex(key), hash(key));
    }
    lines += &format!("(none) 0 {} {:016x}\n", hex(&[KEY_VERSION]), hash(&[KEY_VERSION]));
    let frozen: String = include_str!("vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(lines, frozen, "the key encoding is persisted: a change of it needs a new KEY_VERSION");
}

#[test]
fn every_type_comes_back_from_its_key() {
    for (kind, column) in vector_columns() {
        let types = types(std::slice::from_ref(&kind));
        let keys = encode(&types, std::slice::from_ref(&column));
        let decoded =
            KeyDecoder::new(&types).unwrap().decode(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        // Through the encoding again: NaN and -0.0 come back as the one that stands for all.
        assert_eq!(encode(&types, &decoded), keys, "{kind}");
        if !kind.is_approximate() {
            assert_eq!(&decoded[0], &column, "{kind}");
        }
    }
}

#[test]
fn nested_keys_are_refused_by_name() {
    let kind = TypeKind::Array(Box::new(DataType::nullable(TypeKind::Int)));
    let error = KeyEncoder::new(&types(&[kind])).err().expect("no encoding for arrays");
    assert_eq!(error.to_string(), "a key of type ARRAY<INT> is not supported yet");
}

#[test]
fn bytes_that_are_no_key_are_an_error() {
    let decoder = KeyDecoder::new(&types(&[TypeKind::BigInt, string()])).unwrap();
    let whole = encode(
        &types(&[TypeKind::BigInt, string()]),
        &[Arc::new(Int64Array::from(vec![1])) as ArrayRef, Arc::new(StringArray::from(vec!["a\0b"]))],
    );
    for length in 0..whole[0].len() {
        assert!(decoder.decode(&[&whole[0][..length]]).is_err(), "the first {length} bytes");
    }
    assert!(decoder.decode(&[&[whole[0].as_slice(), &[0]].concat()]).is_err(), "one byte more");
}

#[test]
fn key_groups_cover_every_task_once() {
    for parallelism in [1, 2, 3, 7, 12, 100, 1000, 1024] {
        for task in 0..parallelism {
            for group in key_groups_of(task, parallelism) {
                assert_eq!(task_of(group, parallelism), task, "group {group} of {parallelism} tasks");
            }
        }
        let covered: usize = (0..parallelism).map(|task| key_groups_of(task, parallelism).len()).sum();
        assert_eq!(covered, usize::from(KEY_GROUPS));
    }
}

type Row = (Option<i64>, Option<String>, Option<i32>, Option<Vec<u8>>);

fn row() -> impl Strategy<Value = Row> {
    let text = "[\u{0}-\u{2}a-cü]{0,4}";
    (
        prop::option::of(-2i64..3),
        prop::option::of(text),
        prop::option::of(any::<i32>()),
        prop::option::of(prop::collection::vec(prop::sample::select(vec![0u8, 1, 254, 255]), 0..4)),
    )
}

proptest! {
    #[test]
    fn keys_order_as_their_rows_do_and_decode_to_them(mut rows in prop::collection::vec(row(), 1..60)) {
        rows.sort();
        let types = types(&[TypeKind::BigInt, string(), TypeKind::Int, TypeKind::VarBinary { length: 9 }]);
        let columns: [ArrayRef; 4] = [
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.3.as_deref()).collect::<BinaryArray>()),
        ];
        let keys = encode(&types, &columns);
        prop_assert!(keys.is_sorted());
        for pair in keys.windows(2).zip(rows.windows(2)) {
            prop_assert_eq!(pair.0[0] == pair.0[1], pair.1[0] == pair.1[1]);
        }
        let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(KeyDecoder::new(&types).unwrap().decode(&keys).unwrap(), columns.to_vec());
    }

    #[test]
    fn doubles_order_as_numbers_with_nan_last(a in any::<f64>(), b in any::<f64>()) {
        let keys = encode(&types(&[TypeKind::Double]), &[Arc::new(Float64Array::from(vec![a, b])) as ArrayRef]);
        let expected = match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap(),
            (a, b) => a.cmp(&b),
        };
        prop_assert_eq!(keys[0].cmp(&keys[1]), expected);
    }
}
