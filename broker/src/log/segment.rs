//! One segment file of a partition: batches one after another, named by its first offset.
//!
//! It appends, finds and reads; which segment to use, and when to begin the next, is the
//! partition's business. Reads need no lock: they work on a shared file handle and a known size.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{self, BatchHeader, HEADER_LEN, Marker};
use super::index::SparseIndex;

const EXTENSION: &str = "log";
/// Enough for a header and for a whole transaction marker behind it.
const PEEK: usize = 128;
/// How much is read at once while walking over batch headers.
const WALK_WINDOW: usize = 64 * 1024;

/// How much of a segment is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Every checksum: the segment may have been written when the process or the machine died.
    Checksums,
    /// Headers alone: the segment was synced before its successor was begun.
    Headers,
}

#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    next_offset: i64,
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    index: SparseIndex,
}

impl Segment {
    /// Begins an empty segment; its directory entry is on disk when this returns.
    pub(crate) fn create(dir: &Path, base_offset: i64) -> io::Result<Self> {
        let path = dir.join(file_name(base_offset));
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
        File::open(dir)?.sync_all()?;
        Ok(Segment {
            base_offset,
            next_offset: base_offset,
            path,
            file: Arc::new(file),
            size: 0,
            index: SparseIndex::default(),
        })
    }

    /// Opens a segment, cuts what is torn at its end, and shows every batch to `on_batch`.
    pub(crate) fn open(
        dir: &Path,
        base_offset: i64,
        verify: Verify,
        mut on_batch: impl FnMut(&BatchHeader, Option<Marker>),
    ) -> io::Result<Self> {
        let path = dir.join(file_name(base_offset));
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let length = file.metadata()?.len();
        let mut segment = Segment {
            base_offset,
            next_offset: base_offset,
            path,
            file: Arc::new(file),
            size: 0,
            index: SparseIndex::default(),
        };
        let mut buffer = Vec::new();
        while let Some((header, marker)) = batch_at(&segment.file, segment.size, length, verify, &mut buffer)? {
            // Offsets only rise; bytes that say otherwise are the remains of something else.
            if header.base_offset < segment.next_offset {
                break;
            }
            segment.note(&header);
            on_batch(&header, marker);
        }
        if segment.size < length {
            tracing::warn!(
                segment = %segment.path.display(),
                kept = segment.size,
                cut = length - segment.size,
                "cut a torn write from the end of a log segment"
            );
            segment.file.set_len(segment.size)?;
            segment.file.sync_all()?;
        }
        Ok(segment)
    }

    /// Writes a batch at the segment's next offset. After an error nothing of it remains.
    pub(crate) fn append(&mut self, batch: &[u8], header: &BatchHeader) -> io::Result<()> {
        let prefix = batch::placed_prefix(batch, header.base_offset);
        let written = write_both(&self.file, &prefix, batch::after_prefix(batch));
        if let Err(error) = written {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.note(header);
        Ok(())
    }

    fn note(&mut self, header: &BatchHeader) {
        self.index.note(header.base_offset, self.size, header.max_timestamp);
        self.size += header.size as u64;
        self.next_offset = header.next_offset();
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        self.index.max_timestamp()
    }

    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// A view for reading from the batch that holds `offset`.
    pub(crate) fn view_from_offset(&self, offset: i64) -> SegmentView {
        self.view(self.index.seek_offset(offset))
    }

    /// A view for reading from the first batch that may have a record at or after `timestamp`.
    pub(crate) fn view_from_timestamp(&self, timestamp: i64) -> SegmentView {
        self.view(self.index.seek_timestamp(timestamp))
    }

    fn view(&self, start: u64) -> SegmentView {
        SegmentView { file: self.file(), start, end: self.size }
    }

    /// Removes the file. Readers that hold a view finish on the open handle.
    pub(crate) fn delete(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// A part of a segment as it was when the view was taken: it can be read without any lock.
#[derive(Debug)]
pub(crate) struct SegmentView {
    file: Arc<File>,
    start: u64,
    end: u64,
}

impl SegmentView {
    /// Whole batches from the one that holds `from` on, none of which begins at or after `below`, up
    /// to `max_bytes`; the first batch is read whatever its size, so that a reader always advances
    /// (unless `max_bytes` is zero).
    pub(crate) fn read(&self, from: i64, below: i64, max_bytes: usize) -> io::Result<Vec<u8>> {
        let Some((position, first)) = self.find(|header| header.last_offset() >= from)? else {
            return Ok(Vec::new());
        };
        if first.base_offset >= below || max_bytes == 0 {
            return Ok(Vec::new());
        }
        let available = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; max_bytes.max(first.size).min(available)];
        self.file.read_exact_at(&mut bytes, position)?;
        let mut whole = 0;
        while let Ok(header) = BatchHeader::parse(&bytes[whole..]) {
            if header.base_offset >= below || whole + header.size > bytes.len() {
                break;
            }
            whole += header.size;
        }
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// The first record at or after `timestamp`, as offset and timestamp, not below `from`.
    pub(crate) fn find_timestamp(&self, timestamp: i64, from: i64) -> io::Result<Option<(i64, i64)>> {
        let wanted = |header: &BatchHeader| header.max_timestamp >= timestamp && header.last_offset() >= from;
        let Some((position, header)) = self.find(wanted)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; header.size];
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(batch::offset_at_or_after(&bytes, &header, timestamp))
    }

    /// Walks over the headers to the first batch that is wanted.
    fn find(&self, wanted: impl Fn(&BatchHeader) -> bool) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut window = Vec::new();
        let mut position = self.start;
        while position < self.end {
            let length = (self.end - position).min(WALK_WINDOW as u64) as usize;
            window.resize(length, 0);
            self.file.read_exact_at(&mut window, position)?;
            let mut at = 0;
            while at + HEADER_LEN <= window.len() {
                let header = BatchHeader::parse(&window[at..]).map_err(corrupt)?;
                if wanted(&header) {
                    return Ok(Some((position + at as u64, header)));
                }
                at += header.size;
            }
            if at == 0 {
                return Err(corrupt(batch::BatchError::Truncated));
            }
            position += at as u64;
        }
        Ok(None)
    }
}

fn corrupt(error: batch::BatchError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The valid batch at `position`, or `None` where the segment ends or is torn.
fn batch_at(
    file: &File,
    position: u64,
    length: u64,
    verify: Verify,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(BatchHeader, Option<Marker>)>> {
    let left = usize::try_from(length - position).unwrap_or(usize::MAX);
    buffer.resize(left.min(PEEK), 0);
    file.read_exact_at(buffer, position)?;
    let Ok(header) = BatchHeader::parse(buffer) else {
        return Ok(None);
    };
    if header.size > left {
        return Ok(None);
    }
    if verify == Verify::Checksums {
        buffer.resize(header.size, 0);
        file.read_exact_at(buffer, position)?;
        if BatchHeader::parse_whole(buffer).is_err() {
            return Ok(None);
        }
    }
    let marker = if header.is_control() { batch::marker_of(buffer) } else { None };
    Ok(Some((header, marker)))
}

/// Writes two slices as one where the kernel lets us.
fn write_both(mut file: &File, first: &[u8], second: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
    match written.checked_sub(first.len()) {
        Some(of_second) => file.write_all(&second[of_second..]),
        None => {
            file.write_all(&first[written..])?;
            file.write_all(second)
        }
    }
}

fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.{EXTENSION}")
}

/// The base offsets of the segments in a partition's directory, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let (true, Some(Ok(offset))) = (is_segment, stem.map(str::parse)) {
            offsets.push(offset);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}
