//! The records of a task log, versioned: `version (u8) | kind (u8) | body`. Claims and commits are JSON,
//! so that a person can read a log with any Kafka tool; batches of state changes are binary, with a CRC.
//! Kind numbers are persisted and never reused.

use crate::error::{ProtocolError, Result, corrupt};
use serde::{Deserialize, Serialize};

/// Of every record's first byte.
pub const LOG_FORMAT: u8 = 1;

const CLAIM: u8 = 1;
const RELEASE: u8 = 2;
const BATCH: u8 = 3;
const COMMIT: u8 = 4;

/// Length of version and kind.
const PREFIX: usize = 2;
/// Length of a batch's body before its changes: claim offset and CRC.
const BATCH_HEADER: usize = 12;

#[derive(Clone, Debug, PartialEq)]
pub enum LogRecord<'a> {
    /// A worker took the task over; what earlier claimers have under way is void.
    Claim(Claim),
    /// A worker let go of the task after its last commit.
    Release(Release),
    /// State changes that the next `Commit` makes valid.
    Batch(Batch<'a>),
    Commit(Commit),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    pub generation: u32,
    pub ordinal: u32,
    /// Of the pod, or of the directory that a worker works in: the same holder may claim at once.
    pub holder: String,
    /// Of this writing of claims; a worker is restored when it reads the claims with its last one.
    pub attempt: String,
    pub transactional_id: String,
    /// The highest generation that the claimer had read of, in any log.
    pub highest_generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    pub attempt: String,
}

/// `changes` is laid out as the runtime's `StateChanges` describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Offset of the claim under which it was written.
    pub claim: i64,
    pub changes: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Offset of the claim under which it was written.
    pub claim: i64,
    /// Rises by one with each commit of the task.
    pub sequence: u64,
    /// Where reading goes on. Every partition that the task has ever read is in it.
    pub positions: Vec<SourcePosition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePosition {
    /// The scan's operator id.
    pub operator: u32,
    pub topic: String,
    /// Empty where the broker tells none, and for sources other than Kafka.
    pub topic_id: String,
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// A bounded scan ends before this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

impl LogRecord<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let json = |kind: u8, body: serde_json::Result<Vec<u8>>| {
            let mut bytes = vec![LOG_FORMAT, kind];
            bytes.extend(body.expect("plain data always serialises"));
            bytes
        };
        match self {
            Self::Claim(claim) => json(CLAIM, serde_json::to_vec(claim)),
            Self::Release(release) => json(RELEASE, serde_json::to_vec(release)),
            Self::Commit(commit) => json(COMMIT, serde_json::to_vec(commit)),
            Self::Batch(batch) => {
                let mut bytes = Vec::with_capacity(PREFIX + BATCH_HEADER + batch.changes.len());
                bytes.extend([LOG_FORMAT, BATCH]);
                bytes.extend(batch.claim.to_le_bytes());
                bytes.extend(crc32c::crc32c(batch.changes).to_le_bytes());
                bytes.extend(batch.changes);
                bytes
            }
        }
    }

    /// Errors say that the log is corrupt or written by a later version; both need a person.
    pub fn decode(bytes: &[u8]) -> Result<LogRecord<'_>> {
        let [version, kind, body @ ..] = bytes else {
            return Err(corrupt("a record is shorter than its header"));
        };
        if *version != LOG_FORMAT {
            return Err(ProtocolError::LaterFormat { found: *version, known: LOG_FORMAT });
        }
        match *kind {
            CLAIM => parse("claim", body).map(LogRecord::Claim),
            RELEASE => parse("release", body).map(LogRecord::Release),
            COMMIT => parse("commit", body).map(LogRecord::Commit),
            BATCH => decode_batch(body).map(LogRecord::Batch),
            other => Err(corrupt(format!("a record is of unknown kind {other}"))),
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(kind: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| corrupt(format!("a {kind} can't be read: {error}")))
}

fn decode_batch(body: &[u8]) -> Result<Batch<'_>> {
    if body.len() < BATCH_HEADER {
        return Err(corrupt("a batch is shorter than its header"));
    }
    let (header, changes) = body.split_at(BATCH_HEADER);
    let (claim, crc) = header.split_at(8);
    let claim = i64::from_le_bytes(claim.try_into().expect("eight bytes"));
    if crc32c::crc32c(changes).to_le_bytes() != crc {
        return Err(corrupt("a batch of state changes fails its checksum"));
    }
    Ok(Batch { claim, changes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let position = SourcePosition {
            operator: 7,
            topic: "user-events".into(),
            topic_id: "abc".into(),
            partition: 3,
            offset: 42,
            end: None,
        };
        Commit { claim: 5, sequence: 9, positions: vec![position] }
    }

    #[test]
    fn every_kind_of_record_reads_back_as_written() {
        let claim = Claim {
            generation: 2,
            ordinal: 0,
            holder: "pod".into(),
            attempt: "start".into(),
            transactional_id: "ns.uid.1.2.0".into(),
            highest_generation: 2,
        };
        let records = [
            LogRecord::Claim(claim),
            LogRecord::Release(Release { attempt: "start".into() }),
            LogRecord::Batch(Batch { claim: 5, changes: b"changes" }),
            LogRecord::Commit(commit()),
        ];
        for record in records {
            assert_eq!(LogRecord::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn a_flipped_bit_in_a_batch_is_corruption() {
        let mut bytes = LogRecord::Batch(Batch { claim: 5, changes: b"changes" }).encode();
        *bytes.last_mut().unwrap() ^= 1;
        let error = LogRecord::decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }

    #[test]
    fn a_later_format_names_what_to_do() {
        let mut bytes = LogRecord::Commit(commit()).encode();
        bytes[0] = LOG_FORMAT + 1;
        let error = LogRecord::decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("run the version that wrote it"), "{error}");
    }
}
