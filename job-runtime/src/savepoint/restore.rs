//! From a savepoint to the tasks of a new incarnation, whatever their number: which entries are a task's, and where
//! it goes on reading.

use super::compare::Comparison;
use super::manifest::{Manifest, ManifestTable};
use super::write::{KEY_GROUP, STATE_KEY, STATE_VALUE};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::job::Kafka;
use crate::key::{key_groups_of, task_of};
use crate::operators::state_table::Scope;
use crate::operators::window_progress::merge_cursors;
use crate::state::store::TaskStore;
use crate::state::{StateChanges, TableId};
use crate::storage::{Storage, Stored};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use millrace_planner::plan::Plan;
use millrace_protocol::assignment::task_of_partition;
use millrace_protocol::record::SourcePosition;
use millrace_protocol::savepoint::{FilePart, TaskPart};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Entries are put into a store in portions of about so many bytes; each task that is loaded holds one.
const PORTION_BYTES: usize = 1 << 20;
const READING: &str = "reading a savepoint";

/// A savepoint that a plan goes on from.
pub struct Savepoint {
    storage: Storage,
    pub manifest: Manifest,
    comparison: Comparison,
}

impl Savepoint {
    /// Opens the savepoint in a folder, or in a topic of the Kafka that is given. Whether the plan may go on from it was
    /// settled when the job was created.
    pub fn open(location: &str, kafka: &Kafka, plan: &Plan) -> Result<Self> {
        let storage = Storage::existing(location, Some(kafka))?;
        let manifest = Manifest::read(&storage)?;
        let comparison = manifest.compare(plan)?;
        Ok(Self { storage, manifest, comparison })
    }

    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Where a task of `parallelism` goes on reading the sources that the plan has kept.
    pub fn positions(&self, task: u32, parallelism: u32) -> Vec<SourcePosition> {
        let all = self.manifest.tasks.iter().flat_map(|part| &part.commit.positions);
        let own =
            all.filter(|p| task_of_partition(p.partition, parallelism) == task && self.comparison.is_kept(p.operator));
        own.cloned().collect()
    }

    /// Whether the plan has kept a source, so that partitions which the savepoint does not have are new ones.
    pub fn knows_source(&self, operator: u32) -> bool {
        self.comparison.is_kept(operator)
    }

    /// Puts their shares into the stores of some tasks of `parallelism`; a file that has entries of several is read
    /// once. Returns the number of entries.
    pub fn load(&self, stores: BTreeMap<u32, &mut TaskStore>, parallelism: u32) -> Result<u64> {
        let mut loading = Loading::new(stores, parallelism);
        for operator in self.manifest.operators.iter().filter(|operator| self.comparison.is_kept(operator.id)) {
            for table in &operator.tables {
                self.load_table(operator.id, table, &mut loading)?;
            }
        }
        loading.finish()
    }

    fn load_table(&self, operator: u32, table: &ManifestTable, loading: &mut Loading<'_>) -> Result<()> {
        let of_table = |file: &&FilePart| file.operator == operator && file.table == table.id;
        let files = |part: &'_ TaskPart| part.files.iter().find(of_table).map(|file| (part.cut.task, file.clone()));
        let files: Vec<(u32, FilePart)> = self.manifest.tasks.iter().filter_map(files).collect();
        let parallelism = loading.parallelism;
        match table.scope {
            Scope::Link => Ok(()),
            Scope::Cursor => {
                let mut cursors = Vec::new();
                for (_, file) in &files {
                    self.read(file, loading, &mut |_, _, _, value| {
                        cursors.push(value.to_vec());
                        Ok(())
                    })?;
                }
                let cursors: Vec<&[u8]> = cursors.iter().map(Vec::as_slice).collect();
                let tasks: Vec<u32> = loading.tasks.keys().copied().collect();
                tasks.into_iter().try_for_each(|task| {
                    let groups = key_groups_of(task, parallelism);
                    let Some(cursor) = merge_cursors(&cursors, &groups)? else { return Ok(()) };
                    loading.put(task, operator, table.id, (groups.start, &[], &cursor))
                })
            }
            Scope::KeyGroup => {
                let may_have = |writer: &u32| loading.want_any_of(&key_groups_of(*writer, self.manifest.parallelism));
                let files: Vec<_> = files.iter().filter(|(writer, _)| may_have(writer)).collect();
                files.into_iter().try_for_each(|(_, file)| {
                    self.read(file, loading, &mut |loading, group, key, value| {
                        loading.put(task_of(group, parallelism), operator, table.id, (group, key, value))
                    })
                })
            }
            Scope::Partition => files.iter().try_for_each(|(_, file)| {
                self.read(file, loading, &mut |loading, group, key, value| {
                    let task = task_of_partition(partition_of(key)?, parallelism);
                    loading.put(task, operator, table.id, (group, key, value))
                })
            }),
        }
    }

    /// Calls `visit` with every entry of a file: its key group, key and value.
    fn read<'a>(&self, file: &FilePart, loading: &mut Loading<'a>, visit: &mut Visit<'_, 'a>) -> Result<()> {
        let expected = Stored { bytes: file.bytes, sha256: file.sha256.clone() };
        let local = loading.scratch();
        self.storage.get_file(&file.path, &expected, &local)?;
        let read = read_file(&local, &mut |group, key, value| visit(loading, group, key, value));
        let _ = std::fs::remove_file(&local);
        let rows = read.map_err(|error| error.context(format!("{} in {}", file.path, self.storage.location())))?;
        if rows != file.rows {
            let (path, place) = (&file.path, self.storage.location());
            return Err(Error::fail_job(format!("{path} in {place} has {rows} rows and should have {}", file.rows)));
        }
        Ok(())
    }
}

type Visit<'v, 'a> = dyn FnMut(&mut Loading<'a>, u16, &[u8], &[u8]) -> Result<()> + 'v;

fn partition_of(key: &[u8]) -> Result<i32> {
    let partition = key.split_last_chunk().map(|(_, partition)| i32::from_be_bytes(*partition));
    partition.ok_or_else(|| Error::fail_job("a partition's entry does not name it"))
}

/// The tasks that are loaded, of `parallelism`.
struct Loading<'a> {
    tasks: BTreeMap<u32, Loader<'a>>,
    parallelism: u32,
    entries: u64,
}

/// Puts entries into a store, a portion at a time.
struct Loader<'a> {
    store: &'a mut TaskStore,
    changes: StateChanges,
}

impl<'a> Loading<'a> {
    fn new(stores: BTreeMap<u32, &'a mut TaskStore>, parallelism: u32) -> Self {
        let loader = |(task, store)| (task, Loader { store, changes: StateChanges::default() });
        Self { tasks: stores.into_iter().map(loader).collect(), parallelism, entries: 0 }
    }

    /// Whether any of these key groups is of a task that is loaded.
    fn want_any_of(&self, groups: &Range<u16>) -> bool {
        let mut wanted = self.tasks.keys().map(|&task| key_groups_of(task, self.parallelism));
        wanted.any(|own| own.start < groups.end && groups.start < own.end)
    }

    /// A file beside the stores.
    fn scratch(&self) -> PathBuf {
        let loader = self.tasks.values().next().expect("files are read for a task");
        loader.store.scratch("savepoint.parquet")
    }

    /// Takes an entry (key group, key and value), unless it is of a task that is not loaded.
    fn put(
        &mut self,
        task: u32,
        operator: u32,
        table: TableId,
        (group, key, value): (u16, &[u8], &[u8]),
    ) -> Result<()> {
        let Some(loader) = self.tasks.get_mut(&task) else { return Ok(()) };
        loader.changes.put(operator, table, group, key, value);
        self.entries += 1;
        loader.flush(PORTION_BYTES)
    }

    fn finish(mut self) -> Result<u64> {
        self.tasks.values_mut().try_for_each(|loader| loader.flush(0))?;
        Ok(self.entries)
    }
}

impl Loader<'_> {
    fn flush(&mut self, threshold: usize) -> Result<()> {
        if self.changes.as_bytes().len() >= threshold && !self.changes.is_empty() {
            self.store.load(self.changes.as_bytes())?;
            self.changes.clear();
        }
        Ok(())
    }
}

/// Takes an entry: key group, key and value.
type VisitEntry<'v> = dyn FnMut(u16, &[u8], &[u8]) -> Result<()> + 'v;

/// Returns the number of rows.
fn read_file(file: &Path, visit: &mut VisitEntry<'_>) -> Result<u64> {
    let file = File::open(file).or_kind(ErrorKind::RestartWorker, READING)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).or_kind(ErrorKind::FailJob, READING)?;
    let wanted = ProjectionMask::columns(builder.parquet_schema(), [KEY_GROUP, STATE_KEY, STATE_VALUE]);
    let reader = builder.with_projection(wanted).build().or_kind(ErrorKind::FailJob, READING)?;
    let mut rows = 0;
    for batch in reader {
        let batch: RecordBatch = batch.or_kind(ErrorKind::FailJob, READING)?;
        let column = |name| batch.column_by_name(name).ok_or_else(|| Error::fail_job(format!("no column {name}")));
        let groups = column(KEY_GROUP)?.as_primitive_opt::<UInt16Type>();
        let (keys, values) = (column(STATE_KEY)?.as_binary_opt::<i32>(), column(STATE_VALUE)?.as_binary_opt::<i32>());
        let (Some(groups), Some(keys), Some(values)) = (groups, keys, values) else {
            return Err(Error::fail_job("its columns are not of a savepoint's types"));
        };
        for row in 0..batch.num_rows() {
            visit(groups.value(row), keys.value(row), values.value(row))?;
        }
        rows += batch.num_rows() as u64;
    }
    Ok(rows)
}
