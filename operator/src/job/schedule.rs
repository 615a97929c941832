//! Savepoints by a schedule: which is due, and which are to go.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use millrace_crds::Savepoint;
use millrace_crds::savepoint::SavepointPhase;
use millrace_crds::stream_job::SavepointSchedule;
use std::time::Duration;

#[derive(Debug, Default, PartialEq)]
pub struct Due {
    pub make: bool,
    pub delete: Vec<String>,
    /// Until the next one.
    pub next: Duration,
}

/// `since`: when the job came to run, for the first one.
pub fn due(schedule: SavepointSchedule, savepoints: &[Savepoint], since: Timestamp, now: Timestamp) -> Due {
    let made = |savepoint: &Savepoint| savepoint.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut ours: Vec<(Timestamp, &Savepoint)> = savepoints.iter().filter_map(|s| Some((made(s)?, s))).collect();
    ours.sort_by_key(|(time, _)| *time);
    let last = ours.last().map_or(since, |(time, _)| *time);
    let interval = SignedDuration::try_from(schedule.interval.get()).unwrap_or(SignedDuration::MAX);
    let left = interval - now.duration_since(last);
    // One that is on its way out may wait for a job that rests on it.
    let completed = |savepoint: &&Savepoint| {
        phase(savepoint) == Some(SavepointPhase::Completed) && savepoint.metadata.deletion_timestamp.is_none()
    };
    let complete: Vec<&Savepoint> = ours.iter().map(|(_, savepoint)| *savepoint).filter(completed).collect();
    let surplus = complete.len().saturating_sub(schedule.retain as usize);
    let mut delete: Vec<String> = complete[..surplus].iter().map(|savepoint| savepoint.name_any()).collect();
    // One that failed is of no use once a later one is there.
    let failed = ours.iter().rev().skip(1).map(|(_, savepoint)| *savepoint);
    delete.extend(failed.filter(|s| phase(s) == Some(SavepointPhase::Failed)).map(ResourceExt::name_any));
    Due { make: left <= SignedDuration::ZERO, delete, next: Duration::try_from(left).unwrap_or(Duration::ZERO) }
}

fn phase(savepoint: &Savepoint) -> Option<SavepointPhase> {
    savepoint.status.as_ref()?.phase
}
