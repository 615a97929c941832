//! Every function against a row-wise oracle, and what has to survive a partial and a commit.

use super::*;
use arrow_array::{BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, UInt32Array};
use arrow_select::take::take;
use millrace_planner::types::TypeKind;
use proptest::prelude::*;
use std::sync::Arc;

fn call(function: AggregateFunction, argument: TypeKind, result: TypeKind, partial: &[TypeKind]) -> AggregateCall {
    AggregateCall {
        function,
        argument: Some(0),
        argument_type: Some(DataType::nullable(argument)),
        distinct: false,
        filter: None,
        data_type: DataType::nullable(result),
        partial: partial.iter().cloned().map(DataType::nullable).collect(),
    }
}

/// Rows added to one accumulator give the same as when they are split in two that are merged, and as when
/// the state goes through bytes in between.
fn result(call: &AggregateCall, groups: &[u32], argument: ArrayRef, filter: &BooleanArray, split: usize) -> ArrayRef {
    const GROUPS: usize = 4;
    let all: Vec<u32> = (0..GROUPS as u32).collect();
    let mut whole = accumulator(call).unwrap();
    whole.resize(GROUPS);
    whole.update(groups, Some(&argument), Some(filter)).unwrap();

    let mut merged = accumulator(call).unwrap();
    merged.resize(GROUPS);
    for rows in [0..split, split..groups.len()] {
        let mut part = accumulator(call).unwrap();
        part.resize(GROUPS);
        let places = UInt32Array::from_iter_values(rows.clone().map(|row| row as u32));
        let filter = take(filter, &places, None).unwrap();
        let argument = take(&argument, &places, None).unwrap();
        part.update(&groups[rows], Some(&argument), Some(filter.as_boolean())).unwrap();
        let mut restored = accumulator(call).unwrap();
        restored.resize(GROUPS);
        for group in 0..GROUPS as u32 {
            let mut bytes = Vec::new();
            part.write(group, &mut bytes);
            let mut rest = bytes.as_slice();
            restored.read(group, &mut rest).unwrap();
            assert!(rest.is_empty());
            assert!(bytes.is_empty() || restored.read(group, &mut &bytes[..bytes.len() - 1]).is_err());
            restored.read(group, &mut bytes.as_slice()).unwrap();
        }
        merged.merge(&all, &restored.partials(&all).unwrap()).unwrap();
    }
    let results = whole.results(&all).unwrap();
    assert_eq!(&results, &merged.results(&all).unwrap());
    results
}

/// What an oracle says of each group's values.
fn expected<V: Clone, R>(
    groups: &[u32],
    values: &[Option<V>],
    filter: &[Option<bool>],
    oracle: impl Fn(Vec<V>) -> R,
) -> Vec<R> {
    let of_group = |group: u32| {
        let rows = groups.iter().zip(values).zip(filter).filter(|((g, _), f)| **g == group && **f == Some(true));
        oracle(rows.filter_map(|((_, value), _)| value.clone()).collect())
    };
    (0..4).map(of_group).collect()
}

type Rows<V> = Vec<(u32, Option<V>, Option<bool>)>;

fn rows<V: std::fmt::Debug + Clone>(value: impl Strategy<Value = V>) -> impl Strategy<Value = (Rows<V>, usize)> {
    let row = (0u32..4, prop::option::of(value), prop::option::weighted(0.9, prop::bool::weighted(0.8)));
    prop::collection::vec(row, 0..40).prop_flat_map(|rows| {
        let count = rows.len();
        (Just(rows), 0..=count)
    })
}

fn unzip<V>(rows: Rows<V>) -> (Vec<u32>, Vec<Option<V>>, Vec<Option<bool>>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (group, value, filter) in rows {
        columns.0.push(group);
        columns.1.push(value);
        columns.2.push(filter);
    }
    columns
}

proptest! {
    #[test]
    fn integers_wrap_in_sums_and_truncate_in_averages((rows, split) in rows(any::<i32>())) {
        use AggregateFunction::*;
        use TypeKind::{BigInt, Int};
        let (groups, values, filter) = unzip(rows);
        let (column, mask) = (Arc::new(Int32Array::from(values.clone())), BooleanArray::from(filter.clone()));
        let result = |call: &AggregateCall| result(call, &groups, column.clone(), &mask, split);
        let expected = |oracle: fn(Vec<i32>) -> Option<i32>| -> ArrayRef {
            Arc::new(Int32Array::from(expected(&groups, &values, &filter, oracle)))
        };
        let sum = |v: Vec<i32>| v.into_iter().reduce(i32::wrapping_add);
        prop_assert_eq!(&result(&call(Sum, Int, Int, &[Int])), &expected(sum));
        prop_assert_eq!(&result(&call(Min, Int, Int, &[Int])), &expected(|v| v.into_iter().min()));
        prop_assert_eq!(&result(&call(Max, Int, Int, &[Int])), &expected(|v| v.into_iter().max()));
        let average = |v: Vec<i32>| {
            (!v.is_empty()).then(|| (v.iter().map(|&v| i64::from(v)).sum::<i64>() / v.len() as i64) as i32)
        };
        prop_assert_eq!(&result(&call(Avg, Int, Int, &[BigInt, BigInt])), &expected(average));
    }

    #[test]
    fn strings_have_extremes_and_counts((rows, split) in rows("[a-c\u{e9}]{0,3}")) {
        use AggregateFunction::*;
        let text = TypeKind::VarChar { length: 100 };
        let (groups, values, filter) = unzip(rows);
        let (column, mask) = (Arc::new(StringArray::from(values.clone())), BooleanArray::from(filter.clone()));
        let result = |call: &AggregateCall| result(call, &groups, column.clone(), &mask, split);
        let least = expected(&groups, &values, &filter, |v| v.into_iter().min());
        let expected_least: ArrayRef = Arc::new(StringArray::from(least));
        prop_assert_eq!(&result(&call(Min, text.clone(), text.clone(), std::slice::from_ref(&text))), &expected_least);
        let largest = expected(&groups, &values, &filter, |v| v.into_iter().max());
        let expected_largest: ArrayRef = Arc::new(StringArray::from(largest));
        prop_assert_eq!(&result(&call(Max, text.clone(), text.clone(), std::slice::from_ref(&text))), &expected_largest);
        let counts = expected(&groups, &values, &filter, |v| v.len() as i64);
        let expected_counts: ArrayRef = Arc::new(Int64Array::from(counts));
        let count = call(Count, text, TypeKind::BigInt, &[TypeKind::BigInt]);
        prop_assert_eq!(&result(&count), &expected_counts);
    }
}

fn decimals(values: &[i128], precision: u8, scale: u8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale as i8).unwrap())
}

fn decimal(precision: u8, scale: u8) -> TypeKind {
    TypeKind::Decimal { precision, scale }
}

#[test]
fn a_decimal_sum_beyond_38_digits_is_null_also_when_it_comes_from_partials() {
    let sum = call(AggregateFunction::Sum, decimal(38, 0), decimal(38, 0), &[decimal(38, 0)]);
    let largest = 10i128.pow(38) - 1;
    let all = BooleanArray::from(vec![true; 3]);
    let results = result(&sum, &[0, 0, 1], decimals(&[largest, 1, 5], 38, 0), &all, 2);
    let results = results.as_primitive::<Decimal128Type>();
    assert!(results.is_null(0));
    assert_eq!(results.value(1), 5);
}

#[test]
fn a_decimal_average_rounds_half_up_to_its_scale() {
    let average = call(AggregateFunction::Avg, decimal(10, 2), decimal(38, 6), &[decimal(38, 2), TypeKind::BigInt]);
    let all = BooleanArray::from(vec![true; 6]);
    let results = result(&average, &[0, 0, 0, 1, 1, 1], decimals(&[100, 100, 0, -100, -100, 0], 10, 2), &all, 1);
    assert_eq!(results.as_primitive::<Decimal128Type>().values()[..2], [666_667, -666_667]);
}

#[test]
fn nan_is_above_all_numbers() {
    use AggregateFunction::{Max, Min};
    let column: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, -f64::NAN, 1.0]));
    let all = BooleanArray::from(vec![true; 3]);
    let least =
        result(&call(Min, TypeKind::Double, TypeKind::Double, &[TypeKind::Double]), &[0; 3], column.clone(), &all, 1);
    assert_eq!(least.as_primitive::<arrow_array::types::Float64Type>().value(0), 1.0);
    let largest = accumulator(&call(Max, TypeKind::Double, TypeKind::Double, &[TypeKind::Double]));
    let mut largest = largest.unwrap();
    largest.resize(1);
    largest.update(&[0; 3], Some(&column), None).unwrap();
    assert!(largest.results(&[0]).unwrap().as_primitive::<arrow_array::types::Float64Type>().value(0).is_nan());
}

#[test]
fn booleans_and_distinct_values_aggregate() {
    let largest = call(AggregateFunction::Max, TypeKind::Boolean, TypeKind::Boolean, &[TypeKind::Boolean]);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)]));
    let all = BooleanArray::from(vec![true; 3]);
    let results = result(&largest, &[0, 0, 1], flags, &all, 1);
    assert_eq!(results.as_boolean().iter().take(2).collect::<Vec<_>>(), [Some(false), Some(true)]);

    let mut sum = call(AggregateFunction::Sum, TypeKind::Int, TypeKind::Int, &[TypeKind::Int]);
    sum.distinct = true;
    let mut distinct = Distinct::new(&sum).unwrap();
    distinct.resize(2);
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), None, Some(2), Some(1)]));
    distinct.update(&[0, 0, 0, 0, 1], &values, None).unwrap();
    let results = distinct.results(&[0, 1]).unwrap();
    assert_eq!(results.as_primitive::<arrow_array::types::Int32Type>().values()[..], [3, 1]);
}
