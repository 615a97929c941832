//! Whole rows as bytes, of every type, for state that keeps rows: written as they are, read back into columns.
//! Persisted, therefore versioned and frozen by test vectors. Not here: keys (`key.rs`), whose bytes have the order
//! of the values and know no nested types; Arrow's own formats, of which the one for rows is not made to be kept,
//! and the one for batches costs a few hundred bytes each.
//!
//! A row is a version byte, then its columns as cells. Cells are a bitmap (bit `i % 8` of byte `i / 8` is set where
//! cell `i` has a value), then the values that there are:
//!
//! | type | bytes |
//! | --- | --- |
//! | BOOLEAN | 0 or 1 |
//! | numbers, DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ, intervals | little-endian, as wide as in Arrow |
//! | CHAR, VARCHAR, BINARY, VARBINARY | length, then the bytes |
//! | ROW | its fields as cells |
//! | ARRAY | length, then the elements as cells |
//! | MAP, MULTISET | length, then the keys as cells, then the values (or counts) as cells |
//!
//! A length has seven bits to a byte, the lowest first; the highest bit says that another byte follows.

mod write;
mod read;
#[cfg(test)]
mod tests;

pub use read::RowReader;
pub use write::RowWriter;

/// The first byte of every row. Another encoding gets another number.
pub const ROW_VERSION: u8 = 1;
