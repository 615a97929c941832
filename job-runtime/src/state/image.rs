//! Reads an image: the whole state of a task as of one moment, in parts, on a thread of its own. Where the parts
//! go is the coordinator's business; what makes an image complete is the protocol's.

use super::StateChanges;
use super::corruption::StoreContext;
use super::snapshot::StoreSnapshot;
use super::store::RESERVED_OPERATOR;
use crate::error::{Error, Result};
use millrace_protocol::replay::Applied;
use rocksdb::{DB, ReadOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;

/// Entries of one part, well below Kafka's default limit of 1 MB for a record. An entry above it is a part of its
/// own.
const PART_BYTES: usize = 512 << 10;
/// Parts that are read ahead.
const PARTS_READ: usize = 4;
/// Read from the disk at once.
const READAHEAD_BYTES: usize = 2 << 20;

/// A store, to be read while it goes on.
pub struct ImageSource {
    db: Arc<DB>,
    path: PathBuf,
}

/// A part of an image.
pub struct ImagePart {
    pub task: u32,
    /// Laid out as `StateChanges`.
    pub entries: Vec<u8>,
    /// In the last part: how far the state has come.
    pub last: Option<Applied>,
}

/// Asks for an image of a store as it is now.
pub struct ImageRequest {
    task: u32,
    source: ImageSource,
    /// Told when the store may go on.
    held: SyncSender<()>,
}

/// The thread that reads images, one after the other.
pub struct ImageReader {
    requests: Option<Sender<ImageRequest>>,
    parts: Option<Receiver<Result<ImagePart>>>,
    thread: Option<JoinHandle<()>>,
}

/// Asks the reader for images, from wherever the stores are.
#[derive(Clone)]
pub struct ImageRequests(Sender<ImageRequest>);

impl ImageRequests {
    /// Returns when the image is of the store as it is now, whatever becomes of it.
    pub fn hold(&self, task: u32, source: ImageSource) {
        let (held, holds) = sync_channel(1);
        // Without a reader the worker is ending.
        if self.0.send(ImageRequest { task, source, held }).is_ok() {
            let _ = holds.recv();
        }
    }
}

impl ImageReader {
    pub fn start() -> Result<Self> {
        let (requests, asked) = channel::<ImageRequest>();
        let (sender, parts) = sync_channel(PARTS_READ);
        let thread = std::thread::Builder::new()
            .name("images".into())
            .spawn(move || {
                while let Ok(ImageRequest { task, source, held }) = asked.recv() {
                    let mut send = |entries, last| sender.send(Ok(ImagePart { task, entries, last })).is_ok();
                    if let Err(error) = source.read(PART_BYTES, &held, &mut send) {
                        let _ = sender.send(Err(error));
                    }
                }
            })
            .map_err(|e| Error::fail_job("could not start the thread that reads images").caused_by(e))?;
        Ok(Self { requests: Some(requests), parts: Some(parts), thread: Some(thread) })
    }

    pub fn requests(&self) -> ImageRequests {
        ImageRequests(self.requests.clone().expect("it is there until the reader is dropped"))
    }

    /// The next part, if it has been read.
    pub fn next(&self) -> Result<Option<ImagePart>> {
        match self.parts.as_ref().expect("it is there until the reader is dropped").try_recv() {
            Ok(part) => part.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::fail_job("the thread that reads images has ended")),
        }
    }
}

impl Drop for ImageReader {
    /// RocksDB's directory must be free before the worker starts again.
    fn drop(&mut self) {
        (self.requests, self.parts) = (None, None);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that reads images panicked");
        }
    }
}

impl ImageSource {
    pub(super) fn new(db: Arc<DB>, path: PathBuf) -> Self {
        Self { db, path }
    }

    /// The store as it is now.
    pub fn snapshot(&self) -> StoreSnapshot<'_> {
        StoreSnapshot::new(&self.db, &self.path)
    }

    /// Reads the state as of now into parts. The store may go on once `held` is told. Ends early when `send` says
    /// that nobody wants more.
    fn read(
        &self,
        part_bytes: usize,
        held: &SyncSender<()>,
        send: &mut dyn FnMut(Vec<u8>, Option<Applied>) -> bool,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let _ = held.send(());
        let operation = || format!("could not read an image of the state in {}", self.path.display());
        // From the same snapshot, so that it is what the entries amount to.
        let applied = snapshot.applied()?.ok_or_else(|| Error::fail_job(format!("{}: it has none", operation())))?;
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        // The store's own entries come last, and are no state.
        options.set_iterate_upper_bound(RESERVED_OPERATOR.to_be_bytes());
        let mut iterator = snapshot.raw_iterator(options);
        iterator.seek_to_first();
        let mut part = StateChanges::default();
        while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
            if !part.is_empty() && part.as_bytes().len() + key.len() + value.len() > part_bytes {
                if !send(part.as_bytes().to_vec(), None) {
                    return Ok(());
                }
                part.clear();
            }
            part.put_entry(key, value);
            iterator.next();
        }
        iterator.status().of_store(&self.path, operation)?;
        send(part.as_bytes().to_vec(), Some(applied));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateEntries;
    use crate::state::store::{StoreMemory, TaskStore};
    use millrace_protocol::record::Commit;

    fn applied(sequence: u64) -> Applied {
        let commit = Commit { claim: 0, sequence, positions: Vec::new() };
        Applied { log_offset: sequence as i64, commit, generation: 1, transactional_id: "id".into() }
    }

    fn open(directory: &tempfile::TempDir) -> TaskStore {
        TaskStore::open(directory.path(), "uid", 1, 0, &StoreMemory::new(8 << 20, 1)).unwrap()
    }

    fn entries(store: &TaskStore) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for operator in [7, 8] {
            let mut visit = |_, group, key: &[u8], value: &[u8]| {
                all.push((group, key.to_vec(), value.to_vec()));
                Ok(())
            };
            store.entries(operator).for_each(&mut visit).unwrap();
        }
        all
    }

    fn filled(directory: &tempfile::TempDir) -> TaskStore {
        let mut changes = StateChanges::default();
        for i in 0..500u16 {
            changes.put(7 + u32::from(i % 2), 1, i, &i.to_be_bytes(), &vec![i as u8; usize::from(i % 90)]);
        }
        let mut store = open(directory);
        store.apply([changes.as_bytes()], applied(5)).unwrap();
        store
    }

    #[test]
    fn what_is_loaded_is_what_was_read_in_parts_of_any_size() {
        let source = tempfile::tempdir().unwrap();
        let store = filled(&source);
        for part_bytes in [1, 100, 5_000, 1 << 20] {
            let target = tempfile::tempdir().unwrap();
            let mut loaded = open(&target);
            let (held, _holds) = sync_channel(1);
            let (mut parts, mut covers) = (0, None);
            let mut send = |entries: Vec<u8>, last| {
                assert!(entries.len() <= part_bytes.max(200), "a part has {} bytes", entries.len());
                loaded.load(&entries).unwrap();
                parts += 1;
                covers = last;
                true
            };
            store.image_source().read(part_bytes, &held, &mut send).unwrap();
            assert_eq!(covers, Some(applied(5)));
            assert!(part_bytes > 5_000 || parts > 1);
            assert_eq!(loaded.applied(), None, "that all is there is said afterwards");
            assert_eq!(entries(&loaded), entries(&store));
        }
    }

    #[test]
    fn an_image_is_of_one_moment_whatever_the_store_does_next() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = filled(&directory);
        let before = entries(&store);
        let reader = ImageReader::start().unwrap();
        reader.requests().hold(3, store.image_source());
        let mut later = StateChanges::default();
        later.put(7, 1, 3, b"later", b"1");
        store.apply([later.as_bytes()], applied(6)).unwrap();
        let target = tempfile::tempdir().unwrap();
        let mut loaded = open(&target);
        loop {
            let Some(part) = reader.next().unwrap() else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!(part.task, 3);
            loaded.load(&part.entries).unwrap();
            if let Some(last) = part.last {
                assert_eq!(last, applied(5));
                break;
            }
        }
        assert_eq!(entries(&loaded), before);
    }

    #[test]
    fn a_reader_that_nobody_listens_to_any_more_lets_the_store_go() {
        let directory = tempfile::tempdir().unwrap();
        let store = filled(&directory);
        let reader = ImageReader::start().unwrap();
        reader.requests().hold(0, store.image_source());
        drop((store, reader));
        open(&directory);
    }
}
