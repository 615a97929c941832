//! Keeps NULLs out of a table's NOT NULL columns, before any connector's writer: such a row fails, or is
//! counted and dropped where the script says so. As in Flink, of columns only: not of fields in a ROW.

use super::SinkWriter;
use super::outputs::Outputs;
use crate::batch::{Batch, FailedRow, FailureReason};
use crate::error::Result;
use crate::job::ErrorPolicy;
use arrow_array::{Array, BooleanArray};
use arrow_buffer::NullBuffer;
use millrace_planner::plan::{NotNullEnforcer, Sink, SinkTarget};

struct NotNullSink {
    writer: Box<dyn SinkWriter>,
    /// The places in the input that are written to NOT NULL columns, with those columns' names.
    columns: Vec<(usize, String)>,
    enforcer: NotNullEnforcer,
}

/// The writer, for rows that the table can take.
pub(super) fn enforced(writer: Box<dyn SinkWriter>, sink: &Sink) -> Box<dyn SinkWriter> {
    let not_null = |name: &str| sink.table.physical.iter().any(|c| c.name == name && !c.data_type.nullable);
    let columns = sink.targets.iter().enumerate().filter_map(|(at, target)| match target {
        SinkTarget::Physical { name } if not_null(name) => Some((at, name.clone())),
        SinkTarget::Physical { .. } | SinkTarget::Metadata { .. } => None,
    });
    let columns: Vec<_> = columns.collect();
    if columns.is_empty() {
        return writer;
    }
    Box::new(NotNullSink { writer, columns, enforcer: sink.not_null })
}

impl NotNullSink {
    fn failed(&self, batch: &Batch, row: usize) -> FailedRow {
        let is_null = |(at, _): &&(usize, String)| batch.rows.column(*at).is_null(row);
        let (_, name) = self.columns.iter().find(is_null).expect("one of them is NULL in this row");
        let message = format!(
            "Column '{name}' is NOT NULL, however, a null value is being written into it. You can set job \
             configuration 'table.exec.sink.not-null-enforcer'='DROP' to suppress this exception and drop such \
             records silently."
        );
        let policy = match self.enforcer {
            NotNullEnforcer::Error => None,
            NotNullEnforcer::Drop => Some(ErrorPolicy::Drop),
        };
        FailedRow { policy, ..batch.failed(row, FailureReason::Evaluate, message) }
    }
}

impl SinkWriter for NotNullSink {
    fn write(&mut self, batch: &Batch, outputs: &mut Outputs, failed: &mut Vec<FailedRow>) -> Result<()> {
        let nulls = self.columns.iter().map(|(at, _)| batch.rows.column(*at).nulls());
        // None where no column has a NULL, which takes no look at the rows.
        let Some(complete) = NullBuffer::union_many(nulls) else {
            return self.writer.write(batch, outputs, failed);
        };
        failed.extend((0..complete.len()).filter(|&row| complete.is_null(row)).map(|row| self.failed(batch, row)));
        if complete.null_count() == complete.len() {
            return Ok(());
        }
        self.writer.write(&batch.filter(&BooleanArray::from(complete.into_inner()))?, outputs, failed)
    }

    fn epoch_ended(&mut self) {
        self.writer.epoch_ended();
    }

    fn committed(&mut self) {
        self.writer.committed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::epoch_memory::EpochMemory;
    use crate::sink::{SinkContext, build};
    use arrow_array::{Int32Array, RecordBatch, StringArray};
    use millrace_planner::plan::Operator;
    use millrace_planner::{PlanOptions, plan_script};
    use std::sync::Arc;
    use std::sync::Mutex;

    /// A writer that keeps the numbers it is given.
    struct Kept(Arc<Mutex<Vec<Option<i32>>>>);

    impl SinkWriter for Kept {
        fn write(&mut self, batch: &Batch, _outputs: &mut Outputs, _failed: &mut Vec<FailedRow>) -> Result<()> {
            let column = batch.rows.column(0).as_any().downcast_ref::<Int32Array>().unwrap();
            self.0.lock().unwrap().extend(column.iter());
            Ok(())
        }
    }

    /// The sink of `INSERT INTO t SELECT a, b, h`, with columns of this declaration.
    fn sink(set: &str, connector: &str, columns: &str) -> Sink {
        let sql = format!(
            "CREATE TABLE s (a INT, b STRING, h TIMESTAMP_LTZ(3)) WITH ('connector' = 'datagen');
             CREATE TABLE t ({columns}) WITH ({connector});
             {set} INSERT INTO t SELECT * FROM s;"
        );
        let plan = plan_script(&sql, &PlanOptions::default()).unwrap().plan;
        let mut sinks = plan.nodes.into_iter().filter_map(|node| match node.operator {
            Operator::Sink(sink) => Some(sink),
            _ => None,
        });
        sinks.next_back().expect("one INSERT")
    }

    const BLACKHOLE: &str = "'connector' = 'blackhole'";

    fn batch(rows: &[(Option<i32>, Option<&str>)]) -> Batch {
        let (a, b): (Int32Array, StringArray) =
            (rows.iter().map(|(a, _)| *a).collect(), rows.iter().map(|(_, b)| *b).collect());
        let h = arrow_array::TimestampMillisecondArray::from(vec![None; rows.len()]).with_timezone("UTC");
        let columns: [(&str, arrow_array::ArrayRef, bool); 3] =
            [("a", Arc::new(a), true), ("b", Arc::new(b), true), ("h", Arc::new(h), true)];
        Batch::new(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
    }

    fn write(writer: &mut dyn SinkWriter, rows: &[(Option<i32>, Option<&str>)]) -> Vec<FailedRow> {
        let mut failed = Vec::new();
        writer.write(&batch(rows), &mut Outputs::new(Arc::new(EpochMemory::new(1 << 20))), &mut failed).unwrap();
        failed
    }

    #[test]
    fn a_null_fails_its_row_and_no_other() {
        let kept = Arc::new(Mutex::default());
        let sink = sink("", BLACKHOLE, "a INT NOT NULL, b STRING NOT NULL, h TIMESTAMP_LTZ(3)");
        let mut writer = enforced(Box::new(Kept(kept.clone())), &sink);
        let rows = [(Some(1), Some("x")), (None, Some("x")), (Some(3), None), (Some(4), Some("y")), (None, None)];
        let failed = write(writer.as_mut(), &rows);
        assert_eq!(*kept.lock().unwrap(), [Some(1), Some(4)]);
        let named: Vec<_> = failed.iter().map(|row| (row.reason, row.policy, &row.message[..35])).collect();
        let null = |start: &'static str| (FailureReason::Evaluate, None, start);
        let (a, b) = ("Column 'a' is NOT NULL, however, a n", "Column 'b' is NOT NULL, however, a n");
        assert_eq!(named, [null(&a[..35]), null(&b[..35]), null(&a[..35])]);
    }

    #[test]
    fn rows_are_dropped_instead_where_the_script_says_so() {
        let kept = Arc::new(Mutex::default());
        let set = "SET 'table.exec.sink.not-null-enforcer' = 'drop';";
        let sink = sink(set, BLACKHOLE, "a INT NOT NULL, b STRING, h TIMESTAMP_LTZ(3)");
        let mut writer = enforced(Box::new(Kept(kept.clone())), &sink);
        let failed = write(writer.as_mut(), &[(None, Some("x")), (Some(2), None)]);
        assert_eq!(*kept.lock().unwrap(), [Some(2)]);
        assert_eq!(failed.iter().map(|row| row.policy).collect::<Vec<_>>(), [Some(ErrorPolicy::Drop)]);
    }

    #[test]
    fn every_connector_enforces_and_metadata_may_be_null() {
        let kafka = "'connector' = 'kafka', 'topic' = 't', 'format' = 'json'";
        let metadata = "h TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp'";
        for (connector, last) in
            [(kafka, metadata), (BLACKHOLE, "h TIMESTAMP_LTZ(3)"), ("'connector' = 'print'", "h TIMESTAMP_LTZ(3)")]
        {
            let sink = sink("", connector, &format!("a INT NOT NULL, b STRING, {last}"));
            let input = millrace_planner::plan::Schema { columns: sink.table.physical.clone() };
            let context = SinkContext { task: 0, partitions: 1, limits: &Default::default() };
            let mut writer = build(&sink, &input, &context).unwrap();
            assert_eq!(write(writer.as_mut(), &[(Some(1), None), (None, None)]).len(), 1, "{connector}");
        }
    }
}
