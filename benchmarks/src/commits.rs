//! What frequent commits cost: the throughput of a query with commits every 500 ms, against the same with commits
//! every 10 s, and the CPU that both sides take for it, which differs less from run to run. The runs take turns, in pairs
//! of which every other one begins with the other side, so that what changes on the machine meanwhile changes both; the
//! cost is that of the middle pair, with bounds that say how much chance is in it. Pairs before them do not count: the
//! broker compiles its own code meanwhile.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::engine::millrace::{Finished, Millrace};
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
    /// How often it did commit: a transaction that is full ends before its interval does.
    pub(crate) commits: f64,
}

/// Of the pairs, each figure the middle one.
pub(crate) struct Comparison {
    pub(crate) often: Speed,
    pub(crate) rarely: Speed,
    /// By how much frequent commits are slower, in percent.
    pub(crate) cost: Middle,
    pub(crate) cost_of_cpu: Middle,
}

/// The middle one of several values, and bounds that the median of all there could be is between, 19 times of 20: six
/// values are the fewest that can say so.
pub(crate) struct Middle {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
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
        let of = |value: &dyn Fn(&(Speed, Speed)) -> f64| Middle::of(pairs.iter().map(value).collect());
        let medians = |side: fn(&(Speed, Speed)) -> Speed| Speed {
            events_per_second: of(&|pair| side(pair).events_per_second).value,
            cpu_seconds: of(&|pair| side(pair).cpu_seconds).value,
            commits: of(&|pair| side(pair).commits).value,
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
        let (Finished { cost, commits }, events) = (cost?, self.topic.events as f64);
        let cpu_seconds = (cost.cpu_seconds + broker) * 1e6 / events;
        let events_per_second = events / cost.seconds;
        let counts = if run < WARM_UP { ", before it counts" } else { "" };
        eprintln!(
            "{query}, commits every {interval}{counts}: {events_per_second:.0} events/s, {cpu_seconds:.3} CPU-s per million, \
             {commits} commits"
        );
        Ok(Speed { events_per_second, cpu_seconds, commits: commits as f64 })
    }
}

impl Middle {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        // The number of values below the median is binomial; this is how far it is from half of them, 19 times of 20.
        let off = 0.5 * 1.96 * (count as f64).sqrt();
        let low = ((count as f64 - 1.0) / 2.0 - off).floor().max(0.0) as usize;
        Self { value: values[count / 2], low: values[low], high: values[count - 1 - low] }
    }
}

impl fmt::Display for Middle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} % (95 %: {:.1} to {:.1})", self.value, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_has_bounds_that_get_narrower_with_more_values() {
        let of = |count: u32| Middle::of((0..count).rev().map(f64::from).collect());
        let few = of(6);
        assert_eq!((few.low, few.value, few.high), (0.0, 3.0, 5.0));
        // As in tables of the sign test: the 8th and the 18th of 25.
        let many = of(25);
        assert_eq!((many.low, many.value, many.high), (7.0, 12.0, 17.0));
    }
}
