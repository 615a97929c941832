//! The status of a job from a decision and what was observed: conditions as kstatus and people read them, and figures
//! from the workers. Also: whether a change of it is worth a write.

use super::decide::{ROLLED_BACK, UPGRADE_REFUSED, Verdict};
use super::observed::Observed;
use super::wanted::{Invalid, Wanted};
use crate::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use millrace_crds::status::{Copy, Phase, Restore, StreamJobStatus};
use std::time::Duration;

/// What a status is made of, beside the decision.
pub struct Report<'a> {
    pub name: &'a str,
    pub generation: i64,
    pub wanted: Result<&'a Wanted, &'a Invalid>,
    pub verdict: &'a Verdict,
    pub observed: &'a Observed,
    pub now: Timestamp,
}

/// Completes the status that was decided.
pub fn complete(mut status: StreamJobStatus, report: &Report<'_>) -> StreamJobStatus {
    status.observed_generation = Some(report.generation);
    status.replicas = i32::try_from(report.observed.workers.len()).unwrap_or(i32::MAX);
    status.ready_replicas = i32::try_from(report.observed.ready()).unwrap_or(i32::MAX);
    status.selector = Some(names::selector_text(report.name));
    status.partitions = status.revision.as_ref().and_then(|revision| i32::try_from(revision.parallelism).ok());
    figures(&mut status, report.observed);
    let conditions = conditions(&status, report);
    for (kind, met, reason, message) in conditions {
        set(&mut status.conditions, kind, met, reason, message, report);
    }
    status
}

/// What the workers say. Where they do not, the last of it stands.
fn figures(status: &mut StreamJobStatus, observed: &Observed) {
    let statuses: Vec<_> =
        observed.workers.iter().filter_map(|worker| Some((worker, worker.status.as_ref()?))).collect();
    if statuses.is_empty() || statuses.len() < observed.workers.len() {
        return;
    }
    let lags: Option<Vec<i64>> = statuses.iter().map(|(_, status)| status.lag).collect();
    status.lag = lags.map(|lags| lags.iter().sum());
    // All tasks can go on from the oldest of their last ones.
    if let Some(Some(oldest)) = statuses.iter().map(|(_, status)| status.last_checkpoint).min() {
        status.last_checkpoint = time(oldest).map(|time| Copy { time, url: None });
    }
    let restores = statuses.iter().filter_map(|(worker, status)| Some((worker, status.restore.as_ref()?)));
    if let Some((worker, restore)) = restores.max_by_key(|(_, restore)| restore.at)
        && let Some(time) = time(restore.at)
    {
        let replayed_bytes = i64::try_from(restore.replayed_bytes).unwrap_or(i64::MAX);
        status.last_restore = Some(Restore { pod: worker.name.clone(), time, from: restore.from(), replayed_bytes });
    }
}

fn time(millis: i64) -> Option<Time> {
    // To the second, as the API server keeps it.
    Timestamp::from_second(millis / 1000).ok().map(Time)
}

type Said = (&'static str, bool, String, String);

fn conditions(status: &StreamJobStatus, report: &Report<'_>) -> Vec<Said> {
    let Verdict { stalled, waiting } = report.verdict;
    let observed = report.observed;
    let phase = status.phase.unwrap_or(Phase::Pending);
    let replicas = status.revision.as_ref().map_or(0, |revision| revision.replicas as usize);
    let suspended = phase == Phase::Suspended;
    let ready = !suspended && replicas > 0 && observed.ready() >= replicas && observed.all_running(replicas as u32);
    let mut said: Vec<Said> = Vec::new();
    let mut say = |kind, met, reason: &str, message: String| said.push((kind, met, reason.to_owned(), message));

    let trouble = observed.trouble();
    match (&trouble, ready, suspended) {
        (_, true, _) => say("Ready", true, "Running", format!("{replicas} of {replicas} pods process records")),
        (_, _, true) => say("Ready", false, "Suspended", "the job was asked to be suspended".to_owned()),
        (Some(trouble), ..) => say("Ready", false, "PodsNotReady", trouble.clone()),
        (None, ..) => {
            let message = format!("{} of {replicas} pods process records", observed.ready());
            say("Ready", false, "PodsNotReady", message);
        }
    }
    match (&status.operation, waiting) {
        (Some(operation), waiting) => {
            let waiting = waiting.as_ref().map_or(String::new(), |waiting| format!(": {waiting}"));
            say("Reconciling", true, &format!("{:?}", operation.kind), format!("{:?}{waiting}", operation.step));
        }
        (None, _) => say("Reconciling", false, "Settled", "there is nothing to be done".to_owned()),
    }
    match (stalled, &trouble, &status.operation) {
        (Some((reason, message)), ..) => say("Stalled", true, reason, message.clone()),
        (None, Some(trouble), None) if !suspended && !ready => say("Stalled", true, "PodsNotReady", trouble.clone()),
        _ => say("Stalled", false, "NotStalled", "nothing stands against the job".to_owned()),
    }
    match report.wanted {
        Ok(wanted) if wanted.warnings.is_empty() => say("SpecValid", true, "Valid", "the job can be run".to_owned()),
        Ok(wanted) => say("SpecValid", true, "ValidWithWarnings", wanted.warnings.join("; ")),
        Err(Invalid(message)) => say("SpecValid", false, "Invalid", message.clone()),
    }
    let statuses = || observed.workers.iter().filter_map(|worker| worker.status.as_ref());
    let failing = statuses().flat_map(|status| &status.warnings).find(|w| w.reason.starts_with("Volume"));
    match failing {
        Some(warning) => say("CheckpointsHealthy", false, &warning.reason, warning.message.clone()),
        None if statuses().any(|status| status.checkpoints > 0) => {
            say("CheckpointsHealthy", true, "Made", "checkpoints are made".to_owned());
        }
        None => {}
    }
    let lost = statuses().filter_map(|status| status.problem.as_ref()).find(|p| p.reason == "StateLost");
    if let Some(problem) = lost {
        say("StateLost", true, "StateLost", problem.message.clone());
    } else if has(&status.conditions, "StateLost") && ready {
        say("StateLost", false, "Restored", "every task has its state".to_owned());
    }
    if let (Ok(wanted), Some(revision)) = (report.wanted, &status.revision) {
        let asked = wanted.spec.replicas.and_then(|n| u32::try_from(n).ok());
        let tasks = revision.parallelism;
        match asked.filter(|asked| *asked > tasks) {
            Some(asked) => {
                let message = format!(
                    "{asked} replicas are asked for, and the job has {tasks} tasks, so it gets {tasks} pods: add partitions to \
                     its source topics to use more"
                );
                say("ParallelismLimited", true, "FewerTasks", message);
            }
            None => say("ParallelismLimited", false, "EnoughTasks", format!("the job has {tasks} tasks")),
        }
    }
    for (kind, reason) in [("RolledBack", ROLLED_BACK), ("UpgradeRefused", UPGRADE_REFUSED)] {
        let refused = status.refused.as_ref();
        let here = refused.filter(|refused| (refused.reason == ROLLED_BACK) == (reason == ROLLED_BACK));
        match here {
            Some(refused) => say(kind, true, &refused.reason, refused.message.clone()),
            None if has(&status.conditions, kind) => say(kind, false, &format!("Not{reason}"), String::new()),
            None => {}
        }
    }
    said
}

fn has(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind)
}

fn set(conditions: &mut Vec<Condition>, kind: &str, met: bool, reason: String, message: String, report: &Report<'_>) {
    let status = if met { "True" } else { "False" };
    let known = conditions.iter().find(|condition| condition.type_ == kind && condition.status == status);
    let since = known.map_or_else(|| Time(seconds(report.now)), |known| known.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason,
        // The API server takes no more.
        message: message.chars().take(32_000).collect(),
        observed_generation: Some(report.generation),
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// As the API server keeps times.
pub(crate) fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// How long nothing but the time of a checkpoint may differ before it is written.
const CHECKPOINT_AGE: SignedDuration = SignedDuration::from_mins(5);

/// Whether a status is to be written over an earlier one: at once where anything is decided or has happened, now and then
/// for figures, which change all the time.
pub fn is_news(
    before: &StreamJobStatus,
    after: &StreamJobStatus,
    last_write: Option<Duration>,
    interval: Duration,
) -> bool {
    let without_figures =
        |status: &StreamJobStatus| StreamJobStatus { lag: None, last_checkpoint: None, ..status.clone() };
    if without_figures(before) != without_figures(after)
        || before.last_checkpoint.is_none() != after.last_checkpoint.is_none()
    {
        return true;
    }
    let rested = last_write.is_none_or(|ago| ago >= interval);
    let age = |status: &StreamJobStatus| status.last_checkpoint.as_ref().map(|copy| copy.time.0);
    let aged = match (age(before), age(after)) {
        (Some(before), Some(after)) => after.duration_since(before) >= CHECKPOINT_AGE,
        _ => false,
    };
    rested && (before.lag != after.lag || aged)
}
