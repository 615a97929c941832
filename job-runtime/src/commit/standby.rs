//! Whether a start that has read ahead waits before it takes its tasks: as long as a worker of an earlier generation has
//! them, and nobody has asked for them. Whoever starts many workers asks when all of them are as far, so that the slowest
//! holds nobody up.

use crate::control::WorkerControl;
use crate::error::{Error, Result};
use crate::metrics::Phase;
use std::time::Duration;

pub(super) struct Standby<'a> {
    worker: &'a WorkerControl,
    since: Duration,
}

impl<'a> Standby<'a> {
    pub(super) fn new(worker: &'a WorkerControl) -> Self {
        Self { worker, since: worker.clock.monotonic() }
    }

    /// # Errors
    /// `Retry` where the worker is to stop.
    pub(super) fn goes_on(&self) -> Result<bool> {
        let WorkerControl { take_over, stop, metrics, clock, .. } = self.worker;
        if stop.is_made() {
            return Err(Error::retry("the worker was asked to stop before it has taken its tasks"));
        }
        let goes_on = take_over.is_awaited(clock.monotonic().saturating_sub(self.since));
        metrics.set_phase(if goes_on { Phase::StandingBy } else { Phase::Restoring });
        Ok(goes_on)
    }
}
