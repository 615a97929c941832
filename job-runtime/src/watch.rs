//! Looks, while a job runs, after what others may change: the partitions of its sources, the settings of its own
//! topics, and, when a commit takes long, whether they can be written to. One thread of its own, so that slow calls hold
//! nothing up.

use crate::commit::own_topics::OwnTopics;
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::source::discovery::Discovery;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// A commit that takes longer has something in its way.
const LONG_COMMIT: Duration = Duration::from_secs(5);

/// Since when an epoch has been waiting to be committed. Told by the coordinator, in a clock's monotonic time.
#[derive(Default)]
pub struct CommitUnderWay(AtomicU64);

impl CommitUnderWay {
    const NONE: u64 = 0;

    pub fn begin(&self, now: Duration) {
        self.0.store((now.as_millis() as u64).max(1), Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }

    fn takes_long(&self, now: Duration) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != Self::NONE && now.saturating_sub(Duration::from_millis(since)) >= LONG_COMMIT
    }
}

/// What is looked after.
pub struct Watched {
    pub discovery: Discovery,
    pub topics: OwnTopics,
    /// How often their settings are looked at.
    pub settings_interval: Duration,
    pub commit: Arc<CommitUnderWay>,
    pub clock: Arc<dyn Clock>,
}

/// Ends with its owner.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn start(watched: Watched) -> Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || watched.run(&stopped))
            .map_err(|e| Error::fail_job("could not start the thread that looks after topics").caused_by(e))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that its log lines have not said.
            let _ = thread.join();
        }
    }
}

impl Watched {
    fn run(mut self, stopped: &Receiver<()>) {
        let start = self.clock.monotonic();
        let mut discovery = Schedule::new(self.discovery.interval(), start);
        let mut settings = Schedule::new(Some(self.settings_interval), start);
        let mut was_long = false;
        let look = self.discovery.interval().map_or(LOOK, |interval| interval.min(LOOK));
        while stopped.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
            if discovery.is_due(self.clock.monotonic()) {
                self.discovery.look();
            }
            if settings.is_due(self.clock.monotonic()) {
                self.topics.check_settings();
            }
            let is_long = self.commit.takes_long(self.clock.monotonic());
            match is_long {
                true => self.topics.check_replicas(),
                false if was_long => self.topics.have_replicas(),
                false => {}
            }
            was_long = is_long;
        }
    }
}

/// When something is to be done again.
struct Schedule {
    interval: Option<Duration>,
    next: Duration,
}

impl Schedule {
    /// First an interval after `now`; with None, never.
    fn new(interval: Option<Duration>, now: Duration) -> Self {
        Self { interval, next: now + interval.unwrap_or_default() }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let Some(interval) = self.interval.filter(|_| now >= self.next) else { return false };
        // What was missed is not made up for.
        self.next = now + interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_done_once_an_interval_and_what_was_missed_is_not_made_up_for() {
        let seconds = Duration::from_secs;
        let mut schedule = Schedule::new(Some(seconds(10)), seconds(5));
        let due: Vec<bool> = [5, 14, 15, 16, 100, 101, 109, 110].map(|now| schedule.is_due(seconds(now))).into();
        assert_eq!(due, [false, false, true, false, true, false, false, true]);
        assert!(!Schedule::new(None, seconds(0)).is_due(seconds(1_000_000)));
    }

    #[test]
    fn a_commit_takes_long_from_the_end_of_its_epoch_until_the_next_is_open() {
        let (commit, at) = (CommitUnderWay::default(), Duration::from_secs);
        assert!(!commit.takes_long(at(100)));
        commit.begin(at(100));
        assert!(!commit.takes_long(at(104)));
        assert!(commit.takes_long(at(105)));
        commit.end();
        assert!(!commit.takes_long(at(1_000)));
    }
}
