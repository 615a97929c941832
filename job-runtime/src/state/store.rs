//! A task's RocksDB on the volume: a cache of what the task log holds up to some offset. Its own
//! write-ahead log is off, Kafka's is used instead: what was written after the last flush is read from
//! the task log again.

use super::corruption::{StoreContext, open_failure};
use super::image::ImageSource;
use super::{EntryVisitor, KEY_PREFIX, StateChanges, StateEntries};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use millrace_protocol::replay::Applied;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, FlushOptions, Options, ReadOptions, WriteBatch, WriteOptions,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    cache: Cache,
    memtable_bytes: usize,
}

impl StoreMemory {
    /// `bytes` for all of `tasks` stores: half for blocks, half for memtables.
    pub fn new(bytes: usize, tasks: u32) -> Self {
        let memtable_bytes = (bytes / 2 / tasks.max(1) as usize).max(1 << 20);
        Self { cache: Cache::new_lru_cache(bytes / 2), memtable_bytes }
    }
}

pub struct TaskStore {
    /// Shared with whoever reads an image of it.
    db: Arc<DB>,
    path: PathBuf,
    applied: Option<Applied>,
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
        std::fs::create_dir_all(&path).or_kind(ErrorKind::FailJob, operation())?;
        let opened = DB::open(&options(memory), &path);
        let db = Arc::new(opened.map_err(|error| open_failure(&path, operation(), error))?);
        let mut store = Self { db, path: path.clone(), applied: None };
        let expected = StoreIdentity { format: STORE_FORMAT, job: job.to_owned(), incarnation, task };
        match store.own_entry::<StoreIdentity>("identity")? {
            None => store.put_own_entries(&[("identity", serde_json::to_vec(&expected))], WriteBatch::default())?,
            Some(found) if found == expected => {}
            Some(found) if found.job == job && found.incarnation < incarnation => {
                tracing::info!(path = %path.display(), found.incarnation, "removing what an earlier incarnation has left");
                drop(store);
                std::fs::remove_dir_all(&path).or_kind(ErrorKind::FailJob, operation())?;
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
                )));
            }
        }
        store.applied = store.own_entry("applied")?;
        Ok(store)
    }

    /// None in a new store.
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// Applies the changes of consecutive commits, of which `applied` describes the last. Of several
    /// changes of a key only the last is written.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a [u8]>, applied: Applied) -> Result<()> {
        let mut latest: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for bytes in changes {
            for change in StateChanges::parse(bytes) {
                let (key, value) = change?;
                latest.insert(key, value);
            }
        }
        let mut batch = WriteBatch::default();
        for (key, value) in latest {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.put_own_entries(&[("applied", serde_json::to_vec(&applied))], batch)?;
        self.applied = Some(applied);
        Ok(())
    }

    /// Makes everything applied so far durable.
    pub fn checkpoint(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let operation = || format!("could not write the checkpoint in {}", self.path.display());
        self.db.flush_opt(&options).of_store(&self.path, operation)
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
        let mut batch = WriteBatch::default();
        for change in StateChanges::parse(changes) {
            match change? {
                (key, Some(value)) => batch.put(key, value),
                (key, None) => batch.delete(key),
            }
        }
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

struct OperatorEntries<'a> {
    store: &'a TaskStore,
    operator: u32,
}

impl StateEntries for OperatorEntries<'_> {
    fn for_each(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let lower = self.operator.to_be_bytes().to_vec();
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        // The reserved operator has the greatest id, so every other one has a successor.
        options.set_iterate_upper_bound((self.operator + 1).to_be_bytes().to_vec());
        options.fill_cache(false);
        let mut iterator = self.store.db.raw_iterator_opt(options);
        iterator.seek(&lower);
        while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
            if key.len() < KEY_PREFIX {
                return Err(Error::fail_job(format!(
                    "the state in {} has a key shorter than its prefix",
                    self.store.path.display()
                )));
            }
            let group = u16::from_be_bytes([key[5], key[6]]);
            visit(key[4], group, &key[KEY_PREFIX..], value)?;
            iterator.next();
        }
        let operation = || format!("could not read the state in {}", self.store.path.display());
        iterator.status().of_store(&self.store.path, operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_protocol::record::Commit;

    fn applied(sequence: u64) -> Applied {
        Applied {
            log_offset: sequence as i64 * 10,
            commit: Commit { claim: 0, sequence, positions: Vec::new() },
            generation: 1,
            transactional_id: "id".into(),
        }
    }

    fn contents(store: &TaskStore, operator: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        store
            .entries(operator)
            .for_each(&mut |table, group, key, value| {
                assert_eq!((table, group), (1, 3));
                all.push((key.to_vec(), value.to_vec()));
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn the_last_change_of_a_key_counts_and_operators_do_not_mix() {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        let mut first = StateChanges::default();
        first.put(7, 1, 3, b"a", b"1");
        first.put(7, 1, 3, b"b", b"");
        first.put(8, 1, 3, b"a", b"other");
        let mut second = StateChanges::default();
        second.delete(7, 1, 3, b"a");
        second.put(7, 1, 3, b"c", b"3");
        store.apply([first.as_bytes(), second.as_bytes()], applied(2)).unwrap();
        assert_eq!(contents(&store, 7), [(b"b".to_vec(), b"".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
        assert_eq!(contents(&store, 8), [(b"a".to_vec(), b"other".to_vec())]);
    }

    #[test]
    fn a_checkpoint_survives_and_names_its_commit() {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        let mut changes = StateChanges::default();
        changes.put(7, 1, 3, b"a", b"1");
        {
            let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
            assert_eq!(store.applied(), None);
            store.apply([changes.as_bytes()], applied(5)).unwrap();
            store.checkpoint().unwrap();
        }
        let store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        assert_eq!(store.applied(), Some(&applied(5)));
        assert_eq!(contents(&store, 7), [(b"a".to_vec(), b"1".to_vec())]);
    }

    #[test]
    fn a_volume_in_use_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        let first = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        let error = TaskStore::open(directory.path(), "uid", 1, 0, &memory).err().expect("it is in use");
        assert_eq!(error.kind, ErrorKind::Retry, "{error}");
        drop(first);
        TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    }

    #[test]
    fn what_an_earlier_incarnation_has_left_makes_room_and_a_later_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        let mut changes = StateChanges::default();
        changes.put(7, 1, 3, b"a", b"1");
        TaskStore::open(directory.path(), "uid", 1, 0, &memory)
            .unwrap()
            .apply([changes.as_bytes()], applied(5))
            .unwrap();
        let store = TaskStore::open(directory.path(), "uid", 2, 0, &memory).unwrap();
        assert_eq!((store.applied(), contents(&store, 7)), (None, Vec::new()));
        drop(store);
        assert!(TaskStore::open(directory.path(), "uid", 1, 0, &memory).is_err());
    }

    #[test]
    fn a_volume_of_another_job_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap().checkpoint().unwrap();
        let error = TaskStore::open(directory.path(), "other", 1, 0, &memory).err().expect("a foreign volume");
        assert!(error.to_string().contains("give this job a directory of its own"), "{error}");
    }
}
