//! Cuts a batch into one batch for each task that owns some of its keys.

use crate::error::{ErrorContext, ErrorKind, Result};
use crate::key::{self, KeyEncoder};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use millrace_planner::plan::Schema;

pub struct Partitioner {
    keys: Vec<usize>,
    encoder: KeyEncoder,
    /// Row numbers for each task, kept for their memory.
    rows_of: Vec<Vec<u32>>,
}

impl Partitioner {
    /// `keys` are columns of `schema`; without any, everything belongs to task 0.
    pub fn new(keys: &[usize], schema: &Schema, tasks: u32) -> Result<Self> {
        let encoder = KeyEncoder::new(keys.iter().map(|&k| &schema.columns[k].data_type))?;
        Ok(Self { keys: keys.to_vec(), encoder, rows_of: vec![Vec::new(); tasks as usize] })
    }

    /// Calls `send(task, rows)` for every task that gets some, in the order of tasks; rows keep their order.
    pub fn split(&mut self, batch: &RecordBatch, mut send: impl FnMut(u32, RecordBatch) -> Result<()>) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let tasks = self.rows_of.len() as u32;
        if tasks == 1 || self.keys.is_empty() {
            return send(0, batch.clone());
        }
        self.rows_of.iter_mut().for_each(Vec::clear);
        let columns: Vec<ArrayRef> = self.keys.iter().map(|&k| batch.column(k).clone()).collect();
        let keys = self.encoder.encode(&columns, batch.num_rows())?;
        for (row, key) in keys.iter().enumerate() {
            let task = key::task_of(key::key_group(key::hash(key)), tasks);
            self.rows_of[task as usize].push(row as u32);
        }
        for (task, rows) in self.rows_of.iter_mut().enumerate() {
            if rows.is_empty() {
                continue;
            }
            if rows.len() == batch.num_rows() {
                return send(task as u32, batch.clone());
            }
            let indices = UInt32Array::from(std::mem::take(rows));
            let part = take_record_batch(batch, &indices)
                .or_kind(ErrorKind::FailJob, "could not cut a batch for the exchange")?;
            send(task as u32, part)?;
            // The array is gone by now, so its memory comes back.
            *rows = indices.into_parts().1.into_inner().into_vec().unwrap_or_default();
        }
        Ok(())
    }
}
