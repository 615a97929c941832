//! Arrays, maps and rows: their elements, their number, and making them.

use super::call::{Arguments, Kernel, failure};
use super::catalogue::Signature;
use crate::error::Result;
use crate::schema::arrow_type;
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray, UInt32Array, make_array,
};
use datafusion_common::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion_common::arrow::compute::interleave;
use datafusion_common::arrow::compute::kernels::cmp;
use datafusion_common::arrow::compute::take;
use datafusion_common::arrow::datatypes::DataType;
use millrace_planner::types::TypeKind;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    let result = arrow_type(&signature.result.kind);
    Ok(Some(match (signature.name, signature.arguments.first().map(|a| &a.data_type.kind)) {
        ("ITEM", Some(TypeKind::Array(_))) => Arc::new(array_item),
        ("ITEM", Some(TypeKind::Map(..))) => Arc::new(map_item),
        ("CARDINALITY", _) => Arc::new(cardinality),
        ("ROW", _) => Arc::new(move |a| row(a, &result)),
        ("ARRAY", _) => Arc::new(move |a| array(a, &result)),
        _ => return Ok(None),
    }))
}

/// The field of a ROW; NULL where the row is.
pub(super) fn field(index: usize) -> Kernel {
    Arc::new(move |a| {
        let rows = a.expanded(0)?;
        let rows = rows.as_struct();
        let field = rows.columns().get(index).ok_or_else(|| failure("a ROW has fewer fields than planned"))?;
        let Some(nulls) = rows.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(field.clone()) };
        let nulls = NullBuffer::union(Some(nulls), field.nulls());
        Ok(make_array(field.to_data().into_builder().nulls(nulls).build()?))
    })
}

fn array_item(a: &Arguments) -> EvalResult<ArrayRef> {
    let arrays = a.expanded(0)?;
    let arrays = arrays.as_list::<i32>();
    let index = a.int(1);
    let places = (0..a.rows).map(|row| {
        let index = index.get(row).filter(|_| arrays.is_valid(row))?;
        let offset = index.checked_sub(1).filter(|&offset| offset >= 0 && offset < arrays.value_length(row))?;
        Some((arrays.value_offsets()[row] + offset) as u32)
    });
    Ok(take(arrays.values(), &places.collect::<UInt32Array>(), None)?)
}

fn map_item(a: &Arguments) -> EvalResult<ArrayRef> {
    let maps = a.expanded(0)?;
    let maps = maps.as_map();
    let wanted = a.expanded(1)?;
    // For every entry, the row that it belongs to: then one comparison finds all.
    let offsets = maps.value_offsets();
    let (first, end) = (offsets[0] as usize, offsets[a.rows] as usize);
    let rows = (0..a.rows).flat_map(|row| std::iter::repeat_n(row as u32, (offsets[row + 1] - offsets[row]) as usize));
    let rows: UInt32Array = rows.collect::<Vec<_>>().into();
    let equal = cmp::eq(&maps.keys().slice(first, end - first), &take(&wanted, &rows, None)?)?;
    let mut places: Vec<Option<u32>> = vec![None; a.rows];
    for entry in equal.iter().enumerate().filter(|(_, equal)| *equal == Some(true)).map(|(entry, _)| entry) {
        let row = rows.value(entry) as usize;
        if maps.is_valid(row) {
            places[row] = Some((first + entry) as u32);
        }
    }
    Ok(take(maps.values(), &UInt32Array::from(places), None)?)
}

fn cardinality(a: &Arguments) -> EvalResult<ArrayRef> {
    let values = a.expanded(0)?;
    let count = |row: usize| match values.data_type() {
        DataType::Map(..) => values.as_map().value_length(row),
        _ => values.as_list::<i32>().value_length(row),
    };
    let counts = (0..a.rows).map(|row| values.is_valid(row).then(|| count(row)));
    Ok(Arc::new(counts.collect::<Int32Array>()))
}

fn row(a: &Arguments, result: &DataType) -> EvalResult<ArrayRef> {
    let DataType::Struct(fields) = result else { return Err(failure("ROW makes rows")) };
    let columns = (0..a.values.len()).map(|argument| a.expanded(argument)).collect::<EvalResult<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

fn array(a: &Arguments, result: &DataType) -> EvalResult<ArrayRef> {
    let DataType::List(field) = result else { return Err(failure("ARRAY makes arrays")) };
    let columns = (0..a.values.len()).map(|argument| a.expanded(argument)).collect::<EvalResult<Vec<_>>>()?;
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let places: Vec<_> = (0..a.rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), a.rows));
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, interleave(&columns, &places)?, None)?))
}
