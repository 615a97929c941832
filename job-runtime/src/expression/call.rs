//! A call of a kernel as a physical expression, and how kernels see their arguments.

use datafusion_common::arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Datum, PrimitiveArray,
    RecordBatch, StringArray, StringBuilder, new_empty_array,
};
use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int32Type, Int64Type, Schema};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Computes a column from columns; made once for each call in a plan.
pub(super) type Kernel = Arc<dyn Fn(&Arguments) -> Result<ArrayRef> + Send + Sync>;

/// Why a row has no value.
pub(super) fn failure(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}

pub(super) struct Call {
    name: &'static str,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    field: FieldRef,
    kernel: Kernel,
}

impl Call {
    pub(super) fn new(name: &str, arguments: Vec<Arc<dyn PhysicalExpr>>, data_type: DataType, kernel: Kernel) -> Self {
        // Only names of the catalogue come here; the leak-free way to keep one is to find it there.
        let name = millrace_planner::function::by_name(name).map_or("CAST", |definition| definition.name);
        Self { name, arguments, field: Arc::new(Field::new(name, data_type, true)), kernel }
    }
}

impl PhysicalExpr for Call {
    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if batch.num_rows() == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(self.field.data_type())));
        }
        let values = self.arguments.iter().map(|argument| {
            Ok(match argument.evaluate(batch)? {
                ColumnarValue::Array(array) => Value { array, scalar: false },
                ColumnarValue::Scalar(scalar) => Value { array: scalar.to_array_of_size(1)?, scalar: true },
            })
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let constant = values.iter().all(|value| value.scalar);
        let rows = if constant { 1 } else { batch.num_rows() };
        let result = (self.kernel)(&Arguments { values, rows })?;
        debug_assert_eq!(result.data_type(), self.field.data_type(), "{}", self.name);
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.arguments.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, arguments: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let call = Self { name: self.name, arguments, field: self.field.clone(), kernel: self.kernel.clone() };
        Ok(Arc::new(call))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A kernel may know more than the name says (a literal pattern, a zone), so that two are the same only
/// where they are one.
impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.arguments == other.arguments
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (number, argument) in self.arguments.iter().enumerate() {
            write!(f, "{}{argument}", if number == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The arguments of a call for the rows of a batch.
pub(super) struct Arguments {
    pub(super) values: Vec<Value>,
    pub(super) rows: usize,
}

/// A column, or one value for all rows.
pub(super) struct Value {
    pub(super) array: ArrayRef,
    pub(super) scalar: bool,
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.scalar)
    }
}

/// An argument of a known type, by row.
#[derive(Clone, Copy)]
pub(super) struct View<A> {
    array: A,
    scalar: bool,
}

impl<A: ArrayAccessor> View<A> {
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<A::Item> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

impl Arguments {
    pub(super) fn primitive<T: ArrowPrimitiveType>(&self, argument: usize) -> View<&PrimitiveArray<T>> {
        let value = &self.values[argument];
        View { array: value.array.as_primitive(), scalar: value.scalar }
    }

    pub(super) fn int(&self, argument: usize) -> View<&PrimitiveArray<Int32Type>> {
        self.primitive(argument)
    }

    pub(super) fn long(&self, argument: usize) -> View<&PrimitiveArray<Int64Type>> {
        self.primitive(argument)
    }

    pub(super) fn double(&self, argument: usize) -> View<&PrimitiveArray<Float64Type>> {
        self.primitive(argument)
    }

    pub(super) fn text(&self, argument: usize) -> View<&StringArray> {
        let value = &self.values[argument];
        View { array: value.array.as_string(), scalar: value.scalar }
    }

    pub(super) fn bytes(&self, argument: usize) -> View<&BinaryArray> {
        let value = &self.values[argument];
        View { array: value.array.as_binary(), scalar: value.scalar }
    }

    /// The argument as an array with a value for each row.
    pub(super) fn expanded(&self, argument: usize) -> Result<ArrayRef> {
        let value = &self.values[argument];
        match value.scalar && self.rows != 1 {
            true => ScalarValue::try_from_array(&value.array, 0)?.to_array_of_size(self.rows),
            false => Ok(value.array.clone()),
        }
    }

    pub(super) fn collect<T: ArrowPrimitiveType>(&self, f: impl Fn(usize) -> Option<T::Native>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(f).collect::<PrimitiveArray<T>>()))
    }

    pub(super) fn try_collect<T: ArrowPrimitiveType>(
        &self,
        f: impl Fn(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(f).collect::<Result<PrimitiveArray<T>>>()?))
    }

    pub(super) fn collect_booleans(&self, f: impl Fn(usize) -> Option<bool>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(f).collect::<BooleanArray>()))
    }

    pub(super) fn collect_texts<S: AsRef<str>>(&self, f: impl Fn(usize) -> Option<S>) -> Result<ArrayRef> {
        self.try_collect_texts(|row| Ok(f(row)))
    }

    pub(super) fn try_collect_texts<S: AsRef<str>>(&self, f: impl Fn(usize) -> Result<Option<S>>) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }
}
