//! COUNT(*) and COUNT(argument).

use super::native::Native;
use super::{Accumulator, for_each_row};
use crate::error::Result;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()> {
        // A column of type NULL has no null buffer of its own.
        let nulls = argument.and_then(|a| a.logical_nulls());
        for_each_row(groups, nulls.as_ref(), filter, |_, group| self.counts[group] += 1);
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        let counts = partials[0].as_primitive::<Int64Type>();
        for_each_row(groups, counts.nulls(), None, |row, group| self.counts[group] += counts.value(row));
        Ok(())
    }

    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.results(groups)?])
    }

    fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        let counts = groups.iter().map(|&group| self.counts[group as usize]);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.counts[group as usize].write(out);
    }

    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        self.counts[group as usize] = Native::read(bytes)?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
