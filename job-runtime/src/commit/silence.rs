//! Whether somebody still writes to a worker's logs: where they end, looked at twice.

use super::recover::ranges;
use super::start::StartRequest;
use crate::error::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// A holder that has written nothing for this long is taken for gone.
const SILENCE: Duration = Duration::from_secs(2);

/// Where the logs of a worker's tasks ended, records of open transactions too.
pub(super) struct Ends {
    /// Not before they were asked for.
    at: Duration,
    by_task: BTreeMap<u32, i64>,
}

impl Ends {
    pub(super) fn now(request: &StartRequest<'_>) -> Result<Self> {
        let logs = ranges(request, request.assignment.tasks())?;
        let by_task = logs.into_iter().map(|(task, log)| (task, log.end)).collect();
        Ok(Self { at: request.clock.monotonic(), by_task })
    }

    /// Whether the logs grow. Where they have not since these ends, no more than what is missing of the silence is waited
    /// for; where they have, that may have been long ago.
    pub(super) fn grow(self, request: &StartRequest<'_>) -> Result<bool> {
        let now = Self::now(request)?;
        let before = if now.by_task == self.by_task { self } else { now };
        let since = request.clock.monotonic() - before.at;
        request.clock.sleep(SILENCE.saturating_sub(since));
        Ok(Self::now(request)?.by_task != before.by_task)
    }
}
