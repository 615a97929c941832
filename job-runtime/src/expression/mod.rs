//! Scalar expressions: compiles the planner's to DataFusion's physical ones, with Flink's meaning. The
//! frame (columns, literals, CASE, evaluation of selected rows) is DataFusion's; every function and cast
//! is a kernel of ours, because Flink's arithmetic, casts and formats differ in the corners. Functions
//! have the names and the meaning of the planner's catalogue. Not here: what happens to a row whose
//! expression fails (`operators/row_evaluation.rs`).

mod call;
mod catalogue;
mod logic;
mod arithmetic;
mod decimal;
mod rounding;
mod math;
mod string;
mod regex;
mod encoding;
mod zone;
mod pattern;
mod temporal;
mod temporal_text;
mod collection;
mod cast;
#[cfg(test)]
mod tests;

use self::call::Call;
use self::zone::Zone;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::schema::arrow_type;
use datafusion_common::arrow::array::{ArrayRef, RecordBatch};
use datafusion_common::arrow::datatypes::{DataType as ArrowType, IntervalUnit, TimeUnit};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{CaseExpr, Column, Literal as LiteralExpr};
use millrace_planner::expression::{Expression, ExpressionKind, Literal};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time that expressions see. An operator sets it for each batch, so that all of a batch is one moment.
#[derive(Clone, Default)]
pub struct Now(Arc<AtomicI64>);

impl Now {
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Compiles the expressions of one operator.
#[derive(Clone)]
pub struct Compiler {
    zone: Zone,
    now: Now,
}

impl Compiler {
    /// `time_zone` is the session's, from the plan.
    pub fn new(time_zone: &str) -> Result<Self> {
        let zone = Zone::parse(time_zone)
            .ok_or_else(|| Error::user_fault(format!("'{time_zone}' is not a time zone of the IANA database")))?;
        Ok(Self { zone, now: Now::default() })
    }

    /// The clock of everything compiled here.
    pub fn now(&self) -> Now {
        self.now.clone()
    }

    /// `place` says where a column of the operator's input stands in the batches evaluated.
    pub fn compile(&self, expression: &Expression, place: &dyn Fn(usize) -> usize) -> Result<Arc<dyn PhysicalExpr>> {
        let compile = |e: &Expression| self.compile(e, place);
        let data_type = arrow_type(&expression.data_type.kind);
        match &expression.kind {
            ExpressionKind::Column(index) => {
                let place = place(*index);
                Ok(Arc::new(Column::new(&format!("${place}"), place)))
            }
            ExpressionKind::Literal(literal) => Ok(Arc::new(LiteralExpr::new(scalar(literal, &data_type)?))),
            ExpressionKind::Call { function, arguments } => {
                let compiled = arguments.iter().map(compile).collect::<Result<Vec<_>>>()?;
                if let Some(lazy) = logic::lazy(function.name(), arguments, &compiled, &data_type) {
                    return Ok(lazy);
                }
                let signature = catalogue::Signature {
                    name: function.name(),
                    arguments,
                    result: &expression.data_type,
                    zone: self.zone,
                    now: &self.now,
                };
                let kernel = catalogue::kernel(&signature)?;
                Ok(Arc::new(Call::new(function.name(), compiled, data_type, kernel)))
            }
            ExpressionKind::Cast { input, try_cast } => {
                let kernel = cast::kernel(&input.data_type.kind, &expression.data_type.kind, *try_cast, self.zone)?;
                Ok(Arc::new(Call::new("CAST", vec![compile(input)?], data_type, kernel)))
            }
            ExpressionKind::Case { branches, otherwise } => {
                let branches = branches.iter().map(|(when, then)| Ok((compile(when)?, compile(then)?)));
                let branches = branches.collect::<Result<Vec<_>>>()?;
                let case = CaseExpr::try_new(None, branches, Some(compile(otherwise)?));
                Ok(Arc::new(case.or_kind(ErrorKind::UserFault, "CASE")?))
            }
            ExpressionKind::Field { input, index } => {
                let kernel = collection::field(*index);
                Ok(Arc::new(Call::new("FIELD", vec![compile(input)?], data_type, kernel)))
            }
        }
    }
}

/// The values of an expression for every row; Err says why some row has none.
pub fn evaluate(expression: &dyn PhysicalExpr, rows: &RecordBatch) -> Result<ArrayRef, String> {
    let value = expression.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    value.map_err(|error| message(&error))
}

/// What the user needs to read of an error.
fn message(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Execution(message) => message.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        other => other.to_string(),
    }
}

/// Whether some row can make this expression fail. Errs on the safe side.
fn can_fail(expression: &Expression) -> bool {
    const FAILING: &[&str] = &["DIVIDE", "MOD", "DATE_FORMAT", "FROM_UNIXTIME", "FROM_BASE64", "ENCODE", "DECODE"];
    let mut fails = false;
    expression.walk(&mut |e| match &e.kind {
        ExpressionKind::Call { function, .. } => fails |= FAILING.contains(&function.name()),
        ExpressionKind::Cast { try_cast, .. } => fails |= !try_cast,
        _ => {}
    });
    fails
}

fn scalar(literal: &Literal, data_type: &ArrowType) -> Result<ScalarValue> {
    let mismatch = || Error::fail_job(format!("the plan has a literal {literal:?} of type {data_type}"));
    let out_of_range = |_| mismatch();
    Ok(match (literal, data_type) {
        (Literal::Null, _) => {
            ScalarValue::try_from(data_type).or_kind(ErrorKind::FailJob, "the plan has a NULL of an unknown type")?
        }
        (Literal::Boolean(value), ArrowType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Literal::Integer(value), ArrowType::Int8) => {
            ScalarValue::Int8(Some((*value).try_into().map_err(out_of_range)?))
        }
        (Literal::Integer(value), ArrowType::Int16) => {
            ScalarValue::Int16(Some((*value).try_into().map_err(out_of_range)?))
        }
        (Literal::Integer(value), ArrowType::Int32) => {
            ScalarValue::Int32(Some((*value).try_into().map_err(out_of_range)?))
        }
        (Literal::Integer(value), ArrowType::Int64) => ScalarValue::Int64(Some(*value)),
        (Literal::Decimal(value), ArrowType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (Literal::Double(value), ArrowType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (Literal::Double(value), ArrowType::Float64) => ScalarValue::Float64(Some(*value)),
        (Literal::String(value), ArrowType::Utf8) => ScalarValue::Utf8(Some(value.clone())),
        (Literal::Binary(value), ArrowType::Binary) => ScalarValue::Binary(Some(value.clone())),
        (Literal::Date(value), ArrowType::Date32) => ScalarValue::Date32(Some(*value)),
        (Literal::Time(value), ArrowType::Time32(_)) => ScalarValue::Time32Millisecond(Some(*value)),
        (Literal::Timestamp(value), ArrowType::Timestamp(TimeUnit::Millisecond, zone)) => {
            ScalarValue::TimestampMillisecond(Some(*value), zone.clone())
        }
        (Literal::Timestamp(value), ArrowType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (Literal::Timestamp(value), ArrowType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            ScalarValue::TimestampNanosecond(Some(*value), zone.clone())
        }
        (Literal::Months(value), ArrowType::Interval(IntervalUnit::YearMonth)) => {
            ScalarValue::IntervalYearMonth(Some(*value))
        }
        (Literal::Milliseconds(value), ArrowType::Duration(TimeUnit::Millisecond)) => {
            ScalarValue::DurationMillisecond(Some(*value))
        }
        _ => return Err(mismatch()),
    })
}
