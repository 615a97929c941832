//! The `print` connector: rows on standard output as Flink prints them, `+I[1, a, null]`, once their epoch is
//! committed. A row may be printed again after a failure between the commit and the printing; for exact
//! results write to Kafka.

use super::SinkWriter;
use super::outputs::Outputs;
use super::print_text;
use crate::batch::{Batch, FailedRow};
use crate::error::{ErrorContext, ErrorKind, Result};
use millrace_planner::plan::Sink;
use std::io::Write;

pub(super) struct PrintSink {
    prefix: String,
    to_error: bool,
    /// Of the current epoch, and of the one before.
    lines: String,
    ended: String,
}

impl PrintSink {
    pub(super) fn new(sink: &Sink, task: u32) -> Self {
        let options = &sink.table.options;
        // Flink's prefix: the identifier, and with more than one subtask its number.
        let prefix = options.get("print-identifier").map(|id| format!("{id}:{}> ", task + 1)).unwrap_or_default();
        Self {
            prefix,
            to_error: options.get("standard-error").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            lines: String::new(),
            ended: String::new(),
        }
    }
}

impl SinkWriter for PrintSink {
    fn write(&mut self, batch: &Batch, _outputs: &mut Outputs, _failed: &mut Vec<FailedRow>) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.lines.push_str(&self.prefix);
            self.lines.push_str("+I[");
            for (at, column) in batch.rows.columns().iter().enumerate() {
                self.lines.push_str(if at == 0 { "" } else { ", " });
                print_text::append(&mut self.lines, column, row)?;
            }
            self.lines.push_str("]\n");
        }
        Ok(())
    }

    fn epoch_ended(&mut self) {
        self.ended.push_str(&std::mem::take(&mut self.lines));
    }

    fn committed(&mut self) {
        let text = std::mem::take(&mut self.ended);
        let written = match self.to_error {
            true => std::io::stderr().write_all(text.as_bytes()),
            false => std::io::stdout().write_all(text.as_bytes()),
        };
        if let Err(error) = written.or_kind(ErrorKind::Retry, "could not print") {
            tracing::warn!(%error, "print");
        }
    }
}
