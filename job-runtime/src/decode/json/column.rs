//! Columns under construction: values and validity in plain vectors, which become Arrow arrays without a
//! copy. Any row at the end can be taken back. Not here: where the values come from (`read.rs`).

use super::fields::Fields;
use super::time::TimestampLayout;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StringArray, StructArray,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
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

/// What every column under construction can do, whatever it holds.
trait Rows {
    fn rows(&self) -> usize;
    fn append_null(&mut self);
    /// Keeps the first `rows` rows. Also takes back what a row that failed halfway has left behind.
    fn truncate(&mut self, rows: usize);
    fn memory_bytes(&self) -> usize;
}

/// A column of the type NULL.
#[derive(Default)]
pub(super) struct NullRows(usize);

pub(super) struct Row {
    pub(super) validity: Validity,
    pub(super) fields: Box<Fields>,
}

pub(super) struct List {
    pub(super) validity: Validity,
    pub(super) offsets: Offsets,
    pub(super) elements: Box<Column>,
}

pub(super) struct Map {
    pub(super) validity: Validity,
    pub(super) offsets: Offsets,
    pub(super) keys: Bytes,
    pub(super) values: Box<Column>,
    /// A MULTISET's counts can't be NULL.
    pub(super) values_required: bool,
}

/// Which rows are not NULL. As long as none is, only their number is kept.
#[derive(Default)]
pub(super) struct Validity {
    rows: usize,
    nulls: usize,
    /// Empty while there are no NULLs.
    bits: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Values<T> {
    values: Vec<T>,
    validity: Validity,
}

/// Variable-length values, UTF-8 if the column is text.
#[derive(Default)]
pub(super) struct Bytes {
    pub(super) data: Vec<u8>,
    offsets: Offsets,
    validity: Validity,
}

/// Where each row's part of what is below ends.
#[derive(Default)]
pub(super) struct Offsets {
    ends: Vec<i32>,
}

impl Validity {
    #[inline(always)]
    pub(super) fn push_valid(&mut self) {
        if self.nulls != 0 {
            self.push_bit(true);
        }
        self.rows += 1;
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        if self.nulls == 0 {
            self.begin_bits();
        }
        self.push_bit(false);
        self.nulls += 1;
        self.rows += 1;
    }

    #[inline]
    fn push_bit(&mut self, valid: bool) {
        match self.rows % 8 {
            0 => self.bits.push(u8::from(valid)),
            bit => *self.bits.last_mut().expect("a byte was begun") |= u8::from(valid) << bit,
        }
    }

    /// Writes down that all rows so far are valid.
    #[cold]
    fn begin_bits(&mut self) {
        self.bits.clear();
        self.bits.resize(self.rows / 8, 0xFF);
        if !self.rows.is_multiple_of(8) {
            self.bits.push((1 << (self.rows % 8)) - 1);
        }
    }

    fn truncate(&mut self, rows: usize) {
        if rows >= self.rows {
            return;
        }
        self.rows = rows;
        if self.nulls == 0 {
            return;
        }
        self.bits.truncate(rows.div_ceil(8));
        if !rows.is_multiple_of(8) {
            *self.bits.last_mut().expect("there is a byte for the last row") &= (1 << (rows % 8)) - 1;
        }
        let valid: u32 = self.bits.iter().map(|byte| byte.count_ones()).sum();
        self.nulls = rows - valid as usize;
    }

    fn take(&mut self) -> Option<NullBuffer> {
        let Self { rows, nulls, bits } = mem::take(self);
        (nulls != 0).then(|| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)))
    }

    fn memory_bytes(&self) -> usize {
        self.bits.len()
    }
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
        self.validity.rows
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

impl Offsets {
    /// Where the part of row `rows` begins, if it is the next.
    fn start(&self, rows: usize) -> usize {
        rows.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |&end| end as usize)
    }

    /// False: the offset doesn't fit, the batch is too large.
    #[inline(always)]
    #[must_use]
    pub(super) fn push(&mut self, end: usize) -> bool {
        let fits = end <= i32::MAX as usize;
        if fits {
            self.ends.push(end as i32);
        }
        fits
    }

    fn push_empty(&mut self) {
        let end = self.ends.last().copied().unwrap_or(0);
        self.ends.push(end);
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        // SAFETY: the offsets begin with zero, and each end is the length of a buffer that only grows
        // between pushes; whatever shortens that buffer takes the ends back too.
        unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets)) }
    }

    fn memory_bytes(&self) -> usize {
        self.ends.len() * size_of::<i32>()
    }
}

impl Bytes {
    /// Ends the row whose bytes were appended to `data`. False: the batch is too large.
    #[inline(always)]
    #[must_use]
    pub(super) fn end_row(&mut self) -> bool {
        let fits = self.offsets.push(self.data.len());
        if fits {
            self.validity.push_valid();
        }
        fits
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.data[self.offsets.start(row)..self.offsets.start(row + 1)]
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let room = Vec::with_capacity(self.data.len());
        let data = mem::replace(&mut self.data, room);
        (self.offsets.take(), Buffer::from_vec(data), self.validity.take())
    }

    fn finish_text(&mut self) -> ArrayRef {
        let (offsets, data, nulls) = self.take();
        debug_assert!(StringArray::try_new(offsets.clone(), data.clone(), nulls.clone()).is_ok());
        // SAFETY: the data is strings one behind the other that `Cursor::string` has passed as UTF-8,
        // unescaped into whole characters, and ASCII; the offsets stand between them and end at its length.
        Arc::new(unsafe { StringArray::new_unchecked(offsets, data, nulls) })
    }
}

impl Rows for Bytes {
    fn rows(&self) -> usize {
        self.validity.rows
    }

    fn append_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.ends.truncate(rows);
        self.validity.truncate(rows);
        self.data.truncate(self.offsets.start(rows));
    }

    fn memory_bytes(&self) -> usize {
        self.data.len() + self.offsets.memory_bytes() + self.validity.memory_bytes()
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

impl Rows for List {
    fn rows(&self) -> usize {
        self.validity.rows
    }

    fn append_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.ends.truncate(rows);
        self.validity.truncate(rows);
        self.elements.truncate(self.offsets.start(rows));
    }

    fn memory_bytes(&self) -> usize {
        self.validity.memory_bytes() + self.offsets.memory_bytes() + self.elements.memory_bytes()
    }
}

impl Rows for Map {
    fn rows(&self) -> usize {
        self.validity.rows
    }

    fn append_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.ends.truncate(rows);
        self.validity.truncate(rows);
        self.truncate_entries(self.offsets.start(rows));
    }

    fn memory_bytes(&self) -> usize {
        let lists = self.validity.memory_bytes() + self.offsets.memory_bytes();
        lists + self.keys.memory_bytes() + self.values.memory_bytes()
    }
}

impl Rows for Row {
    fn rows(&self) -> usize {
        self.validity.rows
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
    pub(super) fn truncate_entries(&mut self, entries: usize) {
        self.keys.truncate(entries);
        self.values.truncate(entries);
    }

    /// Where the entries of the row that is not ended yet begin.
    pub(super) fn first_entry(&self) -> usize {
        self.offsets.start(self.validity.rows)
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> usize {
        self.keys.validity.rows
    }

    fn finish(&mut self, arrow_type: &ArrowType) -> ArrayRef {
        let ArrowType::Map(entries_field, sorted) = arrow_type else { unreachable!("a MAP is an Arrow map") };
        let ArrowType::Struct(entry_fields) = entries_field.data_type() else { unreachable!("entries are a struct") };
        let columns = vec![self.keys.finish_text(), self.values.finish()];
        let entries = StructArray::new(entry_fields.clone(), columns, None);
        Arc::new(MapArray::new(entries_field.clone(), self.offsets.take(), entries, self.validity.take(), *sorted))
    }
}

impl Storage {
    fn rows(&self) -> &dyn Rows {
        match self {
            Self::Null(rows) => rows,
            Self::Boolean(values) => values,
            Self::TinyInt(values) => values,
            Self::SmallInt(values) => values,
            Self::Int(values) | Self::Date(values) | Self::Time { values, .. } => values,
            Self::BigInt(values) | Self::Timestamp { values, .. } => values,
            Self::Float(values) => values,
            Self::Double(values) => values,
            Self::Decimal { values, .. } => values,
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
            Self::List(list) => list,
            Self::Map(map) => map,
            Self::Row(row) => row,
        }
    }

    fn rows_mut(&mut self) -> &mut dyn Rows {
        match self {
            Self::Null(rows) => rows,
            Self::Boolean(values) => values,
            Self::TinyInt(values) => values,
            Self::SmallInt(values) => values,
            Self::Int(values) | Self::Date(values) | Self::Time { values, .. } => values,
            Self::BigInt(values) | Self::Timestamp { values, .. } => values,
            Self::Float(values) => values,
            Self::Double(values) => values,
            Self::Decimal { values, .. } => values,
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
            Self::List(list) => list,
            Self::Map(map) => map,
            Self::Row(row) => row,
        }
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
            Storage::Binary(v) => {
                let (offsets, data, nulls) = v.take();
                Arc::new(BinaryArray::new(offsets, data, nulls))
            }
            Storage::Date(v) => v.finish::<Date32Type>(arrow_type),
            Storage::Time { values, .. } => values.finish::<Time32MillisecondType>(arrow_type),
            Storage::Timestamp { values, .. } => match arrow_type {
                ArrowType::Timestamp(TimeUnit::Nanosecond, _) => values.finish::<TimestampNanosecondType>(arrow_type),
                ArrowType::Timestamp(TimeUnit::Microsecond, _) => values.finish::<TimestampMicrosecondType>(arrow_type),
                _ => values.finish::<TimestampMillisecondType>(arrow_type),
            },
            Storage::List(List { validity, offsets, elements }) => {
                let ArrowType::List(field) = arrow_type else { unreachable!("an ARRAY is an Arrow list") };
                Arc::new(ListArray::new(field.clone(), offsets.take(), elements.finish(), validity.take()))
            }
            Storage::Map(map) => map.finish(arrow_type),
            Storage::Row(row) => row.finish(arrow_type),
        }
    }
}

impl Row {
    fn finish(&mut self, arrow_type: &ArrowType) -> ArrayRef {
        let ArrowType::Struct(arrow_fields) = arrow_type else { unreachable!("a ROW is an Arrow struct") };
        let rows = self.validity.rows;
        let columns = self.fields.finish(arrow_fields.len());
        let nulls = self.validity.take();
        if columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, nulls));
        }
        Arc::new(StructArray::new(arrow_fields.clone(), columns, nulls))
    }
}
