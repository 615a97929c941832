//! The Arrow layout of every SQL type. One place: decoders, expressions, state and encoders agree by it.

use arrow_schema::{DataType as ArrowType, Field, Fields, IntervalUnit, Schema as ArrowSchema, SchemaRef, TimeUnit};
use millrace_planner::plan::Schema;
use millrace_planner::types::{DataType, TypeKind};
use std::sync::Arc;

/// The unit that a TIMESTAMP or TIMESTAMP_LTZ of this precision is kept in.
pub fn time_unit(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

pub fn arrow_type(kind: &TypeKind) -> ArrowType {
    match kind {
        TypeKind::Null => ArrowType::Null,
        TypeKind::Boolean => ArrowType::Boolean,
        TypeKind::TinyInt => ArrowType::Int8,
        TypeKind::SmallInt => ArrowType::Int16,
        TypeKind::Int => ArrowType::Int32,
        TypeKind::BigInt => ArrowType::Int64,
        TypeKind::Float => ArrowType::Float32,
        TypeKind::Double => ArrowType::Float64,
        TypeKind::Decimal { precision, scale } => ArrowType::Decimal128(*precision, *scale as i8),
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => ArrowType::Utf8,
        TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => ArrowType::Binary,
        TypeKind::Date => ArrowType::Date32,
        TypeKind::Time { .. } => ArrowType::Time32(TimeUnit::Millisecond),
        TypeKind::Timestamp { precision } => ArrowType::Timestamp(time_unit(*precision), None),
        TypeKind::TimestampLtz { precision } => ArrowType::Timestamp(time_unit(*precision), Some("UTC".into())),
        TypeKind::IntervalYearMonth => ArrowType::Interval(IntervalUnit::YearMonth),
        TypeKind::IntervalDayTime => ArrowType::Duration(TimeUnit::Millisecond),
        TypeKind::Array(element) => ArrowType::List(Arc::new(arrow_field("item", element))),
        TypeKind::Map(key, value) => {
            map_type(arrow_field("keys", key).with_nullable(false), arrow_field("values", value))
        }
        TypeKind::Multiset(element) => {
            map_type(arrow_field("keys", element).with_nullable(false), Field::new("values", ArrowType::Int32, false))
        }
        TypeKind::Row(fields) => {
            ArrowType::Struct(fields.iter().map(|f| arrow_field(&f.name, &f.data_type)).collect::<Fields>())
        }
    }
}

fn map_type(key: Field, value: Field) -> ArrowType {
    let entries = ArrowType::Struct(Fields::from(vec![key, value]));
    ArrowType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Every field of a batch in flight is nullable: NOT NULL is the planner's knowledge and the sink's check,
/// and kernels need not carry it.
pub fn arrow_field(name: &str, data_type: &DataType) -> Field {
    Field::new(name, arrow_type(&data_type.kind), true)
}

pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.columns.iter().map(|c| arrow_field(&c.name, &c.data_type)).collect::<Fields>();
    Arc::new(ArrowSchema::new(fields))
}
