//! What the topics of a consumer are to the job, and so what an error while they are read means and what to do.

use crate::condition::Reason;
use crate::error::{Error, Result};
use rdkafka::types::RDKafkaRespErr;
use std::fmt;

/// What the topics of a consumer are to the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user's, of this table.
    Source { table: String },
    /// The task logs.
    Log,
    /// Rows that tasks have sent each other.
    Exchange,
    /// A savepoint that was written to a topic.
    Savepoint,
}

impl Role {
    /// What an error while a partition is read means, with what the client says of it.
    pub(super) fn failure(&self, code: RDKafkaRespErr, place: &str, detail: &str) -> Result<()> {
        use RDKafkaRespErr::*;
        let remedy = self.remedy();
        match code {
            code if is_out_of_range(code) => Err(Error::fail_job(match self {
                Self::Source { .. } => format!(
                    "the position of the job in {self} {place} is no longer there ({detail}): the topic's retention has \
                     removed records that the job has not read, or the topic was made again. {remedy}"
                ),
                Self::Log | Self::Exchange | Self::Savepoint => format!(
                    "{self} {place} has lost records that are still needed ({detail}): somebody deleted them, or the \
                     topic. {remedy}"
                ),
            })
            .because(match self {
                Self::Source { .. } => Reason::SourceRecordsGone,
                Self::Log | Self::Exchange => Reason::LogLost,
                Self::Savepoint => Reason::StateLost,
            })),
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION => Err(self.gone(place, detail)),
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => Err(Error::user_fault(format!(
                "not allowed to read {self} {place} ({detail}): grant READ on the topic"
            ))
            .because(Reason::AccessRefused)),
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => Err(Error::user_fault(format!(
                "not allowed to use the consumer group for {self} {place} ({detail}): grant READ on the group"
            ))
            .because(Reason::AccessRefused)),
            RD_KAFKA_RESP_ERR__BAD_MSG | RD_KAFKA_RESP_ERR__BAD_COMPRESSION | RD_KAFKA_RESP_ERR_INVALID_MSG => {
                Err(Error::fail_job(format!("{self} {place} holds a corrupt record batch ({detail}). {remedy}")))
            }
            // Brokers going and coming are librdkafka's business.
            _ => {
                tracing::debug!(%place, %detail, "Kafka consumer");
                Ok(())
            }
        }
    }

    /// A topic that the job reads is not there any more.
    pub(crate) fn gone(&self, place: &str, detail: &str) -> Error {
        let remedy = self.remedy();
        Error::fail_job(format!(
            "{self} {place} no longer exists ({detail}): it was deleted while the job read it. {remedy}"
        ))
        .because(match self {
            Self::Source { .. } => Reason::SourceGone,
            Self::Log | Self::Exchange => Reason::LogLost,
            Self::Savepoint => Reason::StateLost,
        })
    }

    /// What to do about records that are gone.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Source { .. } => {
                "Restore the job from a savepoint, or start it anew (millrace run --discard-state) at the position that \
                 'scan.startup.mode' says"
            }
            Self::Savepoint => "Use another savepoint",
            Self::Log | Self::Exchange => {
                "Restore the job from a savepoint, or start it anew (millrace run --discard-state); without this topic it \
                 can't go on"
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { table } => write!(f, "the source of table {table},"),
            Self::Log => f.write_str("the job's log"),
            Self::Exchange => f.write_str("the job's exchange between tasks"),
            Self::Savepoint => f.write_str("the savepoint in"),
        }
    }
}

/// Whether there is nothing at a position any more, or not yet.
pub(super) fn is_out_of_range(code: RDKafkaRespErr) -> bool {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE};
    matches!(code, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use RDKafkaRespErr::*;

    #[test]
    fn what_is_wrong_with_a_topic_is_said_with_its_part_in_the_job_and_what_to_do() {
        let codes = [
            RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
            RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            RD_KAFKA_RESP_ERR__BAD_MSG,
        ];
        let roles = [
            (Role::Source { table: "orders".into() }, "the source of table orders, t-3", "'scan.startup.mode'"),
            (Role::Log, "the job's log t-3", "without this topic"),
            (Role::Exchange, "the job's exchange between tasks t-3", "without this topic"),
            (Role::Savepoint, "the savepoint in t-3", "another savepoint"),
        ];
        for (role, part, remedy) in roles {
            for code in codes {
                let error = role.failure(code, "t-3", "said").unwrap_err();
                let message = error.to_string();
                assert_eq!(error.kind, ErrorKind::FailJob, "{message}");
                assert!(message.contains(part) && message.contains("(said)") && message.contains(remedy), "{message}");
            }
            let denied = role.failure(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "t-3", "said").unwrap_err();
            assert_eq!(denied.kind, ErrorKind::UserFault);
            assert!(denied.to_string().contains("grant READ"), "{denied}");
            role.failure(RD_KAFKA_RESP_ERR__TRANSPORT, "t-3", "said").expect("brokers come and go");
        }
    }
}
