//! How long a record takes from being produced, through a job that copies it with exactly-once
//! guarantees, to being readable by a read_committed consumer, at a steady rate. Not a throughput
//! benchmark: the rate is what the job can do easily.

mod load;

mod percentiles;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;

pub(crate) use self::load::Load;
pub(crate) use self::percentiles::Percentiles;
use crate::engine::running::{self, Running};
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic;

pub(crate) const PARTITIONS: u64 = 4;

pub(crate) struct Experiment {
    pub(crate) bootstrap_servers: String,
    pub(crate) records_per_second: u64,
    /// Before it, the job starts and its caches and connections warm up; not measured.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Nothing to measure Kafka alone: the consumer then reads what the producer wrote.
    pub(crate) millrace_binary: Option<PathBuf>,
}

/// The members of a record that the measurement needs.
#[derive(Deserialize)]
struct Record {
    id: u64,
    /// In microseconds since the epoch.
    produced_at: u64,
}

impl Experiment {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Percentiles> {
        let name = format!("latency-{}", std::process::id());
        let (input, output) = (format!("{name}-input"), format!("{name}-output"));
        topic::create(&self.bootstrap_servers, &input, PARTITIONS)?;
        topic::create(&self.bootstrap_servers, &output, PARTITIONS)?;
        let result = self.run_between(testbed, &name, &input, &output);
        topic::delete(&self.bootstrap_servers, &input)?;
        topic::delete(&self.bootstrap_servers, &output)?;
        result
    }

    fn run_between(&self, testbed: &Testbed, name: &str, input: &str, output: &str) -> Result<Percentiles> {
        let folder = testbed.folder_for_a_run()?;
        let mut job = match &self.millrace_binary {
            Some(binary) => Some(Running::start(
                binary,
                &self.manifest(name, input, output)?,
                &self.bootstrap_servers,
                folder.path(),
            )?),
            None => None,
        };
        let measured = if job.is_some() { output } else { input };
        let warm_up = self.records_in(self.warm_up);
        let load = Load {
            bootstrap_servers: self.bootstrap_servers.clone(),
            topic: input.to_owned(),
            partitions: PARTITIONS,
            records_per_second: self.records_per_second,
            records: warm_up + self.records_in(self.duration),
        };
        let records = load.records;
        let producer = thread::spawn(move || load.produce());
        let latencies = read(&self.bootstrap_servers, measured, records, warm_up, || match &mut job {
            Some(job) => job.check(),
            None => Ok(()),
        })?;
        let lag = producer.join().map_err(|_| anyhow::anyhow!("the producer panicked"))??;
        eprintln!("the producer was at most {:.0} ms behind its schedule", lag.as_secs_f64() * 1e3);
        if let Some(job) = job {
            job.stop()?;
        }
        Percentiles::of(latencies).context("nothing was measured")
    }

    fn records_in(&self, duration: Duration) -> u64 {
        (duration.as_secs_f64() * self.records_per_second as f64) as u64
    }

    fn manifest(&self, name: &str, input: &str, output: &str) -> Result<String> {
        let sql = query::millrace_alone(
            "latency",
            &Parameters { bootstrap_servers: &self.bootstrap_servers, topic: input, output_topic: output, job: name },
        )?;
        Ok(running::manifest(name, &self.bootstrap_servers, &sql))
    }
}

/// Reads as many records as were produced and returns how long each after the warm-up took, in
/// microseconds. A record that does not come fails the benchmark: it is latency without end.
fn read(
    bootstrap_servers: &str,
    topic: &str,
    records: u64,
    warm_up: u64,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Vec<u64>> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let consumer = consumer(bootstrap_servers, topic)?;
    let mut latencies = Vec::with_capacity((records - warm_up) as usize);
    let mut read = 0;
    let mut last = Instant::now();
    while read < records {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                let now = epoch_micros(SystemTime::now());
                let record: Record = serde_json::from_slice(message.payload().unwrap_or_default())
                    .context("a record that was read is not the producer's")?;
                if record.id >= warm_up {
                    latencies.push(now.saturating_sub(record.produced_at));
                }
                read += 1;
                last = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {
                check()?;
                ensure!(last.elapsed() < PATIENCE, "only {read} of {records} records came");
            }
            Some(Err(error)) => return Err(error).context(format!("reading {topic}")),
        }
    }
    Ok(latencies)
}

fn consumer(bootstrap_servers: &str, topic: &str) -> Result<BaseConsumer> {
    let consumer = topic::consumer(bootstrap_servers)?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

fn epoch_micros(time: SystemTime) -> u64 {
    // A clock before 1970 would make every latency absurd, and so be seen.
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
