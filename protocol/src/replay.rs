//! What one task's log adds up to: read in order and `read_committed`, it yields the state changes and the
//! commit to go on from, and refuses what no worker can have written.
//!
//! Who may write at which point follows from fencing, not from the order of claims: a worker claims after it
//! has fenced those it knows of, so an older claimer may still commit until it is fenced. Once somebody has
//! committed, every claim before that one's is void for good.

use crate::error::{Result, corrupt};
use crate::record::{Batch, Checkpoint, Claim, Commit, Image, LogRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a task's state has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Where a start begins to read: behind the commit's claim, and at the latest just behind the commit itself,
    /// wherever the log ends by now, since whatever claim was written after it has to be read. Commits from
    /// here on that are in the state already are passed over.
    pub log_offset: i64,
    /// The last commit in it.
    pub commit: Commit,
    /// Under which generation and transactional id that was committed: its holder may still have a
    /// transaction under way, whatever the log says after this offset.
    pub generation: u32,
    pub transactional_id: String,
}

/// Changes to put into the state, with what it then amounts to.
#[derive(Debug, PartialEq, Eq)]
pub struct Portion {
    /// Of consecutive commits, in their order.
    pub changes: Vec<Vec<u8>>,
    pub applied: Applied,
}

#[derive(Debug)]
pub struct TaskReplay {
    /// Claims that may still commit, by offset: the last committer's and all later ones.
    claims: BTreeMap<i64, (u32, String)>,
    /// Batches whose commit hasn't been read yet, and whose claim that is.
    open: Vec<(i64, Vec<u8>)>,
    /// Committed, not yet taken.
    committed: Vec<Vec<u8>>,
    committed_bytes: usize,
    applied: Option<Applied>,
    /// Of the last commit, taken or not.
    sequence: Option<u64>,
    /// Of the last commit that the state had at the start.
    known: Option<u64>,
}

impl TaskReplay {
    /// From where `applied` ends, or from the beginning of the log.
    pub fn new(applied: Option<&Applied>) -> Self {
        let claim = |a: &Applied| (a.commit.claim, (a.generation, a.transactional_id.clone()));
        Self {
            claims: applied.map(claim).into_iter().collect(),
            open: Vec::new(),
            committed: Vec::new(),
            committed_bytes: 0,
            applied: None,
            sequence: applied.map(|a| a.commit.sequence),
            known: applied.map(|a| a.commit.sequence),
        }
    }

    pub fn read(&mut self, offset: i64, record: &LogRecord<'_>) -> Result<()> {
        match record {
            LogRecord::Claim(claim) => self.claim(offset, claim),
            LogRecord::Release(_) => {}
            LogRecord::Batch(Batch { claim, changes }) => {
                self.holder_of(*claim, offset)?;
                self.open.push((*claim, changes.to_vec()));
            }
            LogRecord::Commit(commit) => self.commit(offset, commit)?,
            // Copies of the state change nothing in it.
            LogRecord::Image(Image { claim, .. }) | LogRecord::Checkpoint(Checkpoint { claim, .. }) => {
                self.holder_of(*claim, offset)?;
            }
        }
        Ok(())
    }

    fn claim(&mut self, offset: i64, claim: &Claim) {
        self.claims.insert(offset, (claim.generation, claim.transactional_id.clone()));
    }

    fn commit(&mut self, offset: i64, commit: &Commit) -> Result<()> {
        let (generation, transactional_id) = self.holder_of(commit.claim, offset)?.clone();
        if self.known.is_some_and(|known| commit.sequence <= known) {
            self.open.clear();
            return Ok(());
        }
        if let Some(last) = self.sequence
            && commit.sequence != last + 1
        {
            return Err(corrupt(format!("commit {} at offset {offset} follows commit {last}", commit.sequence)));
        }
        if let Some((claim, _)) = self.open.iter().find(|(claim, _)| *claim != commit.claim) {
            return Err(corrupt(format!(
                "the commit at offset {offset} is of the claim at {}, changes before it are of that at {claim}",
                commit.claim
            )));
        }
        self.sequence = Some(commit.sequence);
        self.claims = self.claims.split_off(&commit.claim);
        for (_, changes) in self.open.drain(..) {
            self.committed_bytes += changes.len();
            self.committed.push(changes);
        }
        let log_offset = offset + 1;
        self.applied = Some(Applied { log_offset, commit: commit.clone(), generation, transactional_id });
        Ok(())
    }

    fn holder_of(&self, claim: i64, offset: i64) -> Result<&(u32, String)> {
        self.claims.get(&claim).ok_or_else(|| {
            corrupt(format!("the record at offset {offset} belongs to the claim at {claim}, which is void or unknown"))
        })
    }

    /// What is committed and not yet taken, once it is at least so many bytes.
    pub fn take(&mut self, threshold: usize) -> Option<Portion> {
        if self.committed_bytes < threshold {
            return None;
        }
        let applied = self.applied.take()?;
        self.committed_bytes = 0;
        Some(Portion { changes: std::mem::take(&mut self.committed), applied })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(generation: u32, id: &str) -> LogRecord<'static> {
        LogRecord::Claim(Claim {
            generation,
            ordinal: 0,
            holder: "holder".into(),
            attempt: "attempt".into(),
            transactional_id: id.into(),
            highest_generation: generation,
        })
    }

    fn batch(claim: i64, changes: &'static [u8]) -> LogRecord<'static> {
        LogRecord::Batch(Batch { claim, changes })
    }

    fn commit(claim: i64, sequence: u64) -> LogRecord<'static> {
        LogRecord::Commit(Commit { claim, sequence, positions: Vec::new() })
    }

    fn replay(records: &[LogRecord<'_>]) -> Result<TaskReplay> {
        let mut replay = TaskReplay::new(None);
        for (offset, record) in records.iter().enumerate() {
            replay.read(offset as i64, record)?;
        }
        Ok(replay)
    }

    #[test]
    fn changes_count_when_their_commit_is_read() {
        let mut read = replay(&[claim(1, "a"), batch(0, b"x"), commit(0, 1), batch(0, b"y")]).unwrap();
        let portion = read.take(0).unwrap();
        assert_eq!(portion.changes, [b"x".to_vec()]);
        assert_eq!((portion.applied.log_offset, portion.applied.commit.sequence), (3, 1));
        assert_eq!(read.take(0), None);
        read.read(4, &commit(0, 2)).unwrap();
        assert_eq!(read.take(2), None, "a threshold waits for more");
        assert_eq!(read.take(1).unwrap().changes, [b"y".to_vec()]);
    }

    #[test]
    fn a_holder_may_commit_after_a_later_claim_until_that_one_commits() {
        let log = [claim(1, "old"), claim(2, "new"), commit(0, 1), commit(1, 2), commit(0, 3)];
        assert_eq!(replay(&log[..4]).unwrap().take(0).unwrap().applied.transactional_id, "new");
        let error = replay(&log).unwrap_err();
        assert!(error.to_string().contains("void or unknown"), "{error}");
    }

    #[test]
    fn a_commit_that_is_missing_or_there_twice_is_corruption() {
        for second in [1, 3] {
            let error = replay(&[claim(1, "a"), commit(0, 1), commit(0, second)]).unwrap_err();
            assert!(error.to_string().contains("follows commit 1"), "{error}");
        }
    }

    #[test]
    fn changes_of_one_holder_are_not_committed_by_another() {
        let error = replay(&[claim(1, "a"), claim(2, "b"), batch(0, b"x"), commit(1, 1)]).unwrap_err();
        assert!(error.to_string().contains("changes before it"), "{error}");
    }

    #[test]
    fn commits_that_the_state_has_are_passed_over() {
        let mut read = replay(&[claim(1, "a"), batch(0, b"x"), commit(0, 1), batch(0, b"y"), commit(0, 2)]).unwrap();
        let applied = Applied { log_offset: 1, ..read.take(0).unwrap().applied };
        let mut read = TaskReplay::new(Some(&applied));
        for (offset, record) in [batch(0, b"x"), commit(0, 1), batch(0, b"y"), commit(0, 2)].iter().enumerate() {
            read.read(1 + offset as i64, record).unwrap();
        }
        assert_eq!(read.take(0), None);
        read.read(5, &batch(0, b"z")).unwrap();
        read.read(6, &commit(0, 3)).unwrap();
        assert_eq!(read.take(0).unwrap().changes, [b"z".to_vec()]);
    }

    #[test]
    fn images_are_passed_over_and_must_be_of_somebody_who_may_write() {
        let image = |claim| LogRecord::Image(Image { claim, id: 1, part: 0, last: None, entries: b"z" });
        let log = [claim(1, "a"), batch(0, b"x"), image(0), commit(0, 1), image(0), batch(0, b"y"), commit(0, 2)];
        assert_eq!(replay(&log).unwrap().take(0).unwrap().changes, [b"x".to_vec(), b"y".to_vec()]);
        let error = replay(&[claim(1, "a"), claim(2, "b"), commit(1, 1), image(0)]).unwrap_err();
        assert!(error.to_string().contains("void or unknown"), "{error}");
    }

    #[test]
    fn replay_goes_on_from_what_was_applied() {
        let mut read = replay(&[claim(1, "a"), batch(0, b"x"), commit(0, 1)]).unwrap();
        let applied = read.take(0).unwrap().applied;
        let mut read = TaskReplay::new(Some(&applied));
        read.read(3, &batch(0, b"y")).unwrap();
        read.read(4, &commit(0, 2)).unwrap();
        assert_eq!(read.take(0).unwrap().changes, [b"y".to_vec()]);
    }
}
