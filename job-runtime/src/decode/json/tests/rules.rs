//! What a value means to a column, rule by rule.

use super::{decode_all, decode_value, decoder, nullable, row};
use crate::decode::json::{JsonDecodeOptions, JsonDecoder, TimestampFormat};
use crate::decode::{DecodeError, Decoded, RecordDecoder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef};
use millrace_planner::types::{DataType, MAX_LENGTH, TypeKind};

const STRING: TypeKind = TypeKind::VarChar { length: MAX_LENGTH };

/// The value of the only row, or why there is none: `None` is NULL.
fn int(kind: TypeKind, value: &str) -> Result<Option<i64>, String> {
    let array = decode_value(kind.clone(), value).map_err(|e| e.to_string())?;
    Ok((!array.is_null(0)).then(|| match kind {
        TypeKind::BigInt => array.as_primitive::<Int64Type>().value(0),
        TypeKind::SmallInt => array.as_primitive::<Int16Type>().value(0).into(),
        _ => array.as_primitive::<Int32Type>().value(0).into(),
    }))
}

fn string(value: &str) -> String {
    decode_value(STRING, value).expect("a string takes everything").as_string::<i32>().value(0).to_owned()
}

fn decimal(value: &str) -> Option<i128> {
    let array = decode_value(TypeKind::Decimal { precision: 5, scale: 2 }, value).expect("a number");
    array.is_valid(0).then(|| array.as_primitive::<Decimal128Type>().value(0))
}

#[test]
fn integers_are_exact_to_the_ends_of_their_range_and_an_error_beyond() {
    assert_eq!(int(TypeKind::BigInt, "9223372036854775807"), Ok(Some(i64::MAX)));
    assert_eq!(int(TypeKind::BigInt, "-9223372036854775808"), Ok(Some(i64::MIN)));
    assert!(int(TypeKind::BigInt, "9223372036854775808").is_err());
    assert!(int(TypeKind::BigInt, "-9223372036854775809").is_err());
    assert_eq!(int(TypeKind::Int, "2147483647"), Ok(Some(2_147_483_647)));
    assert!(int(TypeKind::Int, "2147483648").is_err());
    assert_eq!(int(TypeKind::SmallInt, "-32768"), Ok(Some(-32768)));
    assert!(int(TypeKind::SmallInt, "-32769").is_err());
    assert_eq!(int(TypeKind::BigInt, "-0"), Ok(Some(0)));
}

#[test]
fn int_and_bigint_cut_fractions_off_and_smallint_refuses_them() {
    assert_eq!(int(TypeKind::Int, "-1.9"), Ok(Some(-1)));
    assert_eq!(int(TypeKind::BigInt, "1e3"), Ok(Some(1000)));
    assert!(int(TypeKind::BigInt, "1e19").is_err());
    assert!(int(TypeKind::SmallInt, "1.0").is_err());
}

#[test]
fn numbers_are_read_from_strings_by_javas_rules() {
    assert_eq!(int(TypeKind::BigInt, r#"" +12 ""#), Ok(Some(12)));
    assert_eq!(int(TypeKind::Int, r#""\u0031\u0032""#), Ok(Some(12)));
    assert_eq!(int(TypeKind::Int, r#""007""#), Ok(Some(7)));
    for wrong in [r#""""#, r#""1.5""#, r#""1 2""#, r#""-""#, "true", "[]", "{}"] {
        assert!(int(TypeKind::Int, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn floating_point_numbers_are_the_nearest_ones() {
    let double = |value: &str| decode_value(TypeKind::Double, value).map(|a| a.as_primitive::<Float64Type>().value(0));
    for text in ["0.1", "1", "-0.0", "123456.789", "9007199254740993", "5e-324", "1.7976931348623157e308", "1E5"] {
        let value = double(text).expect("a number");
        assert_eq!(value.to_bits(), text.parse::<f64>().expect("a number").to_bits(), "{text}");
    }
    assert!(double("1e400").is_err());
    assert!(double(r#""NaN""#).expect("a word of Java's").is_nan());
    assert_eq!(double(r#""-Infinity""#), Ok(f64::NEG_INFINITY));
    assert_eq!(double(r#"" 1.5e1 ""#), Ok(15.0));
    assert!(double(r#""inf""#).is_err());
    let float = decode_value(TypeKind::Float, "16777217.0").expect("a number");
    assert_eq!(float.as_primitive::<Float32Type>().value(0), 16_777_216.0);
}

#[test]
fn decimals_round_half_up_and_are_null_beyond_their_precision() {
    assert_eq!(decimal("1.005"), Some(101));
    assert_eq!(decimal("-1.005"), Some(-101));
    assert_eq!(decimal("1.00499999"), Some(100));
    assert_eq!(decimal("0.005"), Some(1));
    assert_eq!(decimal("0.0049"), Some(0));
    assert_eq!(decimal("999.99"), Some(99999));
    assert_eq!(decimal("999.995"), None);
    assert_eq!(decimal("1000"), None);
    assert_eq!(decimal("1e2"), Some(10000));
    assert_eq!(decimal("12345E-4"), Some(123));
    assert_eq!(decimal("1e-999999999999"), Some(0));
    assert_eq!(decimal("0e999999999999"), Some(0));
    assert_eq!(decimal(r#"".5""#), Some(50));
    assert_eq!(decimal(r#"" +5. ""#), Some(500));
    assert!(decode_value(TypeKind::Decimal { precision: 5, scale: 2 }, r#""1.2.3""#).is_err());
}

#[test]
fn booleans_come_as_words_and_every_string_but_true_is_false() {
    let boolean = |value: &str| decode_value(TypeKind::Boolean, value).map(|a| a.as_boolean().value(0));
    assert_eq!(boolean("true"), Ok(true));
    assert_eq!(boolean("false"), Ok(false));
    assert_eq!(boolean(r#"" TRUE ""#), Ok(true));
    assert_eq!(boolean(r#""yes""#), Ok(false));
    assert_eq!(boolean("1"), Ok(false));
    assert!(boolean("[]").is_err());
}

#[test]
fn strings_are_unescaped_and_other_values_become_their_compact_text() {
    assert_eq!(string(r#""a\n\"\\\/\b\f\r\té\u00e9\ud83d\ude00""#), "a\n\"\\/\u{8}\u{c}\r\té\u{e9}😀");
    assert_eq!(string("12.50"), "12.50");
    assert_eq!(string("true"), "true");
    assert_eq!(string(r#"{ "a" : [ 1 , " x \" y " ] }"#), r#"{"a":[1," x \" y "]}"#);
    assert_eq!(string("[ ]"), "[]");
}

#[test]
fn timestamps_keep_what_their_precision_says() {
    let millis = |value: &str| {
        decode_value(TypeKind::Timestamp { precision: 3 }, value)
            .map(|a| a.as_primitive::<TimestampMillisecondType>().value(0))
    };
    assert_eq!(millis(r#""2026-01-01 00:00:00.123""#), Ok(1_767_225_600_123));
    assert_eq!(millis(r#""2026-01-01 00:00:00""#), Ok(1_767_225_600_000));
    assert_eq!(millis(r#""2026-01-01 00:00:00.1239999""#), Ok(1_767_225_600_123));
    assert_eq!(millis(r#""2026-01-01 00:00:00.1""#), Ok(1_767_225_600_100));
    assert_eq!(millis(r#""1969-12-31 23:59:59.999""#), Ok(-1));
    assert_eq!(millis(r#""\u0031970-01-01 00:00:01""#), Ok(1000));
    for wrong in [
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-02-29 00:00:00",
        "2026-13-01 00:00:00",
        "2026-00-01 00:00:00",
        "2026-01-00 00:00:00",
        "2026-01-01 24:00:00",
        "2026-01-01 00:60:00",
        "2026-01-01 00:00:60",
        "2026-01-01 00:00",
        "2026-01-01",
        "",
        "x",
        "2026-01-01 00:00:00.12x",
        "2026-01-0: 00:00:00",
        "2026-04-31 00:00:00",
        " 2026-01-01 00:00:00",
    ] {
        assert!(millis(&format!("\"{wrong}\"")).is_err(), "{wrong}");
    }
    assert!(millis("1767225600123").is_err());

    let micros =
        decode_value(TypeKind::Timestamp { precision: 6 }, r#""1969-12-31 23:59:59.999999""#).expect("a timestamp");
    assert_eq!(micros.as_primitive::<TimestampMicrosecondType>().value(0), -1);
    let nanos = |value: &str| {
        decode_value(TypeKind::Timestamp { precision: 9 }, value)
            .map(|a| a.as_primitive::<TimestampNanosecondType>().value(0))
    };
    assert_eq!(nanos(r#""1677-09-21 00:12:43.145224192""#), Ok(i64::MIN));
    assert!(nanos(r#""1677-09-21 00:12:43.145224191""#).is_err());
    assert_eq!(nanos(r#""2262-04-11 23:47:16.854775807""#), Ok(i64::MAX));
    assert!(nanos(r#""2262-04-11 23:47:16.854775808""#).is_err());
}

#[test]
fn instants_end_in_z_and_iso_8601_has_a_t() {
    let instant = |format, value: &str| {
        let options = JsonDecodeOptions { timestamp_format: format, ..Default::default() };
        let mut decoder = decoder(&[("v", TypeKind::TimestampLtz { precision: 3 })], options);
        decoder.decode(Some(format!("{{\"v\":\"{value}\"}}").as_bytes()))?;
        Ok::<_, DecodeError>(decoder.finish()[0].as_primitive::<TimestampMillisecondType>().value(0))
    };
    assert_eq!(instant(TimestampFormat::Sql, "1970-01-01 00:00:01.5Z"), Ok(1500));
    assert_eq!(instant(TimestampFormat::Sql, "1970-01-01 00:00:01.500Z"), Ok(1500));
    assert!(instant(TimestampFormat::Sql, "1970-01-01 00:00:01").is_err());
    assert_eq!(instant(TimestampFormat::Iso8601, "1970-01-01T00:00:01.500Z"), Ok(1500));
    assert_eq!(instant(TimestampFormat::Iso8601, "1970-01-01T00:01Z"), Ok(60_000));
    assert!(instant(TimestampFormat::Iso8601, "1970-01-01 00:00:01Z").is_err());
}

#[test]
fn dates_and_times_are_days_and_milliseconds() {
    let date = |value: &str| decode_value(TypeKind::Date, value).map(|a| a.as_primitive::<Date32Type>().value(0));
    assert_eq!(date(r#""1970-01-01""#), Ok(0));
    assert_eq!(date(r#""2000-02-29""#), Ok(11_016));
    assert_eq!(date(r#""0000-01-01""#), Ok(-719_528));
    assert_eq!(date(r#""-0001-01-01""#), Ok(-719_893));
    assert_eq!(date(r#""+10000-01-01""#), Ok(2_932_897));
    for wrong in [r#""1900-02-29""#, r#""+2000-01-01""#, r#""20000-01-01""#, r#""2000-1-01""#, r#""2000-01-01 ""#, "5"]
    {
        assert!(date(wrong).is_err(), "{wrong}");
    }
    let time = |precision, value: &str| {
        decode_value(TypeKind::Time { precision }, value).map(|a| a.as_primitive::<Time32MillisecondType>().value(0))
    };
    assert_eq!(time(0, r#""01:02:03.999""#), Ok(3_723_000));
    assert_eq!(time(3, r#""01:02:03.999""#), Ok(3_723_999));
    assert!(time(0, r#""01:02""#).is_err());
}

#[test]
fn binary_is_padded_base64() {
    let binary = |value: &str| {
        decode_value(TypeKind::VarBinary { length: MAX_LENGTH }, value).map(|a| a.as_binary::<i32>().value(0).to_vec())
    };
    assert_eq!(binary(r#""""#), Ok(vec![]));
    assert_eq!(binary(r#""AA==""#), Ok(vec![0]));
    assert_eq!(binary(r#""+/8=""#), Ok(vec![0xFB, 0xFF]));
    assert_eq!(binary(r#""AAEC""#), Ok(vec![0, 1, 2]));
    for wrong in [r#""AA""#, r#""AA=A""#, r#""A===""#, r#""AA-_""#, r#""AA==AAAA""#, "1"] {
        assert!(binary(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nested_types_nest() {
    let kind = TypeKind::Array(Box::new(nullable(row(&[
        ("a", TypeKind::Int),
        ("m", TypeKind::Map(Box::new(DataType::string()), Box::new(nullable(TypeKind::Int)))),
    ]))));
    let array = decode_all(
        kind,
        &[
            r#"{"v":[{"a":1,"m":{"x":1,"y":null}},null,{"m":{}}]}"#,
            r#"{"v":[]}"#,
            r#"{"v":null}"#,
            r#"{"v":[{"a":2}]}"#,
        ],
    );
    let array = array.expect("valid documents");
    let lists = array.as_list::<i32>();
    assert_eq!(lists.value_offsets(), [0, 3, 3, 3, 4]);
    assert!(lists.is_null(2) && lists.is_valid(1));
    let rows = lists.values().as_struct();
    assert!(rows.is_null(1));
    assert_eq!(rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, None, Some(2)]);
    let maps = rows.column(1).as_map();
    assert_eq!(maps.value_offsets(), [0, 2, 2, 2, 2]);
    assert_eq!(maps.keys().as_string::<i32>().value(1), "y");
    assert!(maps.values().is_null(1) && maps.is_null(3));
}

#[test]
fn of_a_key_that_comes_twice_the_last_value_counts() {
    assert_eq!(int(TypeKind::Int, r#"1,"v":2"#), Ok(Some(2)));
    assert_eq!(int(TypeKind::Int, r#"1,"\u0076":null"#), Ok(None));
    let kind = TypeKind::Map(Box::new(DataType::string()), Box::new(nullable(TypeKind::Int)));
    let maps = decode_value(kind, r#"{"a":1,"b":2,"a":3,"b":4,"c":5}"#).expect("a map");
    let maps = maps.as_map();
    assert_eq!(maps.keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(maps.values().as_primitive::<Int32Type>().values(), &[3, 4, 5]);
}

#[test]
fn paths_share_objects_and_may_overlap() {
    let bid = row(&[("price", TypeKind::BigInt), ("auction", TypeKind::BigInt)]);
    let columns =
        [("bid.price", TypeKind::BigInt), ("bid", bid), ("id", TypeKind::Int), ("bid.price", STRING), ("bid", STRING)];
    let mut decoder = decoder(&columns, JsonDecodeOptions::default());
    for document in [r#"{"id":1,"bid":{"auction":5,"price":7}}"#, r#"{"bid":null,"id":2}"#, "{}"] {
        assert_eq!(decoder.decode(Some(document.as_bytes())), Ok(Decoded::Row));
    }
    assert_eq!(decoder.rows(), 3);
    let columns = decoder.finish();
    let ints = |array: &ArrayRef| array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(ints(&columns[0]), [Some(7), None, None]);
    assert_eq!(ints(columns[1].as_struct().column(1)), [Some(5), None, None]);
    assert_eq!(columns[1].null_count(), 2);
    assert_eq!(columns[3].as_string::<i32>().value(0), "7");
    assert_eq!(columns[4].as_string::<i32>().value(0), r#"{"auction":5,"price":7}"#);
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn tombstones_and_null_documents_are_no_rows() {
    let mut decoder = decoder(&[("v", TypeKind::Int)], JsonDecodeOptions::default());
    assert_eq!(decoder.decode(None), Ok(Decoded::Skipped));
    assert_eq!(decoder.decode(Some(b" null ")), Ok(Decoded::Skipped));
    assert!(decoder.decode(Some(b"")).is_err());
    assert!(decoder.decode(Some(b"[]")).is_err());
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn a_missing_field_fails_its_record_where_the_table_says_so() {
    let options = JsonDecodeOptions { fail_on_missing_field: true, ..Default::default() };
    let mut decoder = decoder(&[("a.b", TypeKind::Int)], options);
    assert_eq!(decoder.decode(Some(br#"{"a":null}"#)), Ok(Decoded::Row));
    let error = decoder.decode(Some(br#"{"a":{}}"#)).expect_err("b is missing");
    assert_eq!(error.to_string(), "field a.b: the field is missing");
    assert!(decoder.decode(Some(b"{}")).is_err());
    assert_eq!(decoder.rows(), 1);
}

#[test]
fn an_error_names_the_field_and_shows_the_value() {
    let mut decoder = decoder(&[("bid", row(&[("price", TypeKind::BigInt)]))], JsonDecodeOptions::default());
    let error = decoder.decode(Some(br#"{"bid":{"price":"dear"}}"#)).expect_err("no number");
    assert_eq!(error.to_string(), r#"field bid.price: "dear" is not a valid BIGINT"#);
    let error = decoder.decode(Some(br#"{"bid" 1}"#)).expect_err("no JSON");
    assert_eq!(error.to_string(), "not valid JSON at byte 7: expected a colon behind the key");
}

#[test]
fn a_record_that_fails_leaves_nothing_behind() {
    let list = TypeKind::Array(Box::new(nullable(STRING)));
    let mut decoder = decoder(&[("s", STRING), ("l", list), ("n", TypeKind::Int)], JsonDecodeOptions::default());
    let good = br#"{"s":"one","l":["x",null],"n":1}"#;
    for bad in [r#"{"s":"two","l":["y","z"],"n":{}}"#, r#"{"s":null,"l":["y","#, r#"{"n":null,"s":"x"}}"#] {
        decoder.decode(Some(good)).expect("valid");
        assert!(decoder.decode(Some(bad.as_bytes())).is_err(), "{bad}");
    }
    assert_eq!(decoder.rows(), 3);
    let columns = decoder.finish();
    assert_eq!(columns[0].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["one"; 3]);
    assert_eq!(columns[1].as_list::<i32>().value_offsets(), [0, 2, 4, 6]);
    assert_eq!(columns[2].null_count(), 0);
}

#[test]
fn ignored_errors_make_the_innermost_value_null_and_skip_what_is_not_json() {
    let options = JsonDecodeOptions { ignore_parse_errors: true, ..Default::default() };
    let list = TypeKind::Array(Box::new(nullable(TypeKind::Int)));
    let mut decoder = decoder(&[("a.b", TypeKind::Int), ("l", list)], options);
    for document in [r#"{"a":5,"l":[1,"x",{"y":[]},2]}"#, r#"{"a":{"b":"?"},"l":{}}"#] {
        assert_eq!(decoder.decode(Some(document.as_bytes())), Ok(Decoded::Row), "{document}");
    }
    for document in [r#"{"a":{"b":"?"},"l":[1,}"#, "", "[1]", "{} {}"] {
        assert_eq!(decoder.decode(Some(document.as_bytes())), Ok(Decoded::Skipped), "{document}");
    }
    let columns = decoder.finish();
    assert_eq!(columns[0].null_count(), 2);
    let lists = columns[1].as_list::<i32>();
    assert_eq!(lists.value_offsets(), [0, 4, 4]);
    let elements: Vec<_> = lists.values().as_primitive::<Int32Type>().iter().collect();
    assert_eq!(elements, [Some(1), None, None, Some(2)]);
}

#[test]
fn keys_in_any_order_spelling_and_number_are_found() {
    let names: Vec<String> = (0..300).map(|n| format!("field{n}")).collect();
    let columns: Vec<_> = names.iter().map(|n| (vec![n.clone()], nullable(TypeKind::Int))).collect();
    let mut decoder = JsonDecoder::new(&columns, JsonDecodeOptions::default()).expect("supported columns");
    let long = "x".repeat(100);
    for round in 0..20 {
        let mut document = String::from("{");
        for n in 0..300 {
            let n = (n * (2 * round + 1) * 7 + round) % 300;
            let space = " ".repeat(n * round % 3);
            document += &format!("\"{}\"{space}:{space}{n}{space},{space}\"{long}{n}\":[{n}],\"u{n}\":{{}},", names[n]);
        }
        document += "\"last\":0}";
        assert_eq!(decoder.decode(Some(document.as_bytes())), Ok(Decoded::Row));
    }
    for (n, column) in decoder.finish().iter().enumerate() {
        let decoded = column.as_primitive::<Int32Type>();
        assert!((0..20).all(|row| decoded.is_null(row) || decoded.value(row) == n as i32), "field{n}");
        assert!(decoded.is_valid(0));
    }
}

#[test]
fn what_follows_an_unremembered_key_needs_its_comma_and_the_first_key_none() {
    let long = "x".repeat(100);
    let mut decoder = decoder(&[("b", TypeKind::Int)], JsonDecodeOptions::default());
    for valid in [format!(r#"{{"{long}":1,"b":2}}"#), r#"{"b":2}"#.into(), format!(r#"{{"{long}":1,"b":2}}"#)] {
        assert_eq!(decoder.decode(Some(valid.as_bytes())), Ok(Decoded::Row));
    }
    for invalid in
        [format!(r#"{{"{long}":1"b":2}}"#), r#"{,"b":2}"#.into(), r#"{"b":2,}"#.into(), r#"{"b":2"b":2}"#.into()]
    {
        assert!(decoder.decode(Some(invalid.as_bytes())).is_err(), "{invalid}");
    }
}

#[test]
fn maps_with_other_keys_than_strings_are_refused_when_the_decoder_is_made() {
    let kind = TypeKind::Map(Box::new(nullable(TypeKind::Int)), Box::new(nullable(TypeKind::Int)));
    assert!(JsonDecoder::new(&[(vec!["m".into()], nullable(kind))], JsonDecodeOptions::default()).is_err());
    let both = JsonDecodeOptions { fail_on_missing_field: true, ignore_parse_errors: true, ..Default::default() };
    assert!(JsonDecoder::new(&[], both).is_err());
}
