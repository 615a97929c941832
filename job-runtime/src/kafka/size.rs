//! How large records may be: what a record takes on its own, by Kafka's format, and what topics take at most. The
//! broker holds a topic's `max.message.bytes` against whole batches, so batches have to be small enough as well.

use std::collections::BTreeMap;

/// The topic's option that says how large a batch of records may be.
pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// `max.message.bytes` of the topics that Millrace makes for itself. More than that services which run Kafka for
/// others often refuse.
pub const OWN_TOPIC_BYTES: usize = 8 << 20;

/// What a batch of many records takes at most, unless a topic takes less. Topics of the job's own have to take it.
pub const BATCH_BYTES: usize = 1_000_000;

/// What the client may send in one record beyond what its topic takes: the broker then says no, and by which topic.
const CLIENT_MARGIN: usize = 64 << 10;

/// Of a batch without its records: offsets, lengths, checksum, times, producer.
const BATCH_HEADER: usize = 61;

/// A header of a record: its name and, if it has one, its value.
pub type RecordHeader = (String, Option<Vec<u8>>);

/// What a batch takes that holds only this record, without compression.
pub fn record_bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[RecordHeader]) -> usize {
    // Attributes, and the differences to the batch's first time and offset: the record is the first.
    let fixed = 3;
    let of_header = |(name, value): &RecordHeader| field(Some(name.len())) + field(value.as_ref().map(Vec::len));
    let headers = varint(headers.len() as i64) + headers.iter().map(of_header).sum::<usize>();
    let body = fixed + field(key.map(<[u8]>::len)) + field(value.map(<[u8]>::len)) + headers;
    BATCH_HEADER + varint(body as i64) + body
}

/// Bytes with their length before them; the length of none is -1.
fn field(length: Option<usize>) -> usize {
    length.map_or(varint(-1), |length| varint(length as i64) + length)
}

/// The bytes of a number, seven bits in each, its sign in the lowest.
fn varint(number: i64) -> usize {
    let zigzag = ((number << 1) ^ (number >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// What each topic that a worker writes takes at most; None where the broker does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicLimits(pub BTreeMap<String, Option<usize>>);

impl TopicLimits {
    pub fn of(&self, topic: &str) -> Option<usize> {
        self.0.get(topic).copied().flatten()
    }

    /// The largest batch of many records that every topic takes.
    pub fn batch_bytes(&self) -> usize {
        self.0.values().flatten().copied().fold(BATCH_BYTES, usize::min).max(1)
    }

    /// The largest record that any topic takes, and some more.
    pub fn record_bytes(&self) -> usize {
        self.0.values().flatten().copied().fold(OWN_TOPIC_BYTES, usize::max).saturating_add(CLIENT_MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_what_kafkas_format_says() {
        // 61 of the batch, 1 length, 3 fixed, 1 without a key, 1 + 5 value, 1 without headers.
        assert_eq!(record_bytes(None, Some(b"value"), &[]), 61 + 1 + 3 + 1 + 6 + 1);
        // A key of 63 bytes has a length of one byte, one of 64 a length of two; so does the record.
        let of_key = |length: usize| record_bytes(Some(&vec![0; length]), None, &[]);
        assert_eq!(of_key(63) + 2, of_key(64));
        let headers = [("name".to_owned(), Some(vec![0; 10])), ("none".to_owned(), None)];
        assert_eq!(record_bytes(None, None, &headers), record_bytes(None, None, &[]) + (1 + 4 + 1 + 10) + (1 + 4 + 1));
    }

    #[test]
    fn batches_fit_the_least_topic_and_records_the_largest() {
        let limits = |of: &[(&str, Option<usize>)]| {
            TopicLimits(of.iter().map(|&(topic, limit)| (topic.to_owned(), limit)).collect())
        };
        assert_eq!(limits(&[]).batch_bytes(), BATCH_BYTES);
        let mixed = limits(&[("small", Some(1_000)), ("large", Some(50 << 20)), ("silent", None)]);
        assert_eq!(mixed.batch_bytes(), 1_000);
        assert!(mixed.record_bytes() > 50 << 20);
        assert_eq!((mixed.of("small"), mixed.of("silent"), mixed.of("unknown")), (Some(1_000), None, None));
    }
}
