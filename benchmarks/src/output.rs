//! What a query wrote to its topic, in a form that two engines can be compared by: the number of
//! rows and a digest that does not depend on their order. Rows are compared as JSON values: the
//! order of the columns is the encoder's affair, the values are not.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::topic;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Output {
    pub(crate) rows: u64,
    /// The sum of the rows' hashes.
    pub(crate) digest: u64,
}

impl Output {
    fn add(&mut self, row: &[u8]) -> Result<()> {
        let mut value: serde_json::Value = serde_json::from_slice(row).context("a row of the output is not JSON")?;
        self.rows += 1;
        value.sort_all_objects();
        self.digest = self.digest.wrapping_add(xxh3_64(value.to_string().as_bytes()));
        Ok(())
    }
}

/// Reads all committed rows of a topic.
pub(crate) fn read(bootstrap_servers: &str, topic: &str) -> Result<Output> {
    let consumer = topic::consumer(bootstrap_servers)?;
    let partitions = topic::partitions(&consumer, topic)?.with_context(|| format!("there is no topic {topic}"))?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    read_to_the_ends(&consumer, partitions as usize).with_context(|| format!("reading {topic}"))
}

/// The end of a partition is the client's to say: offsets are also taken by transactions' markers,
/// so that counting up to the last one would wait for a record that never comes.
fn read_to_the_ends(consumer: &BaseConsumer, partitions: usize) -> Result<Output> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut output = Output::default();
    let mut ended = HashSet::new();
    while ended.len() < partitions {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => output.add(message.payload().unwrap_or_default())?,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => return Err(error.into()),
            None => bail!("nothing came for {} s", PATIENCE.as_secs()),
        }
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(rows: &[&str]) -> Output {
        let mut output = Output::default();
        for row in rows {
            output.add(row.as_bytes()).expect("JSON");
        }
        output
    }

    #[test]
    fn neither_the_order_of_rows_nor_of_columns_matters() {
        assert_eq!(
            output(&[r#"{"a":1,"b":2}"#, r#"{"a":3,"b":4}"#]),
            output(&[r#"{ "b": 4, "a": 3 }"#, r#"{"b":2,"a":1}"#])
        );
    }

    #[test]
    fn values_and_repetitions_matter() {
        assert_ne!(output(&[r#"{"a":1}"#]), output(&[r#"{"a":2}"#]));
        assert_ne!(output(&[r#"{"a":1}"#]), output(&[r#"{"a":1}"#, r#"{"a":1}"#]));
    }
}
