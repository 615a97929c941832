//! Writes the held tasks of a worker as files of a savepoint: one Parquet file for each table of state that has entries.
//! Each has the entries as they are (`state_key`, `state_value`), which a restore reads, and what they mean as
//! columns, for everybody else.

use super::pause::CommittedTask;
use super::place;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::job::Job;
use crate::operators::state_table::{Entry, StateTable, state_tables};
use crate::state::snapshot::StoreSnapshot;
use crate::state::{StateEntries, TableId};
use crate::storage::Storage;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, UInt16Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millrace_protocol::savepoint::{FilePart, TaskPart};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The columns that every file has, before those of its table.
pub const KEY_GROUP: &str = "key_group";
pub const STATE_KEY: &str = "state_key";
pub const STATE_VALUE: &str = "state_value";

/// Entries are written in batches of at most so many, and of about so many bytes.
const BATCH: (usize, usize) = (8192, 8 << 20);
/// Rows of a row group: a reader holds one in memory.
const ROW_GROUP_ROWS: usize = 128 << 10;

/// What to write, and where.
pub struct WriteTasks<'a> {
    pub job: &'a Job,
    pub savepoint: String,
    /// Where savepoints go; this one gets a place of its own there.
    pub location: String,
    pub tasks: Vec<CommittedTask>,
    /// Whether anybody still wants it.
    pub wanted: &'a dyn Fn() -> bool,
}

/// Writes all tasks, of which the snapshots have the state as of their commits.
pub fn write_tasks(request: &WriteTasks<'_>, stores: &BTreeMap<u32, StoreSnapshot<'_>>) -> Result<Vec<TaskPart>> {
    let place = place(&request.job.identity, &request.location, &request.savepoint);
    let storage = Storage::open(&place, Some(&request.job.kafka))?;
    let scratch = Scratch::make(&request.job.state_directory)?;
    let write = |CommittedTask { cut, commit }: &CommittedTask| {
        let store = stores.get(&cut.task).ok_or_else(|| Error::fail_job(format!("no store of task {}", cut.task)))?;
        let files = write_task(request, &storage, &scratch, cut.task, store)?;
        Ok(TaskPart { cut: cut.clone(), commit: commit.clone(), files })
    };
    request.tasks.iter().map(write).collect()
}

fn write_task(
    request: &WriteTasks<'_>,
    storage: &Storage,
    scratch: &Scratch,
    task: u32,
    store: &StoreSnapshot<'_>,
) -> Result<Vec<FilePart>> {
    let plan = &request.job.plan;
    let mut files = Vec::new();
    for node in &plan.nodes {
        let tables = state_tables(plan, node)?;
        let mut open: Option<TableFile<'_>> = None;
        let mut finished = Vec::new();
        store.entries(node.operator_id).for_each(&mut |id, group, key, value| {
            if !(request.wanted)() {
                return Err(Error::retry("nobody wanted the savepoint any more"));
            }
            // The entries of a table stand together.
            if open.as_ref().is_none_or(|file| file.table.id != id) {
                finished.extend(open.take().map(TableFile::finish).transpose()?);
                open = Some(TableFile::create(find(&tables, id, node.operator_id)?, scratch)?);
            }
            open.as_mut().expect("just opened").add(group, key, value)
        })?;
        finished.extend(open.take().map(TableFile::finish).transpose()?);
        for Finished { id, name, rows, file } in finished {
            let path = super::file(task, node.operator_id, name);
            let stored = storage.put_file(&path, &file, request.wanted)?;
            let (bytes, sha256) = (stored.bytes, stored.sha256);
            files.push(FilePart { operator: node.operator_id, table: id, path, rows, bytes, sha256 });
        }
    }
    Ok(files)
}

fn find(tables: &[StateTable], id: TableId, operator: u32) -> Result<&StateTable> {
    tables.iter().find(|table| table.id == id).ok_or_else(|| {
        Error::fail_job(format!("operator {operator:08x} has entries in table {id}, which its plan does not know"))
    })
}

/// A folder on the volume for files on their way, gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn make(state_directory: &Path) -> Result<Self> {
        let path = state_directory.join("savepoint");
        let operation = || format!("could not make {}", path.display());
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).or_kind(ErrorKind::RestartWorker, operation())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of a table while it is written.
struct TableFile<'a> {
    table: &'a StateTable,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    file: PathBuf,
    rows: u64,
    groups: Vec<u16>,
    /// Keys and values, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

struct Finished {
    id: TableId,
    name: &'static str,
    rows: u64,
    file: PathBuf,
}

const WRITING: &str = "writing a savepoint";

impl<'a> TableFile<'a> {
    fn create(table: &'a StateTable, scratch: &Scratch) -> Result<Self> {
        let schema = schema(table);
        let file = scratch.0.join(format!("{}.parquet", table.name));
        let target = File::create(&file).or_kind(ErrorKind::RestartWorker, WRITING)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(target, schema.clone(), Some(properties));
        let writer = writer.or_kind(ErrorKind::FailJob, WRITING)?;
        Ok(Self { table, schema, writer, file, rows: 0, groups: Vec::new(), bytes: Vec::new(), ends: Vec::new() })
    }

    fn add(&mut self, group: u16, key: &[u8], value: &[u8]) -> Result<()> {
        self.groups.push(group);
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        if self.groups.len() >= BATCH.0 || self.bytes.len() >= BATCH.1 { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let mut start = 0;
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(self.ends.len());
        for &(key_end, end) in &self.ends {
            entries.push((&self.bytes[start..key_end], &self.bytes[key_end..end]));
            start = end;
        }
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = entries.iter().copied().unzip();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt16Array::from(self.groups.clone()))];
        columns.extend((self.table.decode)(&entries)?);
        columns.push(Arc::new(BinaryArray::from_vec(keys)));
        columns.push(Arc::new(BinaryArray::from_vec(values)));
        let batch = RecordBatch::try_new(self.schema.clone(), columns).or_kind(ErrorKind::FailJob, WRITING)?;
        self.writer.write(&batch).or_kind(ErrorKind::RestartWorker, WRITING)?;
        self.rows += entries.len() as u64;
        self.groups.clear();
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Finished> {
        self.write()?;
        self.writer.close().or_kind(ErrorKind::RestartWorker, WRITING)?;
        Ok(Finished { id: self.table.id, name: self.table.name, rows: self.rows, file: self.file })
    }
}

/// A column of the table that is called like one of ours keeps its place and gets another name.
fn schema(table: &StateTable) -> SchemaRef {
    let mut fields = vec![Field::new(KEY_GROUP, DataType::UInt16, false)];
    let ours = [KEY_GROUP, STATE_KEY, STATE_VALUE];
    for field in &table.fields {
        let taken = |name: &str, fields: &[Field]| ours.contains(&name) || fields.iter().any(|f| f.name() == name);
        let mut name = field.name().clone();
        while taken(&name, &fields) {
            name.push('_');
        }
        fields.push(field.clone().with_name(name));
    }
    fields.push(Field::new(STATE_KEY, DataType::Binary, false));
    fields.push(Field::new(STATE_VALUE, DataType::Binary, false));
    Arc::new(Schema::new(fields))
}
