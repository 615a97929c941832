//! AVG: a sum and a count. Flink's: of integers the quotient is truncated, of DECIMALs rounded half up to
//! the result's scale, and the result has the type that the planner declared.

use super::native::Native;
use super::sum::Sum;
use super::{Accumulator, cast_to, unsupported};
use crate::error::Result;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, Int64Array, PrimitiveArray};
use arrow_buffer::i256;
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;

struct Average<T: ArrowPrimitiveType> {
    sum: Sum<T>,
    count: super::count::Count,
    /// What the quotient is computed as, before it is cast to `data_type`.
    quotient_type: ArrowType,
    quotient: Quotient<T>,
    data_type: ArrowType,
}

/// Sum by count, which is not zero; None where the result's type can't hold it.
type Quotient<T> =
    Box<dyn Fn(<T as ArrowPrimitiveType>::Native, i64) -> Option<<T as ArrowPrimitiveType>::Native> + Send>;

pub(super) fn accumulator(sum_type: &ArrowType, data_type: ArrowType) -> Result<Box<dyn Accumulator>> {
    match (sum_type, &data_type) {
        (ArrowType::Int64, _) => Ok(Box::new(Average::<Int64Type>::new(
            sum_type,
            ArrowType::Int64,
            Box::new(|sum, count| Some(sum.wrapping_div(count))),
            data_type,
        ))),
        (ArrowType::Float64, _) => Ok(Box::new(Average::<Float64Type>::new(
            sum_type,
            ArrowType::Float64,
            Box::new(|sum, count| Some(sum / count as f64)),
            data_type,
        ))),
        (ArrowType::Decimal128(_, from), ArrowType::Decimal128(precision, to)) => {
            let (from, to, precision) = (*from, *to, *precision);
            let quotient = Box::new(move |sum, count| divide(sum, from, count, precision, to));
            Ok(Box::new(Average::<Decimal128Type>::new(sum_type, data_type.clone(), quotient, data_type)))
        }
        _ => Err(unsupported("AVG", &data_type)),
    }
}

/// `sum` of scale `from` by `count`, rounded half up to scale `to`.
fn divide(sum: i128, from: i8, count: i64, precision: u8, to: i8) -> Option<i128> {
    let mut numerator = i256::from_i128(sum);
    let mut denominator = i256::from_i128(i128::from(count));
    let power = i256::from_i128(10).checked_pow(u32::from(to.abs_diff(from)))?;
    match to >= from {
        true => numerator = numerator.checked_mul(power)?,
        false => denominator = denominator.checked_mul(power)?,
    }
    let quotient = numerator.checked_div(denominator)?;
    let remainder = numerator.checked_rem(denominator)?.wrapping_abs();
    let round = remainder.wrapping_add(remainder) >= denominator;
    let away = if sum < 0 { i256::MINUS_ONE } else { i256::ONE };
    let rounded = if round { quotient.wrapping_add(away) } else { quotient }.to_i128()?;
    (rounded.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(rounded)
}

impl<T: ArrowPrimitiveType<Native: Native>> Average<T> {
    fn new(sum_type: &ArrowType, quotient_type: ArrowType, quotient: Quotient<T>, data_type: ArrowType) -> Self {
        Self { sum: Sum::new(sum_type.clone()), count: Default::default(), quotient_type, quotient, data_type }
    }
}

impl<T: ArrowPrimitiveType<Native: Native>> Accumulator for Average<T> {
    fn resize(&mut self, groups: usize) {
        self.sum.resize(groups);
        self.count.resize(groups);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, filter: Option<&BooleanArray>) -> Result<()> {
        self.sum.update(groups, argument, filter)?;
        self.count.update(groups, argument, filter)
    }

    fn merge(&mut self, groups: &[u32], partials: &[ArrayRef]) -> Result<()> {
        self.sum.merge(groups, &partials[..1])?;
        self.count.merge(groups, &partials[1..])
    }

    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut partials = self.sum.partials(groups)?;
        partials.extend(self.count.partials(groups)?);
        Ok(partials)
    }

    fn results(&self, groups: &[u32]) -> Result<ArrayRef> {
        let counts = self.count.results(groups)?;
        let counts: &Int64Array = counts.as_primitive();
        let quotients = groups.iter().zip(counts.values()).map(|(&group, &count)| {
            let sum = self.sum.sums[group as usize];
            if count == 0 || !sum.is_value() { None } else { (self.quotient)(sum, count) }
        });
        let column = PrimitiveArray::<T>::from_iter(quotients).with_data_type(self.quotient_type.clone());
        cast_to(&(Arc::new(column) as ArrayRef), &self.data_type)
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.sum.write(group, out);
        self.count.write(group, out);
    }

    fn read(&mut self, group: u32, bytes: &mut &[u8]) -> Result<()> {
        self.sum.read(group, bytes)?;
        self.count.read(group, bytes)
    }

    fn memory_bytes(&self) -> usize {
        self.sum.memory_bytes() + self.count.memory_bytes()
    }
}
