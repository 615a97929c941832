//! Frozen vectors, round trips, and bytes that are no row.

use super::*;
use crate::schema::arrow_schema;
use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::*;
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take_record_batch;
use millrace_planner::plan::{Column, Schema};
use millrace_planner::types::{DataType, RowField, TypeKind};
use proptest::prelude::*;
use std::sync::Arc;

fn string() -> TypeKind {
    TypeKind::VarChar { length: millrace_planner::types::MAX_LENGTH }
}

fn nullable(kind: TypeKind) -> Box<DataType> {
    Box::new(DataType::nullable(kind))
}

/// A column of each type, three rows; the last is all NULL.
fn columns() -> Vec<(TypeKind, ArrayRef)> {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("x"), None, Some("")]);
    list.append_value([None::<&str>; 0]);
    list.append_null();
    let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
    for entries in [&[("a", Some(1)), ("b", None)][..], &[]] {
        for (key, value) in entries {
            map.keys().append_value(key);
            map.values().append_option(*value);
        }
        map.append(true).unwrap();
    }
    map.append(false).unwrap();
    let field = |name: &str, kind: TypeKind| RowField { name: name.into(), data_type: DataType::nullable(kind) };
    let row = TypeKind::Row(vec![field("f", TypeKind::Int), field("g", string())]);
    let fields: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None, None])),
        Arc::new(StringArray::from(vec![None, Some("g"), None])),
    ];
    let ArrowType::Struct(row_fields) = crate::schema::arrow_type(&row) else { unreachable!("a ROW is a Struct") };
    let row_array = StructArray::new(row_fields, fields, Some(NullBuffer::from(vec![true, true, false])));
    vec![
        (TypeKind::Null, Arc::new(NullArray::new(3)) as ArrayRef),
        (TypeKind::Boolean, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        (TypeKind::TinyInt, Arc::new(Int8Array::from(vec![Some(-1), Some(7), None]))),
        (TypeKind::SmallInt, Arc::new(Int16Array::from(vec![Some(-2), Some(258), None]))),
        (TypeKind::Int, Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(1), None]))),
        (TypeKind::BigInt, Arc::new(Int64Array::from(vec![Some(-1), Some(1), None]))),
        (TypeKind::Float, Arc::new(Float32Array::from(vec![Some(-0.0), Some(1.5), None]))),
        (TypeKind::Double, Arc::new(Float64Array::from(vec![Some(f64::INFINITY), Some(-1.5), None]))),
        (
            TypeKind::Decimal { precision: 12, scale: 2 },
            Arc::new(
                Decimal128Array::from(vec![Some(-1), Some(12345), None]).with_data_type(ArrowType::Decimal128(12, 2)),
            ),
        ),
        (string(), Arc::new(StringArray::from(vec![Some(""), Some("Zürich\0"), None]))),
        (TypeKind::VarBinary { length: 9 }, Arc::new(BinaryArray::from(vec![Some(&[0u8, 255][..]), Some(b""), None]))),
        (TypeKind::Date, Arc::new(Date32Array::from(vec![Some(20_000), Some(-1), None]))),
        (
            TypeKind::Time { precision: 0 },
            Arc::new(Time32MillisecondArray::from(vec![Some(86_399_999), Some(0), None])),
        ),
        (
            TypeKind::Timestamp { precision: 3 },
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_700_000_000_000), Some(-1), None])),
        ),
        (
            TypeKind::TimestampLtz { precision: 6 },
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(-1), None]).with_timezone("UTC")),
        ),
        (TypeKind::IntervalYearMonth, Arc::new(IntervalYearMonthArray::from(vec![Some(-12), Some(1), None]))),
        (TypeKind::IntervalDayTime, Arc::new(DurationMillisecondArray::from(vec![Some(1000), Some(-1), None]))),
        (TypeKind::Array(nullable(string())), Arc::new(list.finish())),
        (TypeKind::Map(nullable(string()), nullable(TypeKind::Int)), Arc::new(map.finish())),
        (row, Arc::new(row_array)),
    ]
}

fn batch(columns: Vec<(TypeKind, ArrayRef)>) -> RecordBatch {
    let column =
        |(kind, _): &(TypeKind, ArrayRef)| Column { name: "c".into(), data_type: DataType::nullable(kind.clone()) };
    let schema = arrow_schema(&Schema { columns: columns.iter().map(column).collect() });
    let arrays = columns.into_iter().zip(schema.fields()).map(|((_, array), field)| {
        // Builders name and mark inner fields in ways of their own.
        arrow_cast::cast(&array, field.data_type()).expect("only fields differ")
    });
    let arrays = arrays.collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

fn written(rows: &RecordBatch) -> Vec<Vec<u8>> {
    let writer = RowWriter::new(rows).unwrap();
    let row = |row| {
        let mut bytes = Vec::new();
        writer.write(row, &mut bytes);
        bytes
    };
    (0..rows.num_rows()).map(row).collect()
}

fn read<'a>(schema: SchemaRef, rows: impl IntoIterator<Item = &'a [u8]>) -> crate::error::Result<RecordBatch> {
    let mut reader = RowReader::new(schema)?;
    rows.into_iter().try_for_each(|row| reader.read(row))?;
    reader.finish()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn rows_of_every_type_have_the_bytes_that_they_always_had() {
    let actual: Vec<String> = columns()
        .into_iter()
        .map(|(kind, array)| {
            let rows = written(&batch(vec![(kind.clone(), array)]));
            format!("{kind}: {}", rows.iter().map(|row| hex(row)).collect::<Vec<_>>().join(" "))
        })
        .collect();
    let expected = include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#'));
    assert_eq!(actual, expected.collect::<Vec<_>>(), "{}", actual.join("\n"));
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        picked in prop::collection::vec(prop::option::of(0u32..3), 0..40),
        (skip, columns_used) in (0usize..20, prop::collection::vec(any::<bool>(), 20)),
    ) {
        let columns = columns().into_iter().zip(columns_used).filter(|(_, used)| *used).map(|(column, _)| column);
        let all = batch(columns.collect());
        prop_assume!(all.num_columns() > 0);
        let rows = take_record_batch(&all, &UInt32Array::from(picked)).unwrap();
        let rows = rows.slice(skip.min(rows.num_rows()), rows.num_rows() - skip.min(rows.num_rows()));
        let bytes = written(&rows);
        prop_assert_eq!(read(rows.schema(), bytes.iter().map(Vec::as_slice)).unwrap(), rows);
    }

    #[test]
    fn bytes_that_are_no_row_are_an_error(
        row in 0usize..3,
        (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        cut in any::<bool>(),
    ) {
        let rows = batch(columns());
        let mut bytes = written(&rows)[row].clone();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        // Another value may come of it, but no panic.
        let result = read(rows.schema(), [bytes.as_slice()]);
        prop_assert!(!cut || result.is_err());
    }
}

#[test]
fn rows_without_columns_count() {
    let schema = Arc::new(arrow_schema::Schema::empty());
    let row = [ROW_VERSION];
    assert_eq!(read(schema, [&row[..], &row[..]]).unwrap().num_rows(), 2);
}
