//! The `datagen` connector: random or counted rows at a given rate. A task's share is its "partition", the
//! number of rows made so far its position, so that a restart goes on where the last commit was; random
//! values are a function of seed and position.

use super::{AssignedPartition, PartitionId, Source, SourceBatch};
use crate::batch::Batch;
use crate::env::Clock;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::operators::ActiveInput;
use crate::schema::arrow_type;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType as ArrowType, SchemaRef};
use millrace_planner::connector::{DatagenOptions, FieldGenerator, GeneratorKind};
use millrace_planner::plan::{Column, NodeId, Scan, ScanColumn};
use millrace_planner::types::TypeKind;
use std::sync::Arc;
use std::time::Duration;

/// Most rows of a batch.
const BATCH_ROWS: u64 = 4096;

pub struct DatagenSource {
    scan: NodeId,
    schema: SchemaRef,
    /// The generator of each column that the scan emits.
    columns: Vec<(Column, FieldGenerator)>,
    /// Rows a second, of one task.
    rate: f64,
    shares: Vec<Share>,
    table: String,
    tasks: u64,
    clock: Arc<dyn Clock>,
}

struct Share {
    task: u32,
    /// Rows made so far.
    next: u64,
    end: Option<u64>,
    /// When this process began, and from which row: what the rate counts from.
    began: (Duration, u64),
}

impl DatagenSource {
    pub fn new(
        node: NodeId,
        scan: &Scan,
        schema: SchemaRef,
        tasks: u32,
        partitions: Vec<AssignedPartition>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let fault = |e| Error::user_fault(format!("table {}", scan.table.name)).caused_by(e);
        let options = DatagenOptions::from_table(&scan.table).map_err(fault)?;
        let mut columns = Vec::new();
        for column in &scan.columns {
            let name = match column {
                ScanColumn::Physical { path } if path.len() == 1 => &path[0],
                _ => return Err(Error::user_fault("the datagen connector has neither metadata nor nested columns")),
            };
            let at = scan.table.physical.iter().position(|c| c.name == *name);
            let at = at.ok_or_else(|| Error::fail_job(format!("the plan reads an unknown column {name}")))?;
            columns.push((scan.table.physical[at].clone(), options.fields[at].clone()));
        }
        let rate = options.rows_per_second as f64 / f64::from(tasks);
        let mut source = Self {
            scan: node,
            schema,
            columns,
            rate,
            shares: Vec::new(),
            table: scan.table.name.clone(),
            tasks: u64::from(tasks),
            clock,
        };
        for partition in partitions {
            source.add_partition(partition)?;
        }
        Ok(source)
    }

    /// Rows that a task makes in all; None: without an end.
    pub fn share_of(options: &DatagenOptions, task: u32, tasks: u32) -> Option<i64> {
        let sequences = options.fields.iter().filter_map(|field| match field.kind {
            GeneratorKind::Sequence { start, end } => Some((end - start + 1).unsigned_abs()),
            GeneratorKind::Random { .. } => None,
        });
        let total = sequences.chain(options.number_of_rows).min()?;
        let (tasks, task) = (u64::from(tasks), u64::from(task));
        i64::try_from(total / tasks + u64::from(task < total % tasks)).ok()
    }

    fn generate(&self, share: &Share, rows: u64) -> Result<RecordBatch> {
        // The rows of all tasks interleave, so that every number of a sequence comes once.
        let numbers: Vec<u64> =
            (share.next..share.next + rows).map(|n| n * self.tasks + u64::from(share.task)).collect();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (at, (column, generator)) in self.columns.iter().enumerate() {
            columns.push(generate_column(column, generator, at as u64, &numbers, self.clock.now_millis())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .or_kind(ErrorKind::FailJob, "generated columns don't fit the scan's schema")
    }
}

impl Source for DatagenSource {
    fn scan(&self) -> NodeId {
        self.scan
    }

    fn poll(&mut self, _timeout: Duration, batches: &mut Vec<SourceBatch>) -> Result<()> {
        let now = self.clock.monotonic();
        for at in 0..self.shares.len() {
            let share = &self.shares[at];
            let due = share.began.1 + ((now - share.began.0).as_secs_f64() * self.rate) as u64;
            let end = share.end.unwrap_or(u64::MAX).min(due).min(share.next + BATCH_ROWS);
            if end <= share.next {
                continue;
            }
            let rows = end - share.next;
            let batch = self.generate(share, rows)?;
            let bytes = batch.get_array_memory_size() as u64;
            let share = &mut self.shares[at];
            share.next = end;
            let partition = PartitionId { topic: self.table.clone(), partition: share.task as i32 };
            batches.push(SourceBatch {
                scan: self.scan,
                task: share.task,
                batch: Batch::new(batch),
                failed: Vec::new(),
                partition,
                next: end as i64,
                records: rows,
                bytes,
            });
        }
        Ok(())
    }

    fn finished(&self, task: u32) -> bool {
        self.shares.iter().filter(|s| s.task == task).all(|s| s.end.is_some_and(|end| s.next >= end))
    }

    fn active_inputs(&self, task: u32) -> Vec<ActiveInput<'_>> {
        let of_task = self.shares.iter().filter(|s| s.task == task);
        of_task
            .map(|s| ActiveInput { topic: &self.table, partition: s.task as i32, idle: self.finished(task) })
            .collect()
    }

    fn add_partition(&mut self, partition: AssignedPartition) -> Result<()> {
        let next = partition.start.unsigned_abs();
        self.shares.push(Share {
            task: partition.task,
            next,
            end: partition.end.map(i64::unsigned_abs),
            began: (self.clock.monotonic(), next),
        });
        Ok(())
    }
}

fn generate_column(
    column: &Column,
    generator: &FieldGenerator,
    salt: u64,
    numbers: &[u64],
    now: i64,
) -> Result<ArrayRef> {
    let random = |n: &u64| mix(*n ^ (salt << 48));
    let null = |n: &u64| (mix(random(n)) >> 40) as f32 / (1u64 << 24) as f32 > 1.0 - generator.null_rate;
    let target = arrow_type(&column.data_type.kind);
    let plain: ArrayRef = match (&generator.kind, &column.data_type.kind) {
        (GeneratorKind::Sequence { start, .. }, _) => {
            Arc::new(numbers.iter().map(|n| (!null(n)).then_some(start + *n as i64)).collect::<Int64Array>())
        }
        (GeneratorKind::Random { .. }, TypeKind::Boolean) => {
            Arc::new(numbers.iter().map(|n| (!null(n)).then_some(random(n) & 1 == 1)).collect::<BooleanArray>())
        }
        (GeneratorKind::Random { min, max }, kind) if kind.is_numeric() => {
            let (least, most) = bounds(kind);
            let (min, max) = (min.unwrap_or(least), max.unwrap_or(most));
            let unit = |n: &u64| random(n) as f64 / u64::MAX as f64;
            let value = |n: &u64| (!null(n)).then(|| (min + unit(n) * (max - min)).clamp(min, max));
            if kind.is_integer() {
                Arc::new(numbers.iter().map(|n| value(n).map(|v| v.round() as i64)).collect::<Int64Array>())
            } else {
                Arc::new(numbers.iter().map(value).collect::<Float64Array>())
            }
        }
        (GeneratorKind::Random { .. }, TypeKind::Date | TypeKind::Timestamp { .. } | TypeKind::TimestampLtz { .. }) => {
            let past = generator.max_past.as_millis() as u64 + 1;
            let millis = |n: &u64| (!null(n)).then(|| now - (random(n) % past) as i64);
            let array = numbers.iter().map(millis).collect::<arrow_array::TimestampMillisecondArray>();
            Arc::new(array)
        }
        (GeneratorKind::Random { .. }, kind) if kind.is_character() || kind.is_binary() => {
            text(generator, numbers, &random, &null, kind)
        }
        (_, kind) => {
            return Err(Error::user_fault(format!("the datagen connector makes no {kind} for column {}", column.name)));
        }
    };
    cast(&plain, &target).or_kind(ErrorKind::FailJob, format!("could not generate column {}", column.name))
}

/// Hexadecimal digits, as Flink's generator makes them.
fn text(
    generator: &FieldGenerator,
    numbers: &[u64],
    random: &dyn Fn(&u64) -> u64,
    null: &dyn Fn(&u64) -> bool,
    kind: &TypeKind,
) -> ArrayRef {
    let value = |n: &u64| {
        let length = match generator.variable_length {
            true => 1 + (mix(random(n) ^ 1) as usize) % generator.length.max(1),
            false => generator.length,
        };
        let mut state = random(n);
        let mut value = String::with_capacity(length);
        while value.len() < length {
            state = mix(state);
            value.push_str(&format!("{state:016x}"));
        }
        value.truncate(length);
        value
    };
    if kind.is_binary() {
        let mut builder = BinaryBuilder::new();
        numbers.iter().for_each(|n| builder.append_option((!null(n)).then(|| value(n))));
        return Arc::new(builder.finish());
    }
    let mut builder = StringBuilder::new();
    numbers.iter().for_each(|n| builder.append_option((!null(n)).then(|| value(n))));
    let array: StringArray = builder.finish();
    debug_assert_eq!(array.data_type(), &ArrowType::Utf8);
    Arc::new(array)
}

fn bounds(kind: &TypeKind) -> (f64, f64) {
    match kind {
        TypeKind::TinyInt => (f64::from(i8::MIN), f64::from(i8::MAX)),
        TypeKind::SmallInt => (f64::from(i16::MIN), f64::from(i16::MAX)),
        TypeKind::Int => (f64::from(i32::MIN), f64::from(i32::MAX)),
        TypeKind::BigInt => (i64::MIN as f64, i64::MAX as f64),
        TypeKind::Float => (0.0, f64::from(f32::MAX)),
        TypeKind::Decimal { precision, scale } => {
            let most = 10f64.powi(i32::from(precision - scale)) - 1.0;
            (-most, most)
        }
        _ => (0.0, f64::MAX),
    }
}

/// SplitMix64: a good enough random number for each number.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
