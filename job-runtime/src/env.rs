//! The outside world a job may depend on besides Kafka and its disk: the clock. All other code takes it
//! from here (clippy refuses `SystemTime::now` elsewhere), so that tests and simulation decide the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z. May jump either way; whoever needs it monotonic keeps a
    /// maximum.
    fn now_millis(&self) -> i64;
    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits, for a back-off between attempts.
    fn sleep(&self, duration: Duration);
}

/// The machine's clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now_millis(&self) -> i64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "the one place where a thread waits for time to pass")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that never goes back, over one that may be set at any time. Forward it follows at once. When the other was
/// set back it goes on at half its speed until that has caught up: windows of processing time close all the same, only
/// less often, and none is opened twice.
pub struct SteadyClock {
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
}

#[derive(Clone, Copy)]
struct Told {
    millis: i64,
    /// Since when the other clock is behind, in monotonic time, and what was told then.
    ahead: Option<(Duration, i64)>,
}

/// A clock that goes back by less is being corrected as clocks are, and nobody has to know.
const NOTABLE_MILLIS: i64 = 1_000;

impl SteadyClock {
    pub fn over(clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        Arc::new(Self { clock, told: Mutex::new(Told { millis: i64::MIN, ahead: None }) })
    }
}

impl Clock for SteadyClock {
    fn now_millis(&self) -> i64 {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, now) = (self.clock.now_millis(), self.clock.monotonic());
        let at_half_speed = |(since, from): (Duration, i64)| {
            let elapsed = now.saturating_sub(since).as_millis() / 2;
            from.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
        };
        let least = told.ahead.map_or(told.millis, at_half_speed);
        if wall >= least {
            *told = Told { millis: wall, ahead: None };
            return wall;
        }
        if told.ahead.is_none() {
            told.ahead = Some((now, told.millis));
            let behind_millis = told.millis - wall;
            if behind_millis >= NOTABLE_MILLIS {
                tracing::warn!(
                    behind_millis,
                    "the machine's clock was set back: the job's goes on at half its speed until that has caught up"
                );
            }
        }
        told.millis = least;
        least
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration);
    }
}

/// A clock that a test sets.
#[derive(Default)]
pub struct ManualClock {
    millis: AtomicI64,
    /// By how much the wall's is set wrong.
    wrong_millis: AtomicI64,
}

impl ManualClock {
    pub fn at(millis: i64) -> Arc<Self> {
        Arc::new(Self { millis: AtomicI64::new(millis), wrong_millis: AtomicI64::new(0) })
    }

    /// Lets time pass until then.
    pub fn set(&self, millis: i64) {
        self.millis.store(millis, Ordering::SeqCst);
    }

    /// Sets the clock on the wall forward or back, which is no passing of time.
    pub fn jump(&self, by_millis: i64) {
        self.wrong_millis.fetch_add(by_millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.millis.load(Ordering::SeqCst) + self.wrong_millis.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst).try_into().unwrap_or(0))
    }

    /// Moves the clock instead of waiting.
    fn sleep(&self, duration: Duration) {
        self.millis.fetch_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_clock_that_is_set_forward_is_followed_at_once() {
        let wall = ManualClock::at(DAY);
        let steady = SteadyClock::over(wall.clone());
        assert_eq!(steady.now_millis(), DAY);
        wall.jump(DAY);
        assert_eq!(steady.now_millis(), 2 * DAY);
    }

    #[test]
    fn a_clock_that_is_set_back_is_waited_for_at_half_speed_and_never_stands_still() {
        let wall = ManualClock::at(DAY);
        let steady = SteadyClock::over(wall.clone());
        assert_eq!(steady.now_millis(), DAY);
        wall.jump(-HOUR);
        let mut last = DAY;
        for passed in 0..=2 * HOUR / 1_000 {
            wall.set(DAY + passed * 1_000);
            // However often it is asked.
            for _ in 0..3 {
                assert_eq!(steady.now_millis(), DAY + passed * 500, "after {passed} s");
            }
            last = steady.now_millis();
        }
        assert_eq!((last, wall.now_millis()), (DAY + HOUR, DAY + HOUR), "it has caught up");
        wall.set(DAY + 3 * HOUR);
        assert_eq!(steady.now_millis(), wall.now_millis());
    }

    #[test]
    fn a_clock_that_is_set_back_again_while_it_is_waited_for_is_waited_for_longer() {
        let wall = ManualClock::at(DAY);
        let steady = SteadyClock::over(wall.clone());
        assert_eq!(steady.now_millis(), DAY);
        for hour in 1..=3 {
            wall.jump(-HOUR);
            wall.set(DAY + hour * 1_000);
            assert_eq!(steady.now_millis(), DAY + (hour - 1) * 500);
        }
        wall.jump(3 * HOUR + 1);
        assert_eq!(steady.now_millis(), wall.now_millis(), "and followed when it is put right");
    }
}
