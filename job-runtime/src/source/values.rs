//! `VALUES`: constant rows, emitted once. The position is the number of rows emitted, so that a restart
//! doesn't emit them again.

use super::{AssignedPartition, Source, SourceBatch};
use crate::batch::Batch;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::expression::{Compiler, evaluate};
use crate::operators::ActiveInput;
use crate::schema::arrow_schema;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema as ArrowSchema;
use arrow_select::concat::concat;
use millrace_planner::expression::{Expression, ExpressionKind, Literal};
use millrace_planner::plan::{NodeId, Schema, Values};
use std::sync::Arc;
use std::time::Duration;

pub struct ValuesSource {
    scan: NodeId,
    rows: RecordBatch,
    partition: Option<(AssignedPartition, i64)>,
}

impl ValuesSource {
    pub fn new(scan: NodeId, values: &Values, schema: &Schema, partitions: Vec<AssignedPartition>) -> Result<Self> {
        let operation = || "could not build the rows of VALUES";
        let compiler = Compiler::new("UTC")?;
        let one = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row = RecordBatch::try_new_with_options(Arc::new(ArrowSchema::empty()), Vec::new(), &one)
            .or_kind(ErrorKind::FailJob, operation())?;
        let mut columns = Vec::new();
        for (at, column) in schema.columns.iter().enumerate() {
            let cell = |row: &Vec<Literal>| {
                let literal =
                    Expression { kind: ExpressionKind::Literal(row[at].clone()), data_type: column.data_type.clone() };
                let compiled = compiler.compile(&literal, &|column| column)?;
                evaluate(compiled.as_ref(), &one_row).map_err(|message| Error::fail_job(message).context(operation()))
            };
            let cells = values.rows.iter().map(cell).collect::<Result<Vec<_>>>()?;
            let cells: Vec<&dyn arrow_array::Array> = cells.iter().map(|a| a.as_ref()).collect();
            columns.push(concat(&cells).or_kind(ErrorKind::FailJob, operation())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(values.rows.len()));
        let rows = RecordBatch::try_new_with_options(arrow_schema(schema), columns, &options)
            .or_kind(ErrorKind::FailJob, operation())?;
        let partition = partitions.into_iter().next().map(|p| (p.clone(), p.start));
        Ok(Self { scan, rows, partition })
    }
}

impl Source for ValuesSource {
    fn scan(&self) -> NodeId {
        self.scan
    }

    fn poll(&mut self, _timeout: Duration, batches: &mut Vec<SourceBatch>) -> Result<()> {
        let Some((partition, next)) = &mut self.partition else { return Ok(()) };
        let (start, end) = (*next as usize, self.rows.num_rows());
        if start < end {
            *next = end as i64;
            batches.push(SourceBatch {
                scan: self.scan,
                task: partition.task,
                batch: Batch::new(self.rows.slice(start, end - start)),
                failed: Vec::new(),
                partition: partition.partition.clone(),
                next: end as i64,
                records: (end - start) as u64,
                bytes: 0,
            });
        }
        Ok(())
    }

    fn finished(&self, task: u32) -> bool {
        let unread = |(p, next): &(AssignedPartition, i64)| p.task == task && (*next as usize) < self.rows.num_rows();
        !self.partition.as_ref().is_some_and(unread)
    }

    fn active_inputs(&self, _task: u32) -> Vec<ActiveInput<'_>> {
        Vec::new()
    }

    fn add_partition(&mut self, _partition: AssignedPartition) -> Result<()> {
        unreachable!("constant rows have one partition for ever")
    }
}
