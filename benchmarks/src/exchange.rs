//! How long rows take from one worker to another through Kafka, with commits every 200 ms and a steady rate: from
//! ready at the sender, its wait for the end of the epoch included, until the receiver has them. The workers
//! measure it themselves (`millrace_exchange_delay_seconds`); here their histograms are put together.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::engine::millrace::Millrace;
use crate::engine::running::{self, Running};
use crate::latency::{Load, PARTITIONS};
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic;

const WORKERS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(120);
const BUCKETS: &str = "millrace_exchange_delay_seconds_bucket{le=\"";

pub(crate) struct Experiment {
    pub(crate) bootstrap_servers: String,
    pub(crate) records_per_second: u64,
    /// Not measured.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) millrace_binary: PathBuf,
}

/// A histogram: upper bounds in seconds, and how many were not above each.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delays {
    buckets: Vec<(f64, u64)>,
}

impl Experiment {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Delays> {
        let name = format!("exchange-{}", std::process::id());
        topic::create(&self.bootstrap_servers, &name, PARTITIONS)?;
        let result = self.run_on(testbed, &name);
        topic::delete(&self.bootstrap_servers, &name)?;
        topic::delete_all(&self.bootstrap_servers, &format!("default.{name}."))?;
        result
    }

    fn run_on(&self, testbed: &Testbed, name: &str) -> Result<Delays> {
        let (folder, servers) = (testbed.folder_for_a_run()?, &self.bootstrap_servers);
        let parameters = Parameters { bootstrap_servers: servers, topic: name, output_topic: "", job: name };
        let sql = query::millrace_alone("exchange", &parameters)?;
        let manifest = folder.path().join("job.yaml");
        fs::write(&manifest, running::manifest_with(name, servers, "200ms", &sql))?;
        Millrace { binary: &self.millrace_binary, testbed }.create(&manifest, false, servers, folder.path())?;
        let start = |ordinal| Running::start_worker(&self.millrace_binary, folder.path(), ordinal, WORKERS);
        let mut workers = (0..WORKERS).map(start).collect::<Result<Vec<_>>>()?;
        let warm = self.load(name, self.warm_up);
        self.produce(warm, &mut workers)?;
        let before = delays(&workers)?;
        self.produce(self.load(name, self.duration), &mut workers)?;
        let after = delays(&workers)?;
        workers.into_iter().try_for_each(Running::stop)?;
        after.since(&before)
    }

    fn load(&self, topic: &str, duration: Duration) -> Load {
        Load {
            bootstrap_servers: self.bootstrap_servers.clone(),
            topic: topic.to_owned(),
            partitions: PARTITIONS,
            records_per_second: self.records_per_second,
            records: (duration.as_secs_f64() * self.records_per_second as f64) as u64,
        }
    }

    /// Until the workers have read it all.
    fn produce(&self, load: Load, workers: &mut [Running]) -> Result<()> {
        let producer = thread::spawn(move || load.produce());
        let late = producer.join().map_err(|_| anyhow!("the producer panicked"))??;
        eprintln!("the producer was at most {:.0} ms behind its schedule", late.as_secs_f64() * 1e3);
        for worker in workers {
            worker.until("all records to be read", LIMIT, |status| (status["lag"].as_i64()? == 0).then_some(()))?;
        }
        Ok(())
    }
}

/// Of all workers together.
fn delays(workers: &[Running]) -> Result<Delays> {
    let mut sum = Delays::default();
    for worker in workers {
        let of_worker = Delays::parse(&worker.metrics()?)?;
        if sum.buckets.is_empty() {
            sum = of_worker;
            continue;
        }
        for (sum, more) in sum.buckets.iter_mut().zip(of_worker.buckets) {
            sum.1 += more.1;
        }
    }
    Ok(sum)
}

impl Delays {
    fn parse(metrics: &str) -> Result<Self> {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(BUCKETS));
        let bucket = |line: &str| {
            let (bound, count) = line.split_once("\"} ").context("not a bucket")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
            Ok((bound, count.trim().parse()?))
        };
        let buckets: Vec<_> = lines.map(bucket).collect::<Result<_>>().context("reading the histogram of delays")?;
        ensure!(!buckets.is_empty(), "the worker does not tell how long exchanges take");
        Ok(Self { buckets })
    }

    fn since(&self, before: &Self) -> Result<Self> {
        let pairs = self.buckets.iter().zip(&before.buckets);
        Ok(Self { buckets: pairs.map(|(now, then)| (now.0, now.1 - then.1)).collect() })
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |bucket| bucket.1)
    }

    /// The upper bound of the bucket that it falls into: never less than it is. In seconds.
    pub(crate) fn percentile(&self, percent: f64) -> Result<f64> {
        let rank = (self.count() as f64 * percent / 100.0).ceil() as u64;
        ensure!(rank > 0, "no rows went from one worker to the other");
        let bucket = self.buckets.iter().find(|bucket| bucket.1 >= rank).context("the histogram is not cumulative")?;
        Ok(bucket.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# TYPE millrace_exchange_delay_seconds histogram\n\
        millrace_exchange_delay_seconds_sum 1.5\n\
        millrace_exchange_delay_seconds_bucket{le=\"0.1\"} 50\n\
        millrace_exchange_delay_seconds_bucket{le=\"0.2\"} 98\n\
        millrace_exchange_delay_seconds_bucket{le=\"+Inf\"} 100\n";

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let delays = Delays::parse(METRICS).expect("a histogram");
        assert_eq!(delays.count(), 100);
        assert_eq!(delays.percentile(50.0).expect("some"), 0.1);
        assert_eq!(delays.percentile(98.0).expect("some"), 0.2);
        assert_eq!(delays.percentile(99.0).expect("some"), f64::INFINITY);
        assert!(delays.since(&delays).expect("the same bounds").percentile(50.0).is_err());
    }
}
