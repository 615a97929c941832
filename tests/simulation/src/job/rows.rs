//! What travels: rows of the source, messages of an exchange, outputs, and state changes, as bytes. Fixed
//! little-endian fields; nothing here is read by anything but the simulation and its oracle.

use crate::disk::Change;
use std::rc::Rc;

/// One row of the source, which it names by partition and offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub partition: u32,
    pub offset: i64,
    pub key: u32,
    pub bucket: u32,
    pub time: i64,
    pub value: i64,
}

/// A record of an exchange topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The task upstream.
    pub from: u32,
    pub number: u64,
    pub watermark: i64,
    pub rows: Vec<Row>,
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn put(mut self, value: i64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn row(self, row: &Row) -> Self {
        let own = self.put(i64::from(row.partition)).put(row.offset).put(i64::from(row.key));
        own.put(i64::from(row.bucket)).put(row.time).put(row.value)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self) -> i64 {
        let (value, rest) = self.0.split_first_chunk().expect("written by this version");
        self.0 = rest;
        i64::from_le_bytes(*value)
    }

    fn row(&mut self) -> Row {
        Row {
            partition: self.take() as u32,
            offset: self.take(),
            key: self.take() as u32,
            bucket: self.take() as u32,
            time: self.take(),
            value: self.take(),
        }
    }
}

impl Row {
    pub fn encode(&self) -> Rc<[u8]> {
        Writer::default().row(self).0.into()
    }

    pub fn decode(bytes: &[u8]) -> Self {
        Reader(bytes).row()
    }
}

impl Message {
    pub fn encode(&self) -> Rc<[u8]> {
        let head = Writer::default().put(i64::from(self.from)).put(self.number as i64).put(self.watermark);
        self.rows.iter().fold(head, Writer::row).0.into()
    }

    pub fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let (from, number, watermark) = (reader.take() as u32, reader.take() as u64, reader.take());
        let mut rows = Vec::new();
        while !reader.0.is_empty() {
            rows.push(reader.row());
        }
        Self { from, number, watermark, rows }
    }
}

/// An output of the first stage: a row was counted, as the so many-th of its key.
pub fn counted(row: &Row, count: i64) -> Rc<[u8]> {
    Writer::default().put(1).put(i64::from(row.key)).put(i64::from(row.partition)).put(row.offset).put(count).0.into()
}

/// An output of the second stage: a window has closed.
pub fn closed(bucket: u32, window_end: i64, count: i64, sum: i64) -> Rc<[u8]> {
    Writer::default().put(2).put(i64::from(bucket)).put(window_end).put(count).put(sum).0.into()
}

/// State changes as a batch of the task log carries them.
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let put = |writer: Writer, ((kind, a, b), value): &Change| {
        let key = writer.put(i64::from(*kind)).put(i64::from(*a)).put(*b);
        let (there, value) = value.map_or((0, (0, 0)), |value| (1, value));
        key.put(there).put(value.0).put(value.1)
    };
    changes.iter().fold(Writer::default(), put).0
}

pub fn decode_changes(bytes: &[u8]) -> Vec<Change> {
    let mut reader = Reader(bytes);
    let mut changes = Vec::new();
    while !reader.0.is_empty() {
        let key = (reader.take() as u8, reader.take() as u32, reader.take());
        let there = reader.take() == 1;
        let value = (reader.take(), reader.take());
        changes.push((key, there.then_some(value)));
    }
    changes
}
