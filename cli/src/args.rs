//! The command line: what can be said, its defaults, its help. Nothing is decided here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Streaming SQL over Kafka, exactly once.
///
/// Exit codes: 0 done, 1 the job failed, 2 the job as written (or the command) has a mistake, 3 a later
/// generation of the job has taken over from this worker.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a job on this machine, without Kubernetes.
    Run(Run),
    /// Creates a job for workers of its own: makes its topics, and writes the file that they are started with.
    Job(Job),
    /// Runs one worker of a job, as a pod of a cluster does.
    Worker(Worker),
    /// Runs the operator: makes StatefulSets of a cluster's StreamJobs. Its chart starts it.
    Operator(Operator),
    /// Lets all jobs go from the operator, before it is uninstalled: they run on, and wait for nobody when deleted.
    OperatorRelease(OperatorRelease),
    /// Checks that an operator serves, and that the cluster has its definitions.
    OperatorCheck(OperatorCheck),
    /// Makes savepoints of running jobs, and looks into them.
    #[command(subcommand)]
    Savepoint(Savepoint),
    /// Prints the plan of a job.
    Plan(Plan),
    /// Says whether a job is valid, and where it isn't.
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A StreamJob manifest, or a .sql file of Flink SQL statements.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A StreamJob manifest, or a .sql file of Flink SQL statements.
    pub(crate) file: PathBuf,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A StreamJob manifest.
    #[arg(required_unless_present = "sql", conflicts_with = "sql")]
    pub(crate) file: Option<PathBuf>,

    /// A file of Flink SQL statements, in place of a manifest.
    #[arg(long, value_name = "FILE")]
    pub(crate) sql: Option<PathBuf>,

    /// End when the input ends. Kafka tables without a 'scan.bounded.mode' are read up to where their
    /// topics end now. With --sql every such run starts from the beginning and leaves nothing behind.
    #[arg(long)]
    pub(crate) bounded: bool,

    /// The job's Kafka, in place of the manifest's. Without it an embedded broker is started, for laptops
    /// and tests.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,

    /// Where the embedded broker listens. Port 0: any that is free.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", conflicts_with = "kafka")]
    pub(crate) broker_listen: SocketAddr,

    /// Where identity and state of jobs are kept, in a folder for each, and the embedded broker's data in
    /// `broker`.
    #[arg(long, value_name = "DIR", default_value = ".millrace")]
    pub(crate) state_dir: PathBuf,

    /// Forget what the job has read and computed before, and start anew. Savepoints stay.
    #[arg(long)]
    pub(crate) discard_state: bool,

    #[command(flatten)]
    pub(crate) restore: Restore,

    #[command(flatten)]
    pub(crate) process: Process,

    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
}

#[derive(Debug, Args)]
pub(crate) struct Job {
    /// A StreamJob manifest, or a .sql file of Flink SQL statements.
    pub(crate) file: PathBuf,

    /// The job's Kafka, in place of the manifest's.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,

    /// The file to write. One that is there already is refused: it is some job's identity.
    #[arg(long, value_name = "JOB.json")]
    pub(crate) out: PathBuf,

    /// End when the input ends, as `run --bounded` does.
    #[arg(long)]
    pub(crate) bounded: bool,

    #[command(flatten)]
    pub(crate) restore: Restore,

    /// The job that this one goes on for: it gets that one's identity, and its topics a new name. Stop that one's
    /// workers first.
    #[arg(long, value_name = "JOB.json", requires = "restore_from")]
    pub(crate) replaces: Option<PathBuf>,

    /// A directory with the Secrets that the manifest names: DIR/<secret>/<key>. They are not written to the file.
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

/// The savepoint that a new job starts from.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Start from a savepoint: the folder of it, or kafka:TOPIC on the job's Kafka. Its operators' state and the
    /// positions in its sources go on, under this job's statements, parallelism and workers.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) restore_from: Option<String>,

    /// Leave state of the savepoint behind that the statements have no use for.
    #[arg(long, requires = "restore_from")]
    pub(crate) allow_non_restored_state: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// The file that `millrace job` wrote.
    pub(crate) file: PathBuf,

    /// The generation: raised for every other number of replicas, image or option. Workers of an earlier one
    /// stand down before those of a later one.
    #[arg(long, value_name = "G", default_value_t = 1)]
    pub(crate) generation: u32,

    /// Which worker of the generation this is, from 0.
    #[arg(long, value_name = "W", default_value_t = 0)]
    pub(crate) ordinal: u32,

    /// How many workers the generation has.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) replicas: u32,

    /// Where this worker keeps its state. One worker to a directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: PathBuf,

    /// Where to leave why the worker has ended, if not in order: {"reason", "message"} as in its status, at most 4096
    /// bytes. Default: /dev/termination-log where that is, as in a pod.
    #[arg(long, value_name = "PATH")]
    pub(crate) termination_log: Option<PathBuf>,

    /// After a stop that was asked for by HTTP, stay until a signal comes: for containers, which are started again when
    /// they end, and would go on after the savepoint that the job has stopped with.
    #[arg(long)]
    pub(crate) linger: bool,

    /// Where it is noted that this worker was asked to stop by HTTP, so that it stays stopped if its process is started
    /// again. Another generation of the job runs.
    #[arg(long, value_name = "FILE", env = "MILLRACE_STOPPED_FILE")]
    pub(crate) stopped_file: Option<PathBuf>,

    /// Before it takes tasks that a worker of an earlier generation has, read their state and wait: until it is asked by
    /// POST /api/v1/take-over, that worker has stopped, or so many seconds are over.
    #[arg(long, value_name = "SECONDS", env = "MILLRACE_STANDBY", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) standby: Option<u64>,

    #[command(flatten)]
    pub(crate) process: Process,
}

/// What every process that runs a worker is told.
#[derive(Debug, Args)]
pub(crate) struct Process {
    /// Where status and metrics are served and requests are taken: /api/v1/status, /metrics, /healthz, /readyz, and
    /// what /api/v1/openapi.json describes. Default: 127.0.0.1:8081, or any free port where that is taken.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// A file with the token that requests to drain or to make savepoints must bring. Without it they are taken from
    /// this machine only.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// A directory with the Secrets that the manifest names: DIR/<secret>/<key>.
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,

    /// Where checkpoints also go, in place of what the job says: s3://BUCKET/PREFIX, or a directory that all workers
    /// see. Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL is for an S3 that is not
    /// Amazon's, with AWS_ALLOW_HTTP=true if it has no TLS.
    #[arg(long, value_name = "URL")]
    pub(crate) archive_url: Option<String>,

    /// Number of threads that run tasks. Default: the machine's cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// How log lines look. RUST_LOG chooses which there are.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Operator {
    /// The namespaces whose jobs it runs, separated by commas. Default: all.
    #[arg(long, env = "MILLRACE_NAMESPACES", value_name = "NAMESPACE,NAMESPACE", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,

    /// Image of the job runtime for jobs that name none.
    #[arg(long, env = "MILLRACE_JOB_IMAGE", value_name = "IMAGE")]
    pub(crate) job_image: String,

    /// Where metrics and probes are served.
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    pub(crate) listen: SocketAddr,

    /// The namespace of the Lease by which one of several replicas leads. Without it, there has to be only one.
    #[arg(long, env = "MILLRACE_LEASE_NAMESPACE", value_name = "NAMESPACE", requires = "identity")]
    pub(crate) lease_namespace: Option<String>,

    /// Of this replica: the name of its pod.
    #[arg(long, env = "MILLRACE_POD_NAME", value_name = "NAME")]
    pub(crate) identity: Option<String>,

    /// How often lag goes into a job's status, at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) status_interval: u64,

    /// How often it is looked whether a job's source topics have grown.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) topics_interval: u64,

    /// How log lines look. RUST_LOG chooses which there are.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct OperatorRelease {
    /// The namespaces whose jobs are let go, separated by commas. Default: all.
    #[arg(long, env = "MILLRACE_NAMESPACES", value_name = "NAMESPACE,NAMESPACE", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OperatorCheck {
    /// Where the operator serves its probes.
    #[arg(long, env = "MILLRACE_OPERATOR_URL", value_name = "URL")]
    pub(crate) url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Savepoint {
    /// Makes a savepoint of a running job, by its workers.
    Create(CreateSavepoint),
    /// Shows what is in a savepoint, and what becomes of it under a job's present statements.
    Inspect(InspectSavepoint),
    /// Deletes a savepoint with all of its files, or its topic.
    Delete(DeleteSavepoint),
}

#[derive(Debug, Args)]
pub(crate) struct CreateSavepoint {
    /// All workers of the job, as their status is served: http://HOST:PORT, separated by commas.
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', required = true)]
    pub(crate) workers: Vec<String>,

    /// Where to: s3://bucket/prefix, or a directory that all workers see. The savepoint gets a folder there. Without
    /// either: kafka:, which is a topic of its own on the job's Kafka.
    #[arg(long, value_name = "LOCATION", default_value = "kafka:")]
    pub(crate) to: String,

    /// Stop the job with it: nothing is processed after the savepoint.
    #[arg(long)]
    pub(crate) stop: bool,

    /// A file with the workers' token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Give up, and let the job go on, after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

/// Where a savepoint is.
#[derive(Debug, Args)]
pub(crate) struct SavepointPlace {
    /// The savepoint's folder, or kafka:TOPIC.
    pub(crate) location: String,

    /// The Kafka of a savepoint in a topic.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,

    /// A StreamJob manifest whose Kafka that is, with its security.
    #[arg(long, value_name = "FILE", conflicts_with = "kafka")]
    pub(crate) kafka_of: Option<PathBuf>,

    /// A directory with the Secrets that this manifest names: DIR/<secret>/<key>.
    #[arg(long, value_name = "DIR", requires = "kafka_of")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteSavepoint {
    #[command(flatten)]
    pub(crate) place: SavepointPlace,
}

#[derive(Debug, Args)]
pub(crate) struct InspectSavepoint {
    #[command(flatten)]
    pub(crate) place: SavepointPlace,

    /// A StreamJob manifest, or a .sql file: say what becomes of each operator's state under it.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Print the manifest as it is.
    #[arg(long, conflicts_with = "against")]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live line in a terminal, a log line every ten seconds elsewhere.
    Auto,
    Log,
    None,
}
