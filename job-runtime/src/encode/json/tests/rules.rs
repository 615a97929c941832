//! How each type is written, rule by rule.

use crate::encode::EncodedRows;
use crate::encode::json::{JsonEncodeOptions, JsonEncoder, TimestampFormat};
use crate::schema::arrow_schema;
use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_schema::{DataType as ArrowType, Field, Fields};
use millrace_planner::plan::{Column, Schema};
use millrace_planner::types::{DataType, MAX_LENGTH, RowField, TypeKind};
use std::sync::Arc;

const STRING: TypeKind = TypeKind::VarChar { length: MAX_LENGTH };

fn schema(columns: Vec<(&str, TypeKind)>) -> Schema {
    let column = |(name, kind): (&str, TypeKind)| Column { name: name.to_owned(), data_type: DataType::nullable(kind) };
    Schema { columns: columns.into_iter().map(column).collect() }
}

fn encode_with(columns: Vec<(&str, TypeKind, ArrayRef)>, options: JsonEncodeOptions) -> Vec<String> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().map(|(n, k, a)| ((n, k), a)).unzip();
    let schema = schema(fields);
    let rows = RecordBatch::try_new(arrow_schema(&schema), arrays).expect("columns of one length");
    let mut out = EncodedRows::default();
    JsonEncoder::new(&schema, options)
        .expect("a supported schema")
        .encode(&rows, &mut out)
        .expect("rows that can be written");
    out.iter().map(|row| String::from_utf8(row.to_vec()).expect("UTF-8")).collect()
}

/// What is written for each value of a single column.
fn values(kind: TypeKind, array: impl Array + 'static, options: JsonEncodeOptions) -> Vec<String> {
    let rows = encode_with(vec![("v", kind, Arc::new(array))], options);
    rows.iter().map(|row| row[5..row.len() - 1].to_owned()).collect()
}

#[test]
fn fields_stand_in_the_order_of_the_schema_and_nulls_are_written() {
    let columns = || -> Vec<(&str, TypeKind, ArrayRef)> {
        vec![
            ("b", TypeKind::BigInt, Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
            ("a\"", STRING, Arc::new(StringArray::from(vec![None, Some("x")]))),
            ("c", TypeKind::Boolean, Arc::new(BooleanArray::from(vec![true, false]))),
        ]
    };
    assert_eq!(
        encode_with(columns(), JsonEncodeOptions::default()),
        [r#"{"b":-9223372036854775808,"a\"":null,"c":true}"#, r#"{"b":null,"a\"":"x","c":false}"#]
    );
    let options = JsonEncodeOptions { ignore_null_fields: true, ..Default::default() };
    assert_eq!(encode_with(columns(), options), [r#"{"b":-9223372036854775808,"c":true}"#, r#"{"a\"":"x","c":false}"#]);
}

#[test]
fn doubles_look_as_java_prints_them() {
    let cases = [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.001, "0.001"),
        (0.00123, "0.00123"),
        (0.0009, "9.0E-4"),
        (123456.789, "123456.789"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (1.5e10, "1.5E10"),
        (1.234567890123e20, "1.234567890123E20"),
        (f64::MAX, "1.7976931348623157E308"),
        (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
        (5e-324, "4.9E-324"),
        (1e-323, "9.9E-324"),
        (2e23, "2.0E23"),
        (100.0, "100.0"),
        (f64::NAN, "\"NaN\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ];
    let (numbers, texts): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(values(TypeKind::Double, Float64Array::from(numbers), Default::default()), texts);
    let floats = Float32Array::from(vec![0.1, 1e10, 16777216.0, f32::MIN_POSITIVE, 1e-45, f32::INFINITY]);
    let texts = ["0.1", "1.0E10", "1.6777216E7", "1.1754944E-38", "1.4E-45", "\"Infinity\""];
    assert_eq!(values(TypeKind::Float, floats, Default::default()), texts);
}

#[test]
fn decimals_look_as_big_decimals_or_plain() {
    let numbers = vec![12345, -5, 0, 100, 27];
    let decimals =
        |scale| Decimal128Array::from(numbers.clone()).with_precision_and_scale(20, scale).expect("in range");
    let kind = |scale| TypeKind::Decimal { precision: 20, scale };
    let plain = || JsonEncodeOptions { decimal_as_plain_number: true, ..Default::default() };
    assert_eq!(values(kind(2), decimals(2), Default::default()), ["123.45", "-0.05", "0", "1", "0.27"]);
    assert_eq!(values(kind(0), decimals(0), Default::default()), ["12345", "-5", "0", "1E+2", "27"]);
    assert_eq!(values(kind(9), decimals(9), Default::default()), ["0.000012345", "-5E-9", "0", "1E-7", "2.7E-8"]);
    let thousands = Decimal128Array::from(vec![-12300, 1_000_000]).with_precision_and_scale(20, 1).expect("in range");
    assert_eq!(values(kind(1), thousands, Default::default()), ["-1.23E+3", "1E+5"]);
    assert_eq!(values(kind(2), decimals(2), plain()), ["123.45", "-0.05", "0.00", "1.00", "0.27"]);
    assert_eq!(
        values(kind(9), decimals(9), plain())[1..],
        ["-0.000000005", "0.000000000", "0.000000100", "0.000000027"]
    );
}

#[test]
fn strings_are_escaped_as_little_as_json_allows() {
    let text = "plain/é😀\u{7f}\u{2028}\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f} and a long tail without anything";
    let written = "\"plain/é😀\u{7f}\u{2028}\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F and a long tail without anything\"";
    assert_eq!(values(STRING, StringArray::from(vec![text, ""]), Default::default()), [written, "\"\""]);
    let bytes: Vec<&[u8]> = vec![b"", &[0], &[0xFB, 0xFF], &[0, 1, 2]];
    let kind = TypeKind::VarBinary { length: MAX_LENGTH };
    let written = [r#""""#, r#""AA==""#, r#""+/8=""#, r#""AAEC""#];
    assert_eq!(values(kind, BinaryArray::from(bytes), Default::default()), written);
}

#[test]
fn times_have_a_fraction_only_where_it_is_not_zero() {
    let iso = || JsonEncodeOptions { timestamp_format: TimestampFormat::Iso8601, ..Default::default() };
    let millis = || vec![1_767_225_600_000, 1_767_225_600_120, -1, 253_402_300_800_000, -62_198_755_200_001];
    let kind = TypeKind::Timestamp { precision: 3 };
    let written = [
        "\"2026-01-01 00:00:00\"",
        "\"2026-01-01 00:00:00.12\"",
        "\"1969-12-31 23:59:59.999\"",
        "\"+10000-01-01 00:00:00\"",
        "\"-0002-12-31 23:59:59.999\"",
    ];
    assert_eq!(values(kind.clone(), TimestampMillisecondArray::from(millis()), Default::default()), written);
    assert_eq!(values(kind, TimestampMillisecondArray::from(millis()), iso())[0], "\"2026-01-01T00:00:00\"");

    let instants = TimestampMicrosecondArray::from(vec![1, -1_000_000]).with_timezone("UTC");
    let kind = TypeKind::TimestampLtz { precision: 6 };
    assert_eq!(
        values(kind.clone(), instants.clone(), Default::default()),
        ["\"1970-01-01 00:00:00.000001Z\"", "\"1969-12-31 23:59:59Z\""]
    );
    assert_eq!(values(kind, instants, iso())[0], "\"1970-01-01T00:00:00.000001Z\"");
    let nanos = TimestampNanosecondArray::from(vec![i64::MIN, i64::MAX]);
    let written = ["\"1677-09-21 00:12:43.145224192\"", "\"2262-04-11 23:47:16.854775807\""];
    assert_eq!(values(TypeKind::Timestamp { precision: 9 }, nanos, Default::default()), written);

    let dates = Date32Array::from(vec![0, 11_016, -719_529]);
    let written = ["\"1970-01-01\"", "\"2000-02-29\"", "\"-0001-12-31\""];
    assert_eq!(values(TypeKind::Date, dates, Default::default()), written);
    let times = Time32MillisecondArray::from(vec![0, 86_399_999, 3_600_010]);
    let written = ["\"00:00:00\"", "\"23:59:59.999\"", "\"01:00:00.01\""];
    assert_eq!(values(TypeKind::Time { precision: 3 }, times, Default::default()), written);
}

#[test]
fn arrays_and_rows_nest_and_slices_are_respected() {
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1)]);
    lists.append_value([Some(2), None]);
    lists.append_null();
    lists.append_value([]);
    let kind = TypeKind::Array(Box::new(DataType::nullable(TypeKind::Int)));
    let sliced = lists.finish().slice(1, 3);
    assert_eq!(values(kind, sliced, Default::default()), ["[2,null]", "null", "[]"]);

    let fields = vec![RowField { name: "x".into(), data_type: DataType::nullable(TypeKind::Int) }];
    let row = |array: ArrayRef, nulls: Vec<bool>| {
        let fields = Fields::from(vec![Field::new("x", ArrowType::Int32, true)]);
        StructArray::new(fields, vec![array], Some(nulls.into()))
    };
    let rows = row(Arc::new(Int32Array::from(vec![Some(9), Some(1), None, Some(3)])), vec![true, true, true, false]);
    let sliced = rows.slice(1, 3);
    assert_eq!(
        values(TypeKind::Row(fields.clone()), sliced.clone(), Default::default()),
        [r#"{"x":1}"#, r#"{"x":null}"#, "null"]
    );
    let options = JsonEncodeOptions { ignore_null_fields: true, ..Default::default() };
    let columns: Vec<(&str, TypeKind, ArrayRef)> = vec![("v", TypeKind::Row(fields), Arc::new(sliced))];
    assert_eq!(encode_with(columns, options), [r#"{"v":{"x":1}}"#, r#"{"v":{}}"#, "{}"]);
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let mut encoder = JsonEncoder::new(&schema(vec![("v", STRING)]), Default::default()).expect("a supported schema");
    let rows =
        RecordBatch::try_from_iter([("v", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).expect("one column");
    let error = encoder.encode(&rows, &mut EncodedRows::default()).expect_err("an INT is no STRING");
    assert_eq!(error.to_string(), "encode JSON: the column's data is Int32, which is not how a STRING is kept");
}
