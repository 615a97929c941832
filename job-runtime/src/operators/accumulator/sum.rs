//! SUM, and the sum inside AVG. The state has the type of the partial column: Flink sums an INT as an
//! INT, a DECIMAL as one of 38 digits.

use super::native::{Native, read_array};
use super::{Accumulator, cast_to, for_each_row, unsupported};
use crate::error::Result;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;

pub(super) struct Sum<T: ArrowPrimitiveType> {
    data_type: ArrowType,
    pub(super) sums: Vec<T::Native>,
    /// Whether the group has seen a value: the sum of none is NULL.
    pub(super) seen: Vec<bool>,
}

pub(super) fn accumulator(data_type: &ArrowType) -> Result<Box<dyn Accumulator>> {
    let data_type = data_type.clone();
    Ok(match data_type {
        ArrowType::Int8 => Box::new(Sum::<Int8Type>::new(data_type)),
        ArrowType::Int16 => Box::new(Sum::<Int16Type>::new(data_type)),
        ArrowType::Int32 => Box::new(Sum::<Int32Type>::new(data_type)),
        ArrowType::Int64 => Box::new(Sum::<Int64Type>::new(data_type)),
        ArrowType::Float32 => Box::new(Sum::<Float32Type>::new(data_type)),
        ArrowType::Float64 => Box::new(Sum::<Float64Type>::new(data_type)),
        ArrowType::Decimal128(..) => Box::new(Sum::<Decimal128Type>::new(data_type)),
        other => return Err(unsupported("SUM", &other)),
    })
}

impl<T: ArrowPrimitiveType<Native: Native>> Sum<T> {
    pub(super) fn new(data_type: ArrowType) -> Self {
        Self { data_type, sums: Vec::new(), seen: Vec::new() }
    }

    fn column(&self, groups: &[u32], keep: impl Fn(T::Native) -> bool) -> ArrayRef {
        let sums = groups.iter().map(|&group| {
            let sum = self.sums[group as usize];
            (self.seen[group as usize] && keep(sum)).then_some(sum)
        });
        Arc::new(PrimitiveArray::<T>::from_iter(sums).with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType<Native: Native>> Accumulator for Sum<T> {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, T::Native::default());
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()> {
        let argument = cast_to(argument.expect("SUM has an argument"), &self.data_type)?;
        let argument = argument.as_primitive::<T>();
        let values = argument.values();
        for_each_row(groups, argument.nulls(), filter, |row, group| {
            self.sums[group] = self.sums[group].plus(values[row]);
            self.seen[group] = true;
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        self.update(groups, Some(&partials[0]), None)
    }

    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.column(groups, |_| true)])
    }

    fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(self.column(groups, T::Native::is_value))
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        out.push(u8::from(self.seen[group as usize]));
        self.sums[group as usize].write(out);
    }

    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        let [seen] = read_array(bytes)?;
        self.seen[group as usize] = seen != 0;
        self.sums[group as usize] = Native::read(bytes)?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}
