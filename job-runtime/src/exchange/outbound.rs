//! Rows of one task for tasks of other workers: collected per task, cut into records of a good size, and
//! given to the transaction at the latest when the epoch ends, with how far time has come after them.

use super::record::{ExchangeRecord, RecordEncoder};
use crate::error::{ErrorContext, ErrorKind, Result};
use crate::kafka::size::BATCH_BYTES;
use crate::operators::Progress;
use crate::sink::outputs::Outputs;
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use millrace_protocol::link::Links;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bounds of the memory that rows for one task take before a record is made of them: well below Kafka's
/// default limit of 1 MB, and enough to be worth a record.
const RECORD_BYTES: std::ops::Range<usize> = 16 << 10..512 << 10;

/// A record above it is sent as several: rows that come in one large batch are not cut before. A single row may be
/// larger; topics of the job's own take more than this.
const SENT_BYTES: usize = BATCH_BYTES - (8 << 10);

pub struct Outbound {
    from: u32,
    topic: Arc<str>,
    /// By task of another worker.
    remote: BTreeMap<u32, Pending>,
    progress: Progress,
    /// Whether anything downstream goes by processing time; else only its end is worth telling.
    processing_time: bool,
    record_bytes: usize,
    encoder: RecordEncoder,
}

struct Pending {
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// When the first of the batches came, epoch milliseconds.
    ready_at: i64,
    /// The progress that it was told last, by this process.
    told: Progress,
}

impl Outbound {
    /// `memory`: what the rows that wait for all tasks may take together.
    pub fn new(
        from: u32,
        topic: Arc<str>,
        remote: impl IntoIterator<Item = u32>,
        processing_time: bool,
        memory: usize,
    ) -> Result<Self> {
        let pending = |task| (task, Pending { batches: Vec::new(), bytes: 0, ready_at: 0, told: Progress::START });
        let remote: BTreeMap<u32, Pending> = remote.into_iter().map(pending).collect();
        let record_bytes = (memory / remote.len().max(1)).clamp(RECORD_BYTES.start, RECORD_BYTES.end);
        let encoder = RecordEncoder::new()?;
        Ok(Self { from, topic, remote, progress: Progress::START, processing_time, record_bytes, encoder })
    }

    /// Rows for a task of another worker, at this time.
    pub fn push(
        &mut self,
        to: u32,
        rows: RecordBatch,
        now: i64,
        links: &mut Links,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let pending = self.remote.get_mut(&to).expect("a task of another worker");
        let bytes = rows.get_array_memory_size();
        if pending.bytes + bytes > self.record_bytes && pending.bytes > 0 {
            self.send(to, links, outputs)?;
        }
        let pending = self.remote.get_mut(&to).expect("a task of another worker");
        if pending.batches.is_empty() {
            pending.ready_at = now;
        }
        pending.bytes += bytes;
        pending.batches.push(rows);
        Ok(())
    }

    /// Time has come to `progress`, after all rows so far.
    pub fn advance(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// The epoch ends: everything that waits goes out, and progress that has changed goes to every task.
    pub fn end_epoch(&mut self, now: i64, links: &mut Links, outputs: &mut Outputs) -> Result<()> {
        let tasks: Vec<u32> = self.remote.keys().copied().collect();
        for to in tasks {
            let pending = self.remote.get_mut(&to).expect("one of its keys");
            let Progress { event, processing, idle } = pending.told;
            let clock_matters = self.processing_time || self.progress.processing == i64::MAX;
            let changed = (event, idle) != (self.progress.event, self.progress.idle)
                || (clock_matters && processing != self.progress.processing);
            if pending.batches.is_empty() {
                pending.ready_at = now;
            }
            if changed || !pending.batches.is_empty() {
                self.send(to, links, outputs)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, to: u32, links: &mut Links, outputs: &mut Outputs) -> Result<()> {
        let pending = self.remote.get_mut(&to).expect("a task of another worker");
        pending.bytes = 0;
        let batches = std::mem::take(&mut pending.batches);
        let rows = match batches.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            [first, ..] => {
                let joined = concat_batches(&first.schema(), &batches);
                Some(joined.or_kind(ErrorKind::FailJob, "could not join rows for the exchange")?)
            }
        };
        let before = std::mem::replace(&mut pending.told, self.progress);
        let Pending { ready_at, .. } = *pending;
        let (number, progress) = (links.sent(to) + 1, self.progress);
        let record = ExchangeRecord { from: self.from, number, progress, ready_at, rows };
        for bytes in self.encoder.encode_within(record, before, SENT_BYTES)? {
            links.send(to);
            outputs.plain(&self.topic, to as i32, bytes)?;
        }
        Ok(())
    }
}
