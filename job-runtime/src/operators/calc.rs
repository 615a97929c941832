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
use arrow_select::filter::{filter_record_batch, prep_null_mask_filter};
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
        let Some(keep) = keep else { return Ok(batch.with_rows(rows)) };
        let rows = filter_record_batch(&rows, &keep).or_kind(ErrorKind::FailJob, "filtering")?;
        Ok(Batch { rows, origin: batch.origin.as_ref().map(|origin| origin.filter(&keep)) })
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
