//! Covers while a worker runs: when a task's state is to be copied out of its volume, what the parts of an image
//! are, and how far the log may be cut for it. One machine for each task, without IO; the coordinator, and in
//! simulation its model, reads the state and writes the records.
//!
//! A log is cut only behind what a *committed* cover covers, and never behind what the volume has durably: then
//! the volume, if it is there, is all that a restart needs. An image is as safe as the log that it is in; objects in a
//! store can be lost apart from it, so behind a checkpoint the log is kept back to the cover before that.

use crate::record::{Checkpoint, Image, LogRecord};
use crate::replay::Applied;

/// When an image is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoverSettings {
    /// Never while the log has fewer bytes since the last cover.
    pub tail_bytes_min: u64,
    /// Nor while these are less than so many times the state's.
    pub tail_per_state: u64,
}

impl CoverSettings {
    /// Bytes of log since the last cover above which the next one is due.
    pub fn tail_bytes_max(&self, state_bytes: u64) -> u64 {
        self.tail_bytes_min.max(self.tail_per_state.saturating_mul(state_bytes))
    }
}

/// A cover that is being made.
#[derive(Debug)]
struct Making {
    id: u64,
    /// Parts written so far.
    parts: u32,
    bytes: u64,
    /// Of the log's tail, when the state was copied.
    tail_bytes: u64,
    /// Once its last record is written: up to where it makes the log superfluous.
    covers: Option<i64>,
    /// Whether the copy is elsewhere.
    outside: bool,
}

/// A cover that has become complete, by a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Of the copy.
    pub bytes: u64,
    /// The log before this offset is in it.
    pub log_offset: i64,
}

/// One task's covers.
#[derive(Debug)]
pub struct TaskCover {
    settings: CoverSettings,
    /// Offset of the claim under which records are written.
    claim: i64,
    /// Bytes in the log since the last cover.
    tail_bytes: u64,
    /// Covers begun under this claim.
    begun: u64,
    making: Option<Making>,
    /// What the last committed cover covers.
    last: i64,
    /// What committed covers make superfluous.
    covered: i64,
    /// Where the durable state on the volume begins to read.
    volume: i64,
}

impl TaskCover {
    /// `tail_bytes`: what the log has since its last cover, as well as one knows.
    pub fn new(settings: CoverSettings, claim: i64, tail_bytes: u64) -> Self {
        Self { settings, claim, tail_bytes, begun: 0, making: None, last: 0, covered: 0, volume: 0 }
    }

    /// Changes and a commit were written.
    pub fn wrote(&mut self, bytes: u64) {
        self.tail_bytes += bytes;
    }

    pub fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// The volume has this durably.
    pub fn checkpointed(&mut self, applied: &Applied) {
        self.volume = self.volume.max(applied.log_offset);
    }

    pub fn is_making(&self) -> bool {
        self.making.is_some()
    }

    /// Whether to begin with an image, of a state of about so many bytes.
    pub fn is_due(&self, state_bytes: u64) -> bool {
        self.making.is_none() && self.tail_bytes > self.settings.tail_bytes_max(state_bytes)
    }

    /// The state is copied, or held still for it, as it is now on the volume.
    pub fn begin(&mut self) {
        self.begun += 1;
        let (id, tail_bytes) = (self.begun, self.tail_bytes);
        self.making = Some(Making { id, parts: 0, bytes: 0, tail_bytes, covers: None, outside: false });
    }

    /// The record of the next part of the image, for the open transaction; `last` ends it.
    pub fn part<'a>(&mut self, entries: &'a [u8], last: Option<Applied>) -> LogRecord<'a> {
        let making = self.making.as_mut().expect("parts are made between begin and their commit");
        let part = making.parts;
        making.parts += 1;
        making.bytes += entries.len() as u64;
        making.covers = last.as_ref().map(|applied| applied.log_offset);
        LogRecord::Image(Image { claim: self.claim, id: making.id, part, last, entries })
    }

    /// The record of a checkpoint that the object store has, for the open transaction.
    pub fn checkpoint(&mut self, manifest: String, sha256: String, bytes: u64, applied: Applied) -> LogRecord<'static> {
        let making = self.making.as_mut().expect("a checkpoint is made between begin and its commit");
        (making.bytes, making.outside) = (bytes, true);
        making.covers = Some(applied.log_offset);
        LogRecord::Checkpoint(Checkpoint { claim: self.claim, manifest, sha256, bytes, applied })
    }

    /// What is being made comes to nothing.
    pub fn abandon(&mut self) {
        self.making = None;
    }

    /// All that was written is committed. Returns the cover that is complete with it.
    pub fn committed(&mut self) -> Option<Covered> {
        let making = self.making.take_if(|making| making.covers.is_some())?;
        let log_offset = making.covers?;
        let before = std::mem::replace(&mut self.last, log_offset);
        self.covered = self.covered.max(if making.outside { before } else { log_offset });
        self.tail_bytes -= making.tail_bytes;
        Some(Covered { bytes: making.bytes, log_offset })
    }

    /// Before which offset the log, which starts at `log_start`, may be cut; None where there is nothing to cut.
    pub fn cut(&self, log_start: i64) -> Option<i64> {
        let before = self.covered.min(self.volume);
        (before > log_start).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Commit;

    const SETTINGS: CoverSettings = CoverSettings { tail_bytes_min: 100, tail_per_state: 2 };

    fn applied(log_offset: i64) -> Applied {
        let commit = Commit { claim: 3, sequence: 1, positions: Vec::new() };
        Applied { log_offset, commit, generation: 1, transactional_id: "id".into() }
    }

    #[test]
    fn an_image_is_due_when_the_tail_outweighs_the_state() {
        let mut cover = TaskCover::new(SETTINGS, 3, 60);
        cover.wrote(40);
        assert!(!cover.is_due(0));
        cover.wrote(1);
        assert!(cover.is_due(50) && !cover.is_due(51));
        cover.begin();
        assert!(!cover.is_due(0), "one at a time");
    }

    #[test]
    fn parts_are_numbered_and_the_next_image_has_another_id() {
        let mut cover = TaskCover::new(SETTINGS, 3, 0);
        let image = |record: LogRecord<'_>| match record {
            LogRecord::Image(image) => (image.claim, image.id, image.part, image.last.is_some()),
            other => panic!("{other:?} is no image"),
        };
        cover.begin();
        assert_eq!(image(cover.part(b"a", None)), (3, 1, 0, false));
        assert_eq!(image(cover.part(b"b", Some(applied(9)))), (3, 1, 1, true));
        cover.committed();
        cover.begin();
        assert_eq!(image(cover.part(b"a", Some(applied(9)))), (3, 2, 0, true));
    }

    #[test]
    fn the_log_is_cut_behind_a_committed_image_and_no_earlier() {
        let mut cover = TaskCover::new(SETTINGS, 3, 500);
        cover.checkpointed(&applied(9));
        cover.begin();
        cover.wrote(30);
        cover.part(b"a", None);
        assert_eq!(cover.committed(), None, "a part is not the whole");
        cover.part(b"bc", Some(applied(9)));
        assert_eq!(cover.cut(0), None);
        assert_eq!(cover.committed(), Some(Covered { bytes: 3, log_offset: 9 }));
        assert_eq!(cover.cut(0), Some(9));
        assert_eq!(cover.cut(9), None, "it is cut already");
        assert_eq!(cover.tail_bytes(), 30);
    }

    #[test]
    fn the_log_is_not_cut_behind_the_volume() {
        let mut cover = TaskCover::new(SETTINGS, 3, 500);
        cover.begin();
        cover.part(b"", Some(applied(9)));
        cover.committed();
        assert_eq!(cover.cut(0), None);
        cover.checkpointed(&applied(7));
        assert_eq!(cover.cut(0), Some(7));
    }

    #[test]
    fn what_is_abandoned_is_due_again() {
        let mut cover = TaskCover::new(SETTINGS, 3, 500);
        cover.begin();
        cover.part(b"a", None);
        cover.abandon();
        assert_eq!((cover.committed(), cover.is_due(0)), (None, true));
    }

    #[test]
    fn behind_a_checkpoint_the_log_is_kept_back_to_the_cover_before() {
        let mut cover = TaskCover::new(SETTINGS, 3, 500);
        let mut checkpoint = |offset| {
            cover.checkpointed(&applied(offset));
            cover.begin();
            cover.checkpoint("manifest".into(), "00".into(), 70, applied(offset));
            assert_eq!(cover.committed(), Some(Covered { bytes: 70, log_offset: offset }));
            cover.cut(0)
        };
        assert_eq!(checkpoint(9), None);
        assert_eq!(checkpoint(20), Some(9));
        assert_eq!(checkpoint(30), Some(20));
        cover.begin();
        cover.part(b"", Some(applied(30)));
        cover.committed();
        assert_eq!(cover.cut(0), Some(30), "an image is in the log itself");
    }
}
