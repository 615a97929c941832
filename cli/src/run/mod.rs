//! `millrace run`: everything around a worker that a cluster would do. In order: plan, Kafka (or the
//! embedded broker), identity, topics, worker; then status and progress until the job ends or is stopped.
//! `millrace job` and `millrace worker` are the same in two halves, for several workers.

mod create;
mod worker;
mod logging;
mod embedded;
mod progress;
mod supervise;
mod termination;

use crate::args;
use crate::identity::{JobDirectory, Start};
use crate::input::{self, Input};
use crate::report::Failure;
use embedded::EmbeddedBroker;
use millrace_job_runtime::control::Access;
use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::job::{Job, JobIdentity, Kafka};
use millrace_job_runtime::worker::Worker;
use millrace_launch::secrets::SecretDirectory;
use millrace_launch::settings::{self, Surroundings};
use millrace_launch::topics::Topics;
use std::path::{Path, PathBuf};

pub(crate) use create::create;
pub(crate) use logging::log_to_stderr;
pub(crate) use worker::worker;

pub(crate) fn run(args: &args::Run) -> Result<(), Failure> {
    let mut input = read(args)?;
    input.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if args.bounded {
        settings::bound(&mut input.plan)?;
    }
    let display = progress::Display::new(args.progress, &input.plan);
    logging::start(args.process.log_format, &display);
    let access = access(&args.process)?;
    let runtime = io_runtime()?;
    let (kafka, broker) = kafka(args, &input, &runtime)?;
    let home = Home::new(args, &input)?;
    let topics = Topics::new(&kafka, broker.is_some())?;
    if args.discard_state || home.is_new()? {
        create::permitted(&args.restore, &kafka, &input.plan)?;
    }
    if args.discard_state {
        home.discard(&topics)?;
    }
    let known = home.is_known()?;
    let Start { identity, restore_from } = home.start(&input, args.restore.restore_from.as_deref())?;
    settings::resolve_secrets(&mut input.plan, &secrets(args))?;
    topics.prepare(&input.plan, dead_letter_topic(&input), known)?;

    let job = job(args, input, &home, kafka, Start { identity: identity.clone(), restore_from })?;
    let clock = SystemClock::shared();
    let worker = Worker::start(job, clock.clone())?;
    let outcome = runtime.block_on(supervise::supervise(worker, args.process.listen, access, display, clock, false));
    if home.is_temporary() {
        topics.delete_own(&identity)?;
    }
    drop(topics);
    if let Some(broker) = broker {
        runtime.block_on(broker.stop())?;
    }
    Ok(outcome?)
}

/// Who may tell the worker what to do.
fn access(process: &args::Process) -> Result<Access, Failure> {
    let Some(file) = &process.token_file else { return Ok(Access::Loopback) };
    Ok(Access::token(&read_token(file)?))
}

/// The token in a file.
pub(crate) fn read_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::user(format!("could not read the token in {}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(Failure::user(format!("{} is empty: it has to hold the workers' token", file.display()))),
        token => Ok(token.to_owned()),
    }
}

/// The threads that serve HTTP and the embedded broker.
pub(crate) fn io_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Job(format!("could not start the threads for IO: {error}")))
}

fn read(args: &args::Run) -> Result<Input, Failure> {
    match (&args.sql, &args.file) {
        (Some(sql), _) => input::read_sql(sql),
        (None, Some(file)) => input::read(file),
        (None, None) => Err(Failure::user("a manifest or --sql is needed")),
    }
}

/// The Kafka that the job uses: given, the manifest's with --kafka absent only if there is no broker to
/// embed, else the embedded one.
fn kafka(
    args: &args::Run,
    input: &Input,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Kafka, Option<EmbeddedBroker>), Failure> {
    let spec = input.manifest.as_ref().map(|manifest| &manifest.spec.kafka);
    if let Some(address) = &args.kafka {
        // The manifest's security belongs to the manifest's Kafka, so another address comes without it.
        let kafka = match spec {
            Some(spec) if spec.bootstrap_servers == *address => settings::kafka(spec, &secrets(args))?,
            _ => settings::plain_kafka(address.clone()),
        };
        return Ok((kafka, None));
    }
    let broker = runtime.block_on(EmbeddedBroker::start(args.broker_listen, args.state_dir.join("broker")))?;
    Ok((settings::plain_kafka(broker.address().to_string()), Some(broker)))
}

fn secrets(args: &args::Run) -> SecretDirectory {
    SecretDirectory(args.process.secrets.clone())
}

fn dead_letter_topic(input: &Input) -> Option<&str> {
    input.manifest.as_ref()?.spec.dead_letter_topic.as_deref()
}

fn job(args: &args::Run, input: Input, home: &Home, kafka: Kafka, start: Start) -> Result<Job, Failure> {
    // The embedded broker's jobs are tried out: what they leave stays on this machine, unless asked for.
    let archive =
        args.kafka.as_ref().and_then(|_| settings::archive(input.manifest.as_ref().map(|manifest| &manifest.spec)));
    let surroundings = Surroundings {
        identity: start.identity,
        kafka,
        archive: settings::archive_with_secrets(args.process.archive_url.as_deref(), archive, &secrets(args))?,
        state_directory: home.state(),
        threads: args.process.threads.map(usize::from),
        makes_topics: true,
        restore_from: start.restore_from,
    };
    Ok(settings::job(input.manifest.as_ref().map(|manifest| &manifest.spec), input.plan, surroundings))
}

/// Where the job's identity and state are: kept for the next run, or for this run only.
enum Home {
    Kept(JobDirectory),
    Temporary(tempfile::TempDir),
}

impl Home {
    fn new(args: &args::Run, input: &Input) -> Result<Self, Failure> {
        if args.bounded && input.manifest.is_none() {
            let directory = tempfile::Builder::new().prefix("millrace-").tempdir();
            let directory =
                directory.map_err(|error| Failure::user(format!("could not make a temporary directory: {error}")))?;
            return Ok(Self::Temporary(directory));
        }
        Ok(Self::Kept(JobDirectory::new(&args.state_dir, &input.namespace, &input.name)))
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }

    /// Whether no run has begun in it yet.
    fn is_new(&self) -> Result<bool, Failure> {
        match self {
            Self::Kept(directory) => Ok(directory.existing()?.is_none()),
            Self::Temporary(_) => Ok(true),
        }
    }

    fn state(&self) -> PathBuf {
        match self {
            Self::Kept(directory) => directory.state(),
            Self::Temporary(directory) => directory.path().join("state"),
        }
    }

    /// Whether the job was here before.
    fn is_known(&self) -> Result<bool, Failure> {
        match self {
            Self::Kept(directory) => Ok(directory.existing()?.is_some()),
            Self::Temporary(_) => Ok(false),
        }
    }

    fn start(&self, input: &Input, restore_from: Option<&str>) -> Result<Start, Failure> {
        match self {
            Self::Kept(directory) => directory.start(&input.namespace, &input.name, &input.plan, restore_from),
            Self::Temporary(_) => {
                let identity = JobIdentity {
                    namespace: input.namespace.clone(),
                    name: input.name.clone(),
                    uid: uuid::Uuid::new_v4().to_string(),
                    incarnation: 1,
                    generation: 1,
                };
                Ok(Start { identity, restore_from: restore_from.map(str::to_owned) })
            }
        }
    }

    /// Topics first: a folder that remains leads to them again, topics without one would stay for ever.
    fn discard(&self, topics: &Topics) -> Result<(), Failure> {
        let Self::Kept(directory) = self else { return Ok(()) };
        if let Some(identity) = directory.existing()? {
            topics.delete_own(&identity)?;
        }
        directory.discard()
    }
}
