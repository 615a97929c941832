//! A sparse index of one segment, in memory: every so many bytes, where a batch begins and which
//! timestamps lie before it. It is rebuilt by scanning batch headers when a segment is opened.
//!
//! It narrows a search; the reader walks the batches from there.

/// At least this many log bytes lie between two entries, so 10 GB of log cost 4 MB of memory.
const INTERVAL: u64 = 64 * 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Base offset of the batch that begins at `position`.
    offset: i64,
    position: u64,
    /// The largest timestamp of the batches before this one.
    timestamp_before: i64,
}

/// Where to begin looking in a segment.
#[derive(Debug, Default)]
pub(crate) struct SparseIndex {
    entries: Vec<Entry>,
    max_timestamp: Option<i64>,
}

impl SparseIndex {
    /// Notes a batch; batches come in log order.
    pub(crate) fn note(&mut self, base_offset: i64, position: u64, max_timestamp: i64) {
        let due = self.entries.last().is_none_or(|last| position >= last.position + INTERVAL);
        if due {
            self.entries.push(Entry {
                offset: base_offset,
                position,
                timestamp_before: self.max_timestamp.unwrap_or(i64::MIN),
            });
        }
        self.max_timestamp = self.max_timestamp.max(Some(max_timestamp));
    }

    /// The largest timestamp noted.
    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        self.max_timestamp
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn seek_offset(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        self.position_before(after)
    }

    /// A position at or before the first batch with a record at or after `timestamp`.
    pub(crate) fn seek_timestamp(&self, timestamp: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.timestamp_before < timestamp);
        self.position_before(after)
    }

    fn position_before(&self, after: usize) -> u64 {
        after.checked_sub(1).map_or(0, |at| self.entries[at].position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seek_never_lands_behind_what_is_sought() {
        let mut index = SparseIndex::default();
        let batches: Vec<(i64, u64, i64)> = (0..1000).map(|n| (n * 10, n as u64 * 5_000, (n * 7919) % 1000)).collect();
        for (offset, position, timestamp) in &batches {
            index.note(*offset, *position, *timestamp);
        }
        for (offset, position, _) in &batches {
            let found = index.seek_offset(*offset + 3);
            assert!(found <= *position && position - found <= INTERVAL + 5_000);
        }
        for timestamp in 0..1000 {
            let first = batches.iter().find(|b| b.2 >= timestamp).expect("all are below 1000");
            assert!(index.seek_timestamp(timestamp) <= first.1);
        }
    }
}
