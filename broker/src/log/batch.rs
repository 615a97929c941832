//! A record batch (format version 2) as bytes: reading its header, checking it, and making the two
//! control batches (commit and abort markers) that the broker itself writes.
//!
//! It is a view: records stay as the producer compressed and laid them out. The broker only ever
//! patches the base offset and the leader epoch, which lie outside the checksum.

use bytes::BufMut;
use thiserror::Error;

/// Bytes before the first record.
pub(crate) const HEADER_LEN: usize = 61;
/// The bytes of a batch that its length field does not count: base offset and the field itself.
const LENGTH_OVERHEAD: usize = 12;
/// The checksum covers everything from the attributes on.
const CRC_START: usize = 21;
const MAGIC: u8 = 2;

const COMPRESSION_MASK: i16 = 0x07;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Why bytes are not an acceptable record batch.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchError {
    #[error("the record batch is cut short")]
    Truncated,
    #[error("the record batch has format version {0}, only version 2 is supported")]
    Magic(u8),
    #[error("the record batch's length field is impossible")]
    Length,
    #[error("the record batch's checksum does not match")]
    Checksum,
    #[error("the record batch's offsets do not fit its record count")]
    Offsets,
}

/// How a transaction ended, as its marker in every partition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Abort,
    Commit,
}

/// The fixed part of a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub(crate) size: usize,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records: i32,
}

impl BatchHeader {
    /// Reads the header from the start of `bytes`, which need not hold the whole batch.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Truncated);
        }
        if bytes[16] != MAGIC {
            return Err(BatchError::Magic(bytes[16]));
        }
        let length = i32::from_be_bytes(field(bytes, 8));
        let size = usize::try_from(length).map_err(|_| BatchError::Length)? + LENGTH_OVERHEAD;
        if size < HEADER_LEN {
            return Err(BatchError::Length);
        }
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            size,
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            records: i32::from_be_bytes(field(bytes, 57)),
        };
        if header.last_offset_delta < 0 {
            return Err(BatchError::Offsets);
        }
        Ok(header)
    }

    /// Reads and checks a batch that fills `bytes` exactly, the checksum included.
    pub(crate) fn parse_whole(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        if bytes.len() < header.size {
            return Err(BatchError::Truncated);
        }
        if bytes.len() > header.size {
            return Err(BatchError::Length);
        }
        if crc32c::crc32c(&bytes[CRC_START..]) != header.crc {
            return Err(BatchError::Checksum);
        }
        Ok(header)
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset that follows this batch.
    pub(crate) fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_MASK != 0
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record; sequence numbers wrap to zero after `i32::MAX`.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// The first bytes of a batch, up to the checksum's start, placed at `base_offset` of this broker's
/// log. The rest of the batch follows unchanged.
pub(crate) fn placed_prefix(batch: &[u8], base_offset: i64) -> [u8; CRC_START] {
    let mut prefix: [u8; CRC_START] = field(batch, 0);
    prefix[0..8].copy_from_slice(&base_offset.to_be_bytes());
    prefix[12..16].copy_from_slice(&0i32.to_be_bytes());
    prefix
}

/// The bytes that follow [`placed_prefix`].
pub(crate) fn after_prefix(batch: &[u8]) -> &[u8] {
    &batch[CRC_START..]
}

/// A control batch of one record that ends a transaction in a partition.
pub(crate) fn marker_batch(producer_id: i64, producer_epoch: i16, marker: Marker, timestamp: i64) -> Vec<u8> {
    let mut record = Vec::with_capacity(16);
    record.put_slice(&[0, 0, 0]); // attributes, timestamp delta, offset delta
    record.put_u8(8); // key: 4 bytes, zigzag
    record.put_i16(0); // control record version
    record.put_i16(match marker {
        Marker::Abort => 0,
        Marker::Commit => 1,
    });
    record.put_u8(12); // value: 6 bytes, zigzag
    record.put_i16(0); // marker version
    record.put_i32(0); // coordinator epoch
    record.put_u8(0); // headers

    let mut body = Vec::with_capacity(64);
    body.put_i16(TRANSACTIONAL | CONTROL);
    body.put_i32(0); // last offset delta
    body.put_i64(timestamp);
    body.put_i64(timestamp);
    body.put_i64(producer_id);
    body.put_i16(producer_epoch);
    body.put_i32(-1); // markers carry no sequence number
    body.put_i32(1);
    body.put_u8((record.len() as u8) << 1);
    body.put_slice(&record);

    let mut batch = Vec::with_capacity(CRC_START + body.len());
    batch.put_i64(0);
    batch.put_i32((CRC_START - LENGTH_OVERHEAD + body.len()) as i32);
    batch.put_i32(0); // leader epoch
    batch.put_u8(MAGIC);
    batch.put_u32(crc32c::crc32c(&body));
    batch.put_slice(&body);
    batch
}

/// What a control batch says, or `None` where it is no transaction marker.
pub(crate) fn marker_of(batch: &[u8]) -> Option<Marker> {
    let mut records = Records::new(batch.get(HEADER_LEN..)?);
    let key = records.next()?.key?;
    match i16::from_be_bytes(key.get(2..4)?.try_into().ok()?) {
        0 => Some(Marker::Abort),
        1 => Some(Marker::Commit),
        _ => None,
    }
}

/// The offset and timestamp of the first record at or after `timestamp` in a whole batch.
///
/// Compressed records are not opened: the batch's first offset is answered, which is never too late.
pub(crate) fn offset_at_or_after(batch: &[u8], header: &BatchHeader, timestamp: i64) -> Option<(i64, i64)> {
    if header.max_timestamp < timestamp {
        return None;
    }
    if header.is_compressed() {
        return Some((header.base_offset, header.max_timestamp));
    }
    Records::new(batch.get(HEADER_LEN..)?)
        .map(|record| (header.base_offset + record.offset_delta, header.base_timestamp + record.timestamp_delta))
        .find(|(_, at)| *at >= timestamp)
}

/// One uncompressed record, as far as the broker looks into it.
struct Record<'a> {
    timestamp_delta: i64,
    offset_delta: i64,
    key: Option<&'a [u8]>,
}

/// Iterates over uncompressed records; ends at the first that does not parse.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Records { rest }
    }

    fn read(&mut self) -> Option<Record<'a>> {
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let mut body = self.rest.get(..length)?;
        self.rest = &self.rest[length..];
        body = body.get(1..)?; // attributes
        let timestamp_delta = varint(&mut body)?;
        let offset_delta = varint(&mut body)?;
        let key = match usize::try_from(varint(&mut body)?) {
            Ok(length) => Some(body.get(..length)?),
            Err(_) => None,
        };
        Some(Record { timestamp_delta, offset_delta, key })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() { None } else { self.read() }
    }
}

/// A zigzag variable-length integer.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// A fixed-width field; callers have checked that the header is there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
pub(crate) mod testing {
    //! Batches as a client would send them.

    use super::*;

    /// What a test wants of a batch; records are `k` -> `v<n>` with growing timestamps.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Spec {
        pub(crate) records: i32,
        pub(crate) timestamp: i64,
        pub(crate) producer: Option<(i64, i16, i32)>,
        pub(crate) transactional: bool,
        pub(crate) payload: usize,
    }

    impl Default for Spec {
        fn default() -> Self {
            Spec { records: 1, timestamp: 1_000, producer: None, transactional: false, payload: 10 }
        }
    }

    pub(crate) fn batch(spec: Spec) -> Vec<u8> {
        let mut records = Vec::new();
        for n in 0..spec.records {
            let mut record = vec![0];
            put_varint(&mut record, i64::from(n));
            put_varint(&mut record, i64::from(n));
            put_varint(&mut record, 1);
            record.push(b'k');
            put_varint(&mut record, spec.payload as i64);
            record.extend(std::iter::repeat_n(b'v', spec.payload));
            put_varint(&mut record, 0);
            put_varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        let (producer_id, epoch, sequence) = spec.producer.unwrap_or((-1, -1, -1));
        let mut body = Vec::new();
        body.put_i16(if spec.transactional { TRANSACTIONAL } else { 0 });
        body.put_i32(spec.records - 1);
        body.put_i64(spec.timestamp);
        body.put_i64(spec.timestamp + i64::from(spec.records) - 1);
        body.put_i64(producer_id);
        body.put_i16(epoch);
        body.put_i32(sequence);
        body.put_i32(spec.records);
        body.put_slice(&records);
        let mut out = Vec::new();
        out.put_i64(0);
        out.put_i32((CRC_START - LENGTH_OVERHEAD + body.len()) as i32);
        out.put_i32(-1);
        out.put_u8(MAGIC);
        out.put_u32(crc32c::crc32c(&body));
        out.put_slice(&body);
        out
    }

    fn put_varint(out: &mut Vec<u8>, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Spec, batch};
    use super::*;

    #[test]
    fn a_batch_is_read_back_as_it_was_written() {
        let bytes = batch(Spec { records: 3, producer: Some((7, 2, 40)), transactional: true, ..Spec::default() });
        let header = BatchHeader::parse_whole(&bytes).expect("a valid batch");
        assert_eq!(header.size, bytes.len());
        assert_eq!((header.producer_id, header.producer_epoch), (7, 2));
        assert_eq!((header.base_sequence, header.last_sequence()), (40, 42));
        assert_eq!(header.last_offset_delta, 2);
        assert!(header.is_transactional() && !header.is_control());
    }

    #[test]
    fn a_flipped_bit_anywhere_behind_the_checksum_is_found() {
        let good = batch(Spec { records: 2, ..Spec::default() });
        for at in CRC_START..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(BatchHeader::parse_whole(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn placing_a_batch_at_an_offset_keeps_its_checksum_valid() {
        let bytes = batch(Spec::default());
        let mut placed = placed_prefix(&bytes, 1234).to_vec();
        placed.extend_from_slice(after_prefix(&bytes));
        let header = BatchHeader::parse_whole(&placed).expect("still valid");
        assert_eq!(header.base_offset, 1234);
    }

    #[test]
    fn markers_say_whether_the_transaction_was_committed() {
        for marker in [Marker::Commit, Marker::Abort] {
            let bytes = marker_batch(5, 1, marker, 99);
            let header = BatchHeader::parse_whole(&bytes).expect("a valid control batch");
            assert!(header.is_control() && header.is_transactional());
            assert_eq!(marker_of(&bytes), Some(marker));
        }
    }

    #[test]
    fn a_timestamp_is_found_inside_an_uncompressed_batch() {
        let bytes = batch(Spec { records: 5, timestamp: 100, ..Spec::default() });
        let header = BatchHeader::parse_whole(&bytes).expect("a valid batch");
        assert_eq!(offset_at_or_after(&bytes, &header, 103), Some((3, 103)));
        assert_eq!(offset_at_or_after(&bytes, &header, 0), Some((0, 100)));
        assert_eq!(offset_at_or_after(&bytes, &header, 105), None);
    }

    #[test]
    fn garbage_never_panics() {
        for length in 0..200 {
            let garbage: Vec<u8> = (0..length).map(|n| (n * 37 % 251) as u8).collect();
            assert!(BatchHeader::parse_whole(&garbage).is_err());
            let _ = marker_of(&garbage);
        }
    }
}
