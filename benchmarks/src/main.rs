//! `millrace-bench`: Nexmark on Millrace, side by side with Apache Flink, and Millrace's latency.
//! `run.sh` is the command for people: it builds, starts and stops everything around this program.
//! Not a benchmark of single functions; those stand beside the functions.

mod nexmark;

mod query;

mod delivery;

mod topic;

mod process;

mod loopback;

mod testbed;

mod engine;

mod output;

mod measurement;

mod reference;

mod comparison;

mod report;

mod latency;

mod recovery;

mod cgroup;

mod large_state;

mod commits;

mod exchange;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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
    /// Measure how long records take through Millrace
    Latency(Latency),
    /// Measure how soon a killed worker commits again, with its volume and without it
    Recovery(Recovery),
    /// Run, kill and restore a job whose state is many times larger than its memory
    LargeState(LargeState),
    /// Measure what committing every 500 ms costs in throughput, against every 10 s
    Commits(Commits),
    /// Measure how long rows take from one worker to another, with commits every 200 ms
    Exchange(Latency),
    /// Make everything that a query needs and print its statements, to run Millrace by hand
    Prepare {
        #[arg(value_parser = query::known)]
        query: String,
        #[command(flatten)]
        topic: Topic,
    },
    /// Delete what `prepare` made, but for the events
    Clean {
        #[arg(value_parser = query::known)]
        query: String,
        #[command(flatten)]
        topic: Topic,
    },
}

#[derive(Args)]
struct Topic {
    /// Address of the Kafka that holds the events
    #[arg(long, value_name = "HOST:PORT", env = "MILLRACE_TEST_KAFKA", default_value = "127.0.0.1:19092")]
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
    /// Run the queries on so many workers as well, and compare them with one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    replicas: u32,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
    /// Write everything measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

#[derive(Args)]
struct Latency {
    /// Address of the Kafka to run on
    #[arg(long, value_name = "HOST:PORT", env = "MILLRACE_TEST_KAFKA", default_value = "127.0.0.1:19092")]
    kafka: String,
    /// Records per second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Seconds before measuring
    #[arg(long, default_value_t = 10)]
    warm_up_seconds: u64,
    /// Seconds to measure
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
    /// Measure Kafka alone: what the producer wrote is read directly
    #[arg(long)]
    without_millrace: bool,
}

#[derive(Args)]
struct Recovery {
    #[command(flatten)]
    topic: Topic,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
}

#[derive(Args)]
struct LargeState {
    /// Address of the Kafka that holds the job's topics
    #[arg(long, value_name = "HOST:PORT", env = "MILLRACE_TEST_KAFKA", default_value = "127.0.0.1:19092")]
    kafka: String,
    /// Groups that the state has, of about 240 bytes each
    #[arg(long, default_value_t = 22_000_000)]
    keys: u64,
    /// What the worker may use, in MiB
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
}

#[derive(Args)]
struct Commits {
    #[command(flatten)]
    topic: Topic,
    /// Queries to run
    #[arg(required = true, value_parser = query::known)]
    queries: Vec<String>,
    /// Pairs of runs of each query, one at each interval, of which the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(6..))]
    runs: u32,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Fill(topic) => topic.into_event_topic().ensure_filled(),
        Command::Run(run) => compare(run),
        Command::Latency(latency) => measure_latency(latency),
        Command::Recovery(recovery) => measure_recovery(recovery),
        Command::LargeState(large) => measure_large_state(large),
        Command::Commits(commits) => measure_commits(commits),
        Command::Exchange(exchange) => measure_exchange(exchange),
        Command::Prepare { query, topic } => prepare(&query, &topic.into_event_topic()),
        Command::Clean { query, topic } => topic::delete(&topic.kafka, &prepared_output(&query)),
    }
}

impl Topic {
    fn into_event_topic(self) -> EventTopic {
        EventTopic { bootstrap_servers: self.kafka, events: self.events, partitions: self.partitions }
    }
}

fn prepare(query: &str, topic: &EventTopic) -> Result<()> {
    topic.ensure_filled()?;
    let (events, output) = (topic.name(), prepared_output(query));
    if query::writes_to_kafka(query) {
        topic::delete(&topic.bootstrap_servers, &output)?;
        topic::create(&topic.bootstrap_servers, &output, topic.partitions)?;
    }
    let parameters =
        Parameters { bootstrap_servers: &topic.bootstrap_servers, topic: &events, output_topic: &output, job: query };
    print!("{}", query::millrace(query, &parameters)?);
    Ok(())
}

fn prepared_output(query: &str) -> String {
    format!("nexmark-{query}-output")
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
    let millrace_binary = if run.runs > 0 { found(&run.millrace)? } else { run.millrace };
    let comparison = Comparison {
        topic: &topic,
        queries: &run.queries,
        millrace_runs: run.runs,
        flink_runs: run.flink_runs,
        replicas: run.replicas,
        millrace_binary,
    };
    let runs = comparison.run(&testbed)?;
    let ratios = report::ratios(&run.queries, &runs, &reference);
    print!("{}{}", report::table(&run.queries, &runs), report::notes(&ratios));
    print!("{}", report::workers(&run.queries, &runs, run.replicas));
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
    let differing: Vec<_> = run.queries.iter().filter(|query| !measurement::outputs_agree(&runs, query)).collect();
    ensure!(differing.is_empty(), "different runs wrote different rows for {differing:?}");
    Ok(())
}

fn found(binary: &Path) -> Result<PathBuf> {
    binary
        .canonicalize()
        .with_context(|| format!("there is no {}; build it or name it with --millrace", binary.display()))
}

fn measure_recovery(recovery: Recovery) -> Result<()> {
    let topic = recovery.topic.into_event_topic();
    topic.ensure_filled()?;
    let experiment = recovery::Experiment { topic: &topic, millrace_binary: found(&recovery.millrace)? };
    for recovery::Recovery { origin, state_bytes, seconds, restore_seconds, log_bytes } in
        experiment.run(&Testbed::new()?)?
    {
        let from = match origin {
            recovery::Origin::Volume => "with its volume",
            recovery::Origin::Log => "without its volume, from the log",
            recovery::Origin::Image => "without its volume, from an image in the log",
            recovery::Origin::Archive => "without its volume, from the archive",
        };
        let (state, log, goal) = (state_bytes as f64 / 1e6, log_bytes as f64 / 1e6, origin.goal(state_bytes));
        println!(
            "recovery: {from} {seconds:.1} s to the first commit (goal {goal:.1} s), restored after {restore_seconds:.1} s; \
             {state:.0} MB of state on a volume, {log:.0} MB of the log replayed"
        );
    }
    Ok(())
}

fn measure_large_state(large: LargeState) -> Result<()> {
    let experiment = large_state::Experiment {
        bootstrap_servers: large.kafka,
        keys: large.keys,
        memory_bytes: large.memory << 20,
        millrace_binary: found(&large.millrace)?,
    };
    let report = experiment.run(&Testbed::new()?)?;
    println!(
        "large state: {:.2} GB of state in {} MiB, of which the process had {:.0}; {} rows in {:.0} s; a commit {:.1} s after a \
         kill, {:.1} s after a kill that cost the volume; every row counted once",
        report.state_bytes as f64 / 1e9,
        large.memory,
        report.own_memory_bytes as f64 / f64::from(1 << 20),
        report.rows,
        report.seconds,
        report.restart_seconds,
        report.restore_seconds,
    );
    Ok(())
}

fn measure_commits(commits: Commits) -> Result<()> {
    let topic = commits.topic.into_event_topic();
    topic.ensure_filled()?;
    let (millrace_binary, testbed) = (found(&commits.millrace)?, Testbed::new()?);
    let experiment = commits::Experiment { topic: &topic, runs: commits.runs, millrace_binary, testbed: &testbed };
    for query in &commits.queries {
        let compared = experiment.run(query)?;
        let (often, rarely) = (compared.often, compared.rarely);
        println!(
            "commits: {query} every 500 ms {:.0} events/s ({} commits), every 10 s {:.0} events/s ({} commits), cost {}; \
             {:.3} and {:.3} CPU-s per million, broker included, cost {}",
            often.events_per_second,
            often.commits,
            rarely.events_per_second,
            rarely.commits,
            compared.cost,
            often.cpu_seconds,
            rarely.cpu_seconds,
            compared.cost_of_cpu
        );
    }
    Ok(())
}

fn measure_exchange(exchange: Latency) -> Result<()> {
    ensure!(!exchange.without_millrace, "without Millrace there is no exchange to measure");
    let experiment = exchange::Experiment {
        bootstrap_servers: exchange.kafka,
        records_per_second: exchange.rate,
        warm_up: Duration::from_secs(exchange.warm_up_seconds),
        duration: Duration::from_secs(exchange.seconds),
        millrace_binary: found(&exchange.millrace)?,
    };
    let delay = experiment.run(&Testbed::new()?)?;
    let (p50, p99) = (delay.percentile(50.0)? * 1e3, delay.percentile(99.0)? * 1e3);
    println!(
        "exchange: {} records between two workers, commits every 200 ms: p50 {p50:.0} ms p99 {p99:.0} ms",
        delay.count()
    );
    Ok(())
}

fn measure_latency(latency: Latency) -> Result<()> {
    let millrace_binary = if latency.without_millrace { None } else { Some(found(&latency.millrace)?) };
    let percentiles = latency::Experiment {
        bootstrap_servers: latency.kafka,
        records_per_second: latency.rate,
        warm_up: Duration::from_secs(latency.warm_up_seconds),
        duration: Duration::from_secs(latency.seconds),
        millrace_binary,
    }
    .run(&Testbed::new()?)?;
    println!("{percentiles}");
    println!("latency: p50 {:.0} ms p99 {:.0} ms", percentiles.p50_ms, percentiles.p99_ms);
    Ok(())
}
