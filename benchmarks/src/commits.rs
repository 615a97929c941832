//! What frequent commits cost: the throughput of a query with commits every 500 ms, against the same with commits
//! every 10 s, and the CPU that both sides take for it, which differs less from run to run. The runs take turns, in pairs
//! of which every other one begins with the other side, so that what changes on the machine meanwhile changes both; the
//! cost is that of the middle pair. Pairs before them do not count: the broker compiles its own code meanwhile.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::engine::millrace::Millrace;
use crate::engine::running;
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic::{self, EventTopic};

const OFTEN: &str = "500ms";
const RARELY: &str = "10s";
/// Pairs that don't count. A broker that has just started takes three times the CPU at first, in a run of 20 million events.
const WARM_UP: u32 = 3;

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

/// Of the pairs, each figure the middle one.
pub(crate) struct Comparison {
    pub(crate) often: Speed,
    pub(crate) rarely: Speed,
    /// By how much frequent commits are slower, in percent.
    pub(crate) cost: f64,
    pub(crate) cost_of_cpu: f64,
}

impl Experiment<'_> {
    pub(crate) fn run(&self, query: &str) -> Result<Comparison> {
        let mut pairs = Vec::new();
        for run in 0..WARM_UP + self.runs {
            let measure = |interval| self.measure(query, interval, run);
            let (often, rarely) = if run % 2 == 0 {
                (measure(OFTEN)?, measure(RARELY)?)
            } else {
                let rarely = measure(RARELY)?;
                (measure(OFTEN)?, rarely)
            };
            if run >= WARM_UP {
                pairs.push((often, rarely));
            }
        }
        let of = |value: &dyn Fn(&(Speed, Speed)) -> f64| median(pairs.iter().map(value).collect());
        let medians = |side: fn(&(Speed, Speed)) -> Speed| Speed {
            events_per_second: of(&|pair| side(pair).events_per_second),
            cpu_seconds: of(&|pair| side(pair).cpu_seconds),
        };
        Ok(Comparison {
            often: medians(|(often, _)| *often),
            rarely: medians(|(_, rarely)| *rarely),
            cost: of(&|(often, rarely)| (1.0 - often.events_per_second / rarely.events_per_second) * 100.0),
            cost_of_cpu: of(&|(often, rarely)| (often.cpu_seconds / rarely.cpu_seconds - 1.0) * 100.0),
        })
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
        let events_per_second = events / cost.seconds;
        let counts = if run < WARM_UP { ", before it counts" } else { "" };
        eprintln!(
            "{query}, commits every {interval}{counts}: {events_per_second:.0} events/s, {cpu_seconds:.3} CPU-s per million"
        );
        Ok(Speed { events_per_second, cpu_seconds })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
