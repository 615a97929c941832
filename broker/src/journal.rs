//! The journal: every change of the broker's metadata, appended to one file, checksummed, and
//! rewritten as a snapshot of the image when it has grown.
//!
//! A frame is `length: u32, crc32c: u32, record as JSON`, big endian, behind a header that names the
//! format's version. What a record means is `image`'s business. Calls block on the file system.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use thiserror::Error;

use crate::image::{Image, Record};

const MAGIC: &[u8; 8] = b"MRBROKER";
const VERSION: u32 = 1;
const HEADER_LEN: usize = MAGIC.len() + 4;
const FRAME_HEADER_LEN: usize = 8;
/// A journal below this size is not rewritten, however little of it still counts.
const COMPACT_ABOVE: u64 = 8 * 1024 * 1024;

/// Why a journal cannot be read.
#[derive(Debug, Error)]
pub enum JournalError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no journal of this broker, or of a newer version")]
    Foreign { path: PathBuf },
    #[error("{path} is damaged at byte {at}: {reason}; restore it, or begin with an empty directory")]
    Damaged { path: PathBuf, at: u64, reason: String },
}

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// How many records are durable. Held during a sync, so that waiting callers share one.
    synced: Mutex<u64>,
    /// Set when a sync failed: what the kernel still holds is then unknown, and the journal is closed.
    failed: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    size: u64,
    snapshot_size: u64,
    appended: u64,
    image: Image,
}

impl Journal {
    /// Reads the journal at `path`, which may not exist yet, and rewrites it as a snapshot.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_path_buf(), source };
        let mut image = Image::default();
        match std::fs::read(path) {
            Ok(bytes) => read_into(path, &bytes, &mut image)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let (file, size) = write_snapshot(path, &image).map_err(io)?;
        let inner = Inner { file: Arc::new(file), size, snapshot_size: size, appended: 0, image };
        Ok(Journal {
            path: path.to_path_buf(),
            inner: Mutex::new(inner),
            synced: Mutex::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// Appends a record and applies it to the image. It survives the death of the process from now
    /// on, and the death of the machine after [`Journal::sync`].
    pub(crate) fn append(&self, record: Record) -> io::Result<()> {
        self.append_if(|_| Some(record)).map(|_| ())
    }

    /// Appends the record that `decide` makes of the image, in one step with what it saw there.
    pub(crate) fn append_if(&self, decide: impl FnOnce(&Image) -> Option<Record>) -> io::Result<bool> {
        let mut inner = self.lock();
        let Some(record) = decide(&inner.image) else {
            return Ok(false);
        };
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of the journal failed"));
        }
        let frame = frame(&record)?;
        if let Err(error) = (&*inner.file).write_all(&frame) {
            inner.file.set_len(inner.size)?;
            return Err(error);
        }
        inner.size += frame.len() as u64;
        inner.appended += 1;
        inner.image.apply(record);
        if inner.size > COMPACT_ABOVE.max(4 * inner.snapshot_size) {
            self.compact(&mut inner)?;
        }
        Ok(true)
    }

    /// Makes everything appended so far durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let wanted = self.lock().appended;
        let mut synced = self.synced.lock().expect("a sync does not panic");
        if *synced >= wanted {
            return Ok(());
        }
        let (file, appended) = {
            let inner = self.lock();
            (Arc::clone(&inner.file), inner.appended)
        };
        file.sync_data().inspect_err(|_| self.failed.store(true, Ordering::Release))?;
        *synced = appended;
        Ok(())
    }

    /// Looks at the image.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        look(&self.lock().image)
    }

    fn compact(&self, inner: &mut Inner) -> io::Result<()> {
        let (file, size) = write_snapshot(&self.path, &inner.image)?;
        inner.file = Arc::new(file);
        inner.size = size;
        inner.snapshot_size = size;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the journal")
    }
}

fn frame(record: &Record) -> io::Result<Vec<u8>> {
    let payload = serde_json::to_vec(record)?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(FRAME_HEADER_LEN + payload.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
    frame.extend_from_slice(&payload);
    Ok(frame)
}

/// Writes the image beside the journal and puts it in its place, durably.
fn write_snapshot(path: &Path, image: &Image) -> io::Result<(File, u64)> {
    let beside = path.with_extension("new");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    for record in image.records() {
        bytes.extend(frame(&record)?);
    }
    std::fs::write(&beside, &bytes)?;
    let file = OpenOptions::new().append(true).open(&beside)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok((file, bytes.len() as u64))
}

fn read_into(path: &Path, bytes: &[u8], image: &mut Image) -> Result<(), JournalError> {
    let foreign = || JournalError::Foreign { path: path.to_path_buf() };
    let header = bytes.get(..HEADER_LEN).ok_or_else(foreign)?;
    if header[..MAGIC.len()] != MAGIC[..] || header[MAGIC.len()..] != VERSION.to_be_bytes() {
        return Err(foreign());
    }
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        match next_frame(&bytes[at..]) {
            Frame::Whole(payload) => {
                let record = serde_json::from_slice(payload).map_err(|error| JournalError::Damaged {
                    path: path.to_path_buf(),
                    at: at as u64,
                    reason: error.to_string(),
                })?;
                image.apply(record);
                at += FRAME_HEADER_LEN + payload.len();
            }
            Frame::Torn => {
                tracing::warn!(journal = %path.display(), at, "cut a torn write from the end of the journal");
                return Ok(());
            }
            Frame::Damaged => {
                return Err(JournalError::Damaged {
                    path: path.to_path_buf(),
                    at: at as u64,
                    reason: "a checksum does not match".into(),
                });
            }
        }
    }
    Ok(())
}

enum Frame<'a> {
    Whole(&'a [u8]),
    /// The write was cut short by a crash: nothing follows.
    Torn,
    /// Something follows: records that were durable once cannot be read.
    Damaged,
}

fn next_frame(bytes: &[u8]) -> Frame<'_> {
    let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_LEN) else {
        return Frame::Torn;
    };
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let crc = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let zeroed = || bytes.iter().all(|byte| *byte == 0);
    match rest.get(..length) {
        None => Frame::Torn,
        Some(payload) if length > 0 && crc32c::crc32c(payload) == crc => Frame::Whole(payload),
        Some(payload) if payload.len() == rest.len() || zeroed() => Frame::Torn,
        Some(_) => Frame::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn topic(n: usize) -> Record {
        Record::TopicCreated {
            name: format!("topic-{n}"),
            id: Uuid::from_u128(n as u128),
            partitions: 1,
            configs: Default::default(),
        }
    }

    fn names(path: &Path) -> Result<Vec<String>, JournalError> {
        let journal = Journal::open(path)?;
        Ok(journal.read(|image| image.topics.keys().cloned().collect()))
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("journal");
        let journal = Journal::open(&path).expect("a new journal");
        journal.append(topic(1)).expect("writable");
        journal.append(topic(2)).expect("writable");
        drop(journal);
        assert_eq!(names(&path).expect("readable"), ["topic-1", "topic-2"]);
        assert_eq!(names(&path).expect("readable again"), ["topic-1", "topic-2"]);
    }

    #[test]
    fn a_journal_cut_at_any_byte_keeps_the_whole_records_before() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("journal");
        let journal = Journal::open(&path).expect("a new journal");
        let begin = std::fs::metadata(&path).expect("it exists").len();
        journal.append(topic(1)).expect("writable");
        let first = std::fs::metadata(&path).expect("it exists").len();
        journal.append(topic(2)).expect("writable");
        drop(journal);
        let bytes = std::fs::read(&path).expect("readable");
        for cut in begin as usize..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).expect("writable");
            let expected = usize::from(cut >= first as usize);
            assert_eq!(names(&path).expect("readable").len(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error_and_not_a_silent_loss() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("journal");
        let journal = Journal::open(&path).expect("a new journal");
        let begin = std::fs::metadata(&path).expect("it exists").len() as usize;
        journal.append(topic(1)).expect("writable");
        journal.append(topic(2)).expect("writable");
        drop(journal);
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[begin + FRAME_HEADER_LEN + 3] ^= 1;
        std::fs::write(&path, &bytes).expect("writable");
        assert!(matches!(names(&path), Err(JournalError::Damaged { .. })));
    }
}
