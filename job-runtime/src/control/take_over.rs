//! The request that a worker takes its tasks over. One that is to wait for it stands by: it has the state of its tasks, and
//! whoever has them goes on. Not here: how it takes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The default does not wait.
#[derive(Debug, Default)]
pub struct TakeOver {
    patience: Duration,
    asked: AtomicBool,
}

impl TakeOver {
    /// To be waited for, but no longer than this.
    pub fn awaited(patience: Duration) -> Self {
        Self { patience, asked: AtomicBool::new(false) }
    }

    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether there is something to wait for still, after so long.
    pub fn is_awaited(&self, waited: Duration) -> bool {
        waited < self.patience && !self.asked.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_waited_for_until_it_is_made_or_too_late() {
        let (second, take_over) = (Duration::from_secs(1), TakeOver::awaited(Duration::from_secs(5)));
        assert!(take_over.is_awaited(second) && !take_over.is_awaited(5 * second));
        take_over.ask();
        assert!(!take_over.is_awaited(second));
        assert!(!TakeOver::default().is_awaited(Duration::ZERO));
    }
}
