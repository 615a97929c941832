//! `millrace-bench`: Nexmark on Millrace, side by side with Apache Flink, and Millrace's latency.
//! `run.sh` is the command for people: it builds, starts and stops everything around this program.
//! Not a benchmark of single functions; those stand beside the functions.

mod nexmark;

mod query;

mod delivery;

mod topic;

mod process;

mod testbed;

mod engine;

mod output;

mod measurement;

mod reference;

mod comparison;

mod report;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::comparison::Comparison;
use crate::query::Parameters;
use crate::reference::Reference;
use crate::report::Results;
use crate::testbed::Testbed;
use crate::topic::EventTopic;

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill the topic of events, unless it is there
    Fill(Topic),
    /// Run queries on both engines and compare them
    Run(Run),
    /// Print a query's statements as Millrace gets them
    Sql {
        #[arg(value_parser = query::known)]
        query: String,
        #[command(flatten)]
        topic: Topic,
    },
}

#[derive(Args)]
struct Topic {
    /// Address of the Kafka that holds the events
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:19092")]
    kafka: String,
    /// Number of events
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Number of partitions that they are dealt to in turn
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    partitions: u64,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    topic: Topic,
    /// Queries to run
    #[arg(required = true, value_parser = query::known)]
    queries: Vec<String>,
    /// Runs of each query on Millrace, of which the median counts; 0 leaves Millrace out
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// The same for Flink
    #[arg(long, default_value_t = 1)]
    flink_runs: u32,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
    /// Write everything measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Fill(topic) => topic.into_event_topic().ensure_filled(),
        Command::Run(run) => compare(run),
        Command::Sql { query, topic } => {
            let topic = topic.into_event_topic();
            let parameters = Parameters {
                bootstrap_servers: &topic.bootstrap_servers,
                topic: &topic.name(),
                output_topic: &format!("nexmark-{query}-output"),
                job: &query,
            };
            print!("{}", query::millrace(&query, &parameters)?);
            Ok(())
        }
    }
}

impl Topic {
    fn into_event_topic(self) -> EventTopic {
        EventTopic { bootstrap_servers: self.kafka, events: self.events, partitions: self.partitions }
    }
}

fn compare(run: Run) -> Result<()> {
    let testbed = Testbed::new()?;
    let reference = Reference::load()?;
    let topic = run.topic.into_event_topic();
    topic.ensure_filled()?;
    let flink_configuration = testbed.flink_configuration()?;
    if run.flink_runs > 0 {
        println!("Flink's configuration (tests/testbed/flink/config.yaml, benchmarks/queries/flink.sql):");
        println!("{}\n{}", flink_configuration.trim_end(), query::flink_settings()?);
    }
    let comparison = Comparison {
        topic: &topic,
        queries: &run.queries,
        millrace_runs: run.runs,
        flink_runs: run.flink_runs,
        millrace_binary: run.millrace,
    };
    let runs = comparison.run(&testbed)?;
    let ratios = report::ratios(&run.queries, &runs, &reference);
    print!("{}{}", report::table(&run.queries, &runs), report::notes(&ratios));
    let last_line = report::last_line(&ratios);
    if let Some(path) = run.results {
        let results = Results {
            events: topic.events,
            partitions: topic.partitions,
            flink_configuration: &flink_configuration,
            ratios,
            runs: &runs,
        };
        std::fs::write(&path, serde_json::to_string_pretty(&results)? + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
        println!("results: {}", path.display());
    }
    println!("{last_line}");
    Ok(())
}
