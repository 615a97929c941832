//! A store as it is at one moment: read by whoever likes, for as long as it takes, while the store goes on.

use super::corruption::StoreContext;
use super::store::{own_key, unbuffered};
use super::{EntryVisitor, KEY_PREFIX, StateEntries};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use millrace_protocol::replay::Applied;
use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};
use std::path::Path;

pub struct StoreSnapshot<'a> {
    snapshot: Snapshot<'a>,
    path: &'a Path,
}

impl<'a> StoreSnapshot<'a> {
    pub(super) fn new(db: &'a DB, path: &'a Path) -> Self {
        Self { snapshot: db.snapshot(), path }
    }

    /// How far the state has come; None where it has no commit.
    pub fn applied(&self) -> Result<Option<Applied>> {
        let operation = || format!("could not read how far the state in {} has come", self.path.display());
        match self.snapshot.get(own_key("applied")).of_store(self.path, operation)? {
            None => Ok(None),
            Some(json) => serde_json::from_slice(&json).map(Some).or_kind(ErrorKind::FailJob, operation()),
        }
    }

    /// The entries of one operator.
    pub fn entries(&self, operator: u32) -> impl StateEntries + '_ {
        SnapshotEntries { snapshot: self, operator }
    }

    pub(super) fn raw_iterator(&self, options: ReadOptions) -> DBRawIterator<'_> {
        self.snapshot.raw_iterator_opt(options)
    }
}

struct SnapshotEntries<'a> {
    snapshot: &'a StoreSnapshot<'a>,
    operator: u32,
}

impl StateEntries for SnapshotEntries<'_> {
    fn for_each_while(&mut self, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let iterator = self.snapshot.raw_iterator(of_operator(self.operator));
        visit_operator(iterator, self.operator, self.snapshot.path, visit)
    }
}

/// For reading all that an operator has, once.
pub(super) fn of_operator(operator: u32) -> ReadOptions {
    let mut options = unbuffered();
    // The reserved operator has the greatest id, so every other one has a successor.
    options.set_iterate_upper_bound((operator + 1).to_be_bytes().to_vec());
    options
}

/// Visits what an iterator has of an operator. Its upper bound ends it.
pub(super) fn visit_operator(
    mut iterator: DBRawIterator<'_>,
    operator: u32,
    path: &Path,
    visit: &mut EntryVisitor<'_>,
) -> Result<()> {
    iterator.seek(operator.to_be_bytes());
    while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
        if key.len() < KEY_PREFIX {
            return Err(Error::fail_job(format!("the state in {} has a key shorter than its prefix", path.display())));
        }
        let group = u16::from_be_bytes([key[5], key[6]]);
        if !visit(key[4], group, &key[KEY_PREFIX..], value)? {
            return Ok(());
        }
        iterator.next();
    }
    iterator.status().of_store(path, || format!("could not read the state in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateChanges;
    use crate::state::store::{StoreMemory, TaskStore};
    use millrace_protocol::record::Commit;

    fn put(store: &mut TaskStore, key: &[u8], sequence: u64) {
        let mut changes = StateChanges::default();
        changes.put(7, 1, 3, key, b"value");
        let commit = Commit { claim: 0, sequence, positions: Vec::new() };
        let applied = Applied { log_offset: 1, commit, generation: 1, transactional_id: "id".into() };
        store.apply([changes.as_bytes()], applied).unwrap();
    }

    fn keys(mut entries: impl StateEntries) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut visit = |_, _, key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            Ok(())
        };
        entries.for_each(&mut visit).unwrap();
        keys
    }

    #[test]
    fn a_snapshot_has_what_there_was_whatever_the_store_does_next() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &StoreMemory::new(8 << 20, 1)).unwrap();
        put(&mut store, b"a", 1);
        let source = store.image_source();
        let snapshot = source.snapshot();
        put(&mut store, b"b", 2);
        store.checkpoint().unwrap();
        store.compact();
        assert_eq!(keys(snapshot.entries(7)), [b"a"]);
        assert_eq!(snapshot.applied().unwrap().unwrap().commit.sequence, 1);
        assert_eq!(keys(source.snapshot().entries(7)), [b"a", b"b"]);
        assert_eq!(keys(snapshot.entries(8)), Vec::<Vec<u8>>::new());
    }
}
