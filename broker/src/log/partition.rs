//! One partition: its segments, its offsets, and who waits for it to grow.
//!
//! Appends hold the partition's lock while they write to the page cache; reads take it only to find
//! the place and read without it. `flush` makes what was appended durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Notify;

use super::batch::{self, BatchHeader, Marker};
use super::producers::{AbortedTransaction, Admission, ProducerError, Producers};
use super::segment::{self, Segment, Verify};

/// Which records a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// From a request's `isolation_level`.
    pub(crate) fn of(level: i8) -> Self {
        if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }
}

#[derive(Debug, Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error("the log cannot be written: {0}")]
    Storage(#[from] io::Error),
}

#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("the offset is not in the log")]
    OutOfRange(Offsets),
    #[error("the log cannot be read: {0}")]
    Storage(#[from] io::Error),
}

/// The offsets that bound a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) start: i64,
    /// Where the oldest open transaction begins; the end where there is none.
    pub(crate) last_stable: i64,
    /// The high watermark: with one replica, the end of the log.
    pub(crate) end: i64,
}

impl Offsets {
    pub(crate) fn visible_end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end,
            Isolation::ReadCommitted => self.last_stable,
        }
    }
}

/// What a read found.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) offsets: Offsets,
    pub(crate) bytes: Bytes,
    /// Aborted transactions that touch `bytes`; empty for uncommitted reads.
    pub(crate) aborted: Vec<AbortedTransaction>,
}

/// When old segments go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) bytes: Option<u64>,
    /// Records older than this timestamp may go.
    pub(crate) before: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    dir: PathBuf,
    log: Mutex<Log>,
    /// The end of what is durable. Held during a sync, so that waiting callers share one.
    synced: Mutex<i64>,
    /// Set when a sync failed: what the kernel still holds is then unknown, and the log is closed.
    failed: AtomicBool,
    waiters: Mutex<Vec<Arc<Notify>>>,
}

#[derive(Debug)]
struct Log {
    /// Never empty; the last one is written to.
    segments: Vec<Segment>,
    start: i64,
    producers: Producers,
}

impl Partition {
    /// Opens the log in `dir`, or begins an empty one. `start` is the first offset that readers may
    /// ask for, as far as deletions moved it.
    pub(crate) fn open(dir: &Path, start: i64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut producers = Producers::default();
        let mut segments: Vec<Segment> = Vec::new();
        let bases = segment::list(dir)?;
        for (at, base) in bases.iter().enumerate() {
            let last = at + 1 == bases.len();
            let verify = if last { Verify::Checksums } else { Verify::Headers };
            let segment = Segment::open(dir, *base, verify, |header, marker| match marker {
                Some(marker) => producers.note_marker(header, marker),
                None => producers.note_records(header),
            })?;
            segments.push(segment);
        }
        // A start beyond the end: what was deleted had never reached the disk. Offsets go on from the
        // start, for readers have seen the ones before it.
        if segments.last().is_none_or(|last| last.next_offset() < start) {
            for segment in segments.drain(..) {
                segment.delete()?;
            }
            segments.push(Segment::create(dir, start)?);
        }
        let start = start.max(segments[0].base_offset());
        let end = segments.last().map_or(start, Segment::next_offset);
        producers.forget(start, i64::MIN);
        Ok(Partition {
            dir: dir.to_path_buf(),
            log: Mutex::new(Log { segments, start, producers }),
            synced: Mutex::new(end),
            failed: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        })
    }

    /// Appends a batch that was checked with [`BatchHeader::parse_whole`]; answers its base offset,
    /// also for a batch that a producer sent again.
    pub(crate) fn append(&self, batch: &[u8], header: &BatchHeader, segment_bytes: u64) -> Result<i64, AppendError> {
        let base_offset = {
            let mut log = self.lock();
            if let Admission::Duplicate(offset) = log.producers.admit(header)? {
                return Ok(offset);
            }
            let placed = self.place(&mut log, batch, header, segment_bytes)?;
            log.producers.note_records(&placed);
            placed.base_offset
        };
        self.wake();
        Ok(base_offset)
    }

    /// Ends a producer's transaction here. Where none is open, a marker is still written, as a fence
    /// against that producer's older epochs.
    pub(crate) fn append_marker(
        &self,
        producer: (i64, i16),
        marker: Marker,
        timestamp: i64,
        segment_bytes: u64,
    ) -> io::Result<i64> {
        let bytes = batch::marker_batch(producer.0, producer.1, marker, timestamp);
        let header = BatchHeader::parse(&bytes).map_err(io::Error::other)?;
        let base_offset = {
            let mut log = self.lock();
            let placed = self.place(&mut log, &bytes, &header, segment_bytes)?;
            log.producers.note_marker(&placed, marker);
            placed.base_offset
        };
        self.wake();
        Ok(base_offset)
    }

    /// Writes a batch at the end of the log, in a new segment where the current one is full.
    fn place(&self, log: &mut Log, batch: &[u8], header: &BatchHeader, segment_bytes: u64) -> io::Result<BatchHeader> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of this log failed"));
        }
        let active = log.active();
        if active.size() > 0 && active.size() + header.size as u64 > segment_bytes {
            self.roll(log)?;
        }
        let placed = BatchHeader { base_offset: log.end(), ..*header };
        log.active_mut().append(batch, &placed)?;
        Ok(placed)
    }

    /// Begins the next segment. The old one is synced first: only the last segment can be torn.
    fn roll(&self, log: &mut Log) -> io::Result<()> {
        log.active().file().sync_data().inspect_err(|_| self.fail())?;
        let end = log.end();
        log.segments.push(Segment::create(&self.dir, end)?);
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let wanted = self.lock().end();
        let mut synced = self.synced.lock().expect("a sync does not panic");
        if *synced >= wanted {
            return Ok(());
        }
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of this log failed"));
        }
        // Older segments were synced when they were rolled.
        let (file, end) = {
            let log = self.lock();
            (log.active().file(), log.end())
        };
        file.sync_data().inspect_err(|_| self.fail())?;
        *synced = end;
        Ok(())
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn offsets(&self) -> Offsets {
        self.lock().offsets()
    }

    /// Batches from the one that holds `offset` on; see [`segment::SegmentView::read`] for the limits.
    pub(crate) fn read(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Records, ReadError> {
        let (offsets, view) = {
            let log = self.lock();
            let offsets = log.offsets();
            if offset < offsets.start || offset > offsets.end {
                return Err(ReadError::OutOfRange(offsets));
            }
            let view = log.segment_of(offset).map(|segment| segment.view_from_offset(offset));
            (offsets, view)
        };
        let below = offsets.visible_end(isolation);
        let bytes = match view {
            Some(view) if offset < below => view.read(offset, below, max_bytes)?,
            _ => Vec::new(),
        };
        let aborted = match isolation {
            Isolation::ReadCommitted if !bytes.is_empty() => {
                self.lock().producers.aborted_between(offset, last_offset_of(&bytes) + 1)
            }
            _ => Vec::new(),
        };
        Ok(Records { offsets, bytes: bytes.into(), aborted })
    }

    /// Offset and timestamp of the first record at or after `timestamp`.
    pub(crate) fn find_timestamp(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        let (views, start) = {
            let log = self.lock();
            let may_hold = |segment: &&Segment| {
                segment.next_offset() > log.start && segment.max_timestamp().is_some_and(|latest| latest >= timestamp)
            };
            let segments = log.segments.iter().filter(may_hold);
            let views: Vec<_> = segments.map(|segment| segment.view_from_timestamp(timestamp)).collect();
            (views, log.start)
        };
        for view in views {
            if let Some((offset, at)) = view.find_timestamp(timestamp, start)? {
                return Ok(Some((offset.max(start), at)));
            }
        }
        Ok(None)
    }

    /// The largest timestamp in the log, if it has any record.
    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        self.lock().segments.iter().filter_map(Segment::max_timestamp).max()
    }

    /// Moves the log's start up to `offset`; whole segments before it are removed.
    pub(crate) fn delete_before(&self, offset: i64) -> io::Result<Offsets> {
        let mut log = self.lock();
        log.start = log.start.max(offset.min(log.end()));
        if log.start == log.end() && log.active().size() > 0 {
            self.roll(&mut log)?;
        }
        log.remove_before_start()?;
        Ok(log.offsets())
    }

    /// The offset up to which retention lets the log be cut; nothing is changed yet.
    pub(crate) fn expired_before(&self, retention: Retention) -> i64 {
        let log = self.lock();
        let mut size: u64 = log.segments.iter().map(Segment::size).sum();
        let mut cut = log.start;
        let stable = log.offsets().last_stable;
        for segment in &log.segments {
            let too_old = match (retention.before, segment.max_timestamp()) {
                (Some(before), Some(latest)) => latest < before,
                _ => false,
            };
            let too_much = retention.bytes.is_some_and(|limit| size - segment.size() >= limit);
            if segment.size() == 0 || segment.next_offset() > stable || !(too_old || too_much) {
                break;
            }
            size -= segment.size();
            cut = cut.max(segment.next_offset());
        }
        cut
    }

    /// Forgets producers that were silent since `silent_since`.
    pub(crate) fn forget_producers(&self, silent_since: i64) {
        let mut log = self.lock();
        let start = log.start;
        log.producers.forget(start, silent_since);
    }

    /// Producers with an open transaction here, with their epochs.
    pub(crate) fn open_transactions(&self) -> Vec<(i64, i16)> {
        self.lock().producers.open_transactions()
    }

    pub(crate) fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.lock().producers.has_open_transaction(producer_id)
    }

    /// `waiter` is told, once, when the log grows or a transaction ends.
    pub(crate) fn watch(&self, waiter: &Arc<Notify>) {
        let mut waiters = self.waiters.lock().expect("waking does not panic");
        // A waiter that nobody else holds has left; without this an idle partition would collect them.
        waiters.retain(|waiter| Arc::strong_count(waiter) > 1);
        waiters.push(Arc::clone(waiter));
    }

    fn wake(&self) {
        for waiter in self.waiters.lock().expect("waking does not panic").drain(..) {
            waiter.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no code panics while it holds a log")
    }
}

impl Log {
    fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log always has a segment")
    }

    fn end(&self) -> i64 {
        self.active().next_offset()
    }

    fn offsets(&self) -> Offsets {
        let end = self.end();
        let last_stable = self.producers.first_open_offset().unwrap_or(end);
        Offsets { start: self.start, last_stable, end }
    }

    fn segment_of(&self, offset: i64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.base_offset() <= offset);
        self.segments.get(after.checked_sub(1)?)
    }

    fn remove_before_start(&mut self) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments[0].next_offset() <= self.start {
            self.segments.remove(0).delete()?;
        }
        let start = self.start;
        self.producers.forget(start, i64::MIN);
        Ok(())
    }
}

/// The last offset in a run of whole batches.
fn last_offset_of(mut bytes: &[u8]) -> i64 {
    let mut last = -1;
    while let Ok(header) = BatchHeader::parse(bytes) {
        last = header.last_offset();
        bytes = &bytes[header.size.min(bytes.len())..];
    }
    last
}
