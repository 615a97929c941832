//! From a savepoint to the tasks of a new incarnation, whatever their number: which entries are a task's, and where
//! it goes on reading.

use super::compare::{Comparison, compare};
use super::manifest::Manifest;
use super::write::{KEY_GROUP, STATE_KEY, STATE_VALUE};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::key::key_groups_of;
use crate::operators::state_table::Scope;
use crate::operators::window_progress::merge_cursors;
use crate::state::StateChanges;
use crate::state::store::TaskStore;
use crate::storage::{Storage, Stored};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use millrace_planner::plan::Plan;
use millrace_protocol::record::SourcePosition;
use millrace_protocol::savepoint::FilePart;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// Entries are put into a store in portions of about so many bytes.
const PORTION_BYTES: usize = 16 << 20;
const READING: &str = "reading a savepoint";

/// A savepoint that a plan goes on from.
pub struct Savepoint {
    storage: Storage,
    pub manifest: Manifest,
    comparison: Comparison,
}

impl Savepoint {
    /// Opens the savepoint in a folder. Whether the plan may go on from it was settled when the job was created.
    pub fn open(location: &str, plan: &Plan) -> Result<Self> {
        let storage = Storage::existing(location)?;
        let manifest = Manifest::read(&storage)?;
        let comparison = compare(&manifest, plan)?;
        Ok(Self { storage, manifest, comparison })
    }

    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Where a task of `parallelism` goes on reading the sources that the plan has kept.
    pub fn positions(&self, task: u32, parallelism: u32) -> Vec<SourcePosition> {
        let all = self.manifest.tasks.iter().flat_map(|part| &part.commit.positions);
        let own = all.filter(|p| p.partition as u32 % parallelism == task && self.comparison.is_kept(p.operator));
        own.cloned().collect()
    }

    /// Whether the plan has kept a source, so that partitions which the savepoint does not have are new ones.
    pub fn knows_source(&self, operator: u32) -> bool {
        self.comparison.is_kept(operator)
    }

    /// Puts a task's share into its store. Returns the number of entries.
    pub fn load(&self, task: u32, parallelism: u32, store: &mut TaskStore) -> Result<u64> {
        let groups = key_groups_of(task, parallelism);
        let mut loader = Loader { store, changes: StateChanges::default(), entries: 0 };
        for operator in &self.manifest.operators {
            if !self.comparison.is_kept(operator.id) {
                continue;
            }
            for table in &operator.tables {
                let share = Share { operator: operator.id, table: table.id, groups: &groups, task, parallelism };
                let of_table = |file: &&FilePart| file.operator == operator.id && file.table == table.id;
                let files = self.manifest.tasks.iter().flat_map(|part| part.files.iter().map(|f| (part.cut.task, f)));
                let files: Vec<(u32, &FilePart)> = files.filter(|(_, file)| of_table(file)).collect();
                self.load_table(table.scope, &share, &files, &mut loader)?;
            }
        }
        loader.flush(0)?;
        Ok(loader.entries)
    }

    fn load_table(
        &self,
        scope: Scope,
        share: &Share<'_>,
        files: &[(u32, &FilePart)],
        loader: &mut Loader<'_>,
    ) -> Result<()> {
        match scope {
            Scope::Link => Ok(()),
            Scope::Cursor => {
                let mut cursors = Vec::new();
                for (_, file) in files {
                    self.read(file, loader, &mut |_, _, _, value| {
                        cursors.push(value.to_vec());
                        Ok(())
                    })?;
                }
                let cursors: Vec<&[u8]> = cursors.iter().map(Vec::as_slice).collect();
                match merge_cursors(&cursors, share.groups)? {
                    Some(cursor) => loader.put(share, share.groups.start, &[], &cursor),
                    None => Ok(()),
                }
            }
            Scope::KeyGroup | Scope::Partition => {
                let written_by = self.manifest.parallelism;
                let may_have = |writer: u32| scope == Scope::Partition || overlap(writer, written_by, share.groups);
                for (_, file) in files.iter().filter(|(writer, _)| may_have(*writer)) {
                    self.read(file, loader, &mut |loader, group, key, value| match share.has(scope, group, key)? {
                        true => loader.put(share, group, key, value),
                        false => Ok(()),
                    })?;
                }
                Ok(())
            }
        }
    }

    /// Calls `visit` with every entry of a file: its key group, key and value.
    fn read<'a>(&self, file: &FilePart, loader: &mut Loader<'a>, visit: &mut Visit<'_, 'a>) -> Result<()> {
        let expected = Stored { bytes: file.bytes, sha256: file.sha256.clone() };
        let local = loader.store.scratch("savepoint.parquet");
        self.storage.get_file(&file.path, &expected, &local)?;
        let read = read_file(&local, &mut |group, key, value| visit(loader, group, key, value));
        let _ = std::fs::remove_file(&local);
        let rows = read.map_err(|error| error.context(format!("{} in {}", file.path, self.storage.location())))?;
        if rows != file.rows {
            let (path, place) = (&file.path, self.storage.location());
            return Err(Error::fail_job(format!("{path} in {place} has {rows} rows and should have {}", file.rows)));
        }
        Ok(())
    }
}

type Visit<'v, 'a> = dyn FnMut(&mut Loader<'a>, u16, &[u8], &[u8]) -> Result<()> + 'v;

/// What a task takes of a table.
struct Share<'a> {
    operator: u32,
    table: u8,
    groups: &'a Range<u16>,
    task: u32,
    parallelism: u32,
}

impl Share<'_> {
    fn has(&self, scope: Scope, group: u16, key: &[u8]) -> Result<bool> {
        if scope != Scope::Partition {
            return Ok(self.groups.contains(&group));
        }
        let (_, partition) =
            key.split_last_chunk().ok_or_else(|| Error::fail_job("a partition's entry does not name it"))?;
        Ok(i32::from_be_bytes(*partition) as u32 % self.parallelism == self.task)
    }
}

fn overlap(writer: u32, written_by: u32, groups: &Range<u16>) -> bool {
    let had = key_groups_of(writer, written_by);
    had.start < groups.end && groups.start < had.end
}

/// Puts entries into a store, a portion at a time.
struct Loader<'a> {
    store: &'a mut TaskStore,
    changes: StateChanges,
    entries: u64,
}

impl Loader<'_> {
    fn put(&mut self, share: &Share<'_>, group: u16, key: &[u8], value: &[u8]) -> Result<()> {
        self.changes.put(share.operator, share.table, group, key, value);
        self.entries += 1;
        self.flush(PORTION_BYTES)
    }

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
