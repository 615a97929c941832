//! Three-valued logic and comparison. AND, OR and COALESCE leave out, for each row, the arguments that
//! can't matter, where evaluating one could fail the row.

use super::call::{Arguments, Kernel};
use super::can_fail;
use datafusion_common::Result;
use datafusion_common::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, Float32Array, Float64Array, RecordBatch,
};
use datafusion_common::arrow::compute::kernels::{boolean, cmp, zip::zip};
use datafusion_common::arrow::compute::{and_kleene, is_not_null, is_null, or_kleene};
use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema};
use datafusion_common::arrow::error::ArrowError;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use millrace_planner::expression::Expression;
use std::fmt;
use std::sync::Arc;

pub(super) fn kernel(name: &str) -> Option<Kernel> {
    Some(match name {
        "EQUALS" => comparison(cmp::eq),
        "NOT_EQUALS" => comparison(cmp::neq),
        "LESS_THAN" => comparison(cmp::lt),
        "LESS_THAN_OR_EQUAL" => comparison(cmp::lt_eq),
        "GREATER_THAN" => comparison(cmp::gt),
        "GREATER_THAN_OR_EQUAL" => comparison(cmp::gt_eq),
        "IS_DISTINCT_FROM" => comparison(cmp::distinct),
        "IS_NOT_DISTINCT_FROM" => comparison(cmp::not_distinct),
        "IN" => Arc::new(is_in),
        "NOT" => Arc::new(|a| Ok(Arc::new(boolean::not(a.expanded(0)?.as_boolean())?))),
        "IS_NULL" => Arc::new(|a| Ok(Arc::new(is_null(&a.expanded(0)?)?))),
        "IS_NOT_NULL" => Arc::new(|a| Ok(Arc::new(is_not_null(&a.expanded(0)?)?))),
        "IS_TRUE" => test(|value| value == Some(true)),
        "IS_FALSE" => test(|value| value == Some(false)),
        "IS_NOT_TRUE" => test(|value| value != Some(true)),
        "IS_NOT_FALSE" => test(|value| value != Some(false)),
        "GREATEST" => Arc::new(|a| extreme(a, cmp::gt)),
        "LEAST" => Arc::new(|a| extreme(a, cmp::lt)),
        _ => return None,
    })
}

type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

fn comparison(compare: Compare) -> Kernel {
    Arc::new(move |a| Ok(Arc::new(compare_arguments(a, 0, 1, compare)?)))
}

fn compare_arguments(arguments: &Arguments, left: usize, right: usize, compare: Compare) -> Result<BooleanArray> {
    let (left, right) = (&arguments.values[left], &arguments.values[right]);
    let part =
        |value: &super::call::Value| super::call::Value { array: comparable(&value.array), scalar: value.scalar };
    Ok(compare(&part(left), &part(right))?)
}

/// Arrow compares the bits of floating-point numbers: so -0.0 becomes 0.0, and every NaN the one that is
/// above all numbers.
fn comparable(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let plain = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(plain) as Float32Array)
        }
        DataType::Float64 => {
            let plain = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(plain) as Float64Array)
        }
        _ => array.clone(),
    }
}

fn is_in(arguments: &Arguments) -> Result<ArrayRef> {
    let mut found = compare_arguments(arguments, 0, 1, cmp::eq)?;
    for other in 2..arguments.values.len() {
        found = or_kleene(&found, &compare_arguments(arguments, 0, other, cmp::eq)?)?;
    }
    Ok(Arc::new(found))
}

fn test(test: fn(Option<bool>) -> bool) -> Kernel {
    Arc::new(move |arguments| {
        let values = arguments.expanded(0)?;
        Ok(Arc::new(values.as_boolean().iter().map(|value| Some(test(value))).collect::<BooleanArray>()))
    })
}

fn extreme(arguments: &Arguments, better: Compare) -> Result<ArrayRef> {
    let mut best = arguments.expanded(0)?;
    for argument in 1..arguments.values.len() {
        let other = arguments.expanded(argument)?;
        // NULL as soon as one is: a comparison with NULL is NULL, and then so is what is chosen.
        let replace = better(&comparable(&other), &comparable(&best))?;
        let replace: BooleanArray =
            replace.iter().zip(0..).map(|(r, row)| Some(r.unwrap_or_else(|| other.is_null(row)))).collect();
        best = zip(&replace, &other, &best)?;
    }
    Ok(best)
}

/// The calls that don't evaluate all arguments for all rows; None for all others.
pub(super) fn lazy(
    name: &str,
    arguments: &[Expression],
    compiled: &[Arc<dyn PhysicalExpr>],
    data_type: &DataType,
) -> Option<Arc<dyn PhysicalExpr>> {
    let kind = match name {
        "AND" => Kind::And,
        "OR" => Kind::Or,
        "COALESCE" => Kind::Coalesce,
        _ => return None,
    };
    let field = Arc::new(Field::new(name, data_type.clone(), true));
    let can_fail = arguments.iter().map(can_fail).collect();
    Some(Arc::new(Lazy { kind, arguments: compiled.to_vec(), can_fail, field }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    And,
    Or,
    Coalesce,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lazy {
    kind: Kind,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    can_fail: Vec<bool>,
    field: FieldRef,
}

impl Lazy {
    /// The rows that the next argument matters for.
    fn undecided(&self, so_far: &ArrayRef) -> Result<BooleanArray> {
        Ok(match self.kind {
            Kind::And => so_far.as_boolean().iter().map(|value| Some(value != Some(false))).collect(),
            Kind::Or => so_far.as_boolean().iter().map(|value| Some(value != Some(true))).collect(),
            Kind::Coalesce => is_null(so_far)?,
        })
    }

    fn combine(&self, so_far: &ArrayRef, next: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self.kind {
            Kind::And => Arc::new(and_kleene(so_far.as_boolean(), next.as_boolean())?),
            Kind::Or => Arc::new(or_kleene(so_far.as_boolean(), next.as_boolean())?),
            Kind::Coalesce => zip(&is_null(so_far)?, next, so_far)?,
        })
    }
}

impl PhysicalExpr for Lazy {
    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let mut so_far = self.arguments[0].evaluate(batch)?.into_array(rows)?;
        for (argument, &can_fail) in self.arguments.iter().zip(&self.can_fail).skip(1) {
            let undecided = self.undecided(&so_far)?;
            if !undecided.has_true() {
                break;
            }
            let next = match can_fail {
                true => argument.evaluate_selection(batch, &undecided)?,
                false => argument.evaluate(batch)?,
            };
            so_far = self.combine(&so_far, &next.into_array(rows)?)?;
        }
        Ok(ColumnarValue::Array(so_far))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.arguments.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, arguments: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { arguments, ..self.as_ref().clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.field.name())?;
        for (number, argument) in self.arguments.iter().enumerate() {
            write!(f, "{}{argument}", if number == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}
