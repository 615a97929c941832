//! From columns to the payloads of records: the rows' bytes, and the formats that write them. Not here:
//! keys, headers and topics (`sink/`).

pub mod json;

/// Rows as bytes, one behind the other. Made once and cleared for every batch, so that encoding allocates
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn row(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|row| self.row(row))
    }

    /// The length of all rows together.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Removes the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
