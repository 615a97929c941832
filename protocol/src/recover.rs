//! From what a task's state comes back before its log is replayed: its volume, the log alone, or a *cover*, a
//! durable copy of the state outside of the volume (an image in the log itself, or a checkpoint in an object
//! store), for which the log was cut.
//!
//! Whatever it is, it says how far it has come, and the log from there on gives the rest. So it need not be the
//! latest, as long as the log from there on is whole. Nothing holds the log still meanwhile: whoever had the task
//! before may write another cover and cut the log again. Then reading it fails, and recovering begins anew.

use crate::error::{ProtocolError, Result};
use crate::record::{Checkpoint, Image, LogRecord};
use crate::replay::Applied;
use std::collections::BTreeMap;

/// The part of a task's log that is there. The start is to be asked for before the end: what the log was cut for
/// then lies before that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    pub start: i64,
    /// Behind the last record, of open transactions too.
    pub end: i64,
}

/// From what a start goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The state on the volume.
    Volume,
    /// No state: the log has everything from the beginning.
    Log,
    /// A cover, which the log has to be searched for. What is on the volume is too old.
    Cover,
}

/// `applied`: how far the state on the volume has come; None where there is none, or none that can be read.
pub fn base(task: u32, applied: Option<&Applied>, log: LogRange) -> Result<Base> {
    match applied {
        Some(Applied { log_offset, .. }) if *log_offset > log.end => {
            Err(ProtocolError::LogLostItsTail { task, volume: *log_offset, log_end: log.end })
        }
        Some(Applied { log_offset, .. }) if *log_offset >= log.start => Ok(Base::Volume),
        None if log.start == 0 => Ok(Base::Log),
        Some(_) | None => Ok(Base::Cover),
    }
}

/// A durable copy of a task's state outside of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    Image(CompleteImage),
    Checkpoint(Checkpoint),
}

/// An image of which every part is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteImage {
    pub claim: i64,
    pub id: u64,
    /// Offsets of its first part and of its last.
    pub first: i64,
    pub last: i64,
    /// Of its entries.
    pub bytes: u64,
    pub applied: Applied,
}

impl Cover {
    /// How far the state has come that it is of.
    pub fn applied(&self) -> &Applied {
        match self {
            Self::Image(image) => &image.applied,
            Self::Checkpoint(checkpoint) => &checkpoint.applied,
        }
    }
}

impl CompleteImage {
    /// Whether a record of the log is a part of it.
    pub fn has(&self, part: &Image<'_>) -> bool {
        (part.claim, part.id) == (self.claim, self.id)
    }
}

/// Covers that are tried, the newest first, if one turns out to be damaged.
const COVERS: usize = 3;

/// Looks for the newest covers in a task's log, read `read_committed` from its start.
#[derive(Debug)]
pub struct CoverSearch {
    task: u32,
    log: LogRange,
    /// Images that may still become complete, by claim and id.
    open: BTreeMap<(i64, u64), Open>,
    /// Complete, the newest last.
    found: Vec<Cover>,
}

#[derive(Debug)]
struct Open {
    first: i64,
    parts: u32,
    bytes: u64,
}

impl CoverSearch {
    pub fn new(task: u32, log: LogRange) -> Self {
        Self { task, log, open: BTreeMap::new(), found: Vec::new() }
    }

    pub fn read(&mut self, offset: i64, record: &LogRecord<'_>) {
        match record {
            LogRecord::Image(part) => self.part(offset, part),
            LogRecord::Checkpoint(checkpoint) => self.found.push(Cover::Checkpoint(checkpoint.clone())),
            LogRecord::Claim(_) | LogRecord::Release(_) | LogRecord::Batch(_) | LogRecord::Commit(_) => {}
        }
    }

    /// Parts whose beginning was cut off, or of which one is missing, lead to nothing.
    fn part(&mut self, offset: i64, part: &Image<'_>) {
        let key = (part.claim, part.id);
        if part.part == 0 {
            self.open.insert(key, Open { first: offset, parts: 0, bytes: 0 });
        }
        let Some(open) = self.open.get_mut(&key).filter(|open| open.parts == part.part) else {
            self.open.remove(&key);
            return;
        };
        open.parts += 1;
        open.bytes += part.entries.len() as u64;
        if let Some(applied) = &part.last {
            let (first, bytes) = (open.first, open.bytes);
            self.open.remove(&key);
            let (claim, id, applied) = (part.claim, part.id, applied.clone());
            self.found.push(Cover::Image(CompleteImage { claim, id, first, last: offset, bytes, applied }));
        }
    }

    /// What was found when everything readable was read, which is what lies before `read_to`: at least one cover, the
    /// newest first. None when the log is to be read again later: a transaction that is not over hides what comes
    /// after it, and that may be what the log was cut for.
    pub fn finish(self, read_to: i64) -> Result<Option<Vec<Cover>>> {
        let (task, LogRange { start, end }) = (self.task, self.log);
        let usable = self.found.into_iter().rev().filter(|cover| cover.applied().log_offset >= start);
        let usable: Vec<Cover> = usable.take(COVERS).collect();
        match usable.is_empty() {
            false => Ok(Some(usable)),
            true if read_to < end => Ok(None),
            true => Err(ProtocolError::StateLost { task, log_start: start }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Commit;

    fn applied(log_offset: i64) -> Applied {
        let commit = Commit { claim: 0, sequence: log_offset as u64, positions: Vec::new() };
        Applied { log_offset, commit, generation: 1, transactional_id: "id".into() }
    }

    fn part(claim: i64, id: u64, part: u32, covers: Option<i64>) -> LogRecord<'static> {
        LogRecord::Image(Image { claim, id, part, last: covers.map(applied), entries: b"entry" })
    }

    fn commit() -> LogRecord<'static> {
        LogRecord::Commit(applied(1).commit)
    }

    /// What a search finds in these records, the first of which is at the log's start.
    fn search(start: i64, records: &[LogRecord<'_>]) -> Result<Option<Vec<Cover>>> {
        let end = start + records.len() as i64;
        let mut search = CoverSearch::new(7, LogRange { start, end });
        for (offset, record) in (start..).zip(records) {
            search.read(offset, record);
        }
        search.finish(end)
    }

    fn covers(found: Result<Option<Vec<Cover>>>) -> i64 {
        found.unwrap().expect("a cover")[0].applied().log_offset
    }

    #[test]
    fn the_volume_counts_while_the_log_goes_on_from_it() {
        let log = LogRange { start: 10, end: 20 };
        for (log_offset, expected) in [(9, Base::Cover), (10, Base::Volume), (20, Base::Volume)] {
            assert_eq!(base(7, Some(&applied(log_offset)), log), Ok(expected));
        }
        assert_eq!(base(7, None, log), Ok(Base::Cover));
        assert_eq!(base(7, None, LogRange { start: 0, end: 20 }), Ok(Base::Log));
    }

    #[test]
    fn a_volume_ahead_of_the_log_says_that_the_log_lost_its_tail() {
        let error = base(7, Some(&applied(21)), LogRange { start: 10, end: 20 }).unwrap_err();
        assert_eq!(error, ProtocolError::LogLostItsTail { task: 7, volume: 21, log_end: 20 });
        assert!(error.to_string().contains("Restore the job from a savepoint"), "{error}");
    }

    #[test]
    fn the_newest_complete_image_is_found_among_everything_else() {
        let log = [
            part(0, 1, 0, None),
            commit(),
            part(0, 1, 1, Some(10)),
            part(0, 2, 0, None),
            commit(),
            part(0, 2, 1, None),
            part(0, 2, 2, Some(11)),
            part(0, 3, 0, None),
        ];
        let found = search(10, &log).unwrap().expect("covers");
        let [Cover::Image(image), Cover::Image(before)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(before.applied, applied(10));
        assert_eq!((image.id, image.first, image.last, image.bytes), (2, 13, 16, 15));
        assert_eq!(image.applied, applied(11));
        assert_eq!(covers(search(10, &log[..5])), 10, "the second is not complete yet");
    }

    #[test]
    fn an_image_with_a_part_missing_does_not_count() {
        let whole = [part(0, 1, 0, None), part(0, 1, 1, None), part(0, 1, 2, Some(10))];
        assert_eq!(covers(search(10, &whole)), 10);
        for missing in 0..whole.len() {
            let mut log = whole.to_vec();
            log.remove(missing);
            assert_eq!(search(10, &log), Err(ProtocolError::StateLost { task: 7, log_start: 10 }), "part {missing}");
        }
    }

    #[test]
    fn parts_of_different_images_are_never_mixed() {
        let others = [part(0, 1, 0, None), part(5, 1, 1, Some(10)), part(0, 2, 1, Some(10))];
        assert!(search(10, &others).is_err());
        let interleaved = [part(0, 1, 0, None), part(5, 1, 0, None), part(0, 1, 1, Some(10)), part(5, 1, 1, Some(11))];
        assert_eq!(covers(search(10, &interleaved)), 11);
        assert_eq!(covers(search(10, &interleaved[..3])), 10);
    }

    #[test]
    fn an_image_of_which_the_log_has_not_the_tail_does_not_count() {
        let older = [part(0, 1, 0, Some(9)), commit()];
        assert!(search(10, &older).is_err());
        assert_eq!(covers(search(9, &older)), 9);
    }

    #[test]
    fn a_checkpoint_is_a_cover_like_an_image() {
        let checkpoint =
            Checkpoint { claim: 0, manifest: "manifest".into(), sha256: "00".into(), bytes: 1, applied: applied(12) };
        let log = [part(0, 1, 0, Some(10)), LogRecord::Checkpoint(checkpoint)];
        assert_eq!(covers(search(10, &log)), 12);
    }

    #[test]
    fn nothing_is_given_up_while_a_transaction_hides_the_end_of_the_log() {
        let mut search = CoverSearch::new(7, LogRange { start: 10, end: 20 });
        search.read(10, &part(0, 1, 0, None));
        assert_eq!(search.finish(15), Ok(None));
        let search = CoverSearch::new(7, LogRange { start: 10, end: 20 });
        let error = search.finish(20).unwrap_err();
        assert!(error.to_string().contains("the state of task 7 is lost"), "{error}");
    }
}
