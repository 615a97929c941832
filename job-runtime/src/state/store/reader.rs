//! Reads a store from the threads of its tasks, while the checkpointer writes to it. RocksDB needs no lock for that.

use super::{TaskStore, unbuffered};
use crate::error::{Error, Result};
use crate::state::corruption::StoreContext;
use crate::state::spill::{Found, StateReader, Visit};
use rocksdb::{DB, DEFAULT_COLUMN_FAMILY_NAME, ReadOptions};
use std::path::PathBuf;
use std::sync::Arc;

pub struct StoreReader {
    db: Arc<DB>,
    path: PathBuf,
}

impl TaskStore {
    /// For operators that keep more than memory holds.
    pub fn reader(&self) -> StoreReader {
        StoreReader { db: self.db.clone(), path: self.path.clone() }
    }
}

impl StoreReader {
    fn intact<T>(&self, read: std::result::Result<T, rocksdb::Error>) -> Result<T> {
        read.of_store(&self.path, || format!("could not read the state in {}", self.path.display()))
    }
}

impl StateReader for StoreReader {
    fn get_many(&self, keys: &[&[u8]], found: &mut Found<'_>) -> Result<()> {
        let family = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME);
        let family = family.ok_or_else(|| Error::fail_job("the store was opened without its column family"))?;
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        let values = self.db.batched_multi_get_cf_opt(family, keys.iter().copied(), true, &options);
        for (place, value) in values.into_iter().enumerate() {
            if let Some(value) = self.intact(value)? {
                found(place, &value)?;
            }
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let mut iterator = self.db.raw_iterator_opt(unbuffered());
        iterator.seek(from);
        while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
            if !key.starts_with(prefix) || !visit(key, value)? {
                return Ok(());
            }
            iterator.next();
        }
        self.intact(iterator.status())
    }
}
