//! The groups of one slice, or of one window while it fires: keys, accumulators, and which of them the
//! state doesn't have yet.

use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::{KeyDecoder, KeyEncoder, key_group};
use crate::operators::accumulator::{Accumulator, Distinct, SeenElsewhere, accumulator};
use crate::operators::interner::Interner;
use crate::schema::arrow_type;
use arrow_array::{ArrayRef, RecordBatch};
use millrace_planner::plan::{AggregateCall, Schema, WindowAggregate};
use millrace_planner::types::DataType;

/// The first byte of a group's value in state.
const VALUE_VERSION: u8 = 2;

/// What all tables of an operator have in common.
pub(super) struct Layout {
    pub(super) keys: Vec<usize>,
    pub(super) slice_end: usize,
    calls: Vec<AggregateCall>,
    key_types: Vec<DataType>,
    pub(super) decoder: KeyDecoder,
}

impl Layout {
    pub(super) fn new(plan: &WindowAggregate, input: &Schema) -> Result<Self> {
        let key_types: Vec<_> = plan.keys.iter().map(|&key| input.columns[key].data_type.clone()).collect();
        let slice_end = match plan.window.time {
            millrace_planner::plan::WindowTime::Event { column, .. } => column,
            // The local phase puts it after the keys, and the exchange changes nothing.
            millrace_planner::plan::WindowTime::Processing => plan.keys.len(),
        };
        let decoder = KeyDecoder::new(&key_types)?;
        Ok(Self { keys: plan.keys.clone(), slice_end, calls: plan.calls.clone(), key_types, decoder })
    }

    pub(super) fn encoder(&self) -> Result<KeyEncoder> {
        KeyEncoder::new(&self.key_types)
    }

    /// The key group of a group's state. Without keys there is one group, which task 0 owns.
    pub(super) fn key_group(&self, hash: u64) -> u16 {
        if self.keys.is_empty() { 0 } else { key_group(hash) }
    }
}

/// Tells which values of a call, by its number, the state has: each with its group's key and hash, or None where that
/// is not in question.
pub(super) type SeenInSlice<'a> = dyn Fn(u8, &[Option<(&[u8], u64, &[u8])>]) -> Result<Vec<bool>> + 'a;

pub(super) struct Table {
    pub(super) interner: Interner,
    calls: Vec<Call>,
    /// For each group, whether the state has it, and whether it has changed since.
    persisted: Vec<bool>,
    changed: Vec<bool>,
    changes: Vec<u32>,
}

enum Call {
    /// With the columns of the input that hold its partials.
    Plain {
        accumulator: Box<dyn Accumulator>,
        columns: std::ops::Range<usize>,
    },
    Distinct {
        values: Box<Distinct>,
        column: usize,
    },
}

impl Call {
    fn results(&self, planned: &AggregateCall, groups: &[u32]) -> Result<ArrayRef> {
        let column = match self {
            Self::Plain { accumulator, .. } => accumulator.results(groups)?,
            Self::Distinct { values, .. } => values.results(groups)?,
        };
        let arrow = arrow_type(&planned.data_type.kind);
        if *column.data_type() == arrow {
            return Ok(column);
        }
        arrow_cast::cast(&column, &arrow).or_kind(ErrorKind::FailJob, "typing an aggregate's result")
    }
}

impl Table {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let calls = layout.calls.iter().map(|call| {
            let first =
                call.argument.ok_or_else(|| Error::fail_job("a call of the global phase without its partials"))?;
            Ok(match call.distinct {
                true => Call::Distinct { values: Box::new(Distinct::new(call)?), column: first },
                false => Call::Plain { accumulator: accumulator(call)?, columns: first..first + call.partial.len() },
            })
        });
        Ok(Self {
            interner: Interner::default(),
            calls: calls.collect::<Result<_>>()?,
            persisted: Vec::new(),
            changed: Vec::new(),
            changes: Vec::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.interner.len()
    }

    /// Puts the group of each row in `groups`; new ones have the highest numbers, and no state yet.
    pub(super) fn intern_rows(
        &mut self,
        layout: &Layout,
        encoder: &mut KeyEncoder,
        groups: &mut Vec<u32>,
        rows: &RecordBatch,
    ) -> Result<()> {
        let keys: Vec<ArrayRef> = layout.keys.iter().map(|&key| rows.column(key).clone()).collect();
        self.interner.intern_all(encoder.encode(&keys, rows.num_rows())?, groups);
        self.resize();
        Ok(())
    }

    /// Adds the partial results of `rows`, whose groups are these. `seen` is asked for distinct values that are not
    /// here: by the call's number.
    pub(super) fn merge_rows(
        &mut self,
        groups: &[u32],
        rows: &RecordBatch,
        seen: Option<&SeenInSlice<'_>>,
    ) -> Result<()> {
        let Self { interner, calls, persisted, .. } = self;
        for (number, call) in calls.iter_mut().enumerate() {
            match call {
                Call::Plain { accumulator, columns } => {
                    accumulator.merge(groups, &rows.columns()[columns.clone()])?;
                }
                Call::Distinct { values, column } => {
                    let Some(seen) = seen else {
                        values.update(groups, rows.column(*column), None)?;
                        continue;
                    };
                    let seen: &mut SeenElsewhere<'_> = &mut |values| {
                        // What the state doesn't have of a group, it doesn't have of its values.
                        let values = values.iter().map(|&(group, value)| {
                            let key = persisted[group as usize].then(|| interner.key(group));
                            key.map(|key| (key, interner.hash(group), value))
                        });
                        seen(number as u8, &values.collect::<Vec<_>>())
                    };
                    values.update(groups, rows.column(*column), Some(seen))?;
                }
            }
        }
        for &group in groups.iter() {
            if !std::mem::replace(&mut self.changed[group as usize], true) {
                self.changes.push(group);
            }
        }
        Ok(())
    }

    /// Adds all groups of another table of the same operator.
    pub(super) fn merge_table(&mut self, other: &Table) -> Result<()> {
        let all: Vec<u32> = (0..other.len() as u32).collect();
        let groups: Vec<u32> =
            all.iter().map(|&g| self.interner.intern(other.interner.key(g), other.interner.hash(g)).0).collect();
        self.resize();
        for pair in self.calls.iter_mut().zip(&other.calls) {
            match pair {
                (Call::Plain { accumulator, .. }, Call::Plain { accumulator: other, .. }) => {
                    accumulator.merge(&groups, &other.partials(&all)?)?;
                }
                (Call::Distinct { values, .. }, Call::Distinct { values: other, .. }) => {
                    values.merge(other, &groups)?
                }
                _ => unreachable!("both tables have the operator's calls"),
            }
        }
        Ok(())
    }

    fn resize(&mut self) {
        let groups = self.interner.len();
        for call in &mut self.calls {
            match call {
                Call::Plain { accumulator, .. } => accumulator.resize(groups),
                Call::Distinct { values, .. } => values.resize(groups),
            }
        }
        self.persisted.resize(groups, false);
        self.changed.resize(groups, false);
    }

    /// The keys and the results of some groups, as columns.
    pub(super) fn results(&self, layout: &Layout, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let keys: Vec<&[u8]> = groups.iter().map(|&group| self.interner.key(group)).collect();
        let mut columns = layout.decoder.decode(&keys)?;
        columns.extend(self.call_results(layout, groups)?);
        Ok(columns)
    }

    /// The results of some groups, as columns.
    pub(super) fn call_results(&self, layout: &Layout, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let calls = self.calls.iter().zip(&layout.calls);
        calls.map(|(call, planned)| call.results(planned, groups)).collect()
    }

    /// Gives every group that changed since the last call with its state's value.
    pub(super) fn take_changes(&mut self, mut give: impl FnMut(&[u8], u64, &[u8])) {
        let mut value = Vec::new();
        for group in std::mem::take(&mut self.changes) {
            self.write(group, &mut value);
            give(self.interner.key(group), self.interner.hash(group), &value);
            self.changed[group as usize] = false;
            self.persisted[group as usize] = true;
        }
    }

    /// The value that the state has of a group.
    fn write(&self, group: u32, value: &mut Vec<u8>) {
        value.clear();
        value.push(VALUE_VERSION);
        for call in &self.calls {
            match call {
                Call::Plain { accumulator, .. } => accumulator.write(group, value),
                Call::Distinct { values, .. } => values.write(group, value),
            }
        }
    }

    /// Gives every distinct value since the last call: the group's key and hash, the call, the value.
    pub(super) fn take_new_values(&mut self, mut give: impl FnMut(&[u8], u64, u8, &[u8])) {
        for (number, call) in self.calls.iter_mut().enumerate() {
            if let Call::Distinct { values, .. } = call {
                for (group, value) in values.take_new() {
                    give(self.interner.key(group), self.interner.hash(group), number as u8, value);
                }
            }
        }
    }

    /// The groups that the state has.
    pub(super) fn persisted(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let groups = (0..self.len() as u32).filter(|&group| self.persisted[group as usize]);
        groups.map(|group| (self.interner.key(group), self.interner.hash(group)))
    }

    /// The distinct values that the state has, as `take_new_values` gave them.
    pub(super) fn persisted_values(&self) -> impl Iterator<Item = (&[u8], u64, u8, &[u8])> {
        self.calls.iter().enumerate().flat_map(move |(number, call)| {
            let values = match call {
                Call::Distinct { values, .. } => Some(values.given()),
                Call::Plain { .. } => None,
            };
            values
                .into_iter()
                .flatten()
                .map(move |(group, value)| (self.interner.key(group), self.interner.hash(group), number as u8, value))
        })
    }

    /// Takes a group back from the state.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (group, _) = self.interner.intern(key, crate::key::hash(key));
        self.resize();
        self.read(group, value)
    }

    /// Takes a group back from the state, if it is not here: what is here is newer.
    pub(super) fn restore_older(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (group, is_new) = self.interner.intern(key, crate::key::hash(key));
        if is_new {
            self.resize();
            self.read(group, value)?;
        }
        Ok(())
    }

    /// Puts the state's value of a group into `value`, if it is here.
    pub(super) fn value_of(&self, key: &[u8], hash: u64, value: &mut Vec<u8>) -> Option<()> {
        self.interner.find(key, hash).map(|group| self.write(group, value))
    }

    /// Gives a group the value that the state has of it.
    pub(super) fn read(&mut self, group: u32, mut value: &[u8]) -> Result<()> {
        match value.split_off_first() {
            Some(&VALUE_VERSION) => {}
            version => return Err(Error::fail_job(format!("a group's state has version {version:?}"))),
        }
        for call in &mut self.calls {
            match call {
                Call::Plain { accumulator, .. } => accumulator.read(group, &mut value)?,
                Call::Distinct { values, .. } => values.read(group, &mut value)?,
            }
        }
        self.persisted[group as usize] = true;
        match value {
            [] => Ok(()),
            _ => Err(Error::fail_job("a group's state is longer than its aggregates")),
        }
    }

    /// Takes back a distinct value of a group that was taken back before.
    pub(super) fn restore_value(&mut self, key: &[u8], number: u8, value: &[u8]) -> Result<()> {
        let group = self.interner.find(key, crate::key::hash(key));
        match (self.calls.get_mut(usize::from(number)), group) {
            (Some(Call::Distinct { values, .. }), Some(group)) => values.restore(group, value),
            _ => return Err(Error::fail_job("the state has a distinct value without its group or call")),
        }
        Ok(())
    }

    pub(super) fn has_value(&self, key: &[u8], hash: u64, number: u8, value: &[u8], scratch: &mut Vec<u8>) -> bool {
        match (&self.calls[usize::from(number)], self.interner.find(key, hash)) {
            (Call::Distinct { values, .. }, Some(group)) => values.contains(group, value, scratch),
            _ => false,
        }
    }

    /// Takes over a group of another table of the same operator, if it is not here: of what both have, this one's is
    /// newer.
    pub(super) fn take_older(&mut self, other: &Table, group: u32, scratch: &mut Vec<u8>) -> Result<()> {
        let (here, is_new) = self.interner.intern(other.interner.key(group), other.interner.hash(group));
        if is_new {
            self.resize();
            other.write(group, scratch);
            self.read(here, scratch)?;
        }
        Ok(())
    }

    /// Takes over distinct values of groups that were taken over before, by call and number.
    pub(super) fn take_values(&mut self, other: &Table, numbers: impl Iterator<Item = (u8, u32)>) {
        for (call, number) in numbers {
            let pair = (&mut self.calls[usize::from(call)], &other.calls[usize::from(call)]);
            let (Call::Distinct { values, .. }, Call::Distinct { values: others, .. }) = pair else { continue };
            let (group, value) = others.value(number);
            let here = self.interner.find(other.interner.key(group), other.interner.hash(group));
            if let Some(here) = here {
                values.restore(here, value);
            }
        }
    }

    /// Every distinct value, by call and number, with its group.
    pub(super) fn value_numbers(&self) -> impl Iterator<Item = (u8, u32, u32)> {
        (0..).zip(&self.calls).flat_map(|(number, call)| {
            let values = match call {
                Call::Distinct { values, .. } => Some(values),
                Call::Plain { .. } => None,
            };
            let numbers = values.into_iter().flat_map(|values| (0..values.len()).map(move |v| (v, values.value(v).0)));
            numbers.map(move |(value, group)| (number, value, group))
        })
    }

    pub(super) fn has_distinct(&self) -> bool {
        self.calls.iter().any(|call| matches!(call, Call::Distinct { .. }))
    }

    /// Whether something changed since `take_changes`.
    pub(super) fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// About what has changed since `take_changes`, if a group is like another, and a distinct value too.
    pub(super) fn change_bytes(&self) -> usize {
        let (mut groups, mut values) = (self.interner.memory_bytes(), 0);
        for call in &self.calls {
            match call {
                Call::Plain { accumulator, .. } => groups += accumulator.memory_bytes(),
                Call::Distinct { values: distinct, .. } => values += distinct.new_bytes(),
            }
        }
        groups / self.len().max(1) * self.changes.len() + values
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| match call {
            Call::Plain { accumulator, .. } => accumulator.memory_bytes(),
            Call::Distinct { values, .. } => values.memory_bytes(),
        });
        let marks = self.persisted.capacity() + self.changed.capacity() + self.changes.capacity() * 4;
        self.interner.memory_bytes() + calls.sum::<usize>() + marks
    }
}
