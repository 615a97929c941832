//! Gives a stage its event time: the watermark of each source partition is the largest value that the
//! watermark expression had for its rows, and the task's is the least of its live partitions'. Not here:
//! when it is emitted (the runtime asks periodically), and which partitions are idle (the source knows).

use super::row_evaluation::evaluate_rows;
use super::slice_assigner::{for_each_rowtime, show_millis};
use super::state_table::{Scope, StateTable, time_field, times};
use super::{ActiveInput, Context, Operator, Output, Progress};
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, Result};
use crate::expression::{Compiler, Now, evaluate};
use crate::state::{StateChanges, StateEntries, TableId};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, StringArray};
use arrow_schema::{DataType as ArrowType, Field};
use datafusion_physical_expr::PhysicalExpr;
use millrace_planner::plan::WatermarkAssigner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Key: topic, then partition (i32, big-endian). Value: version, then the watermark (i64, little-endian).
const PARTITIONS: TableId = 1;
const VALUE_VERSION: u8 = 1;

pub(super) fn state_table() -> StateTable {
    let (topic, partition) = (ArrowType::Utf8, ArrowType::Int32);
    let fields =
        vec![Field::new("topic", topic, true), Field::new("partition", partition, true), time_field("watermark")];
    StateTable {
        id: PARTITIONS,
        name: "partitions",
        scope: Scope::Partition,
        layout: format!("watermark {VALUE_VERSION}"),
        fields,
        decode: Box::new(|entries| {
            let parsed = entries.iter().map(|(key, value)| parse(key, value)).collect::<Result<Vec<_>>>()?;
            let (partitions, watermarks): (Vec<Partition>, Vec<i64>) = parsed.into_iter().unzip();
            let (topics, partitions): (Vec<String>, Vec<i32>) = partitions.into_iter().unzip();
            Ok(vec![Arc::new(StringArray::from(topics)), Arc::new(Int32Array::from(partitions)), times(watermarks)])
        }),
    }
}

/// A partition, and its watermark.
fn parse(key: &[u8], value: &[u8]) -> Result<(Partition, i64)> {
    let parse = || {
        let (topic, partition) = key.split_last_chunk()?;
        let watermark = value.strip_prefix(&[VALUE_VERSION])?.try_into().ok()?;
        let topic = String::from_utf8(topic.to_vec()).ok()?;
        Some(((topic, i32::from_be_bytes(*partition)), i64::from_le_bytes(watermark)))
    };
    parse().ok_or_else(|| Error::fail_job("the state of a watermark is not of this version"))
}

type Partition = (String, i32);

pub struct Watermark {
    operator_id: u32,
    column: usize,
    expression: Arc<dyn PhysicalExpr>,
    now: Now,
    /// How far ahead of the clock a rowtime may be.
    max_ahead: Option<Duration>,
    /// Of each partition that a row has come from.
    partitions: BTreeMap<Partition, i64>,
    changed: BTreeSet<Partition>,
    /// With idleness. Until it is told, every partition that a row has come from.
    active: Option<Vec<(Partition, bool)>>,
    /// What the output has been given.
    emitted: i64,
}

impl Watermark {
    pub fn new(
        operator_id: u32,
        plan: &WatermarkAssigner,
        time_zone: &str,
        max_ahead: Option<Duration>,
    ) -> Result<Self> {
        let compiler = Compiler::new(time_zone)?;
        Ok(Self {
            operator_id,
            column: plan.column,
            expression: compiler.compile(&plan.expression, &|column| column)?,
            now: compiler.now(),
            max_ahead,
            partitions: BTreeMap::new(),
            changed: BTreeSet::new(),
            active: None,
            emitted: i64::MIN,
        })
    }

    /// The watermark of one partition; None before its first row.
    pub fn partition_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        self.partitions.get(&(topic.to_owned(), partition)).copied()
    }

    /// The latest rowtime that is taken now.
    fn limit(&self, now: i64) -> i64 {
        let ahead = self.max_ahead.map(|ahead| i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX));
        ahead.map_or(i64::MAX, |ahead| now.saturating_add(ahead))
    }

    /// Without the rows that have no usable rowtime.
    fn checked(&self, batch: Batch, now: i64, output: &mut dyn Output) -> Result<Batch> {
        let limit = self.limit(now);
        let mut failed = Vec::new();
        for_each_rowtime(batch.rows.column(self.column), |row, time| match time {
            Some(time) if time <= limit => {}
            Some(time) => failed.push((row, self.too_late_message(time, limit))),
            None => {
                let message = "RowTime field should not be null, please convert it to a non-null long value.";
                failed.push((row, message.to_owned()));
            }
        })?;
        if failed.is_empty() {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for (row, message) in failed {
            keep[row] = false;
            output.fail(batch.failed(row, FailureReason::Evaluate, message))?;
        }
        batch.filter(&BooleanArray::from(keep))
    }

    fn too_late_message(&self, time: i64, limit: i64) -> String {
        let ahead = self.max_ahead.unwrap_or_default();
        let (time, limit) = (show_millis(time), show_millis(limit));
        format!("rowtime {time} is later than {limit}, the clock and the {ahead:?} that it may be ahead")
    }

    fn heard(&mut self, batch: &Batch, watermarks: &ArrayRef) -> Result<()> {
        let mut highest = None;
        for_each_rowtime(watermarks, |_, watermark| highest = highest.max(watermark))?;
        let Some(highest) = highest else { return Ok(()) };
        let partition = match &batch.origin {
            Some(origin) => (origin.records.topic().to_owned(), origin.records.partition()),
            None => (String::new(), 0),
        };
        let watermark = self.partitions.entry(partition.clone()).or_insert(i64::MIN);
        if highest > *watermark {
            *watermark = highest;
            self.changed.insert(partition);
        }
        Ok(())
    }

    /// The least watermark of the live partitions; with none alive, the greatest, since no other holds it
    /// back. None when there is none at all.
    fn combined(&self) -> Option<i64> {
        let Some(active) = &self.active else { return self.partitions.values().copied().min() };
        let watermark = |partition| self.partitions.get(partition).copied().unwrap_or(i64::MIN);
        let live = active.iter().filter(|(_, idle)| !idle).map(|(partition, _)| watermark(partition));
        live.min().or_else(|| active.iter().map(|(partition, _)| watermark(partition)).max())
    }

    fn idle(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.iter().all(|(_, idle)| *idle))
    }
}

impl Operator for Watermark {
    fn process(&mut self, _port: usize, batch: Batch, context: &Context<'_>, output: &mut dyn Output) -> Result<()> {
        let now = context.clock.now_millis();
        self.now.set(now);
        let batch = self.checked(batch, now, output)?;
        let (batch, watermarks) = evaluate_rows(batch, |rows| evaluate(self.expression.as_ref(), rows), output)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.heard(&batch, &watermarks)?;
        output.emit(batch)
    }

    fn advance(&mut self, _context: &Context<'_>, _output: &mut dyn Output) -> Result<bool> {
        self.emitted = self.emitted.max(self.combined().unwrap_or(i64::MIN));
        Ok(true)
    }

    fn held_back(&self, progress: Progress) -> Progress {
        match progress.event {
            // The end of a bounded input passes everything.
            i64::MAX => progress,
            _ => Progress { event: self.emitted, idle: self.idle(), ..progress },
        }
    }

    fn set_active_inputs(&mut self, active: &[ActiveInput<'_>]) {
        self.active = Some(active.iter().map(|a| ((a.topic.to_owned(), a.partition), a.idle)).collect());
    }

    fn snapshot(&mut self, changes: &mut StateChanges) -> Result<()> {
        for partition in std::mem::take(&mut self.changed) {
            let mut key = partition.0.as_bytes().to_vec();
            key.extend_from_slice(&partition.1.to_be_bytes());
            let mut value = vec![VALUE_VERSION];
            value.extend_from_slice(&self.partitions[&partition].to_le_bytes());
            changes.put(self.operator_id, PARTITIONS, partition.1 as u16, &key, &value);
        }
        Ok(())
    }

    fn restore(&mut self, entries: &mut dyn StateEntries) -> Result<()> {
        entries.for_each(&mut |_, _, key, value| {
            let (partition, watermark) = parse(key, value)?;
            self.partitions.insert(partition, watermark);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::ManualClock;
    use crate::operators::testing::{Collected, Store, context, origin};
    use arrow_array::types::TimestampMillisecondType;
    use arrow_array::{PrimitiveArray, RecordBatch};
    use millrace_planner::expression::{Expression, ExpressionKind, Function, Literal};
    use millrace_planner::types::{DataType, TypeKind};

    /// WATERMARK FOR ts AS ts - INTERVAL '5' MILLISECONDS
    fn watermark(max_ahead: Option<Duration>) -> Watermark {
        let timestamp = DataType::nullable(TypeKind::Timestamp { precision: 3 });
        let delay = Expression {
            kind: ExpressionKind::Literal(Literal::Milliseconds(5)),
            data_type: DataType::not_null(TypeKind::IntervalDayTime),
        };
        let expression = Expression {
            kind: ExpressionKind::Call {
                function: Function("DATETIME_MINUS".into()),
                arguments: vec![Expression::column(0, timestamp.clone()), delay],
            },
            data_type: timestamp,
        };
        Watermark::new(3, &WatermarkAssigner { column: 0, expression }, "UTC", max_ahead).unwrap()
    }

    fn batch(partition: i32, times: &[Option<i64>]) -> Batch {
        let times: ArrayRef = Arc::new(times.iter().copied().collect::<PrimitiveArray<TimestampMillisecondType>>());
        let rows = RecordBatch::try_from_iter_with_nullable([("ts", times.clone(), true)]).unwrap();
        Batch { rows, origin: Some(origin("t", partition, times.len())) }
    }

    fn active(inputs: &[(i32, bool)]) -> Vec<ActiveInput<'static>> {
        inputs.iter().map(|&(partition, idle)| ActiveInput { topic: "t", partition, idle }).collect()
    }

    fn process(operator: &mut Watermark, partition: i32, times: &[Option<i64>]) -> Collected {
        let clock = ManualClock::at(1_000);
        let mut output = Collected::default();
        let context = context(&*clock, Progress::START);
        operator.process(0, batch(partition, times), &context, &mut output).unwrap();
        operator.advance(&context, &mut output).unwrap();
        output
    }

    fn emitted(operator: &Watermark) -> (i64, bool) {
        let progress = operator.held_back(Progress::START);
        (progress.event, progress.idle)
    }

    #[test]
    fn the_watermark_is_the_least_of_the_live_partitions() {
        let mut operator = watermark(None);
        operator.set_active_inputs(&active(&[(0, false), (1, false)]));
        process(&mut operator, 0, &[Some(100), Some(50)]);
        assert_eq!(emitted(&operator), (i64::MIN, false), "nothing has come from partition 1");
        process(&mut operator, 1, &[Some(30)]);
        assert_eq!(emitted(&operator), (25, false));
        operator.set_active_inputs(&active(&[(0, false), (1, true)]));
        process(&mut operator, 0, &[Some(101)]);
        assert_eq!(emitted(&operator), (96, false), "partition 1 is idle");
        operator.set_active_inputs(&active(&[(0, false), (1, false)]));
        process(&mut operator, 1, &[Some(40)]);
        assert_eq!(emitted(&operator), (96, false), "it never goes back");
        operator.set_active_inputs(&active(&[(0, true), (1, true)]));
        assert_eq!(emitted(&operator), (96, true));
        assert_eq!(operator.held_back(Progress::END), Progress::END);
    }

    #[test]
    fn partitions_that_fall_silent_together_hold_nothing_back() {
        let mut operator = watermark(None);
        operator.set_active_inputs(&active(&[(0, false), (1, false)]));
        process(&mut operator, 0, &[Some(100)]);
        assert_eq!(emitted(&operator), (i64::MIN, false));
        operator.set_active_inputs(&active(&[(0, true), (1, true)]));
        operator.advance(&context(&*ManualClock::at(1_000), Progress::START), &mut Collected::default()).unwrap();
        assert_eq!(emitted(&operator), (95, true));
    }

    #[test]
    fn rows_far_ahead_of_the_clock_or_without_rowtime_fail_and_move_nothing() {
        let mut operator = watermark(Some(Duration::from_secs(1)));
        let output = process(&mut operator, 0, &[Some(2_000), Some(2_001), None]);
        assert_eq!(output.rows(), 1);
        let expected = "rowtime 1970-01-01 00:00:02.001 is later than 1970-01-01 00:00:02.000, the clock and the 1s that \
                        it may be ahead";
        assert_eq!(output.failures()[0], (FailureReason::Evaluate, expected));
        assert_eq!(output.failed[1].record.as_ref().unwrap().1, 2, "the record that it came from");
        assert_eq!(emitted(&operator), (1_995, false));
    }

    #[test]
    fn a_restart_does_not_move_the_watermark_back() {
        let mut operator = watermark(None);
        process(&mut operator, 7, &[Some(500)]);
        let (mut changes, mut store) = (StateChanges::default(), Store::default());
        operator.snapshot(&mut changes).unwrap();
        store.apply(&changes);
        let mut restored = watermark(None);
        restored.restore(&mut store).unwrap();
        assert_eq!(restored.partition_watermark("t", 7), Some(495));
        process(&mut restored, 7, &[Some(1)]);
        assert_eq!(emitted(&restored), (495, false));
    }
}
