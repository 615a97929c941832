//! What is wrong with a worker, for machines and for people: reasons, the one list of them, each with a message. The
//! status tells them, and what a worker leaves behind when it ends. What to do about an error is its kind
//! (`error.rs`).

use crate::error::Error;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that tools rely on: one may be added, none changes its meaning. `openapi.json` and `docs/operations.md` list
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue, Serialize)]
pub enum Reason {
    /// Nothing that is left has the state of a task.
    StateLost,
    /// A topic of the job's own is gone, or has lost records.
    LogLost,
    /// A topic of the job's own holds what no worker can have written.
    LogCorrupt,
    /// A topic of the job's own may lose records by its settings.
    LogNotKept,
    /// Something was written by a later version.
    LaterFormat,
    /// A task's state is larger than the job allows.
    StateTooLarge,
    /// A source topic or a partition of it is no longer there, or is another by the same name.
    SourceGone,
    /// Records of a source that the job has not read are gone.
    SourceRecordsGone,
    /// There is no space left where the worker keeps its state.
    VolumeFull,
    /// The worker may not write where it keeps its state.
    VolumeReadOnly,
    /// The volume does not read or write what it is told to.
    VolumeFailed,
    /// The volume holds what is not of this worker.
    VolumeForeign,
    /// Too few replicas of a topic are in sync for it to be written to.
    NotEnoughReplicas,
    /// A cluster does not let the job in, or not do what it needs.
    AccessRefused,
    /// A record is larger than its topic takes.
    RecordTooLarge,
    /// A transaction could not be begun or committed, for a reason that may pass.
    TransactionFailed,
    /// A later generation of the job works.
    Superseded,
    /// A later incarnation of the job has taken its place.
    Succeeded,
    /// The job as written, or what it was started with, has to be corrected.
    InvalidJob,
    /// A fault that starting again mends; the message says which.
    Interrupted,
    /// Anything else that a person has to look at.
    Failed,
}

impl Reason {
    pub const ALL: [Self; 21] = [
        Self::StateLost,
        Self::LogLost,
        Self::LogCorrupt,
        Self::LogNotKept,
        Self::LaterFormat,
        Self::StateTooLarge,
        Self::SourceGone,
        Self::SourceRecordsGone,
        Self::VolumeFull,
        Self::VolumeReadOnly,
        Self::VolumeFailed,
        Self::VolumeForeign,
        Self::NotEnoughReplicas,
        Self::AccessRefused,
        Self::RecordTooLarge,
        Self::TransactionFailed,
        Self::Superseded,
        Self::Succeeded,
        Self::InvalidJob,
        Self::Interrupted,
        Self::Failed,
    ];

    /// Whether it is about the volume, and says nothing of what was to be read or written there.
    pub fn is_of_volume(self) -> bool {
        matches!(self, Self::VolumeFull | Self::VolumeReadOnly | Self::VolumeFailed)
    }
}

/// As tools see it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Something that stands against the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    pub reason: Reason,
    /// Where, what was found, and what to do.
    pub message: String,
}

impl Condition {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// As JSON of at most so many bytes: the message is cut, in the middle, if it has to be. Both its ends are worth
    /// more, since the first says where, and the last what to do.
    pub fn to_json_within(&self, bytes: usize) -> String {
        let json = |message: &str| {
            serde_json::to_string(&Self::new(self.reason, message)).expect("plain data always serialises")
        };
        let whole = json(&self.message);
        if whole.len() <= bytes {
            return whole;
        }
        // Escapes are longer in JSON than here, so how much can stay is found by trying.
        let mut kept = self.message.len().min(bytes);
        loop {
            let cut = json(&shortened(&self.message, kept));
            if cut.len() <= bytes || kept == 0 {
                return cut;
            }
            kept -= (cut.len() - bytes).div_ceil(6).min(kept);
        }
    }
}

/// The beginning and the end of a text, together at most `kept` bytes.
fn shortened(text: &str, kept: usize) -> String {
    let (head, tail) = (text.floor_char_boundary(kept / 2), text.ceil_char_boundary(text.len() - kept / 2));
    format!("{} … {}", &text[..head], &text[tail..])
}

impl From<&Error> for Condition {
    fn from(error: &Error) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

/// What stands against a worker now.
#[derive(Default)]
pub struct Conditions {
    now: Mutex<Standing>,
    /// How many of each reason.
    gauges: Family<ReasonLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    reason: Reason,
}

#[derive(Default)]
struct Standing {
    problem: Option<Condition>,
    /// By what they are about, such as a topic.
    warnings: BTreeMap<(Reason, String), String>,
}

impl Conditions {
    /// Why the worker does not run; None when it does, or has ended in order.
    pub fn problem(&self) -> Option<Condition> {
        self.lock().problem.clone()
    }

    pub fn set_problem(&self, problem: Option<Condition>) {
        let mut standing = self.lock();
        standing.problem = problem;
        self.count(&standing);
    }

    /// For Prometheus: 0 where a reason stood before and does not any more.
    pub fn gauges(&self) -> Family<ReasonLabel, Gauge> {
        self.gauges.clone()
    }

    fn count(&self, standing: &Standing) {
        let problem = standing.problem.iter().map(|problem| problem.reason);
        let reasons: Vec<Reason> = problem.chain(standing.warnings.keys().map(|(reason, _)| *reason)).collect();
        for reason in Reason::ALL {
            let stands = reasons.iter().filter(|standing| **standing == reason).count() as i64;
            let label = ReasonLabel { reason };
            if stands > 0 {
                self.gauges.get_or_create(&label).set(stands);
            } else if let Some(gauge) = self.gauges.get(&label) {
                gauge.set(0);
            }
        }
    }

    /// What somebody should look at although the worker runs.
    pub fn warnings(&self) -> Vec<Condition> {
        self.lock().warnings.iter().map(|((reason, _), message)| Condition::new(*reason, message)).collect()
    }

    /// Says that `about` is in the way of something, or, with None, that it is not any more. Logged when it changes.
    pub fn set_warning(&self, reason: Reason, about: &str, message: Option<String>) {
        let key = (reason, about.to_owned());
        let mut standing = self.lock();
        match message {
            Some(message) => {
                if standing.warnings.get(&key) != Some(&message) {
                    tracing::warn!(%reason, "{message}");
                    standing.warnings.insert(key, message);
                    self.count(&standing);
                }
            }
            None => {
                if standing.warnings.remove(&key).is_some() {
                    self.count(&standing);
                    tracing::info!(%reason, about, "this is no longer so");
                }
            }
        }
    }

    /// A worker that starts again finds out for itself.
    pub fn clear_warnings(&self) {
        let mut standing = self.lock();
        standing.warnings.clear();
        self.count(&standing);
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_list_once_and_in_the_documents() {
        let mut listed = Reason::ALL.to_vec();
        listed.sort();
        listed.dedup();
        // The last one is the greatest, so no one is left out.
        assert_eq!((listed.len(), Reason::Failed as usize + 1), (Reason::ALL.len(), Reason::ALL.len()));
        let operations = include_str!("../../docs/operations.md");
        let missing: Vec<_> = listed.iter().filter(|reason| !operations.contains(&format!("`{reason}`"))).collect();
        assert!(missing.is_empty(), "docs/operations.md says nothing of {missing:?}");
        let openapi: serde_json::Value = serde_json::from_str(include_str!("control/openapi.json")).expect("JSON");
        let described = &openapi["components"]["schemas"]["Condition"]["properties"]["reason"]["enum"];
        assert_eq!(*described, serde_json::to_value(Reason::ALL).expect("names"));
    }

    #[test]
    fn a_condition_too_long_for_its_place_keeps_the_ends_of_its_message_and_stays_json() {
        let condition = Condition::new(Reason::VolumeFull, "short");
        assert_eq!(condition.to_json_within(4096), r#"{"reason":"VolumeFull","message":"short"}"#);
        for middle in ["é".repeat(9_000), "\"\n".repeat(9_000), "\u{1}".repeat(9_000)] {
            let condition = Condition::new(Reason::StateLost, format!("where {middle} what to do"));
            let json = condition.to_json_within(4096);
            assert!(json.len() <= 4096 && json.len() > 3_000, "{}", json.len());
            let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let message = parsed["message"].as_str().expect("a message");
            assert!(message.starts_with("where ") && message.ends_with(" what to do"), "{message}");
        }
    }

    #[test]
    fn a_warning_stands_until_it_is_taken_back() {
        let conditions = Conditions::default();
        conditions.set_warning(Reason::LogNotKept, "a", Some("first".into()));
        conditions.set_warning(Reason::LogNotKept, "b", Some("second".into()));
        conditions.set_warning(Reason::LogNotKept, "a", None);
        assert_eq!(conditions.warnings(), [Condition::new(Reason::LogNotKept, "second")]);
        conditions.clear_warnings();
        assert_eq!(conditions.warnings(), []);
    }
}
