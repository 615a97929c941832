//! A producer with a schedule: record `n` is due `n / rate` after the start, and its time is the
//! one when it was due. A producer, or a broker, that falls behind therefore makes latencies longer
//! and doesn't hide them.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::epoch_micros;
use crate::delivery::Deliveries;
use crate::topic;

pub(crate) struct Load {
    pub(crate) bootstrap_servers: String,
    pub(crate) topic: String,
    pub(crate) partitions: u64,
    pub(crate) records_per_second: u64,
    pub(crate) records: u64,
}

/// Brings a record to about 200 bytes.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\
                       abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

impl Load {
    /// Produces all records and returns the longest time that one was late.
    pub(crate) fn produce(&self) -> Result<Duration> {
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<Deliveries> = topic::client(&self.bootstrap_servers)
            .set("enable.idempotence", "true")
            .create_with_context(deliveries.clone())?;
        let start = Instant::now();
        let start_micros = epoch_micros(SystemTime::now());
        let mut worst = Duration::ZERO;
        for id in 0..self.records {
            let due = Duration::from_micros(id * 1_000_000 / self.records_per_second);
            while start.elapsed() < due {
                std::thread::sleep(Duration::from_millis(1));
            }
            let produced_at = start_micros + due.as_micros() as u64;
            let record = format!("{{\"id\":{id},\"produced_at\":{produced_at},\"extra\":\"{PADDING}\"}}");
            self.send(&producer, (id % self.partitions) as i32, record.as_bytes(), &deliveries)?;
            worst = worst.max(start.elapsed().saturating_sub(due));
        }
        producer.flush(Duration::from_secs(30)).context("waiting for the last records")?;
        deliveries.check()?;
        Ok(worst)
    }

    fn send(
        &self,
        producer: &ThreadedProducer<Deliveries>,
        partition: i32,
        payload: &[u8],
        deliveries: &Deliveries,
    ) -> Result<()> {
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic).payload(payload).partition(partition);
        while let Err((error, refused)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            ensure!(full, "producing to {}: {error}", self.topic);
            deliveries.check()?;
            std::thread::sleep(Duration::from_millis(1));
            record = refused;
        }
        Ok(())
    }
}
