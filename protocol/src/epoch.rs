//! When epochs end and what follows, as a state machine without IO: `step(event) -> effects`. The
//! coordinator performs the effects with the real producer; tests and simulation drive it without one.
//!
//! An epoch goes through three states. *Open*: tasks write outputs into its transaction. *Ending*: tasks
//! have been told, each reports when its changes and positions are written. *Committing*: the transaction
//! is being committed; tasks compute the next epoch and hold its outputs back.

use std::time::Duration;

/// An idle worker commits this often, so that its log shows that it lives.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub struct EpochSettings {
    pub tasks: u32,
    pub commit_interval: Duration,
    pub checkpoint_interval: Duration,
    /// An epoch ends early when its transaction holds this many bytes.
    pub epoch_bytes: usize,
    /// A checkpoint is made early when this many bytes of changes are committed and not in RocksDB.
    pub pending_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed; `produced` bytes are in the open transaction.
    Tick { produced: usize },
    /// A task has ended the epoch: whether it wrote anything, how many bytes of state changes, and
    /// whether its bounded inputs have ended and all their results are out.
    Prepared { wrote: bool, change_bytes: usize, finished: bool },
    /// The commit asked for has happened. `retried`: another copy of the request that ends the transaction
    /// may still be under way.
    Committed { retried: bool },
    /// Stop after one more commit.
    StopRequested,
    /// Every bounded input has ended, so there is nothing to wait for.
    InputEnded,
    /// Make everything up to the next commit durable, and commit soon, even if nothing has changed.
    CheckpointRequested,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell every task to end the epoch. Under `heartbeat` each writes a commit even if nothing changed;
    /// after the `last` one it stops.
    EndEpoch { epoch: u64, heartbeat: bool, last: bool },
    /// Commit the transaction; under `release` with a Release record for every task in it.
    Commit { epoch: u64, release: bool },
    /// Hand the changes of this epoch over, and with `checkpoint` make all so far durable.
    Apply { epoch: u64, checkpoint: bool },
    /// Begin the next transaction and let the tasks write into it. Under `reuse` the transaction before
    /// it is still empty and goes on.
    Open { epoch: u64, reuse: bool },
    /// Give up what was computed since, and start as after a crash: register, claim, replay. The late copy
    /// would end the next transaction, so that needs a new registration; and a registration fences whoever
    /// made the last one, who may have taken the tasks over since. Only a claim tells.
    Restart,
    /// Nothing follows.
    Done { finished: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ending { waiting: u32 },
    Committing,
    Done,
}

#[derive(Debug)]
pub struct EpochMachine {
    settings: EpochSettings,
    state: State,
    epoch: u64,
    opened_at: Duration,
    committed_at: Duration,
    checkpoint_at: Duration,
    /// Of the epoch that is ending.
    wrote: bool,
    unfinished: u32,
    last: bool,
    /// Committed or prepared, and not in RocksDB.
    pending_bytes: usize,
    stop: bool,
    input_ended: bool,
    /// A checkpoint is asked for; it follows the commit of the next epoch that ends.
    checkpoint: Asked,
}

/// Of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Not,
    /// The epoch that ends next has a commit of every task.
    Yes,
    /// That epoch is ending.
    Ending,
}

impl EpochMachine {
    /// Epoch 1 is open.
    pub fn new(settings: EpochSettings, now: Duration) -> Self {
        Self {
            settings,
            state: State::Open,
            epoch: 1,
            opened_at: now,
            committed_at: now,
            checkpoint_at: now,
            wrote: false,
            unfinished: settings.tasks,
            last: false,
            pending_bytes: 0,
            stop: false,
            input_ended: false,
            checkpoint: Asked::Not,
        }
    }

    /// How long nothing happens unless an event comes; None while an answer is awaited.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Open => Some((self.opened_at + self.settings.commit_interval).saturating_sub(now)),
            State::Ending { .. } | State::Committing | State::Done => None,
        }
    }

    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        match (event, self.state) {
            (Event::Tick { produced }, State::Open) => {
                let due = now >= self.opened_at + self.settings.commit_interval;
                let asked = self.stop || self.input_ended || self.checkpoint == Asked::Yes;
                if due || asked || produced >= self.settings.epoch_bytes { self.end(now) } else { Vec::new() }
            }
            (Event::InputEnded, state) => {
                self.input_ended = true;
                if state == State::Open { self.end(now) } else { Vec::new() }
            }
            (Event::CheckpointRequested, state) => {
                self.checkpoint = Asked::Yes;
                if state == State::Open { self.end(now) } else { Vec::new() }
            }
            (Event::StopRequested, State::Open) => {
                self.stop = true;
                self.end(now)
            }
            (Event::StopRequested, _) => {
                self.stop = true;
                Vec::new()
            }
            (Event::Prepared { wrote, change_bytes, finished }, State::Ending { waiting }) => {
                self.wrote |= wrote;
                self.pending_bytes += change_bytes;
                self.unfinished -= u32::from(finished);
                self.state = State::Ending { waiting: waiting - 1 };
                if waiting == 1 { self.prepared(now) } else { Vec::new() }
            }
            (Event::Committed { retried }, State::Committing) => self.committed(retried, now),
            (Event::Tick { .. }, _) => Vec::new(),
            (event, state) => unreachable!("{event:?} can't happen in {state:?}"),
        }
    }

    fn end(&mut self, now: Duration) -> Vec<Effect> {
        self.state = State::Ending { waiting: self.settings.tasks };
        self.wrote = false;
        self.unfinished = self.settings.tasks;
        self.last = self.stop;
        if self.checkpoint == Asked::Yes {
            self.checkpoint = Asked::Ending;
        }
        let asked = self.last || self.checkpoint == Asked::Ending;
        let heartbeat = asked || now >= self.committed_at + HEARTBEAT_INTERVAL;
        vec![Effect::EndEpoch { epoch: self.epoch, heartbeat, last: self.last }]
    }

    fn prepared(&mut self, now: Duration) -> Vec<Effect> {
        let release = self.last || self.unfinished == 0;
        if self.wrote || release {
            self.state = State::Committing;
            return vec![Effect::Commit { epoch: self.epoch, release }];
        }
        self.open(now, true)
    }

    fn committed(&mut self, retried: bool, now: Duration) -> Vec<Effect> {
        self.committed_at = now;
        let finished = self.unfinished == 0;
        let done = self.last || finished;
        let due = now >= self.checkpoint_at + self.settings.checkpoint_interval;
        let asked = self.checkpoint == Asked::Ending;
        let checkpoint = done || due || asked || self.pending_bytes >= self.settings.pending_bytes;
        if asked {
            self.checkpoint = Asked::Not;
        }
        if checkpoint {
            self.checkpoint_at = now;
            self.pending_bytes = 0;
        }
        let apply = Effect::Apply { epoch: self.epoch, checkpoint };
        if done {
            self.state = State::Done;
            return vec![apply, Effect::Done { finished }];
        }
        if retried {
            self.state = State::Done;
            return vec![apply, Effect::Restart];
        }
        // The tasks first: they have outputs that wait for the transaction.
        let mut effects = self.open(now, false);
        effects.push(apply);
        effects
    }

    fn open(&mut self, now: Duration, reuse: bool) -> Vec<Effect> {
        self.state = State::Open;
        self.epoch += 1;
        self.opened_at = now;
        vec![Effect::Open { epoch: self.epoch, reuse }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);
    const COMMITTED: Event = Event::Committed { retried: false };

    fn machine(tasks: u32) -> EpochMachine {
        let settings = EpochSettings {
            tasks,
            commit_interval: INTERVAL,
            checkpoint_interval: Duration::from_secs(10),
            epoch_bytes: 1000,
            pending_bytes: 1 << 20,
        };
        EpochMachine::new(settings, Duration::ZERO)
    }

    fn prepared(wrote: bool) -> Event {
        Event::Prepared { wrote, change_bytes: 1, finished: false }
    }

    #[test]
    fn an_epoch_ends_by_time_commits_and_opens_the_next() {
        let mut machine = machine(2);
        assert_eq!(machine.step(Event::Tick { produced: 0 }, INTERVAL / 2), []);
        let end = Effect::EndEpoch { epoch: 1, heartbeat: false, last: false };
        assert_eq!(machine.step(Event::Tick { produced: 0 }, INTERVAL), [end]);
        assert_eq!(machine.step(prepared(false), INTERVAL), []);
        assert_eq!(machine.step(prepared(true), INTERVAL), [Effect::Commit { epoch: 1, release: false }]);
        let after = [Effect::Open { epoch: 2, reuse: false }, Effect::Apply { epoch: 1, checkpoint: false }];
        assert_eq!(machine.step(COMMITTED, INTERVAL), after);
    }

    #[test]
    fn an_epoch_ends_early_when_its_transaction_is_full() {
        let mut machine = machine(1);
        assert_eq!(machine.step(Event::Tick { produced: 1000 }, Duration::ZERO).len(), 1);
    }

    #[test]
    fn an_epoch_in_which_nothing_happened_is_not_committed_until_a_heartbeat_is_due() {
        let mut machine = machine(1);
        machine.step(Event::Tick { produced: 0 }, INTERVAL);
        assert_eq!(machine.step(prepared(false), INTERVAL), [Effect::Open { epoch: 2, reuse: true }]);
        let end = Effect::EndEpoch { epoch: 2, heartbeat: true, last: false };
        assert_eq!(machine.step(Event::Tick { produced: 0 }, HEARTBEAT_INTERVAL), [end]);
    }

    #[test]
    fn a_stop_request_ends_the_epoch_at_once_releases_and_checkpoints() {
        let mut machine = machine(1);
        let end = Effect::EndEpoch { epoch: 1, heartbeat: true, last: true };
        assert_eq!(machine.step(Event::StopRequested, Duration::ZERO), [end]);
        assert_eq!(machine.step(prepared(true), Duration::ZERO), [Effect::Commit { epoch: 1, release: true }]);
        let after = [Effect::Apply { epoch: 1, checkpoint: true }, Effect::Done { finished: false }];
        assert_eq!(machine.step(COMMITTED, Duration::ZERO), after);
    }

    #[test]
    fn a_stop_request_during_a_commit_ends_the_epoch_after_it() {
        let mut machine = machine(1);
        machine.step(Event::Tick { produced: 0 }, INTERVAL);
        machine.step(prepared(true), INTERVAL);
        assert_eq!(machine.step(Event::StopRequested, INTERVAL), []);
        machine.step(COMMITTED, INTERVAL);
        let end = Effect::EndEpoch { epoch: 2, heartbeat: true, last: true };
        assert_eq!(machine.step(Event::Tick { produced: 0 }, INTERVAL), [end]);
    }

    #[test]
    fn after_a_retried_commit_the_tasks_are_claimed_again_unless_nothing_follows() {
        let retried = Event::Committed { retried: true };
        let mut machine = machine(1);
        machine.step(Event::Tick { produced: 0 }, INTERVAL);
        machine.step(prepared(true), INTERVAL);
        let after = [Effect::Apply { epoch: 1, checkpoint: false }, Effect::Restart];
        assert_eq!(machine.step(retried, INTERVAL), after);

        let mut machine = self::machine(1);
        machine.step(Event::StopRequested, INTERVAL);
        machine.step(prepared(true), INTERVAL);
        let after = [Effect::Apply { epoch: 1, checkpoint: true }, Effect::Done { finished: false }];
        assert_eq!(machine.step(retried, INTERVAL), after);
    }

    #[test]
    fn an_epoch_ends_at_once_when_there_is_no_more_input() {
        let mut machine = machine(1);
        let end = |epoch| Effect::EndEpoch { epoch, heartbeat: false, last: false };
        assert_eq!(machine.step(Event::InputEnded, Duration::ZERO), [end(1)]);
        machine.step(prepared(true), Duration::ZERO);
        machine.step(COMMITTED, Duration::ZERO);
        assert_eq!(machine.step(Event::Tick { produced: 0 }, Duration::ZERO), [end(2)], "results may still follow");
    }

    #[test]
    fn the_job_is_done_when_every_task_has_finished() {
        let mut machine = machine(2);
        let finished = Event::Prepared { wrote: false, change_bytes: 0, finished: true };
        machine.step(Event::Tick { produced: 0 }, INTERVAL);
        machine.step(finished, INTERVAL);
        assert_eq!(machine.step(finished, INTERVAL), [Effect::Commit { epoch: 1, release: true }]);
        let after = [Effect::Apply { epoch: 1, checkpoint: true }, Effect::Done { finished: true }];
        assert_eq!(machine.step(COMMITTED, INTERVAL), after);
    }

    #[test]
    fn a_checkpoint_that_is_asked_for_follows_a_commit_of_every_task_that_began_to_end_after_it() {
        let mut machine = machine(1);
        let end = |epoch, heartbeat| Effect::EndEpoch { epoch, heartbeat, last: false };
        assert_eq!(machine.step(Event::CheckpointRequested, Duration::ZERO), [end(1, true)]);
        assert_eq!(machine.step(Event::CheckpointRequested, Duration::ZERO), [], "asked for again in the middle");
        assert_eq!(machine.step(prepared(true), Duration::ZERO), [Effect::Commit { epoch: 1, release: false }]);
        let after = [Effect::Open { epoch: 2, reuse: false }, Effect::Apply { epoch: 1, checkpoint: false }];
        assert_eq!(machine.step(COMMITTED, Duration::ZERO), after);
        assert_eq!(machine.step(Event::Tick { produced: 0 }, Duration::ZERO), [end(2, true)]);
        machine.step(prepared(true), Duration::ZERO);
        let after = [Effect::Open { epoch: 3, reuse: false }, Effect::Apply { epoch: 2, checkpoint: true }];
        assert_eq!(machine.step(COMMITTED, Duration::ZERO), after);
        assert_eq!(machine.step(Event::Tick { produced: 0 }, Duration::ZERO), []);
    }

    #[test]
    fn checkpoints_follow_their_interval_and_the_bytes_that_wait_for_one() {
        let mut machine = machine(1);
        let mut checkpoints = Vec::new();
        let mut now = Duration::ZERO;
        for round in 0..60 {
            now += INTERVAL;
            machine.step(Event::Tick { produced: 0 }, now);
            let change_bytes = if round == 50 { 2 << 20 } else { 1 };
            machine.step(Event::Prepared { wrote: true, change_bytes, finished: false }, now);
            let effects = machine.step(COMMITTED, now);
            checkpoints.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Apply { checkpoint: true, epoch } => Some(*epoch),
                _ => None,
            }));
        }
        assert_eq!(checkpoints, [20, 40, 51]);
    }
}
