//! Whether somebody still writes to a worker's logs: where they end, looked at twice.

use super::recover::ranges;
use super::start::StartRequest;
use crate::error::Result;
use millrace_protocol::recover::LogRange;
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
        Ok(Self::of(&ranges(request, request.assignment.tasks())?, request))
    }

    /// Of logs that were just asked for.
    pub(super) fn of(logs: &BTreeMap<u32, LogRange>, request: &StartRequest<'_>) -> Self {
        let by_task = logs.iter().map(|(&task, log)| (task, log.end)).collect();
        Self { at: request.clock().monotonic(), by_task }
    }

    /// Whether nothing was written between the two.
    pub(super) fn are(&self, other: &Self) -> bool {
        self.by_task == other.by_task
    }
}
