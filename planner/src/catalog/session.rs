//! The options of SET: those with an effect, those that mean nothing here, and the rest, each with a
//! warning where it will do nothing.

use crate::ast::Span;
use crate::connector::{duration, nearest};
use crate::error::{SqlError, SqlWarning};
use crate::plan::NotNullEnforcer;
use std::collections::BTreeMap;
use std::time::Duration;

const TIME_ZONE: &str = "table.local-time-zone";
const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";
const RUNTIME_MODE: &str = "execution.runtime-mode";
const NOT_NULL_ENFORCER: &str = "table.exec.sink.not-null-enforcer";

const EFFECTIVE: &[&str] = &[TIME_ZONE, IDLE_TIMEOUT, RUNTIME_MODE, NOT_NULL_ENFORCER];

/// Unlike Flink's, which is off: an input counts as idle only when it is read to its end, so that
/// nothing is lost by not waiting for it.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Prefixes of options that have no effect, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("execution.checkpointing.", "commits and checkpoints are set in the manifest"),
    ("state.", "where state is kept is set in the manifest"),
    ("restart-strategy", "a job always restarts from its last commit"),
    ("table.exec.mini-batch.", "rows are always processed in batches"),
    ("table.optimizer.agg-phase-strategy", "aggregations always have two phases"),
    ("table.optimizer.distinct-agg.split.", "there is one plan for DISTINCT"),
    ("table.exec.state.ttl", "set spec.state.ttl in the manifest"),
    ("table.dml-sync", "a script is always run as one job"),
    ("sql-client.", "there is no SQL client"),
    ("pipeline.name", "a job is named in its manifest"),
    ("parallelism.default", "set spec.parallelism in the manifest"),
    ("pipeline.object-reuse", "rows are never copied between operators"),
    ("taskmanager.", "there are no task managers"),
    ("jobmanager.", "there is no job manager"),
];

/// What SET has set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    options: BTreeMap<String, String>,
}

impl Session {
    /// IANA's name of the zone that TIMESTAMP_LTZ is shown in.
    pub fn time_zone(&self) -> &str {
        match self.get(TIME_ZONE) {
            None | Some("default") => "UTC",
            Some(zone) => zone,
        }
    }

    /// For tables that don't set `scan.watermark.idle-timeout`. Zero: an idle input is waited for.
    pub fn idle_timeout(&self) -> Duration {
        self.get(IDLE_TIMEOUT).and_then(|text| duration(text).ok()).unwrap_or(DEFAULT_IDLE_TIMEOUT)
    }

    /// For the INSERTs after it.
    pub fn not_null_enforcer(&self) -> NotNullEnforcer {
        self.get(NOT_NULL_ENFORCER).and_then(not_null_enforcer).unwrap_or_default()
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub(super) fn set(&mut self, key: &str, value: &str, span: Span) -> Result<Option<SqlWarning>, SqlError> {
        check(key, value).map_err(|error| error.at(span))?;
        self.options.insert(key.to_owned(), value.to_owned());
        Ok(warning(key).map(|message| SqlWarning { message, span: Some(span) }))
    }

    pub(super) fn reset(&mut self, key: Option<&str>) {
        match key {
            Some(key) => {
                self.options.remove(key);
            }
            None => self.options.clear(),
        }
    }
}

fn check(key: &str, value: &str) -> Result<(), SqlError> {
    let wrong = |expected: &str| SqlError::invalid(format!("'{key}' is '{value}', but must be {expected}"));
    match key {
        TIME_ZONE if !looks_like_a_zone(value) => Err(wrong("the name of a time zone, for instance 'Europe/Berlin'")),
        IDLE_TIMEOUT => duration(value).map(drop).map_err(|expected| wrong(&expected)),
        RUNTIME_MODE if value.eq_ignore_ascii_case("streaming") => Ok(()),
        RUNTIME_MODE if value.eq_ignore_ascii_case("batch") => Err(SqlError::unsupported(format!("'{key}' = 'batch'"))
            .hint("a stream that ends is 'scan.bounded.mode' = 'latest-offset', or `millrace run --bounded`")),
        RUNTIME_MODE => Err(wrong("'streaming'")),
        NOT_NULL_ENFORCER if not_null_enforcer(value).is_none() => Err(wrong("'ERROR' or 'DROP'")),
        _ => Ok(()),
    }
}

fn not_null_enforcer(value: &str) -> Option<NotNullEnforcer> {
    match value.to_ascii_uppercase().as_str() {
        "ERROR" => Some(NotNullEnforcer::Error),
        "DROP" => Some(NotNullEnforcer::Drop),
        _ => None,
    }
}

/// `UTC`, `Europe/Berlin`, `GMT-08:00`. The runtime knows which zones there are.
fn looks_like_a_zone(zone: &str) -> bool {
    zone.starts_with(|c: char| c.is_ascii_alphabetic())
        && zone.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+' | ':'))
}

fn warning(key: &str) -> Option<String> {
    if EFFECTIVE.contains(&key) {
        return None;
    }
    if let Some((_, reason)) = WITHOUT_EFFECT.iter().find(|(prefix, _)| key.starts_with(prefix)) {
        return Some(format!("'{key}' has no effect: {reason}"));
    }
    Some(match nearest(key, EFFECTIVE.iter().copied()) {
        Some(near) => format!("'{key}' is not known and has no effect; did you mean '{near}'?"),
        None => format!("'{key}' is not known and has no effect; known are {}", EFFECTIVE.join(", ")),
    })
}
