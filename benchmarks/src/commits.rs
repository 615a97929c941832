//! What frequent commits cost: the throughput of a query with commits every 500 ms, against the same with commits
//! every 10 s. The runs take turns, so that what changes on the machine meanwhile changes both.

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

/// Events a second, the median of the runs.
pub(crate) struct Throughput {
    pub(crate) often: f64,
    pub(crate) rarely: f64,
}

impl Experiment<'_> {
    pub(crate) fn run(&self, query: &str) -> Result<Throughput> {
        let (mut often, mut rarely) = (Vec::new(), Vec::new());
        for run in 1..=self.runs {
            for (interval, measured) in [(OFTEN, &mut often), (RARELY, &mut rarely)] {
                let events_per_second = self.measure(query, interval, run)?;
                eprintln!("{query}, commits every {interval}: {events_per_second:.0} events/s");
                measured.push(events_per_second);
            }
        }
        Ok(Throughput { often: median(often), rarely: median(rarely) })
    }

    fn measure(&self, query: &str, interval: &str, run: u32) -> Result<f64> {
        let servers = &self.topic.bootstrap_servers;
        let (name, events) = (format!("commits-{query}-{interval}-{}-{run}", std::process::id()), self.topic.name());
        let parameters = Parameters { bootstrap_servers: servers, topic: &events, output_topic: &name, job: &name };
        let manifest = running::manifest_with(&name, servers, interval, &query::millrace(query, &parameters)?);
        let writes = query::writes_to_kafka(query);
        if writes {
            topic::create(servers, &name, self.topic.partitions)?;
        }
        let millrace = Millrace { binary: &self.millrace_binary, testbed: self.testbed };
        let cost = millrace.run_manifest(&manifest, servers).with_context(|| format!("{query} every {interval}"));
        if writes {
            topic::delete(servers, &name)?;
        }
        topic::delete_all(servers, &format!("default.{name}."))?;
        Ok(self.topic.events as f64 / cost?.seconds)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
