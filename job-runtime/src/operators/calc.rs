//! Filter, then projection. Columns that are only passed on cost nothing, and what the projection doesn't
//! read is dropped before the filter copies.

use super::row_evaluation::evaluate_rows;
use super::{Context, Operator, Output};
use crate::batch::Batch;
use crate::error::{ErrorContext, ErrorKind, Result};
use crate::expression::{Compiler, Now, evaluate};
use crate::schema::arrow_schema;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::filter::prep_null_mask_filter;
use datafusion_physical_expr::PhysicalExpr;
use millrace_planner::expression::ExpressionKind;
use millrace_planner::plan::{self, Schema};
use std::collections::BTreeSet;
use std::sync::Arc;

pub struct Calc {
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of the input that the projection reads.
    needed: Vec<usize>,
    projection: Vec<Projection>,
    schema: SchemaRef,
    now: Now,
}

/// Indexes are into the columns needed.
enum Projection {
    Column(usize),
    Expression(Arc<dyn PhysicalExpr>),
}

impl Calc {
    pub fn new(plan: &plan::Calc, output: &Schema, time_zone: &str) -> Result<Self> {
        let compiler = Compiler::new(time_zone)?;
        let mut needed = BTreeSet::new();
        for expression in &plan.projection {
            expression.walk(&mut |e| {
                if let ExpressionKind::Column(column) = e.kind {
                    needed.insert(column);
                }
            });
        }
        let needed: Vec<usize> = needed.into_iter().collect();
        let place = |column: usize| needed.partition_point(|&other| other < column);
        let projection = plan.projection.iter().map(|expression| match expression.kind {
            ExpressionKind::Column(column) => Ok(Projection::Column(place(column))),
            _ => Ok(Projection::Expression(compiler.compile(expression, &place)?)),
        });
        let projection = projection.collect::<Result<_>>()?;
        let filter = plan.filter.as_ref().map(|filter| compiler.compile(filter, &|column| column)).transpose()?;
        Ok(Self { filter, projection, needed, schema: arrow_schema(output), now: compiler.now() })
    }

    /// The rows that pass, with the needed columns.
    fn filtered(&self, batch: Batch, output: &mut dyn Output) -> Result<Batch> {
        let (batch, keep) = match &self.filter {
            None => (batch, None),
            Some(filter) => {
                let (batch, keep) = evaluate_rows(batch, |rows| evaluate(filter.as_ref(), rows), output)?;
                let keep = keep.as_boolean();
                let keep = if keep.null_count() > 0 { prep_null_mask_filter(keep) } else { keep.clone() };
                (batch, Some(keep).filter(BooleanArray::has_false))
            }
        };
        let rows = batch.rows.project(&self.needed).or_kind(ErrorKind::FailJob, "a projection of missing columns")?;
        let batch = batch.with_rows(rows);
        match keep {
            Some(keep) => batch.filter(&keep),
            None => Ok(batch),
        }
    }

    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let columns = self.projection.iter().map(|projection| match projection {
            Projection::Column(column) => Ok(rows.column(*column).clone()),
            Projection::Expression(expression) => evaluate(expression.as_ref(), rows),
        });
        let columns = columns.collect::<Result<_, String>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| error.to_string())
    }
}

impl Operator for Calc {
    fn process(&mut self, _port: usize, batch: Batch, context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        self.now.set(context.clock.now_millis());
        let batch = self.filtered(batch, output)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (batch, rows) = evaluate_rows(batch, |rows| self.project(rows), output)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        output.emit(batch.with_rows(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::FailureReason;
    use crate::env::ManualClock;
    use crate::operators::Progress;
    use crate::operators::testing::{Collected, context, origin};
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Int32Array};
    use millrace_planner::expression::{Expression, Function};
    use millrace_planner::plan::Column;
    use millrace_planner::types::{DataType, TypeKind};

    fn int(column: usize) -> Expression {
        Expression::column(column, DataType::nullable(TypeKind::Int))
    }

    fn call(name: &'static str, arguments: Vec<Expression>, kind: TypeKind) -> Expression {
        let kind = (ExpressionKind::Call { function: Function(name.into()), arguments }, kind);
        Expression { kind: kind.0, data_type: DataType::nullable(kind.1) }
    }

    /// SELECT c, a / b FROM t WHERE a > b, where t has the columns a, b and c.
    fn quotient() -> Calc {
        let filter = call("GREATER_THAN", vec![int(0), int(1)], TypeKind::Boolean);
        let projection = vec![int(2), call("DIVIDE", vec![int(0), int(1)], TypeKind::Int)];
        let column = |name: &str| Column { name: name.into(), data_type: DataType::nullable(TypeKind::Int) };
        let plan = plan::Calc { filter: Some(filter), projection };
        Calc::new(&plan, &Schema { columns: vec![column("c"), column("q")] }, "UTC").unwrap()
    }

    fn batch(rows: &[[Option<i32>; 3]]) -> Batch {
        let column = |place: usize| Arc::new(rows.iter().map(|row| row[place]).collect::<Int32Array>()) as ArrayRef;
        let columns = [("a", column(0), true), ("b", column(1), true), ("c", column(2), true)];
        Batch {
            rows: RecordBatch::try_from_iter_with_nullable(columns).unwrap(),
            origin: Some(origin("t", 0, rows.len())),
        }
    }

    fn process(calc: &mut Calc, batch: Batch) -> Collected {
        let mut output = Collected::default();
        calc.process(0, batch, &context(&*ManualClock::at(0), Progress::START), &mut output).unwrap();
        output
    }

    #[test]
    fn rows_that_fail_leave_alone_and_the_others_keep_their_records() {
        let rows = [[8, 2, 10], [1, 2, 11], [5, 0, 12], [9, 3, 13], [7, 0, 14]].map(|row| row.map(Some));
        let output = process(&mut quotient(), batch(&rows));
        let out = &output.batches[0];
        assert_eq!(out.rows.column(0).as_primitive::<Int32Type>().values()[..], [10, 13]);
        assert_eq!(out.rows.column(1).as_primitive::<Int32Type>().values()[..], [4, 3]);
        assert_eq!(out.origin.as_ref().unwrap().index.values()[..], [0, 3]);
        assert_eq!(output.failures(), [(FailureReason::Evaluate, "/ by zero"); 2]);
        let records: Vec<_> = output.failed.iter().map(|row| row.record.as_ref().unwrap().1).collect();
        assert_eq!(records, [2, 4]);
    }

    #[test]
    fn a_filter_that_is_null_drops_the_row_and_one_that_keeps_all_copies_nothing() {
        assert!(process(&mut quotient(), batch(&[[None, Some(1), Some(1)]])).batches.is_empty());
        let rows = batch(&[[Some(4), Some(2), Some(1)], [Some(4), Some(1), Some(2)]]);
        let before = rows.rows.column(2).as_primitive::<Int32Type>().values().as_ptr();
        let output = process(&mut quotient(), rows);
        assert_eq!(output.batches[0].rows.column(0).as_primitive::<Int32Type>().values().as_ptr(), before);
    }
}
