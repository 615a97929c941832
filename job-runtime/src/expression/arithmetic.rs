//! `+ - * / %`, the opposite and the absolute value. Integers wrap as in Java, division by zero of an
//! integer or DECIMAL fails the row, floating-point numbers follow IEEE 754.

use super::call::{Arguments, Kernel, failure};
use super::catalogue::Signature;
use super::decimal::{self, DecimalType};
use crate::error::Result;
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray,
};
use datafusion_common::arrow::compute::kernels::numeric::{
    add_wrapping, div, mul_wrapping, neg_wrapping, rem, sub_wrapping,
};
use datafusion_common::arrow::datatypes::{
    DataType, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType,
};
use millrace_planner::types::TypeKind;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    let decimals = decimal_types(signature);
    Ok(Some(match (signature.name, decimals) {
        ("PLUS", Some(types)) => decimal_kernel(types, |a, b, to| Ok(decimal::plus(a, b, to))),
        ("MINUS", Some(types)) => decimal_kernel(types, |a, b, to| Ok(decimal::plus(a, (-b.0, b.1), to))),
        ("TIMES", Some(types)) => decimal_kernel(types, |a, b, to| Ok(decimal::times(a, b, to))),
        ("DIVIDE", Some(types)) => decimal_kernel(types, |a, b, to| match b.0 {
            0 => Err(failure("Division by zero")),
            _ => Ok(decimal::divide(a, b, to)),
        }),
        ("MOD", Some(types)) => decimal_kernel(types, |a, b, to| match b.0 {
            0 => Err(failure("Division by zero")),
            _ => Ok(decimal::remainder(a, b, to)),
        }),
        ("PLUS", None) => Arc::new(|a| Ok(add_wrapping(&a.values[0], &a.values[1])?)),
        ("MINUS", None) => Arc::new(|a| Ok(sub_wrapping(&a.values[0], &a.values[1])?)),
        ("TIMES", None) if signature.kind(0).is_interval() => interval_times(signature)?,
        ("TIMES", None) => Arc::new(|a| Ok(mul_wrapping(&a.values[0], &a.values[1])?)),
        ("DIVIDE", None) => Arc::new(|a| division(a, false)),
        ("MOD", None) => Arc::new(|a| division(a, true)),
        ("NEGATE", _) => Arc::new(|a| Ok(neg_wrapping(&a.expanded(0)?)?)),
        ("ABS", _) => Arc::new(|a| absolute(&a.expanded(0)?)),
        _ => return Ok(None),
    }))
}

/// Of two DECIMAL arguments and the result.
fn decimal_types(signature: &Signature<'_>) -> Option<(u8, u8, DecimalType)> {
    let scale = |argument: usize| match &signature.arguments.get(argument)?.data_type.kind {
        TypeKind::Decimal { scale, .. } => Some(*scale),
        _ => None,
    };
    match signature.result.kind {
        TypeKind::Decimal { precision, scale: to } => {
            Some((scale(0)?, scale(1)?, DecimalType { precision, scale: to }))
        }
        _ => None,
    }
}

fn decimal_kernel(
    (left, right, to): (u8, u8, DecimalType),
    compute: impl Fn((i128, u8), (i128, u8), DecimalType) -> EvalResult<Option<i128>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |arguments| {
        let (a, b) = (arguments.primitive::<Decimal128Type>(0), arguments.primitive::<Decimal128Type>(1));
        let rows = (0..arguments.rows).map(|row| match (a.get(row), b.get(row)) {
            (Some(a), Some(b)) => compute((a, left), (b, right), to),
            _ => Ok(None),
        });
        let column = rows.collect::<EvalResult<PrimitiveArray<Decimal128Type>>>()?;
        Ok(Arc::new(column.with_precision_and_scale(to.precision, to.scale as i8)?))
    })
}

fn interval_times(signature: &Signature<'_>) -> Result<Kernel> {
    Ok(match signature.kind(0) {
        TypeKind::IntervalYearMonth => Arc::new(|arguments| {
            let (interval, factor) = (arguments.primitive::<IntervalYearMonthType>(0), arguments.long(1));
            arguments
                .collect::<IntervalYearMonthType>(|row| Some(interval.get(row)?.wrapping_mul(factor.get(row)? as i32)))
        }),
        _ => Arc::new(|arguments| {
            let (interval, factor) = (arguments.primitive::<DurationMillisecondType>(0), arguments.long(1));
            arguments.collect::<DurationMillisecondType>(|row| Some(interval.get(row)?.wrapping_mul(factor.get(row)?)))
        }),
    })
}

fn division(arguments: &Arguments, remainder: bool) -> EvalResult<ArrayRef> {
    match arguments.values[0].array.data_type() {
        DataType::Int8 => integer_division::<Int8Type>(arguments, remainder),
        DataType::Int16 => integer_division::<Int16Type>(arguments, remainder),
        DataType::Int32 => integer_division::<Int32Type>(arguments, remainder),
        DataType::Int64 => integer_division::<Int64Type>(arguments, remainder),
        _ if remainder => Ok(rem(&arguments.values[0], &arguments.values[1])?),
        _ => Ok(div(&arguments.values[0], &arguments.values[1])?),
    }
}

fn integer_division<T: ArrowPrimitiveType>(arguments: &Arguments, remainder: bool) -> EvalResult<ArrayRef> {
    let (a, b) = (arguments.primitive::<T>(0), arguments.primitive::<T>(1));
    arguments.try_collect::<T>(|row| match (a.get(row), b.get(row)) {
        (Some(_), Some(b)) if b.is_zero() => Err(failure("/ by zero")),
        (Some(a), Some(b)) if remainder => Ok(Some(a.mod_wrapping(b))),
        (Some(a), Some(b)) => Ok(Some(a.div_wrapping(b))),
        _ => Ok(None),
    })
}

fn absolute(values: &ArrayRef) -> EvalResult<ArrayRef> {
    fn unary<T: ArrowPrimitiveType>(values: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        let array = values.as_primitive::<T>();
        Arc::new(array.unary::<_, T>(f).with_data_type(array.data_type().clone()))
    }
    Ok(match values.data_type() {
        DataType::Int8 => unary::<Int8Type>(values, i8::wrapping_abs),
        DataType::Int16 => unary::<Int16Type>(values, i16::wrapping_abs),
        DataType::Int32 => unary::<Int32Type>(values, i32::wrapping_abs),
        DataType::Int64 => unary::<Int64Type>(values, i64::wrapping_abs),
        DataType::Float32 => unary::<Float32Type>(values, f32::abs),
        DataType::Float64 => unary::<Float64Type>(values, f64::abs),
        DataType::Decimal128(..) => unary::<Decimal128Type>(values, i128::wrapping_abs),
        other => return Err(failure(format!("ABS of {other}"))),
    })
}
