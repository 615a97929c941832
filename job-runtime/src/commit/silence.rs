//! Whether somebody still writes to a worker's logs: where they end, looked at twice.

use super::recover::ranges;
use super::start::StartRequest;
use crate::error::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// A holder that has written nothing for this long is taken for gone.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// Where the logs of a worker's tasks end, records of open transactions too.
pub(super) struct Ends {
    /// Not before they were asked for.
    pub(super) at: Duration,
    by_task: BTreeMap<u32, i64>,
}

impl Ends {
    pub(super) fn now(request: &StartRequest<'_>) -> Result<Self> {
        let logs = ranges(request, request.assignment.tasks())?;
        let by_task = logs.into_iter().map(|(task, log)| (task, log.end)).collect();
        Ok(Self { at: request.clock.monotonic(), by_task })
    }

    /// Whether nothing was written between the two.
    pub(super) fn are(&self, other: &Self) -> bool {
        self.by_task == other.by_task
    }
}
