//! CAST and TRY_CAST, with Flink's rules: narrowing an integer wraps as in Java, a DECIMAL that doesn't
//! fit is NULL, text that can't be read fails the row (TRY_CAST: is NULL), text is cut or padded to the
//! length of its type.

mod numeric;
mod text;
mod temporal;
mod collection;

use super::call::{Arguments, Kernel};
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::schema::arrow_type;
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::new_null_array;
use datafusion_common::arrow::compute::cast as arrow_cast;
use millrace_planner::types::TypeKind;
use std::sync::Arc;

pub(super) fn kernel(from: &TypeKind, to: &TypeKind, try_cast: bool, zone: Zone) -> Result<Kernel> {
    let target = arrow_type(to);
    if *from == TypeKind::Null {
        return Ok(Arc::new(move |a| Ok(new_null_array(&target, a.rows))));
    }
    let cast = Cast { from: from.clone(), to: to.clone(), try_cast, zone };
    let kernel = if cast.is_free() {
        Some(Arc::new(|a: &Arguments| a.expanded(0)) as Kernel)
    } else if cast.arrow_does_it() {
        Some(Arc::new(move |a: &Arguments| Ok(arrow_cast(&a.expanded(0)?, &target)?)) as Kernel)
    } else {
        let kernel = numeric::kernel(&cast).or_else(|| text::kernel(&cast)).or_else(|| temporal::kernel(&cast));
        kernel.or_else(|| collection::kernel(&cast))
    };
    kernel.ok_or_else(|| Error::user_fault(format!("a cast from {from} to {to} is not supported yet")))
}

/// What to cast, and how.
#[derive(Clone)]
struct Cast {
    from: TypeKind,
    to: TypeKind,
    try_cast: bool,
    zone: Zone,
}

impl Cast {
    /// A row's value, or what becomes of one that can't be cast.
    fn or_null<T>(&self, value: EvalResult<Option<T>>) -> EvalResult<Option<T>> {
        if self.try_cast { Ok(value.unwrap_or(None)) } else { value }
    }

    /// One layout, and every value of one type is one of the other.
    fn is_free(&self) -> bool {
        use TypeKind::{Binary, Char, Decimal, Time, Timestamp, TimestampLtz, VarBinary, VarChar};
        if self.from == self.to {
            return true;
        }
        match (&self.from, &self.to) {
            (Char { length: from } | VarChar { length: from }, VarChar { length: to })
            | (Binary { length: from } | VarBinary { length: from }, VarBinary { length: to }) => from <= to,
            (Decimal { .. }, Decimal { .. }) => false,
            (Timestamp { precision: from }, Timestamp { precision: to })
            | (TimestampLtz { precision: from }, TimestampLtz { precision: to }) => {
                from <= to && arrow_type(&self.from) == arrow_type(&self.to)
            }
            (Time { precision: from }, Time { precision: to }) => from <= to,
            (TypeKind::Row(_) | TypeKind::Array(_) | TypeKind::Map(..), _) => {
                arrow_type(&self.from) == arrow_type(&self.to)
            }
            _ => false,
        }
    }

    /// Arrow's kernel gives what Flink does: no value is lost, and a DECIMAL that overflows is NULL.
    fn arrow_does_it(&self) -> bool {
        use TypeKind::{BigInt, Decimal, Double, Float, Int, SmallInt, TinyInt};
        let rank = |kind: &TypeKind| match kind {
            TinyInt => Some(1),
            SmallInt => Some(2),
            Int => Some(3),
            BigInt => Some(4),
            _ => None,
        };
        match (rank(&self.from), rank(&self.to), &self.from, &self.to) {
            (Some(from), Some(to), ..) => from < to,
            (Some(_), None, _, Float | Double | Decimal { .. }) => true,
            (_, _, Float, Double) => true,
            _ => false,
        }
    }
}
