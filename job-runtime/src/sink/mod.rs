//! The end of the data path: each connector's writer, and `outputs`, which puts records into the epoch's
//! transaction, or holds them back while the transaction before it is being committed.

pub mod outputs;
mod not_null;
mod kafka;
mod print;
mod print_text;
mod blackhole;
pub mod dead_letter;

use crate::batch::{Batch, FailedRow};
use crate::error::Result;
use crate::kafka::size::TopicLimits;
use millrace_planner::plan::{Connector, Schema, Sink};
use outputs::Outputs;

/// Writes the rows of one sink, for one task.
pub trait SinkWriter: Send {
    /// Rows that can't be written go to `failed`.
    fn write(&mut self, batch: &Batch, outputs: &mut Outputs, failed: &mut Vec<FailedRow>) -> Result<()>;

    /// Rows written from now on are of the next epoch.
    fn epoch_ended(&mut self) {}

    /// The rows of the last epoch that ended are committed. Sinks without transactions show them only now.
    fn committed(&mut self) {}
}

/// What a writer has to know besides its sink.
pub struct SinkContext<'a> {
    pub task: u32,
    /// Partitions of the sink's topic.
    pub partitions: i32,
    /// Of the topics that are written to.
    pub limits: &'a TopicLimits,
}

pub fn build(sink: &Sink, input: &Schema, context: &SinkContext<'_>) -> Result<Box<dyn SinkWriter>> {
    let writer: Box<dyn SinkWriter> = match sink.table.connector {
        Connector::Kafka => Box::new(kafka::KafkaSink::new(sink, input, context)?),
        Connector::Print => Box::new(print::PrintSink::new(sink, context.task)),
        Connector::Blackhole => Box::new(blackhole::BlackholeSink),
        Connector::Datagen => {
            return Err(crate::error::Error::user_fault(format!(
                "table {} can't be written: the datagen connector only reads",
                sink.table.name
            )));
        }
    };
    Ok(not_null::enforced(writer, sink))
}
