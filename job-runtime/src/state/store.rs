//! A task's RocksDB on the volume: a cache of what the task log holds up to some offset. Its own
//! write-ahead log is off, Kafka's is used instead: what was written after the last flush is read from
//! the task log again.

use super::coalesce::{Coalesced, end_of_prefix};
use super::corruption::{StoreContext, open_failure};
use super::image::ImageSource;
use super::snapshot::{of_operator, visit_operator};
use super::spill::{OperatorMemory, Spill, StoreProgress};
use super::volume::VolumeContext;
use super::{EntryVisitor, StateEntries};
use crate::condition::Reason;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use millrace_protocol::replay::Applied;
use rocksdb::properties::ESTIMATE_LIVE_DATA_SIZE;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DEFAULT_COLUMN_FAMILY_NAME, FlushOptions,
    Options, ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod reader;
pub use reader::StoreReader;

/// Operator id of the store's own entries; the planner gives it to no operator.
pub const RESERVED_OPERATOR: u32 = u32::MAX;

/// Version of the layout of keys and of the store's own entries.
const STORE_FORMAT: u32 = 1;

/// Whose state this is. A volume that says otherwise is foreign and is never read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreIdentity {
    pub format: u32,
    pub job: String,
    pub incarnation: u32,
    pub task: u32,
}

/// Memory that all stores of a worker share.
#[derive(Clone)]
pub struct StoreMemory {
    /// Blocks, index and filters; what the memtables take is charged to it.
    cache: Cache,
    memtables: WriteBufferManager,
    memtable_bytes: usize,
}

impl StoreMemory {
    /// `bytes` for all of `tasks` stores: up to half for memtables, the rest for blocks.
    pub fn new(bytes: usize, tasks: u32) -> Self {
        let memtable_bytes = (bytes / 2 / tasks.max(1) as usize).max(1 << 20);
        let cache = Cache::new_lru_cache(bytes);
        // It never makes a writer wait: the checkpointer flushes anyway, and a store that is above its share does.
        let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Self { cache, memtables, memtable_bytes }
    }

    /// What all stores use now.
    pub fn used_bytes(&self) -> usize {
        self.cache.get_usage()
    }
}

pub struct TaskStore {
    /// Shared with whoever reads an image of it.
    db: Arc<DB>,
    memory: StoreMemory,
    path: PathBuf,
    applied: Option<Applied>,
    progress: Arc<StoreProgress>,
}

impl TaskStore {
    /// Where a task's store is in a state directory.
    pub fn path_in(directory: &Path, task: u32) -> PathBuf {
        directory.join(format!("task-{task}"))
    }

    /// Opens or makes the store in `directory`. A store of another job, incarnation or task is refused.
    pub fn open(directory: &Path, job: &str, incarnation: u32, task: u32, memory: &StoreMemory) -> Result<Self> {
        let path = Self::path_in(directory, task);
        let operation = || format!("could not open the state in {}", path.display());
        std::fs::create_dir_all(&path).on_volume(&path, operation)?;
        // By its name there is a handle to it, which the batched look-up asks for.
        let family = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options(memory));
        let opened = DB::open_cf_descriptors(&options(memory), &path, [family]);
        let db = Arc::new(opened.map_err(|error| open_failure(&path, operation(), error))?);
        let progress = Arc::new(StoreProgress::default());
        let mut store = Self { db, memory: memory.clone(), path: path.clone(), applied: None, progress };
        let expected = StoreIdentity { format: STORE_FORMAT, job: job.to_owned(), incarnation, task };
        match store.own_entry::<StoreIdentity>("identity")? {
            None => store.put_own_entries(&[("identity", serde_json::to_vec(&expected))], WriteBatch::default())?,
            Some(found) if found == expected => {}
            Some(found) if found.job == job && found.incarnation < incarnation => {
                tracing::info!(path = %path.display(), found.incarnation, "removing what an earlier incarnation has left");
                drop(store);
                std::fs::remove_dir_all(&path).on_volume(&path, operation)?;
                return Self::open(directory, job, incarnation, task, memory);
            }
            Some(found) => {
                return Err(Error::fail_job(format!(
                    "{} holds the state of task {} of job {} (incarnation {}, format {}), not of task {task} of job {job} \
                     (incarnation {incarnation}, format {STORE_FORMAT}): give this job a directory of its own",
                    path.display(),
                    found.task,
                    found.job,
                    found.incarnation,
                    found.format,
                ))
                .because(Reason::VolumeForeign));
            }
        }
        store.applied = store.own_entry("applied")?;
        Ok(store)
    }

    /// For an operator that keeps in memory what it may of `memory`, and reads the rest from here.
    pub fn spill(&self, memory: &Arc<OperatorMemory>) -> Spill {
        Spill::new(Arc::new(self.reader()), self.progress.clone(), memory.clone())
    }

    /// What operators are told of the commits that the store has.
    pub fn progress(&self) -> &Arc<StoreProgress> {
        &self.progress
    }

    /// None in a new store.
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// Applies the changes of consecutive commits, of which `applied` describes the last. Of several
    /// changes of a key only the last is written.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a [u8]>, applied: Applied) -> Result<()> {
        let sum = Coalesced::of(changes)?;
        let batch = self.batch(&sum)?;
        self.put_own_entries(&[("applied", serde_json::to_vec(&applied))], batch)?;
        self.progress.set_applied(applied.commit.sequence);
        self.applied = Some(applied);
        Ok(())
    }

    /// Applies the changes of commits up to `sequence`, and leaves for the next `apply` to say so: a start that finds
    /// them reads their commits from the log again, and since every change is absolute, ends with the same state.
    pub fn apply_ahead<'a>(&mut self, changes: impl IntoIterator<Item = &'a [u8]>, sequence: u64) -> Result<()> {
        let sum = Coalesced::of(changes)?;
        let batch = self.batch(&sum)?;
        self.put_own_entries(&[], batch)?;
        self.progress.set_applied(sequence);
        Ok(())
    }

    fn batch(&self, sum: &Coalesced<'_>) -> Result<WriteBatch> {
        let mut batch = WriteBatch::default();
        let mut iterator = self.db.raw_iterator_opt(unbuffered());
        for &prefix in &sum.prefixes {
            // A deleted range costs every later read: none for what came and went since the last write.
            iterator.seek(prefix);
            if iterator.key().is_some_and(|key| key.starts_with(prefix)) {
                let end = end_of_prefix(prefix).expect("a prefix begins with an operator's id, below the reserved one");
                batch.delete_range(prefix, &end);
            }
            self.intact(iterator.status())?;
        }
        for &(key, value) in &sum.keys {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        Ok(batch)
    }

    /// Bytes of its entries on the volume, about, as of the last checkpoint. What was deleted counts until RocksDB
    /// compacts it.
    pub fn size_bytes(&self) -> Result<u64> {
        let size = self.db.property_int_value(ESTIMATE_LIVE_DATA_SIZE);
        Ok(self.intact(size)?.unwrap_or(0))
    }

    /// What it shares with the worker's other stores.
    pub fn memory(&self) -> &StoreMemory {
        &self.memory
    }

    /// Leaves no room to what was deleted; takes as long as reading and writing all of it.
    pub fn compact(&self) {
        self.db.compact_range::<&[u8], &[u8]>(None, None);
    }

    fn intact<T>(&self, read: Result<T, rocksdb::Error>) -> Result<T> {
        read.of_store(&self.path, || format!("could not read the state in {}", self.path.display()))
    }

    /// Makes everything applied so far durable.
    pub fn checkpoint(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let operation = || format!("could not write the checkpoint in {}", self.path.display());
        self.db.flush_opt(&options).of_store(&self.path, operation)
    }

    /// Holds the state as the last checkpoint made it, by hard links in a directory that is not there yet.
    pub fn link_checkpoint(&self, directory: &Path) -> Result<()> {
        let operation =
            || format!("could not link the checkpoint of {} to {}", self.path.display(), directory.display());
        let checkpoint = rocksdb::checkpoint::Checkpoint::new(&self.db).of_store(&self.path, operation)?;
        checkpoint.create_checkpoint(directory).of_store(&self.path, operation)
    }

    /// For a reader of the whole state, as of some moment.
    pub fn image_source(&self) -> ImageSource {
        ImageSource::new(self.db.clone(), self.path.clone())
    }

    /// About how much the state takes, compressed.
    pub fn estimated_bytes(&self) -> u64 {
        // It's an estimate: none is as good as nothing.
        self.db.property_int_value(rocksdb::properties::ESTIMATE_LIVE_DATA_SIZE).ok().flatten().unwrap_or(0)
    }

    // ---- restoring from a savepoint

    /// The savepoint that its first entries are from; None where they are from the log alone.
    pub fn base(&self) -> Result<Option<String>> {
        self.own_entry("base")
    }

    /// Puts entries in that are no commit's, before the first one: of an image or a savepoint. That all are there is
    /// said afterwards.
    pub fn load(&mut self, changes: &[u8]) -> Result<()> {
        let sum = Coalesced::of([changes])?;
        let batch = self.batch(&sum)?;
        self.put_own_entries(&[], batch)
    }

    /// What was put in is all, durably. A store without this has nothing of the savepoint.
    pub fn loaded(&self, savepoint: &str) -> Result<()> {
        self.checkpoint()?;
        self.put_own_entries(&[("base", serde_json::to_vec(savepoint))], WriteBatch::default())?;
        self.checkpoint()
    }

    /// Removes everything that is not its own.
    pub fn clear(&mut self) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.delete_range([].as_slice(), &RESERVED_OPERATOR.to_be_bytes());
        self.put_own_entries(&[], batch)
    }

    /// A file beside the store that is nobody's for long.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.path.with_extension(name)
    }

    /// The entries of one operator.
    pub fn entries(&self, operator: u32) -> impl StateEntries + '_ {
        OperatorEntries { store: self, operator }
    }

    fn put_own_entries(&self, entries: &[(&str, serde_json::Result<Vec<u8>>)], mut batch: WriteBatch) -> Result<()> {
        for (name, json) in entries {
            batch.put(own_key(name), json.as_ref().expect("plain data always serialises"));
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let operation = || format!("could not write the state in {}", self.path.display());
        self.db.write_opt(batch, &options).of_store(&self.path, operation)
    }

    fn own_entry<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        let operation = || format!("could not read {name} of the state in {}", self.path.display());
        match self.db.get(own_key(name)).of_store(&self.path, operation)? {
            None => Ok(None),
            Some(json) => serde_json::from_slice(&json).map(Some).or_kind(ErrorKind::FailJob, operation()),
        }
    }
}

/// The key of one of the store's own entries: `identity`, `applied`.
pub(super) fn own_key(name: &str) -> Vec<u8> {
    let mut key = RESERVED_OPERATOR.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

fn options(memory: &StoreMemory) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&memory.cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.set_write_buffer_manager(&memory.memtables);
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(memory.memtable_bytes);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_paranoid_checks(true);
    options
}

/// For reading much once.
pub(super) fn unbuffered() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options
}

struct OperatorEntries<'a> {
    store: &'a TaskStore,
    operator: u32,
}

impl StateEntries for OperatorEntries<'_> {
    fn for_each_while(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let iterator = self.store.db.raw_iterator_opt(of_operator(self.operator));
        visit_operator(iterator, self.operator, &self.store.path, visit)
    }
}

#[cfg(test)]
mod tests;
