//! Records of one task on their way into the epoch's transaction. While the transaction before it is being
//! committed they are held back, in memory, and count against the epoch's bound.

use crate::commit::epoch_memory::EpochMemory;
use crate::encode::EncodedRows;
use crate::error::Result;
use crate::kafka::producer::ProduceScratch;
use crate::kafka::{OutgoingRecord, ProducerTopic, TransactionalProducer};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows for one topic.
pub struct RowsRecord {
    /// None: by the key of each row.
    pub partition: Option<i32>,
    pub keys: Option<EncodedRows>,
    pub values: EncodedRows,
}

/// One record with headers.
pub struct HeadedRecord {
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Epoch milliseconds; None: when it is produced.
    pub timestamp: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

enum Held {
    Rows(RowsRecord),
    Headed(HeadedRecord),
    Plain { partition: i32, value: Vec<u8> },
}

pub struct Outputs {
    /// The producer whose transaction is open to this task; None: records are held back.
    open: Option<Arc<TransactionalProducer>>,
    topics: HashMap<Arc<str>, ProducerTopic>,
    held: Vec<(Arc<str>, Held)>,
    held_bytes: usize,
    /// About what the task's changes of state will add at the epoch's end. Counted as if it were there.
    owed_bytes: usize,
    /// Of the whole worker.
    memory: Arc<EpochMemory>,
    scratch: ProduceScratch,
    /// Buffers of rows already produced, to be filled again.
    spare: Vec<EncodedRows>,
}

/// Row buffers kept for reuse, of each task.
const SPARE_BUFFERS: usize = 4;

impl Outputs {
    pub fn new(memory: Arc<EpochMemory>) -> Self {
        Self {
            open: None,
            topics: HashMap::new(),
            held: Vec::new(),
            held_bytes: 0,
            owed_bytes: 0,
            memory,
            scratch: ProduceScratch::default(),
            spare: Vec::new(),
        }
    }

    /// An empty buffer for rows.
    pub fn buffer(&mut self) -> EncodedRows {
        self.spare.pop().unwrap_or_default()
    }

    /// From now on records go into `producer`'s transaction, those held back first.
    pub fn open(&mut self, producer: &Arc<TransactionalProducer>) -> Result<()> {
        self.open = Some(producer.clone());
        self.memory.release(std::mem::take(&mut self.held_bytes) + self.owed_bytes);
        self.memory.add_to_open(self.owed_bytes);
        for (topic, held) in std::mem::take(&mut self.held) {
            match held {
                Held::Rows(rows) => self.produce_rows(&topic, rows)?,
                Held::Headed(record) => self.produce_headed(&topic, &record)?,
                Held::Plain { partition, value } => self.produce_plain(&topic, partition, &value)?,
            }
        }
        Ok(())
    }

    /// From now on records are of the next epoch and are held back.
    pub fn hold(&mut self) {
        self.open = None;
        self.owed_bytes = 0;
    }

    /// The epoch's changes of state are about so many bytes by now.
    pub fn owe(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.owed_bytes);
        self.owed_bytes += more;
        if self.open.is_some() { self.memory.add_to_open(more) } else { self.memory.hold(more) }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn rows(&mut self, topic: &Arc<str>, rows: RowsRecord) -> Result<()> {
        if self.open.is_some() {
            return self.produce_rows(topic, rows);
        }
        self.hold_bytes(rows.values.total_bytes() + rows.keys.as_ref().map_or(0, EncodedRows::total_bytes));
        self.held.push((topic.clone(), Held::Rows(rows)));
        Ok(())
    }

    pub fn record(&mut self, topic: &Arc<str>, record: HeadedRecord) -> Result<()> {
        if self.open.is_some() {
            return self.produce_headed(topic, &record);
        }
        self.hold_bytes(record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len));
        self.held.push((topic.clone(), Held::Headed(record)));
        Ok(())
    }

    /// One record without a key for a given partition: of the task log, or of an exchange.
    pub fn plain(&mut self, topic: &Arc<str>, partition: i32, value: Vec<u8>) -> Result<()> {
        if self.open.is_some() {
            return self.produce_plain(topic, partition, &value);
        }
        self.hold_bytes(value.len());
        self.held.push((topic.clone(), Held::Plain { partition, value }));
        Ok(())
    }

    pub fn memory(&self) -> &EpochMemory {
        &self.memory
    }

    fn hold_bytes(&mut self, bytes: usize) {
        self.held_bytes += bytes;
        self.memory.hold(bytes);
    }

    fn produce_rows(&mut self, topic: &Arc<str>, rows: RowsRecord) -> Result<()> {
        let handle = self.topic(topic)?;
        let record =
            |i: usize| OutgoingRecord { key: rows.keys.as_ref().map(|k| k.row(i)), payload: Some(rows.values.row(i)) };
        handle.produce(rows.partition, (0..rows.values.len()).map(record), &mut self.scratch)?;
        let bytes = rows.values.total_bytes() + rows.keys.as_ref().map_or(0, EncodedRows::total_bytes);
        self.memory.add_to_open(bytes);
        for mut buffer in [Some(rows.values), rows.keys].into_iter().flatten() {
            if self.spare.len() < SPARE_BUFFERS {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
        Ok(())
    }

    fn produce_plain(&mut self, topic: &Arc<str>, partition: i32, value: &[u8]) -> Result<()> {
        let handle = self.topic(topic)?;
        let outgoing = OutgoingRecord { key: None, payload: Some(value) };
        handle.produce(Some(partition), std::iter::once(outgoing), &mut self.scratch)?;
        self.memory.add_to_open(value.len());
        Ok(())
    }

    fn produce_headed(&mut self, topic: &Arc<str>, record: &HeadedRecord) -> Result<()> {
        let handle = self.topic(topic)?;
        let outgoing = OutgoingRecord { key: record.key.as_deref(), payload: record.value.as_deref() };
        handle.produce_with_headers(outgoing, record.partition, record.timestamp, &record.headers)?;
        self.memory.add_to_open(record.value.as_ref().map_or(0, Vec::len));
        Ok(())
    }

    fn topic(&mut self, topic: &Arc<str>) -> Result<ProducerTopic> {
        if let Some(handle) = self.topics.get(topic) {
            return Ok(handle.clone());
        }
        let producer = self.open.as_ref().expect("records are only produced into an open transaction");
        let handle = producer.topic(topic)?;
        self.topics.insert(topic.clone(), handle.clone());
        Ok(handle)
    }
}
