//! The start of a worker, as a state machine: take the tasks over from whoever held them, then read their
//! logs up to one's own claim. What decides that a task is restored is reading that claim, and no
//! arithmetic with offsets of the log's end.
//!
//! In this order: scan the logs, uncommitted records too, for claims; stand down before a higher
//! generation; wait while another process in the same place still commits; read what is committed, while
//! whoever has the tasks goes on; fence every earlier claimer; register; claim; replay the rest. A claim that
//! turns up between the scan and one's own was written by somebody who is not fenced yet: fence it and claim
//! again.

use crate::assignment::Assignment;
use crate::error::{ProtocolError, Result};
use crate::record::{Batch, Checkpoint, Claim, Commit, Image, LogRecord};
use crate::replay::{Applied, Portion, TaskReplay};
use std::collections::{BTreeMap, BTreeSet};

/// No worker is of a later one: it is for whoever ends a log for good, by a claim under which nothing is committed.
pub const LAST_GENERATION: u32 = u32::MAX;

/// Who starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    pub generation: u32,
    pub assignment: Assignment,
    /// The same holder may take over from itself at once.
    pub holder: String,
    /// Names this start; no other start has the same.
    pub attempt: String,
    pub transactional_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The scan has reached the ends that the logs had when it began.
    Scanned,
    /// Whether the logs grew while they were watched.
    Watched {
        grew: bool,
    },
    /// The replay has come to where the logs ended meanwhile.
    HasReadAhead,
    Fenced,
    Registered,
    /// The transaction with the claims is committed, beyond doubt.
    Claimed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read every log from its start offset to its present end, `read_uncommitted`, into `scanned`.
    Scan,
    /// Another process holds this place: look for some seconds whether it still writes. Meanwhile the replay may begin.
    Watch { holder: String },
    /// Begin the replay, or go on with it, to the present ends of the logs. From the fencing on nobody works on the tasks
    /// until their state is restored: it should be there by then but for a rest.
    ReadAhead,
    /// Register these transactional ids, so that whoever has them can't commit any more.
    Fence { ids: BTreeSet<String> },
    /// Register the worker's own transactional id.
    Register,
    /// Write this claim to the log of every task, in one transaction.
    Claim(Claim),
    /// Read every log from its start offset, `read_committed`, into `replayed`, up to the claim; or go on with that.
    Replay,
}

/// How changes stand that are put into a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Before this worker has claimed: the state may not say how far it has come. A start that goes on from it has to find
    /// whom this one watched, and so reads them again.
    Ahead,
    Final,
}

/// Another process in our place, as one task's log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Foreign {
    holder: String,
    /// Offset of its claim.
    claim: i64,
    /// Offset of the last record that it wrote.
    latest: i64,
}

#[derive(Debug)]
struct TaskStart {
    start_offset: i64,
    /// Another holder of our place, as of the last claim scanned, unless it has released.
    foreign: Option<Foreign>,
    /// The offset behind the last record that fencing has taken into account.
    known_up_to: i64,
    /// A worker of an earlier generation has it, and has not released it.
    is_others: bool,
    replay: TaskReplay,
    /// How far the state has come with what was taken ahead.
    ahead: Option<Applied>,
    /// Our last claim, once read.
    own: Option<i64>,
}

impl TaskStart {
    fn note_whose(&mut self, record: &LogRecord<'_>, generation: u32) {
        match record {
            LogRecord::Claim(claim) => self.is_others = claim.generation < generation,
            LogRecord::Release(_) => self.is_others = false,
            _ => {}
        }
    }
}

#[derive(Debug)]
pub struct StartMachine {
    me: Claimant,
    tasks: BTreeMap<u32, TaskStart>,
    /// Ids that have claimed and are not known to be fenced.
    to_fence: BTreeSet<String>,
    /// What other holders of our place had written when they were last watched.
    watched: Vec<Foreign>,
    highest_generation: u32,
    /// Claims written in this start.
    round: u32,
    /// One of them is committed.
    claimed: bool,
    registered: bool,
}

impl StartMachine {
    /// `applied`: how far each task's state has come; None for an empty one.
    pub fn new<'a>(me: Claimant, applied: impl IntoIterator<Item = (u32, Option<&'a Applied>)>) -> (Self, Vec<Effect>) {
        let mut to_fence = BTreeSet::new();
        let mut highest_generation = me.generation;
        let mut tasks = BTreeMap::new();
        for (task, applied) in applied {
            if let Some(applied) = applied {
                to_fence.insert(applied.transactional_id.clone());
                highest_generation = highest_generation.max(applied.generation);
            }
            let start_offset = applied.map_or(0, |a| a.log_offset);
            let start = TaskStart {
                start_offset,
                foreign: None,
                known_up_to: start_offset,
                is_others: applied.is_some_and(|a| a.generation < me.generation),
                replay: TaskReplay::new(applied),
                ahead: None,
                own: None,
            };
            tasks.insert(task, start);
        }
        let watched = Vec::new();
        let machine =
            Self { me, tasks, to_fence, watched, highest_generation, round: 0, claimed: false, registered: false };
        (machine, vec![Effect::Scan])
    }

    /// Where reading a task's log begins.
    pub fn start_offset(&self, task: u32) -> i64 {
        self.tasks[&task].start_offset
    }

    /// A record that the scan has read.
    pub fn scanned(&mut self, task: u32, offset: i64, record: &LogRecord<'_>) -> Result<()> {
        let state = self.tasks.get_mut(&task).expect("the scan reads this worker's logs");
        state.known_up_to = state.known_up_to.max(offset + 1);
        state.note_whose(record, self.me.generation);
        match record {
            LogRecord::Claim(claim) => {
                let same_place = claim.generation == self.me.generation && claim.ordinal == self.me.assignment.ordinal;
                let foreign = same_place && claim.holder != self.me.holder;
                state.foreign =
                    foreign.then(|| Foreign { holder: claim.holder.clone(), claim: offset, latest: offset });
                self.to_fence.insert(claim.transactional_id.clone());
                self.not_superseded(claim)
            }
            LogRecord::Release(_) => {
                state.foreign = None;
                Ok(())
            }
            LogRecord::Batch(Batch { claim, .. })
            | LogRecord::Commit(Commit { claim, .. })
            | LogRecord::Image(Image { claim, .. })
            | LogRecord::Checkpoint(Checkpoint { claim, .. }) => {
                if let Some(foreign) = state.foreign.as_mut().filter(|foreign| foreign.claim == *claim) {
                    foreign.latest = offset;
                }
                Ok(())
            }
        }
    }

    fn not_superseded(&mut self, claim: &Claim) -> Result<()> {
        self.highest_generation = self.highest_generation.max(claim.generation).max(claim.highest_generation);
        if self.highest_generation <= self.me.generation {
            return Ok(());
        }
        if self.highest_generation == LAST_GENERATION {
            return Err(ProtocolError::Succeeded { holder: claim.holder.clone() });
        }
        Err(ProtocolError::Superseded {
            by: self.highest_generation,
            holder: claim.holder.clone(),
            own: self.me.generation,
        })
    }

    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Scanned => self.watch(),
            Event::Watched { grew: true } => vec![Effect::Scan],
            Event::Watched { grew: false } => vec![Effect::ReadAhead],
            Event::HasReadAhead => self.fence(),
            Event::Fenced if self.registered => self.claim(),
            Event::Fenced => vec![Effect::Register],
            Event::Registered => {
                self.registered = true;
                self.claim()
            }
            Event::Claimed => {
                self.claimed = true;
                vec![Effect::Replay]
            }
        }
    }

    /// Whether a worker of an earlier generation has any of the tasks, as far as the logs were read. Reading ahead may go on
    /// for as long as it is good that this one goes on.
    pub fn takes_over(&self) -> bool {
        self.tasks.values().any(|task| task.is_others)
    }

    /// Waits for another holder of our place as long as it writes. That the logs grow is not enough: workers
    /// of an earlier generation may write to them until we fence them, and the holder be dead.
    fn watch(&mut self) -> Vec<Effect> {
        let foreign: Vec<Foreign> = self.tasks.values().filter_map(|t| t.foreign.clone()).collect();
        match foreign.first() {
            Some(Foreign { holder, .. }) if foreign != self.watched => {
                let holder = holder.clone();
                self.watched = foreign;
                vec![Effect::Watch { holder }]
            }
            _ => vec![Effect::ReadAhead],
        }
    }

    /// Our own id needs no fencing: registering does it.
    fn fence(&mut self) -> Vec<Effect> {
        let mut ids = std::mem::take(&mut self.to_fence);
        ids.remove(&self.me.transactional_id);
        if ids.is_empty() { self.step(Event::Fenced) } else { vec![Effect::Fence { ids }] }
    }

    fn claim(&mut self) -> Vec<Effect> {
        self.round += 1;
        self.tasks.values_mut().for_each(|t| t.own = None);
        vec![Effect::Claim(Claim {
            generation: self.me.generation,
            ordinal: self.me.assignment.ordinal,
            holder: self.me.holder.clone(),
            attempt: self.attempt(),
            transactional_id: self.me.transactional_id.clone(),
            highest_generation: self.highest_generation,
        })]
    }

    /// Of the claims written last.
    fn attempt(&self) -> String {
        format!("{}.{}", self.me.attempt, self.round)
    }

    /// A record that the replay has read.
    pub fn replayed(&mut self, task: u32, offset: i64, record: &LogRecord<'_>) -> Result<()> {
        let attempt = self.attempt();
        let state = self.tasks.get_mut(&task).expect("the replay reads this worker's logs");
        state.replay.read(offset, record)?;
        state.note_whose(record, self.me.generation);
        let unknown = offset >= state.known_up_to;
        state.known_up_to = state.known_up_to.max(offset + 1);
        let LogRecord::Claim(claim) = record else { return Ok(()) };
        if claim.attempt == attempt {
            state.own = Some(offset);
            return Ok(());
        }
        if unknown && claim.transactional_id != self.me.transactional_id {
            self.to_fence.insert(claim.transactional_id.clone());
        }
        self.not_superseded(claim)
    }

    /// Whether every log has been read up to our last claim.
    pub fn has_read_own_claims(&self) -> bool {
        self.tasks.values().all(|t| t.own.is_some())
    }

    /// When our claims are read: what is still to do because somebody claimed who was not fenced. Nothing
    /// when the tasks are ours, and `claims` says by which.
    pub fn reclaim(&mut self) -> Vec<Effect> {
        debug_assert!(self.has_read_own_claims());
        if self.to_fence.is_empty() { Vec::new() } else { self.fence() }
    }

    /// Changes to put into a task's state, once they are at least so many bytes.
    pub fn take(&mut self, task: u32, threshold: usize) -> Option<(Portion, Standing)> {
        let state = self.tasks.get_mut(&task)?;
        let portion = state.replay.take(threshold)?;
        if self.claimed {
            state.ahead = None;
            return Some((portion, Standing::Final));
        }
        state.ahead = Some(portion.applied.clone());
        Some((portion, Standing::Ahead))
    }

    /// When our claims are read: what is left of a task's changes, or, where all of them were taken ahead, how far its
    /// state has come with them.
    pub fn take_rest(&mut self, task: u32) -> Option<Portion> {
        let state = self.tasks.get_mut(&task)?;
        let ahead = state.ahead.take().map(|applied| Portion { changes: Vec::new(), applied });
        state.replay.take(0).or(ahead)
    }

    /// By task: the offset of the claim under which its records are written from now on.
    pub fn claims(&self) -> BTreeMap<u32, i64> {
        let own = |t: &TaskStart| t.own.expect("asked for when all claims are read");
        self.tasks.iter().map(|(&task, t)| (task, own(t))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Release;

    /// One task's log and who is fenced from it.
    #[derive(Default)]
    struct Model {
        log: Vec<LogRecord<'static>>,
        fenced: Vec<BTreeSet<String>>,
        watched: Vec<String>,
        /// Appended once we have read ahead.
        meanwhile: Vec<LogRecord<'static>>,
        /// Appended right before our first claim.
        between: Vec<LogRecord<'static>>,
    }

    /// The only worker of generation 2.
    fn me() -> Claimant {
        Claimant {
            generation: 2,
            assignment: Assignment::alone(1),
            holder: "me".into(),
            attempt: "start".into(),
            transactional_id: "job.2.0".into(),
        }
    }

    fn claim_of(generation: u32, holder: &str) -> LogRecord<'static> {
        LogRecord::Claim(Claim {
            generation,
            ordinal: 0,
            holder: holder.into(),
            attempt: format!("{holder}.1"),
            transactional_id: format!("job.{generation}.0"),
            highest_generation: generation,
        })
    }

    fn commit(claim: i64, sequence: u64) -> LogRecord<'static> {
        LogRecord::Commit(Commit { claim, sequence, positions: Vec::new() })
    }

    impl Model {
        fn with(log: Vec<LogRecord<'static>>) -> Self {
            Self { log, ..Self::default() }
        }

        /// Starts generation 2 as holder `me`, and performs what it asks for.
        fn start(&mut self) -> Result<StartMachine> {
            let (mut machine, mut effects) = StartMachine::new(me(), [(0, None)]);
            let mut read = 0;
            while let Some(effect) = effects.pop() {
                effects = match effect {
                    Effect::Scan => {
                        for (offset, record) in self.log.iter().enumerate() {
                            machine.scanned(0, offset as i64, record)?;
                        }
                        machine.step(Event::Scanned)
                    }
                    Effect::Watch { holder } => {
                        self.watched.push(holder);
                        machine.step(Event::Watched { grew: false })
                    }
                    Effect::ReadAhead => {
                        while read < self.log.len() {
                            machine.replayed(0, read as i64, &self.log[read])?;
                            read += 1;
                        }
                        self.log.append(&mut self.meanwhile);
                        machine.step(Event::HasReadAhead)
                    }
                    Effect::Fence { ids } => {
                        self.fenced.push(ids);
                        machine.step(Event::Fenced)
                    }
                    Effect::Register => machine.step(Event::Registered),
                    Effect::Claim(claim) => {
                        self.log.append(&mut self.between);
                        self.log.push(LogRecord::Claim(claim));
                        machine.step(Event::Claimed)
                    }
                    Effect::Replay => {
                        while !machine.has_read_own_claims() {
                            machine.replayed(0, read as i64, &self.log[read])?;
                            read += 1;
                        }
                        machine.reclaim()
                    }
                };
            }
            Ok(machine)
        }
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn an_empty_log_is_claimed_at_once() {
        let mut model = Model::default();
        assert_eq!(model.start().unwrap().claims(), BTreeMap::from([(0, 0)]));
        assert!(model.fenced.is_empty() && model.watched.is_empty());
    }

    #[test]
    fn earlier_generations_are_fenced_before_the_claim_and_their_commits_count() {
        let mut model = Model::with(vec![claim_of(1, "old"), commit(0, 1)]);
        let mut machine = model.start().unwrap();
        assert_eq!(model.fenced, [ids(&["job.1.0"])]);
        assert_eq!(machine.claims()[&0], 2);
        assert_eq!(machine.take_rest(0).unwrap().applied.commit.sequence, 1);
    }

    #[test]
    fn a_later_generation_is_never_disturbed() {
        // The second has only read of it, in another task's log.
        let LogRecord::Claim(told) = claim_of(1, "new") else { unreachable!("a claim") };
        let told = LogRecord::Claim(Claim { highest_generation: 3, ..told });
        for record in [claim_of(3, "new"), told] {
            let mut model = Model::with(vec![claim_of(1, "old"), record]);
            let error = model.start().unwrap_err();
            assert_eq!(error, ProtocolError::Superseded { by: 3, holder: "new".into(), own: 2 });
            assert_eq!(model.log.len(), 2, "nothing was claimed");
        }
    }

    #[test]
    fn another_process_in_this_place_is_watched_unless_it_has_released() {
        let mut model = Model::with(vec![claim_of(2, "twin")]);
        model.start().unwrap();
        assert_eq!(model.watched, ["twin"]);
        let release = LogRecord::Release(Release { attempt: "twin.1".into() });
        let mut model = Model::with(vec![claim_of(2, "twin"), release]);
        model.start().unwrap();
        assert!(model.watched.is_empty());
    }

    #[test]
    fn a_holder_that_is_dead_is_not_waited_for_because_an_earlier_generation_writes() {
        let (mut machine, _) = StartMachine::new(me(), [(0, None)]);
        let mut log = vec![claim_of(1, "old"), claim_of(2, "twin"), commit(0, 1)];
        let mut scan = |log: &[LogRecord<'_>]| {
            for (offset, record) in log.iter().enumerate() {
                machine.scanned(0, offset as i64, record).unwrap();
            }
            let effects = machine.step(Event::Scanned);
            if matches!(effects[..], [Effect::Watch { .. }]) {
                assert_eq!(machine.step(Event::Watched { grew: true }), [Effect::Scan]);
            }
            effects
        };
        let watch = [Effect::Watch { holder: "twin".into() }];
        assert_eq!(scan(&log), watch);
        log.push(commit(1, 1));
        assert_eq!(scan(&log), watch, "it writes");
        log.push(commit(0, 2));
        assert_eq!(scan(&log), [Effect::ReadAhead]);
        assert_eq!(machine.step(Event::HasReadAhead), [Effect::Fence { ids: ids(&["job.1.0"]) }]);
    }

    #[test]
    fn what_is_taken_before_the_claim_is_said_behind_it() {
        for more in [false, true] {
            let (mut machine, _) = StartMachine::new(me(), [(0, None)]);
            let mut log = vec![claim_of(2, "twin"), commit(0, 1)];
            log.iter().enumerate().for_each(|(at, record)| machine.replayed(0, at as i64, record).unwrap());
            let (portion, standing) = machine.take(0, 0).unwrap();
            assert_eq!((portion.applied.commit.sequence, standing), (1, Standing::Ahead));
            let claim = machine.step(Event::Registered);
            let [Effect::Claim(claim)] = &claim[..] else { panic!("{claim:?}") };
            assert_eq!(machine.step(Event::Claimed), [Effect::Replay]);
            if more {
                log.push(commit(0, 2));
            }
            log.push(LogRecord::Claim(claim.clone()));
            log.iter().enumerate().skip(2).for_each(|(at, record)| machine.replayed(0, at as i64, record).unwrap());
            if more {
                let (portion, standing) = machine.take(0, 0).unwrap();
                assert_eq!((portion.applied.commit.sequence, standing), (2, Standing::Final));
            }
            let rest = machine.take_rest(0).map(|portion| (portion.changes, portion.applied.commit.sequence));
            assert_eq!(rest, (!more).then_some((Vec::new(), 1)));
            assert_eq!(machine.take_rest(0), None);
        }
    }

    #[test]
    fn a_claim_that_slips_in_is_fenced_and_claimed_over() {
        let between = vec![claim_of(1, "slow"), commit(0, 1)];
        let mut model = Model { between, ..Model::default() };
        let machine = model.start().unwrap();
        assert_eq!(model.fenced, [ids(&["job.1.0"])]);
        assert_eq!(machine.claims()[&0], 3, "the second claim, after fencing");
    }

    #[test]
    fn whoever_claims_while_we_read_ahead_is_fenced_and_what_it_commits_counts() {
        let meanwhile = vec![claim_of(1, "slow"), commit(2, 2)];
        let log = vec![claim_of(1, "old"), commit(0, 1)];
        let mut model = Model { log, meanwhile, ..Model::default() };
        let mut machine = model.start().unwrap();
        let id = ids(&["job.1.0"]);
        assert_eq!(model.fenced, [id.clone(), id], "again, though it is the same id");
        assert_eq!(machine.claims()[&0], 5, "the second claim");
        assert_eq!(machine.take_rest(0).unwrap().applied.commit.sequence, 2);
    }

    #[test]
    fn tasks_are_others_until_they_are_released_or_claimed_in_this_generation() {
        let release = LogRecord::Release(Release { attempt: "old.1".into() });
        let takes_over = |applied: Option<&Applied>, log: &[LogRecord<'_>]| {
            let (mut machine, _) = StartMachine::new(me(), [(0, applied)]);
            for (offset, record) in log.iter().enumerate() {
                machine.scanned(0, offset as i64, record).unwrap();
            }
            machine.takes_over()
        };
        assert!(!takes_over(None, &[]));
        assert!(takes_over(None, &[claim_of(1, "old"), commit(0, 1)]));
        assert!(!takes_over(None, &[claim_of(1, "old"), release]));
        assert!(!takes_over(None, &[claim_of(1, "old"), claim_of(2, "me")]));
        // Its claim may be cut off the log.
        let mut model = Model::with(vec![claim_of(1, "old"), commit(0, 1)]);
        let mut machine = model.start().unwrap();
        let applied = machine.take_rest(0).unwrap().applied;
        assert!(takes_over(Some(&applied), &[]));
        assert!(!takes_over(Some(&applied), &[claim_of(2, "me")]));
        assert!(!takes_over(Some(&Applied { generation: 2, ..applied }), &[]));
    }

    #[test]
    fn a_log_that_was_ended_for_good_is_never_claimed_again() {
        let succeeded = ProtocolError::Succeeded { holder: "successor".into() };
        let mut model = Model::with(vec![claim_of(1, "old"), claim_of(LAST_GENERATION, "successor")]);
        assert_eq!(model.start().unwrap_err(), succeeded);
        let mut model = Model { between: vec![claim_of(LAST_GENERATION, "successor")], ..Model::default() };
        assert_eq!(model.start().unwrap_err(), succeeded);
    }

    #[test]
    fn a_later_generation_that_slips_in_wins() {
        let mut model = Model { between: vec![claim_of(3, "new")], ..Model::default() };
        let error = model.start().unwrap_err();
        assert!(matches!(error, ProtocolError::Superseded { by: 3, .. }));
    }
}
