//! What frequent commits cost: the throughput of a query with commits every 500 ms, against the same with commits
//! every 10 s, and the CPU that both sides take for it, which differs less from run to run. The runs take turns, so that
//! what changes on the machine meanwhile changes both.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::engine::millrace::Millrace;
use crate::engine::running;
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic::{self, EventTopic};

const OFTEN: &str = "500ms";
const RARELY: &str = "10s";

pub(crate) struct Experiment<'a> {
    pub(crate) topic: &'a EventTopic,
    pub(crate) runs: u32,
    pub(crate) millrace_binary: PathBuf,
    pub(crate) testbed: &'a Testbed,
}

/// A run, or the median of several.
#[derive(Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) events_per_second: f64,
    /// For a million events, the broker's included.
    pub(crate) cpu_seconds: f64,
}

pub(crate) struct Comparison {
    pub(crate) often: Speed,
    pub(crate) rarely: Speed,
}

impl Comparison {
    /// By how much frequent commits are slower, in percent.
    pub(crate) fn cost(&self) -> f64 {
        (1.0 - self.often.events_per_second / self.rarely.events_per_second) * 100.0
    }

    pub(crate) fn cost_of_cpu(&self) -> f64 {
        (self.often.cpu_seconds / self.rarely.cpu_seconds - 1.0) * 100.0
    }
}

impl Experiment<'_> {
    pub(crate) fn run(&self, query: &str) -> Result<Comparison> {
        let (mut often, mut rarely) = (Vec::new(), Vec::new());
        for run in 1..=self.runs {
            for (interval, measured) in [(OFTEN, &mut often), (RARELY, &mut rarely)] {
                let speed = self.measure(query, interval, run)?;
                let Speed { events_per_second, cpu_seconds } = speed;
                eprintln!(
                    "{query}, commits every {interval}: {events_per_second:.0} events/s, {cpu_seconds:.3} CPU-s per million"
                );
                measured.push(speed);
            }
        }
        Ok(Comparison { often: median(&often), rarely: median(&rarely) })
    }

    fn measure(&self, query: &str, interval: &str, run: u32) -> Result<Speed> {
        let servers = &self.topic.bootstrap_servers;
        let (name, events) = (format!("commits-{query}-{interval}-{}-{run}", std::process::id()), self.topic.name());
        let parameters = Parameters { bootstrap_servers: servers, topic: &events, output_topic: &name, job: &name };
        let manifest = running::manifest_with(&name, servers, interval, &query::millrace(query, &parameters)?);
        let writes = query::writes_to_kafka(query);
        if writes {
            topic::create(servers, &name, self.topic.partitions)?;
        }
        let broker = self.testbed.broker(servers).context("there is no broker of the testbed to look at")?;
        let before = broker.cpu_seconds()?;
        let millrace = Millrace { binary: &self.millrace_binary, testbed: self.testbed };
        let cost = millrace.run_manifest(&manifest, servers).with_context(|| format!("{query} every {interval}"));
        let broker = broker.cpu_seconds()? - before;
        if writes {
            topic::delete(servers, &name)?;
        }
        topic::delete_all(servers, &format!("default.{name}."))?;
        let (cost, events) = (cost?, self.topic.events as f64);
        let cpu_seconds = (cost.cpu_seconds + broker) * 1e6 / events;
        Ok(Speed { events_per_second: events / cost.seconds, cpu_seconds })
    }
}

fn median(speeds: &[Speed]) -> Speed {
    let of = |value: fn(&Speed) -> f64| {
        let mut values: Vec<f64> = speeds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Speed { events_per_second: of(|speed| speed.events_per_second), cpu_seconds: of(|speed| speed.cpu_seconds) }
}
