//! Takes every row and keeps none: for benchmarks.

use super::SinkWriter;
use super::outputs::Outputs;
use crate::batch::{Batch, FailedRow};
use crate::error::Result;

pub(super) struct BlackholeSink;

impl SinkWriter for BlackholeSink {
    fn write(&mut self, _batch: &Batch, _outputs: &mut Outputs, _failed: &mut Vec<FailedRow>) -> Result<()> {
        Ok(())
    }
}
