//! Between numbers, and between numbers and BOOLEAN or an interval.

use super::Cast;
use crate::expression::call::{Arguments, Kernel, View};
use crate::expression::decimal::{self, DecimalType};
use datafusion_common::Result;
use datafusion_common::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use datafusion_common::arrow::datatypes::{
    Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType,
};
use millrace_planner::types::TypeKind;
use std::sync::Arc;

pub(super) fn kernel(cast: &Cast) -> Option<Kernel> {
    let from = cast.from.clone();
    if !is_number(&from) || !is_number(&cast.to) {
        return None;
    }
    macro_rules! to {
        ($arrow:ty, $convert:expr) => {
            Arc::new(move |a: &Arguments| {
                let numbers = Numbers::of(&from, a)?;
                a.collect::<$arrow>(|row| Some($convert(numbers.get(row)?)))
            })
        };
    }
    Some(match cast.to {
        // Java narrows a floating-point number to a BYTE or SHORT by way of an INT.
        TypeKind::TinyInt => to!(Int8Type, |n: Number| n.narrow() as i8),
        TypeKind::SmallInt => to!(Int16Type, |n: Number| n.narrow() as i16),
        TypeKind::Int => to!(Int32Type, |n: Number| n.narrow()),
        TypeKind::BigInt => to!(Int64Type, |n: Number| n.whole()),
        TypeKind::Float => to!(Float32Type, |n: Number| n.float()),
        TypeKind::Double => to!(Float64Type, |n: Number| n.double()),
        TypeKind::IntervalYearMonth => to!(IntervalYearMonthType, |n: Number| n.narrow()),
        TypeKind::IntervalDayTime => to!(DurationMillisecondType, |n: Number| n.whole()),
        TypeKind::Boolean => Arc::new(move |a| {
            let numbers = Numbers::of(&from, a)?;
            a.collect_booleans(|row| Some(numbers.get(row)?.is_true()))
        }),
        TypeKind::Decimal { precision, scale } => {
            Arc::new(move |a| decimals(&from, a, DecimalType { precision, scale }))
        }
        _ => return None,
    })
}

fn is_number(kind: &TypeKind) -> bool {
    kind.is_numeric() || kind.is_interval() || *kind == TypeKind::Boolean
}

fn decimals(from: &TypeKind, a: &Arguments, to: DecimalType) -> Result<ArrayRef> {
    let numbers = Numbers::of(from, a)?;
    let convert = |row| match numbers.get(row)? {
        Number::Whole(value) => decimal::convert(i128::from(value), 0, to),
        Number::Decimal(value, scale) => decimal::convert(value, i32::from(scale), to),
        // By the shortest decimal that denotes it, as `BigDecimal.valueOf`.
        Number::Float(value) => decimal::parse(&value.to_string(), to).ok()?,
        Number::Double(value) => decimal::parse(&value.to_string(), to).ok()?,
    };
    let column = (0..a.rows).map(convert).collect::<PrimitiveArray<Decimal128Type>>();
    Ok(Arc::new(column.with_precision_and_scale(to.precision, to.scale as i8)?))
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Float(f32),
    Double(f64),
    Decimal(i128, u8),
}

impl Number {
    /// As a BIGINT: a floating-point number saturates, a DECIMAL is cut off at the point and wraps.
    fn whole(self) -> i64 {
        match self {
            Self::Whole(value) => value,
            Self::Float(value) => value as i64,
            Self::Double(value) => value as i64,
            Self::Decimal(value, scale) => (value / 10i128.pow(u32::from(scale))) as i64,
        }
    }

    fn narrow(self) -> i32 {
        match self {
            Self::Float(value) => value as i32,
            Self::Double(value) => value as i32,
            _ => self.whole() as i32,
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => f64::from(value),
            Self::Double(value) => value,
            // Both sides are exact then, so that the quotient is the nearest double.
            Self::Decimal(value, scale) if scale <= 22 && value.unsigned_abs() < 1 << 53 => {
                value as f64 / 10f64.powi(i32::from(scale))
            }
            Self::Decimal(value, scale) => decimal::show(value, scale).parse().unwrap_or(f64::NAN),
        }
    }

    fn float(self) -> f32 {
        match self {
            Self::Decimal(value, scale) => decimal::show(value, scale).parse().unwrap_or(f32::NAN),
            Self::Whole(value) => value as f32,
            _ => self.double() as f32,
        }
    }

    fn is_true(self) -> bool {
        match self {
            Self::Whole(value) => value != 0,
            Self::Float(value) => value != 0.0,
            Self::Double(value) => value != 0.0,
            Self::Decimal(value, _) => value != 0,
        }
    }
}

/// The numbers of the argument, by row.
enum Numbers<'a> {
    Boolean(BooleanArray),
    TinyInt(View<&'a PrimitiveArray<Int8Type>>),
    SmallInt(View<&'a PrimitiveArray<Int16Type>>),
    Int(View<&'a PrimitiveArray<Int32Type>>),
    BigInt(View<&'a PrimitiveArray<Int64Type>>),
    Float(View<&'a PrimitiveArray<Float32Type>>),
    Double(View<&'a PrimitiveArray<Float64Type>>),
    Decimal(View<&'a PrimitiveArray<Decimal128Type>>, u8),
    Months(View<&'a PrimitiveArray<IntervalYearMonthType>>),
    Millis(View<&'a PrimitiveArray<DurationMillisecondType>>),
}

impl<'a> Numbers<'a> {
    fn of(kind: &TypeKind, a: &'a Arguments) -> Result<Self> {
        Ok(match kind {
            TypeKind::Boolean => Self::Boolean(a.expanded(0)?.as_boolean().clone()),
            TypeKind::TinyInt => Self::TinyInt(a.primitive(0)),
            TypeKind::SmallInt => Self::SmallInt(a.primitive(0)),
            TypeKind::Int => Self::Int(a.primitive(0)),
            TypeKind::BigInt => Self::BigInt(a.primitive(0)),
            TypeKind::Float => Self::Float(a.primitive(0)),
            TypeKind::Double => Self::Double(a.primitive(0)),
            TypeKind::IntervalYearMonth => Self::Months(a.primitive(0)),
            TypeKind::IntervalDayTime => Self::Millis(a.primitive(0)),
            TypeKind::Decimal { scale, .. } => Self::Decimal(a.primitive(0), *scale),
            other => unreachable!("{other} is not a number"),
        })
    }

    #[inline]
    fn get(&self, row: usize) -> Option<Number> {
        Some(match self {
            Self::Boolean(values) => Number::Whole(i64::from(values.is_valid(row).then(|| values.value(row))?)),
            Self::TinyInt(values) => Number::Whole(i64::from(values.get(row)?)),
            Self::SmallInt(values) => Number::Whole(i64::from(values.get(row)?)),
            Self::Int(values) => Number::Whole(i64::from(values.get(row)?)),
            Self::BigInt(values) => Number::Whole(values.get(row)?),
            Self::Float(values) => Number::Float(values.get(row)?),
            Self::Double(values) => Number::Double(values.get(row)?),
            Self::Decimal(values, scale) => Number::Decimal(values.get(row)?, *scale),
            Self::Months(values) => Number::Whole(i64::from(values.get(row)?)),
            Self::Millis(values) => Number::Whole(values.get(row)?),
        })
    }
}
