//! Columns under construction: values and validity in plain vectors, which become Arrow arrays without a
//! copy. Any row at the end can be taken back. Not here: where the values come from (`read.rs`).

use super::fields::Fields;
use super::runs::{Bytes, Parts, Rows, Runs};
use super::time::TimestampLayout;
use super::validity::Validity;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{ArrayRef, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StructArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use millrace_planner::types::TypeKind;
use std::mem;
use std::sync::Arc;

/// One column, or one level of a nested one.
pub(super) struct Column {
    pub(super) kind: TypeKind,
    pub(super) arrow_type: ArrowType,
    pub(super) storage: Storage,
}

pub(super) enum Storage {
    Null(NullRows),
    /// One byte a value; packed at the end.
    Boolean(Values<bool>),
    TinyInt(Values<i8>),
    SmallInt(Values<i16>),
    Int(Values<i32>),
    BigInt(Values<i64>),
    Float(Values<f32>),
    Double(Values<f64>),
    Decimal {
        values: Values<i128>,
        precision: u8,
        scale: u8,
    },
    Text(Bytes),
    Binary(Bytes),
    Date(Values<i32>),
    Time {
        values: Values<i32>,
        precision: u8,
    },
    Timestamp {
        values: Values<i64>,
        layout: TimestampLayout,
    },
    List(List),
    Map(Map),
    Row(Row),
}

/// A column of the type NULL.
#[derive(Default)]
pub(super) struct NullRows(usize);

pub(super) struct Row {
    pub(super) validity: Validity,
    pub(super) fields: Box<Fields>,
}

pub(super) type List = Runs<Box<Column>>;
pub(super) type Map = Runs<Entries>;

pub(super) struct Entries {
    pub(super) keys: Bytes,
    pub(super) values: Box<Column>,
    /// A MULTISET's counts can't be NULL.
    pub(super) values_required: bool,
}

#[derive(Default)]
pub(super) struct Values<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T: Copy + Default> Values<T> {
    #[inline(always)]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
        self.validity.push_valid();
    }

    /// The next batch will be about as long.
    fn take(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let room = Vec::with_capacity(self.values.len());
        (mem::replace(&mut self.values, room), self.validity.take())
    }
}

impl<T: Copy + Default> Rows for Values<T> {
    fn rows(&self) -> usize {
        self.validity.rows()
    }

    fn append_null(&mut self) {
        self.values.push(T::default());
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    fn memory_bytes(&self) -> usize {
        self.values.len() * size_of::<T>() + self.validity.memory_bytes()
    }
}

impl<T: ArrowNativeType> Values<T> {
    fn finish<P: ArrowPrimitiveType<Native = T>>(&mut self, arrow_type: &ArrowType) -> ArrayRef {
        let (values, nulls) = self.take();
        let array = PrimitiveArray::<P>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(arrow_type.clone()))
    }
}

impl Parts for Box<Column> {
    fn count(&self) -> usize {
        self.rows()
    }

    fn truncate(&mut self, count: usize) {
        Column::truncate(self, count);
    }

    fn memory_bytes(&self) -> usize {
        Column::memory_bytes(self)
    }
}

impl Parts for Entries {
    fn count(&self) -> usize {
        self.keys.rows()
    }

    fn truncate(&mut self, count: usize) {
        self.keys.truncate(count);
        self.values.truncate(count);
    }

    fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes() + self.values.memory_bytes()
    }
}

impl Rows for NullRows {
    fn rows(&self) -> usize {
        self.0
    }

    fn append_null(&mut self) {
        self.0 += 1;
    }

    fn truncate(&mut self, rows: usize) {
        self.0 = self.0.min(rows);
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

impl Rows for Row {
    fn rows(&self) -> usize {
        self.validity.rows()
    }

    fn append_null(&mut self) {
        self.fields.append_null();
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows);
        self.fields.truncate(rows);
    }

    fn memory_bytes(&self) -> usize {
        self.validity.memory_bytes() + self.fields.memory_bytes()
    }
}

impl Map {
    fn finish(&mut self, arrow_type: &ArrowType) -> ArrayRef {
        let ArrowType::Map(entries_field, sorted) = arrow_type else { unreachable!("a MAP is an Arrow map") };
        let ArrowType::Struct(entry_fields) = entries_field.data_type() else { unreachable!("entries are a struct") };
        let columns = vec![self.parts.keys.finish_text(), self.parts.values.finish()];
        let entries = StructArray::new(entry_fields.clone(), columns, None);
        let (offsets, nulls) = self.take();
        Arc::new(MapArray::new(entries_field.clone(), offsets, entries, nulls, *sorted))
    }
}

/// The rows of a storage, whatever they are of.
macro_rules! rows {
    ($storage:expr) => {
        match $storage {
            Storage::Null(rows) => rows,
            Storage::Boolean(values) => values,
            Storage::TinyInt(values) => values,
            Storage::SmallInt(values) => values,
            Storage::Int(values) | Storage::Date(values) | Storage::Time { values, .. } => values,
            Storage::BigInt(values) | Storage::Timestamp { values, .. } => values,
            Storage::Float(values) => values,
            Storage::Double(values) => values,
            Storage::Decimal { values, .. } => values,
            Storage::Text(bytes) | Storage::Binary(bytes) => bytes,
            Storage::List(list) => list,
            Storage::Map(map) => map,
            Storage::Row(row) => row,
        }
    };
}

impl Storage {
    fn rows(&self) -> &dyn Rows {
        rows!(self)
    }

    fn rows_mut(&mut self) -> &mut dyn Rows {
        rows!(self)
    }
}

impl Column {
    pub(super) fn rows(&self) -> usize {
        self.storage.rows().rows()
    }

    pub(super) fn append_null(&mut self) {
        self.storage.rows_mut().append_null();
    }

    /// Keeps the first `rows` rows. Also takes back what a row that failed halfway has left behind.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.storage.rows_mut().truncate(rows);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.storage.rows().memory_bytes()
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let arrow_type = &self.arrow_type;
        match &mut self.storage {
            Storage::Null(rows) => Arc::new(NullArray::new(mem::take(&mut rows.0))),
            Storage::Boolean(v) => {
                let (values, nulls) = v.take();
                Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(values.len(), |row| values[row]), nulls))
            }
            Storage::TinyInt(v) => v.finish::<Int8Type>(arrow_type),
            Storage::SmallInt(v) => v.finish::<Int16Type>(arrow_type),
            Storage::Int(v) if self.kind == TypeKind::Int => v.finish::<Int32Type>(arrow_type),
            Storage::Int(v) => v.finish::<IntervalYearMonthType>(arrow_type),
            Storage::BigInt(v) if self.kind == TypeKind::BigInt => v.finish::<Int64Type>(arrow_type),
            Storage::BigInt(v) => v.finish::<DurationMillisecondType>(arrow_type),
            Storage::Float(v) => v.finish::<Float32Type>(arrow_type),
            Storage::Double(v) => v.finish::<Float64Type>(arrow_type),
            Storage::Decimal { values, .. } => values.finish::<Decimal128Type>(arrow_type),
            Storage::Text(v) => v.finish_text(),
            Storage::Binary(v) => v.finish_binary(),
            Storage::Date(v) => v.finish::<Date32Type>(arrow_type),
            Storage::Time { values, .. } => values.finish::<Time32MillisecondType>(arrow_type),
            Storage::Timestamp { values, .. } => match arrow_type {
                ArrowType::Timestamp(TimeUnit::Nanosecond, _) => values.finish::<TimestampNanosecondType>(arrow_type),
                ArrowType::Timestamp(TimeUnit::Microsecond, _) => values.finish::<TimestampMicrosecondType>(arrow_type),
                _ => values.finish::<TimestampMillisecondType>(arrow_type),
            },
            Storage::List(list) => {
                let ArrowType::List(field) = arrow_type else { unreachable!("an ARRAY is an Arrow list") };
                let ((offsets, nulls), elements) = (list.take(), list.parts.finish());
                Arc::new(ListArray::new(field.clone(), offsets, elements, nulls))
            }
            Storage::Map(map) => map.finish(arrow_type),
            Storage::Row(row) => row.finish(arrow_type),
        }
    }
}

impl Row {
    fn finish(&mut self, arrow_type: &ArrowType) -> ArrayRef {
        let ArrowType::Struct(arrow_fields) = arrow_type else { unreachable!("a ROW is an Arrow struct") };
        let rows = self.validity.rows();
        let columns = self.fields.finish(arrow_fields.len());
        let nulls = self.validity.take();
        if columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, nulls));
        }
        Arc::new(StructArray::new(arrow_fields.clone(), columns, nulls))
    }
}
