//! The comparison itself: every query on Millrace, then every query on Flink, so that the two never
//! run at the same time and neither sits in memory while the other is measured.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::engine::flink::Flink;
use crate::engine::millrace::Millrace;
use crate::engine::{Cost, Engine};
use crate::loopback;
use crate::measurement::Measurement;
use crate::output;
use crate::process::Process;
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic::{self, EventTopic};

pub(crate) struct Comparison<'a> {
    pub(crate) topic: &'a EventTopic,
    pub(crate) queries: &'a [String],
    /// How often each query runs; 0 leaves the engine out.
    pub(crate) millrace_runs: u32,
    pub(crate) flink_runs: u32,
    /// More than one: the queries run with so many workers, too.
    pub(crate) replicas: u32,
    pub(crate) millrace_binary: PathBuf,
}

/// Flink compiles a query's code while it first runs; so much of the topic lets the JVM settle.
const WARM_UP_EVENTS: u64 = 2_000_000;

impl Comparison<'_> {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Vec<Measurement>> {
        let mut runs = Vec::new();
        if self.millrace_runs > 0 {
            self.run_millrace(testbed, &mut runs)?;
        }
        if self.flink_runs > 0 {
            self.run_flink(testbed, &mut runs)?;
        }
        Ok(runs)
    }

    fn run_millrace(&self, testbed: &Testbed, runs: &mut Vec<Measurement>) -> Result<()> {
        let millrace = Millrace { binary: &self.millrace_binary, testbed };
        for query in self.queries {
            for run in 1..=self.millrace_runs {
                let name = unique(query, "millrace", run);
                runs.push(self.measure(testbed, query, Engine::Millrace, &name, |parameters| {
                    millrace.run(&query::millrace(query, parameters)?, &self.topic.bootstrap_servers)
                })?);
            }
            for run in 1..=if self.replicas > 1 { self.millrace_runs } else { 0 } {
                let name = unique(query, "workers", run);
                runs.push(self.measure(testbed, query, Engine::Workers, &name, |parameters| {
                    let sql = query::millrace(query, parameters)?;
                    millrace.run_workers(&sql, &self.topic.bootstrap_servers, self.replicas)
                })?);
            }
        }
        Ok(())
    }

    fn run_flink(&self, testbed: &Testbed, runs: &mut Vec<Measurement>) -> Result<()> {
        let flink = Flink::start(testbed)?;
        // What all queries share, reading and decoding, is compiled by the cluster's first job, and
        // the rest by each query's own.
        if let Some(first) = self.queries.first() {
            self.warm_up(&flink, first, "flink-first")?;
        }
        for query in self.queries {
            self.warm_up(&flink, query, "flink-warm-up")?;
            for run in 1..=self.flink_runs {
                let name = unique(query, "flink", run);
                runs.push(self.measure(testbed, query, Engine::Flink, &name, |parameters| {
                    flink.run(&name, &query::flink(query, parameters, None)?)
                })?);
            }
        }
        Ok(())
    }

    fn warm_up(&self, flink: &Flink<'_>, query: &str, purpose: &str) -> Result<()> {
        let name = unique(query, purpose, 0);
        let offsets = self.topic.offsets(self.topic.events.min(WARM_UP_EVENTS));
        let cost = self.with_output_topic(query, &name, |parameters| {
            flink.run(&name, &query::flink(query, parameters, Some(&offsets))?)
        })?;
        eprintln!("{query} on Flink, warm-up: {:.1} s", cost.seconds);
        Ok(())
    }

    fn measure(
        &self,
        testbed: &Testbed,
        query: &str,
        engine: Engine,
        name: &str,
        run: impl FnOnce(&Parameters<'_>) -> Result<Cost>,
    ) -> Result<Measurement> {
        let broker = testbed.broker(&self.topic.bootstrap_servers);
        let broker_cpu = || broker.map(Process::cpu_seconds).transpose();
        let measurement = self.with_output_topic(query, name, |parameters| {
            let before = broker_cpu()?;
            let received_before = loopback::received_bytes()?;
            let cost = run(parameters).with_context(|| format!("{query} on {engine}"))?;
            self.check_input_was_read(loopback::received_bytes()? - received_before)
                .with_context(|| format!("{query} on {engine}"))?;
            let mut measurement = Measurement::new(query, engine, self.topic.events, cost);
            measurement.broker_cpu_seconds = broker_cpu()?.zip(before).map(|(after, before)| after - before);
            if query::writes_to_kafka(query) {
                measurement.output = Some(output::read(&self.topic.bootstrap_servers, parameters.output_topic)?);
            }
            Ok(measurement)
        })?;
        eprintln!(
            "{query} on {engine}: {:.0} events/s, {:.2} CPU-s per million",
            measurement.events_per_second, measurement.cpu_seconds_per_million_events
        );
        Ok(measurement)
    }

    fn check_input_was_read(&self, received_bytes: u64) -> Result<()> {
        // A tenth below the average size of a record; they are not compressed.
        const LEAST_BYTES_PER_EVENT: u64 = 300;
        let least = self.topic.events * LEAST_BYTES_PER_EVENT;
        ensure!(
            received_bytes >= least,
            "it cannot have read its input: {received_bytes} bytes came from the broker, the events have more than {least}"
        );
        Ok(())
    }

    /// Runs something with a topic to write to, where the query needs one, that goes afterwards.
    fn with_output_topic<T>(
        &self,
        query: &str,
        name: &str,
        run: impl FnOnce(&Parameters<'_>) -> Result<T>,
    ) -> Result<T> {
        let servers = &self.topic.bootstrap_servers;
        let parameters =
            Parameters { bootstrap_servers: servers, topic: &self.topic.name(), output_topic: name, job: name };
        if !query::writes_to_kafka(query) {
            return run(&parameters);
        }
        topic::create(servers, name, self.topic.partitions)?;
        let result = run(&parameters);
        topic::delete(servers, name)?;
        result
    }
}

/// A name for a run's job, topic and transactions that no other run had.
fn unique(query: &str, engine: &str, run: u32) -> String {
    format!("nexmark-{query}-{engine}-{}-{run}", std::process::id())
}
