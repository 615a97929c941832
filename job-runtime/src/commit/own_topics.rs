//! The topics that are the job's own, and that nobody else may change: how they are set, so that none loses a record
//! that is still needed, and what is done where somebody has set one otherwise. Not here: making them (`log.rs`).

use crate::condition::Reason;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::kafka::admin::{AdminClient, KEPT_FOR_EVER};
use crate::kafka::replicas;
use crate::metrics::Metrics;
use millrace_planner::connector::{KafkaOptions, Topics};
use millrace_planner::plan::Connector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where brokers keep transactions: while it can't be written to, none can be begun or ended.
const TRANSACTIONS: &str = "__transaction_state";

/// The job's log and exchanges.
pub fn names(job: &Job) -> Vec<String> {
    let exchanges = job.plan.exchanges().map(|(_, node)| job.identity.exchange_topic(node));
    std::iter::once(job.identity.log_topic()).chain(exchanges).collect()
}

/// Everything that a commit writes to.
pub fn written(job: &Job) -> Vec<String> {
    let sinks = job.plan.sinks().filter(|(_, sink)| sink.table.connector == Connector::Kafka);
    // What is wrong with a table's options its sink says.
    let sinks = sinks.filter_map(|(_, sink)| KafkaOptions::from_table(&sink.table).ok()).map(|options| options.topics);
    let sinks = sinks.flat_map(|topics| if let Topics::List(names) = topics { names } else { Vec::new() });
    let others = job.dead_letter_topic.iter().cloned().chain([TRANSACTIONS.to_owned()]);
    names(job).into_iter().chain(sinks).chain(others).collect()
}

/// Sees to it that a topic keeps what is written to it: puts its settings right where it may. Returns its configuration
/// as it was found.
///
/// # Errors
/// `FailJob` where they are wrong and stay so.
pub fn keep_for_ever(admin: &AdminClient, topic: &str) -> Result<BTreeMap<String, String>> {
    let config = admin.config(topic)?;
    let value = |option: &str| config.get(option).map_or("", String::as_str);
    let wrong: Vec<(&str, &str)> =
        KEPT_FOR_EVER.into_iter().filter(|(option, expected)| value(option) != *expected).collect();
    if wrong.is_empty() {
        return Ok(config);
    }
    let list = |of: &dyn Fn(&(&str, &str)) -> String| wrong.iter().map(of).collect::<Vec<_>>().join(",");
    let found = list(&|(option, _)| format!("{option}={}", value(option)));
    let expected = list(&|(option, expected)| format!("{option}={expected}"));
    match admin.set_config(topic, &wrong) {
        Ok(()) => {
            tracing::warn!(
                topic,
                found,
                set_back_to = expected,
                "somebody has set the job's topic so that it would lose state; this is put right. Records may be gone already: \
                 then the next start says so"
            );
            Ok(config)
        }
        Err(error) if error.kind == ErrorKind::Retry => Err(error),
        Err(error) => Err(Error::fail_job(format!(
            "the job's topic {topic} has {found}, which would lose state, and may not be changed by the job: set it back \
             (kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {expected}), or grant ALTER_CONFIGS \
             on it"
        ))
        .because(Reason::LogNotKept)
        .caused_by(error)),
    }
}

/// Looks after them while the job runs.
pub struct OwnTopics {
    pub admin: Arc<AdminClient>,
    pub names: Vec<String>,
    pub written: Vec<String>,
    pub metrics: Arc<Metrics>,
}

impl OwnTopics {
    /// Whether each keeps what it has. One that doesn't is a warning, not yet a loss.
    pub fn check_settings(&self) {
        for topic in &self.names {
            // Those of exchanges are made when they are needed.
            let is_there = self.admin.describe(topic).map(|found| found.is_some());
            match is_there.and_then(|there| if there { keep_for_ever(&self.admin, topic).map(drop) } else { Ok(()) }) {
                Ok(()) => self.metrics.conditions.set_warning(Reason::LogNotKept, topic, None),
                Err(error) if error.reason() == Reason::LogNotKept => {
                    self.metrics.conditions.set_warning(Reason::LogNotKept, topic, Some(error.to_string()));
                }
                Err(error) => tracing::warn!(topic, %error, "could not look at the settings of the job's topic"),
            }
        }
    }

    /// Whether each has the replicas that it needs to be written to.
    pub fn check_replicas(&self) {
        for topic in &self.written {
            match replicas::shortage(&self.admin, topic) {
                Ok(shortage) => self.metrics.conditions.set_warning(Reason::NotEnoughReplicas, topic, shortage),
                // Nobody answers, and won't about the others.
                Err(error) if error.kind == ErrorKind::Retry => return,
                // The topic may not be looked at.
                Err(_) => {}
            }
        }
    }

    /// A commit shows that they have.
    pub fn have_replicas(&self) {
        for topic in &self.written {
            self.metrics.conditions.set_warning(Reason::NotEnoughReplicas, topic, None);
        }
    }
}
