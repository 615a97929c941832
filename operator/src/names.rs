//! Names of everything that the operator makes for a job, and the labels by which it is found again.

use std::collections::BTreeMap;

pub const FIELD_MANAGER: &str = "millrace-operator";
/// Keeps a StreamJob until its topics are gone.
pub const FINALIZER: &str = "millrace.dev/cleanup";

pub const JOB_LABEL: &str = "millrace.dev/job";
/// `incarnation.generation` of a pod, or of a ConfigMap.
pub const REVISION_LABEL: &str = "millrace.dev/revision";
/// On savepoints that a schedule has made.
pub const SCHEDULED_LABEL: &str = "millrace.dev/scheduled";

pub const WORKER_PORT: i32 = 8081;
/// Of the key in a job's ConfigMap, and in the Secret of its token.
pub const JOB_KEY: &str = "job.json";
pub const SPEC_KEY: &str = "spec.json";
pub const TOKEN_KEY: &str = "token";

/// The volume of a pod, and what its claim's name begins with.
pub const VOLUME: &str = "state";

/// Longest name of a StreamJob: its pods' names and labels have to fit into 63 characters.
pub const NAME_MAX: usize = 45;

/// The common labels of a job's objects, which also select its pods.
pub fn selector(job: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "millrace".to_owned()),
        ("app.kubernetes.io/component".to_owned(), "worker".to_owned()),
        (JOB_LABEL.to_owned(), job.to_owned()),
    ])
}

/// The same as text, for a label selector.
pub fn selector_text(job: &str) -> String {
    let pairs: Vec<String> = selector(job).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

pub fn revision(incarnation: u32, generation: u32) -> String {
    format!("{incarnation}.{generation}")
}

/// The immutable ConfigMap that has a revision's job.
pub fn config_map(job: &str, incarnation: u32, generation: u32) -> String {
    format!("{job}-{incarnation}-{generation}")
}

/// The Secret with the token of a job's workers.
pub fn token(job: &str) -> String {
    format!("{job}-token")
}

/// Which pod of a job a claim is of.
pub fn ordinal_of_claim(claim: &str, job: &str) -> Option<u32> {
    claim.strip_prefix(VOLUME)?.strip_prefix('-')?.strip_prefix(job)?.strip_prefix('-')?.parse().ok()
}

/// The headless Service, which the StatefulSet's pods are named under.
pub fn service(job: &str) -> String {
    format!("{job}-workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_of_the_pod_of_its_number() {
        assert_eq!(ordinal_of_claim("state-clicks-12", "clicks"), Some(12));
        for other in ["state-clicks-eu-1", "state-clicks", "data-clicks-1", "state-click-1", "state-clicks--1"] {
            assert_eq!(ordinal_of_claim(other, "clicks"), None, "{other}");
        }
    }
}
