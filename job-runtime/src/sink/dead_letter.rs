//! What happens to rows that can't go on, by the job's policies: the dead-letter topic with the whole
//! record and why, or counted and dropped, or the job stops.

use super::outputs::{HeadedRecord, Outputs};
use crate::batch::{FailedRow, FailureReason};
use crate::error::{Error, Result};
use crate::job::{ErrorPolicies, ErrorPolicy};
use crate::kafka::size::{TopicLimits, record_bytes};
use crate::metrics::Metrics;
use std::sync::Arc;

/// Of a message in a log.
const MESSAGE_LETTERS: usize = 2_000;

#[derive(Clone)]
pub struct FailedRows {
    policies: ErrorPolicies,
    topic: Option<Arc<str>>,
    /// What the topic takes; None where that is not known.
    topic_bytes: Option<usize>,
    job: Arc<str>,
    metrics: Arc<Metrics>,
}

impl FailedRows {
    /// A policy of `DeadLetter` without a topic is the user's error.
    pub fn new(
        job: &str,
        policies: ErrorPolicies,
        topic: Option<&str>,
        limits: &TopicLimits,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        let wanting = FailureReason::ALL.into_iter().find(|reason| policies.of(*reason) == ErrorPolicy::DeadLetter);
        if let (Some(reason), None) = (wanting, topic) {
            return Err(Error::user_fault(format!(
                "errors.{} is DeadLetter, but there is no deadLetterTopic: name one",
                reason.name()
            )));
        }
        let topic_bytes = topic.and_then(|topic| limits.of(topic));
        Ok(Self { policies, topic: topic.map(Into::into), topic_bytes, job: job.into(), metrics: metrics.clone() })
    }

    pub fn handle(&self, row: FailedRow, outputs: &mut Outputs) -> Result<()> {
        let policy = row.policy.unwrap_or_else(|| self.policies.of(row.reason));
        self.metrics.row_failed(row.reason, policy);
        match policy {
            ErrorPolicy::Drop => Ok(()),
            ErrorPolicy::Fail => Err(Error::user_fault(describe(&row))),
            ErrorPolicy::DeadLetter => {
                let topic = self.topic.clone().expect("checked when the job was built");
                outputs.record(&topic, fitted(self.letter(&row), self.topic_bytes))
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

/// A letter that its topic takes: where it would not, message, key and value are cut, and a header says how long the
/// value was. Its source says where to find the whole of it.
fn fitted(letter: HeadedRecord, limit: Option<usize>) -> HeadedRecord {
    let bytes = |letter: &HeadedRecord| record_bytes(letter.key.as_deref(), letter.value.as_deref(), &letter.headers);
    let Some(limit) = limit.filter(|&limit| bytes(&letter) > limit) else { return letter };
    let HeadedRecord { key, value, mut headers, .. } = letter;
    let length = value.as_ref().map_or(0, Vec::len);
    for (_, header) in &mut headers {
        *header = header.take().map(|text| beginning(text, limit / 8));
    }
    headers.push(("millrace.value.bytes".to_owned(), Some(length.to_string().into_bytes())));
    let key = key.filter(|key| key.len() <= limit / 4);
    // Lengths take some bytes more where there is a value.
    let room = limit.saturating_sub(record_bytes(key.as_deref(), None, &headers) + 16);
    let value = value.map(|value| beginning(value, room));
    HeadedRecord { key, value, headers, ..letter }
}

/// The first so many bytes, without half a character at their end.
fn beginning(mut text: Vec<u8>, bytes: usize) -> Vec<u8> {
    if text.len() > bytes {
        text.truncate(bytes);
        let half = std::str::from_utf8(&text).map_or_else(|error| error.valid_up_to(), str::len);
        // Binary data has no characters that could be halved.
        if bytes - half < 4 {
            text.truncate(half);
        }
    }
    text
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
        shortened(&row.message),
        place.unwrap_or_default(),
        row.reason.name()
    )
}

/// A message may hold a whole row, which nobody reads in a log.
fn shortened(message: &str) -> std::borrow::Cow<'_, str> {
    match message.char_indices().nth(MESSAGE_LETTERS) {
        Some((end, _)) => format!("{}…", &message[..end]).into(),
        None => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: &str) -> HeadedRecord {
        let headers = vec![("millrace.error.message".to_owned(), Some(value.as_bytes().to_vec()))];
        let value = Some(value.as_bytes().to_vec());
        HeadedRecord { partition: None, key: Some(b"key".to_vec()), value, timestamp: None, headers }
    }

    fn bytes(letter: &HeadedRecord) -> usize {
        record_bytes(letter.key.as_deref(), letter.value.as_deref(), &letter.headers)
    }

    #[test]
    fn a_letter_that_its_topic_takes_stays_whole() {
        let whole = letter("ä");
        let bytes = bytes(&whole);
        for limit in [None, Some(bytes)] {
            let fitted = fitted(letter("ä"), limit);
            assert_eq!((fitted.value, fitted.headers.len()), (whole.value.clone(), 1));
        }
    }

    #[test]
    fn a_larger_one_is_cut_between_letters_and_says_how_long_it_was() {
        for limit in 1_000..1_008 {
            let cut = fitted(letter(&"ä".repeat(100_000)), Some(limit));
            assert!(bytes(&cut) <= limit && bytes(&cut) > limit - 40, "{} of {limit}", bytes(&cut));
            let value = String::from_utf8(cut.value.expect("a value")).expect("whole letters");
            assert!(value.len() > limit / 2 && value.chars().all(|c| c == 'ä'), "{value}");
            assert_eq!(cut.key.as_deref(), Some(b"key".as_slice()));
            let (name, length) = cut.headers.last().expect("a header");
            assert_eq!((name.as_str(), length.as_deref()), ("millrace.value.bytes", Some(b"200000".as_slice())));
        }
    }

    #[test]
    fn a_long_row_is_not_logged_whole() {
        let row =
            FailedRow { reason: FailureReason::Evaluate, message: "ä".repeat(1_000_000), policy: None, record: None };
        assert!(describe(&row).len() < 10_000 && describe(&row).contains("errors.evaluate"));
    }
}
