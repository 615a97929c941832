//! DISTINCT: the values that each group has seen stand before an accumulator, which gets every value once.
//! The accumulator's state follows from the values, so only they are kept in state.

use super::{Accumulator, accumulator, undistinct};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyDecoder, KeyEncoder, hash};
use crate::operators::interner::Interner;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_select::take::take;
use millrace_planner::plan::AggregateCall;

/// Values merged from another set at a time.
const CHUNK: usize = 8192;

pub(crate) struct Distinct {
    /// Of `group (u32, little-endian) | canonical value`.
    values: Interner,
    encoder: KeyEncoder,
    decoder: KeyDecoder,
    inner: Box<dyn Accumulator>,
    /// How many of the values, in their order, `take_new` has given.
    given: usize,
    scratch: Vec<u8>,
}

impl Distinct {
    pub(crate) fn new(call: &AggregateCall) -> Result<Self> {
        let argument = call
            .argument_type
            .as_ref()
            .ok_or_else(|| Error::fail_job("the plan has a DISTINCT call without an argument"))?;
        Ok(Self {
            values: Interner::default(),
            encoder: KeyEncoder::new([argument])?,
            decoder: KeyDecoder::new([argument])?,
            inner: accumulator(&undistinct(call)?)?,
            given: 0,
            scratch: Vec::new(),
        })
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    /// Adds the values of `argument`; NULLs don't count.
    pub(crate) fn update(&mut self, groups: &[u32], argument: &ArrayRef) -> Result<()> {
        let keys = self.encoder.encode(std::slice::from_ref(argument), argument.len())?;
        let (mut rows, mut new_groups) = (Vec::new(), Vec::new());
        let nulls = argument.logical_nulls();
        super::for_each_row(groups, nulls.as_ref(), None, |row, group| {
            self.scratch.clear();
            self.scratch.extend_from_slice(&(group as u32).to_le_bytes());
            self.scratch.extend_from_slice(keys.get(row));
            if self.values.intern(&self.scratch, hash(&self.scratch)).1 {
                rows.push(row as u32);
                new_groups.push(group as u32);
            }
        });
        if rows.is_empty() {
            return Ok(());
        }
        let argument =
            take(argument, &UInt32Array::from(rows), None).or_kind(ErrorKind::FailJob, "taking new values")?;
        self.inner.update(&new_groups, Some(&argument), None)
    }

    /// Adds the values of another set of this call, whose group `g` is `groups[g]` here.
    pub(crate) fn merge(&mut self, other: &Distinct, groups: &[u32]) -> Result<()> {
        for first in (0..other.values.len()).step_by(CHUNK) {
            let range = first..(first + CHUNK).min(other.values.len());
            let (mut keys, mut mapped) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
            for value in range {
                let (group, key) = other.value(value);
                keys.push(key);
                mapped.push(groups[group as usize]);
            }
            let argument = self.decoder.decode(&keys)?.remove(0);
            self.update(&mapped, &argument)?;
        }
        Ok(())
    }

    /// Takes back a value that was kept in state; `take_new` won't give it.
    pub(crate) fn restore(&mut self, group: u32, value: &[u8]) -> Result<()> {
        let argument = self.decoder.decode(&[value])?.remove(0);
        self.update(&[group], &argument)?;
        self.given = self.values.len();
        Ok(())
    }

    pub(crate) fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.results(groups)
    }

    /// The group and canonical value of every value since the last call.
    pub(crate) fn take_new(&mut self) -> impl Iterator<Item = (u32, &[u8])> {
        let new = self.given..self.values.len();
        self.given = new.end;
        new.map(|value| self.value(value))
    }

    /// The values that `take_new` has given, or that were restored.
    pub(crate) fn given(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.given).map(|value| self.value(value))
    }

    fn value(&self, value: usize) -> (u32, &[u8]) {
        let key = self.values.key(value as u32);
        let (group, value) = key.split_first_chunk().expect("every value begins with its group");
        (u32::from_le_bytes(*group), value)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.inner.memory_bytes()
    }
}
