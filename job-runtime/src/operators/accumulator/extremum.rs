//! MIN and MAX, of everything that has an order.

use super::native::{Native, read_array};
use super::{Accumulator, cast_to, for_each_row, unsupported, with_primitive};
use crate::error::{Error, Result};
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow_schema::{DataType as ArrowType, IntervalUnit, TimeUnit};
use std::sync::Arc;

pub(super) fn accumulator(data_type: &ArrowType, largest: bool) -> Result<Box<dyn Accumulator>> {
    macro_rules! primitive {
        ($arrow:ty) => {
            match largest {
                true => Ok(Box::new(Extremum::<$arrow, true>::new(data_type.clone(), data_type.clone()))),
                false => Ok(Box::new(Extremum::<$arrow, false>::new(data_type.clone(), data_type.clone()))),
            }
        };
    }
    match data_type {
        // FALSE is below TRUE, as 0 is below 1.
        ArrowType::Boolean if largest => {
            Ok(Box::new(Extremum::<Int8Type, true>::new(ArrowType::Int8, ArrowType::Boolean)))
        }
        ArrowType::Boolean => Ok(Box::new(Extremum::<Int8Type, false>::new(ArrowType::Int8, ArrowType::Boolean))),
        ArrowType::Utf8 | ArrowType::Binary => Ok(Box::new(BytesExtremum {
            data_type: data_type.clone(),
            largest,
            values: Vec::new(),
            seen: Vec::new(),
            value_bytes: 0,
        })),
        _ => with_primitive!(data_type, primitive, Err(unsupported(if largest { "MAX" } else { "MIN" }, data_type))),
    }
}

struct Extremum<T: ArrowPrimitiveType, const LARGEST: bool> {
    /// What values are compared as.
    state_type: ArrowType,
    data_type: ArrowType,
    values: Vec<T::Native>,
    seen: Vec<bool>,
}

impl<T: ArrowPrimitiveType<Native: Native>, const LARGEST: bool> Extremum<T, LARGEST> {
    fn new(state_type: ArrowType, data_type: ArrowType) -> Self {
        Self { state_type, data_type, values: Vec::new(), seen: Vec::new() }
    }
}

impl<T: ArrowPrimitiveType<Native: Native>, const LARGEST: bool> Accumulator for Extremum<T, LARGEST> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, T::Native::default());
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()> {
        let argument = cast_to(argument.expect("MIN and MAX have an argument"), &self.state_type)?;
        let argument = argument.as_primitive::<T>();
        let values = argument.values();
        for_each_row(groups, argument.nulls(), filter, |row, group| {
            let (new, old) = (values[row], self.values[group]);
            let better = if LARGEST { old.less(new) } else { new.less(old) };
            if better || !self.seen[group] {
                self.values[group] = new;
                self.seen[group] = true;
            }
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        self.update(groups, Some(&partials[0]), None)
    }

    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.results(groups)?])
    }

    fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|&g| self.seen[g as usize].then_some(self.values[g as usize]));
        let column = PrimitiveArray::<T>::from_iter(values).with_data_type(self.state_type.clone());
        cast_to(&(Arc::new(column) as ArrayRef), &self.data_type)
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        out.push(u8::from(self.seen[group as usize]));
        self.values[group as usize].write(out);
    }

    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        let [seen] = read_array(bytes)?;
        self.seen[group as usize] = seen != 0;
        self.values[group as usize] = Native::read(bytes)?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// Of strings and binary values, in the order of their bytes. A value's memory is reused by the next.
struct BytesExtremum {
    data_type: ArrowType,
    largest: bool,
    values: Vec<Vec<u8>>,
    seen: Vec<bool>,
    /// Of the values, kept as they change: a batch must not cost a walk over all groups.
    value_bytes: usize,
}

impl BytesExtremum {
    fn offer(&mut self, group: usize, new: &[u8]) {
        let old = &mut self.values[group];
        let better = if self.largest { old.as_slice() < new } else { new < old.as_slice() };
        if better || !self.seen[group] {
            let before = old.capacity();
            old.clear();
            old.extend_from_slice(new);
            self.value_bytes += old.capacity() - before;
            self.seen[group] = true;
        }
    }

    fn get(&self, group: u32) -> Option<&[u8]> {
        self.seen[group as usize].then_some(self.values[group as usize].as_slice())
    }
}

impl Accumulator for BytesExtremum {
    fn resize(&mut self, groups: usize) {
        let dropped = self.values.iter().skip(groups);
        self.value_bytes -= dropped.map(Vec::capacity).sum::<usize>();
        self.values.resize(groups, Vec::new());
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()> {
        let argument = argument.expect("MIN and MAX have an argument");
        match argument.as_string_opt::<i32>() {
            Some(texts) => for_each_row(groups, texts.nulls(), filter, |row, group| {
                self.offer(group, texts.value(row).as_bytes());
            }),
            None => {
                let values = argument.as_binary::<i32>();
                for_each_row(groups, values.nulls(), filter, |row, group| self.offer(group, values.value(row)));
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        self.update(groups, Some(&partials[0]), None)
    }

    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.results(groups)?])
    }

    fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        if self.data_type == ArrowType::Binary {
            let mut builder = BinaryBuilder::new();
            groups.iter().for_each(|&group| builder.append_option(self.get(group)));
            return Ok(Arc::new(builder.finish()));
        }
        let mut builder = StringBuilder::new();
        for &group in groups {
            let text = self.get(group).map(std::str::from_utf8).transpose();
            builder.append_option(text.map_err(|_| Error::fail_job("the state of an aggregate is not UTF-8"))?);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        match self.get(group) {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                let length = u32::try_from(value.len()).expect("an Arrow string is below 2 GiB");
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(value);
            }
        }
    }

    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        let [seen] = read_array(bytes)?;
        self.seen[group as usize] = seen != 0;
        self.values[group as usize].clear();
        if seen != 0 {
            let length = u32::from_le_bytes(read_array(bytes)?) as usize;
            let (value, rest) = bytes
                .split_at_checked(length)
                .ok_or_else(|| Error::fail_job("the state of an aggregate ends early"))?;
            let held = &mut self.values[group as usize];
            let before = held.capacity();
            held.extend_from_slice(value);
            self.value_bytes += held.capacity() - before;
            *bytes = rest;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.value_bytes + self.values.capacity() * size_of::<Vec<u8>>() + self.seen.capacity()
    }
}
