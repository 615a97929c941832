//! The records of a task log, versioned: `version (u8) | kind (u8) | body`. Claims and commits are JSON,
//! so that a person can read a log with any Kafka tool; batches of state changes and images are binary, with a
//! CRC. Kind numbers are persisted and never reused.

use crate::error::{ProtocolError, Result, corrupt};
use crate::replay::Applied;
use serde::{Deserialize, Serialize};

/// Of every record's first byte.
pub const LOG_FORMAT: u8 = 1;

const CLAIM: u8 = 1;
const RELEASE: u8 = 2;
const BATCH: u8 = 3;
const COMMIT: u8 = 4;
const IMAGE: u8 = 5;
const CHECKPOINT: u8 = 6;

/// Length of version and kind.
const PREFIX: usize = 2;
/// Length of a batch's body before its changes: claim offset and CRC.
const BATCH_HEADER: usize = 12;
/// Length of an image part's body before what it covers and its entries: claim offset, id, part, the length of
/// what it covers, and CRC.
const IMAGE_HEADER: usize = 28;

#[derive(Clone, Debug, PartialEq)]
pub enum LogRecord<'a> {
    /// A worker took the task over; what earlier claimers have under way is void.
    Claim(Claim),
    /// A worker let go of the task after its last commit.
    Release(Release),
    /// State changes that the next `Commit` makes valid.
    Batch(Batch<'a>),
    Commit(Commit),
    /// A part of a copy of the task's state.
    Image(Image<'a>),
    /// A copy of the task's state is in the object store.
    Checkpoint(Checkpoint),
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

/// An image's parts are numbered from 0; they may be spread over several transactions, with anything else
/// between them. Only an image that has all of them counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Offset of the claim under which it was written.
    pub claim: i64,
    /// Tells it from other images under the same claim.
    pub id: u64,
    pub part: u32,
    /// In the last part: how far the state has come that the image is of.
    pub last: Option<Applied>,
    /// Laid out as the changes of a batch that makes this state of an empty one.
    pub entries: &'a [u8],
}

/// The object store has all of it before this is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Offset of the claim under which it was written.
    pub claim: i64,
    /// Key of the object that lists the others.
    pub manifest: String,
    /// Of that object, in hexadecimal.
    pub sha256: String,
    /// Of all its objects together.
    pub bytes: u64,
    pub applied: Applied,
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
            Self::Image(image) => encode_image(image),
            Self::Checkpoint(checkpoint) => json(CHECKPOINT, serde_json::to_vec(checkpoint)),
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
            IMAGE => decode_image(body).map(LogRecord::Image),
            CHECKPOINT => parse("checkpoint", body).map(LogRecord::Checkpoint),
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

fn encode_image(image: &Image<'_>) -> Vec<u8> {
    let last = image.last.as_ref().map(|applied| serde_json::to_vec(applied).expect("plain data always serialises"));
    let last = last.unwrap_or_default();
    let mut bytes = Vec::with_capacity(PREFIX + IMAGE_HEADER + last.len() + image.entries.len());
    bytes.extend([LOG_FORMAT, IMAGE]);
    bytes.extend(image.claim.to_le_bytes());
    bytes.extend(image.id.to_le_bytes());
    bytes.extend(image.part.to_le_bytes());
    bytes.extend((last.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[PREFIX..]);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &last), image.entries);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(last);
    bytes.extend(image.entries);
    bytes
}

fn decode_image(body: &[u8]) -> Result<Image<'_>> {
    if body.len() < IMAGE_HEADER {
        return Err(corrupt("a part of an image is shorter than its header"));
    }
    let (header, rest) = body.split_at(IMAGE_HEADER);
    let (fields, crc) = header.split_at(IMAGE_HEADER - 4);
    if crc32c::crc32c_append(crc32c::crc32c(fields), rest).to_le_bytes() != crc {
        return Err(corrupt("a part of an image fails its checksum"));
    }
    let number = |at: usize| u32::from_le_bytes(fields[at..at + 4].try_into().expect("four bytes"));
    let (last, entries) = rest
        .split_at_checked(number(20) as usize)
        .ok_or_else(|| corrupt("a part of an image is shorter than it says"))?;
    Ok(Image {
        claim: i64::from_le_bytes(fields[..8].try_into().expect("eight bytes")),
        id: u64::from_le_bytes(fields[8..16].try_into().expect("eight bytes")),
        part: number(16),
        last: if last.is_empty() { None } else { Some(parse("part of an image", last)?) },
        entries,
    })
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

    fn applied() -> Applied {
        Applied { log_offset: 12, commit: commit(), generation: 2, transactional_id: "ns.uid.1.2.0".into() }
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
            LogRecord::Image(Image { claim: 5, id: 1 << 40, part: 0, last: None, entries: b"entries" }),
            LogRecord::Image(Image { claim: 5, id: 1 << 40, part: 1, last: Some(applied()), entries: b"" }),
            LogRecord::Checkpoint(Checkpoint {
                claim: 5,
                manifest: "job/1/0/manifest".into(),
                sha256: "ab".into(),
                bytes: 1 << 30,
                applied: applied(),
            }),
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
    fn a_flipped_bit_anywhere_in_a_part_of_an_image_is_corruption() {
        let part = Image { claim: 5, id: 3, part: 1, last: Some(applied()), entries: b"entries" };
        let bytes = LogRecord::Image(part).encode();
        for at in PREFIX..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(LogRecord::decode(&bytes).is_err(), "byte {at}");
            assert!(LogRecord::decode(&bytes[..at]).is_err(), "cut off at byte {at}");
        }
    }

    #[test]
    fn a_later_format_names_what_to_do() {
        let mut bytes = LogRecord::Commit(commit()).encode();
        bytes[0] = LOG_FORMAT + 1;
        let error = LogRecord::decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("run the version that wrote it"), "{error}");
    }
}
