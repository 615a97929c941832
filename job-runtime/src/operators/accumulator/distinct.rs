//! DISTINCT: the values that each group has seen stand before an accumulator, which gets every value once.
//! State has both, so that values that are not in memory need not be read to go on counting; whether it has
//! a value is asked where it is not here.

use super::{Accumulator, accumulator, undistinct};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyDecoder, KeyEncoder, hash};
use crate::operators::interner::Interner;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_select::take::take;
use millrace_planner::plan::AggregateCall;

/// Values merged from another set at a time.
const CHUNK: usize = 8192;

/// Tells which of some values, each of a group, were seen before, though they are not here.
pub(crate) type SeenElsewhere<'a> = dyn FnMut(&[(u32, &[u8])]) -> Result<Vec<bool>> + 'a;

pub(crate) struct Distinct {
    /// Of `group (u32, little-endian) | canonical value`.
    values: Interner,
    encoder: KeyEncoder,
    decoder: KeyDecoder,
    inner: Box<dyn Accumulator>,
    /// Numbers of the values that `take_new` has not given.
    new: Vec<u32>,
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
            new: Vec::new(),
            scratch: Vec::new(),
        })
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    /// Adds the values of `argument`; NULLs don't count, nor does what was seen elsewhere.
    pub(crate) fn update(
        &mut self,
        groups: &[u32],
        argument: &ArrayRef,
        seen: Option<&mut SeenElsewhere<'_>>,
    ) -> Result<()> {
        let keys = self.encoder.encode(std::slice::from_ref(argument), argument.len())?;
        let first = self.values.len() as u32;
        let (mut rows, mut new_groups) = (Vec::new(), Vec::new());
        let nulls = argument.logical_nulls();
        super::for_each_row(groups, nulls.as_ref(), None, |row, group| {
            put(group as u32, keys.get(row), &mut self.scratch);
            if self.values.intern(&self.scratch, hash(&self.scratch)).1 {
                rows.push(row as u32);
                new_groups.push(group as u32);
            }
        });
        let mut numbers: Vec<u32> = (first..self.len()).collect();
        if let Some(seen) = seen.filter(|_| !rows.is_empty()) {
            let values: Vec<_> = numbers.iter().map(|&number| self.value(number)).collect();
            let seen = seen(&values)?;
            retain_unseen(&mut rows, &seen);
            retain_unseen(&mut new_groups, &seen);
            retain_unseen(&mut numbers, &seen);
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.new.append(&mut numbers);
        let argument =
            take(argument, &UInt32Array::from(rows), None).or_kind(ErrorKind::FailJob, "taking new values")?;
        self.inner.update(&new_groups, Some(&argument), None)
    }

    /// Adds the values of another set of this call, whose group `g` is `groups[g]` here. Both are whole.
    pub(crate) fn merge(&mut self, other: &Distinct, groups: &[u32]) -> Result<()> {
        let count = other.len();
        for first in (0..count).step_by(CHUNK) {
            let range = first..(first + CHUNK as u32).min(count);
            let (mut keys, mut mapped) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
            for value in range {
                let (group, key) = other.value(value);
                keys.push(key);
                mapped.push(groups[group as usize]);
            }
            let argument = self.decoder.decode(&keys)?.remove(0);
            self.update(&mapped, &argument, None)?;
        }
        Ok(())
    }

    /// Takes a value that the state has, and that what `read` gave the group counts already.
    pub(crate) fn restore(&mut self, group: u32, value: &[u8]) {
        put(group, value, &mut self.scratch);
        self.values.intern(&self.scratch, hash(&self.scratch));
    }

    /// Whether the value is here.
    pub(crate) fn contains(&self, group: u32, value: &[u8], scratch: &mut Vec<u8>) -> bool {
        put(group, value, scratch);
        self.values.find(scratch, hash(scratch)).is_some()
    }

    pub(crate) fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.results(groups)
    }

    /// What the values of a group amount to, as `Accumulator::write` has it.
    pub(crate) fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.inner.write(group, out);
    }

    pub(crate) fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        self.inner.read(group, bytes)
    }

    /// The group and canonical value of every value since the last call.
    pub(crate) fn take_new(&mut self) -> impl Iterator<Item = (u32, &[u8])> {
        std::mem::take(&mut self.new).into_iter().map(|value| self.value(value))
    }

    /// The values that `take_new` has given, or that were restored.
    pub(crate) fn given(&self) -> impl Iterator<Item = (u32, &[u8])> {
        // They are numbered in the order in which they came.
        let mut new = self.new.iter().copied().peekable();
        let given = (0..self.len()).filter(move |value| new.next_if_eq(value).is_none());
        given.map(|value| self.value(value))
    }

    /// Values are numbered from 0.
    pub(crate) fn len(&self) -> u32 {
        self.values.len() as u32
    }

    /// The group of a value, and its canonical form.
    pub(crate) fn value(&self, value: u32) -> (u32, &[u8]) {
        let key = self.values.key(value);
        let (group, value) = key.split_first_chunk().expect("every value begins with its group");
        (u32::from_le_bytes(*group), value)
    }

    /// About what `take_new` will give.
    pub(crate) fn new_bytes(&self) -> usize {
        self.values.memory_bytes() / self.values.len().max(1) * self.new.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.inner.memory_bytes() + self.new.capacity() * size_of::<u32>()
    }
}

/// The key of a value, in place of what `out` holds.
fn put(group: u32, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(value);
}

fn retain_unseen<T>(items: &mut Vec<T>, seen: &[bool]) {
    let mut seen = seen.iter();
    items.retain(|_| !seen.next().expect("one for each"));
}
