//! What happens to rows that can't go on, by the job's policies: the dead-letter topic with the whole
//! record and why, or counted and dropped, or the job stops.

use super::outputs::{HeadedRecord, Outputs};
use crate::batch::{FailedRow, FailureReason};
use crate::error::{Error, Result};
use crate::job::{ErrorPolicies, ErrorPolicy};
use crate::metrics::Metrics;
use std::sync::Arc;

#[derive(Clone)]
pub struct FailedRows {
    policies: ErrorPolicies,
    topic: Option<Arc<str>>,
    job: Arc<str>,
    metrics: Arc<Metrics>,
}

impl FailedRows {
    /// A policy of `DeadLetter` without a topic is the user's error.
    pub fn new(job: &str, policies: ErrorPolicies, topic: Option<&str>, metrics: &Arc<Metrics>) -> Result<Self> {
        let wanting = FailureReason::ALL.into_iter().find(|reason| policies.of(*reason) == ErrorPolicy::DeadLetter);
        if let (Some(reason), None) = (wanting, topic) {
            return Err(Error::user_fault(format!(
                "errors.{} is DeadLetter, but there is no deadLetterTopic: name one",
                reason.name()
            )));
        }
        Ok(Self { policies, topic: topic.map(Into::into), job: job.into(), metrics: metrics.clone() })
    }

    pub fn handle(&self, row: FailedRow, outputs: &mut Outputs) -> Result<()> {
        let policy = row.policy.unwrap_or_else(|| self.policies.of(row.reason));
        self.metrics.row_failed(row.reason, policy);
        match policy {
            ErrorPolicy::Drop => Ok(()),
            ErrorPolicy::Fail => Err(Error::user_fault(describe(&row))),
            ErrorPolicy::DeadLetter => {
                let topic = self.topic.clone().expect("checked when the job was built");
                outputs.record(&topic, self.letter(&row))
            }
        }
    }

    /// The record as it came, with the reason in its headers. A row behind an exchange has no record of
    /// its own; its text is the value.
    fn letter(&self, row: &FailedRow) -> HeadedRecord {
        let text = |s: &str| Some(s.as_bytes().to_vec());
        let mut headers = vec![
            ("millrace.error.reason".to_owned(), text(row.reason.name())),
            ("millrace.error.message".to_owned(), text(&row.message)),
            ("millrace.job".to_owned(), text(&self.job)),
        ];
        let Some((records, index)) = &row.record else {
            return HeadedRecord { partition: None, key: None, value: text(&row.message), timestamp: None, headers };
        };
        headers.push(("millrace.source.topic".to_owned(), text(records.topic())));
        headers.push(("millrace.source.partition".to_owned(), text(&records.partition().to_string())));
        headers.push(("millrace.source.offset".to_owned(), text(&records.offset(*index).to_string())));
        HeadedRecord {
            partition: None,
            key: records.key(*index).map(<[u8]>::to_vec),
            value: records.payload(*index).map(<[u8]>::to_vec),
            timestamp: None,
            headers,
        }
    }
}

fn describe(row: &FailedRow) -> String {
    let place = row.record.as_ref().map(|(records, index)| {
        format!(" (record {}-{} at offset {})", records.topic(), records.partition(), records.offset(*index))
    });
    let what = match row.reason {
        FailureReason::Decode => "a record can't be decoded",
        FailureReason::Evaluate => "a row has no result",
        FailureReason::Late => "a row is late",
    };
    format!(
        "{what}: {}{}; set errors.{} to DeadLetter or Drop to go on without it",
        row.message,
        place.unwrap_or_default(),
        row.reason.name()
    )
}
