//! `millrace job`: creates a job for workers of its own. What an operator does in a cluster.

use super::dead_letter_topic;
use super::job_file::JobFile;
use super::topics::Topics;
use crate::args;
use crate::input;
use crate::job::{self, Surroundings};
use crate::report::Failure;
use millrace_crds::stream_job::KafkaSpec;
use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::job::{Job, JobIdentity, Kafka};
use millrace_job_runtime::prepare::{is_prepared, prepare};
use millrace_job_runtime::savepoint::restore::Savepoint;
use millrace_planner::plan::Plan;
use std::path::Path;

pub(crate) fn create(args: &args::Job) -> Result<(), Failure> {
    let mut input = input::read(&args.file)?;
    input.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if args.bounded {
        job::bound(&mut input.plan)?;
    }
    if args.out.exists() {
        return Err(Failure::user(format!(
            "{} exists already and may be the identity of a running job: choose another file, or remove it",
            args.out.display()
        )));
    }
    job::refuse_secrets(&mut input.plan)?;
    let written_plan = input.plan.clone();
    job::resolve_secrets(&mut input.plan, args.secrets.as_deref())?;
    let spec = kafka_spec(args, input.manifest.as_ref().map(|manifest| &manifest.spec.kafka))?;
    let kafka = job::kafka(&spec, args.secrets.as_deref())?;
    let savepoint = permitted(&args.restore, &kafka, &input.plan)?;
    Topics::new(&kafka, false)?.prepare(&input.plan, dead_letter_topic(&input), false)?;

    let identity = match &args.replaces {
        Some(file) => succession(file, savepoint.as_ref())?,
        None => JobIdentity {
            namespace: input.namespace,
            name: input.name,
            uid: uuid::Uuid::new_v4().to_string(),
            incarnation: 1,
            generation: 1,
        },
    };
    let surroundings = Surroundings {
        identity,
        kafka,
        state_directory: Default::default(),
        threads: None,
        makes_topics: false,
        restore_from: args.restore.restore_from.clone(),
        archive: job::archive(input.manifest.as_ref()),
    };
    let job = job::job(input.manifest.as_ref(), input.plan, surroundings);
    if args.replaces.is_some() && is_prepared(&job, SystemClock::shared().as_ref())? {
        let JobIdentity { incarnation, .. } = &job.identity;
        return Err(Failure::user(format!(
            "incarnation {incarnation} of this job has been created already: go on with its file, or name that with --replaces"
        )));
    }
    let tasks = prepare(&job, SystemClock::shared().as_ref())?;
    let job = Job { parallelism: Some(tasks), plan: written_plan, ..job };
    let (prefix, out) = (job.identity.topic_prefix(), args.out.display().to_string());
    JobFile::new(job, spec).write(&args.out)?;
    println!("{prefix}: {tasks} tasks; start its workers with: millrace worker {out} --state-dir DIR");
    Ok(())
}

/// The savepoint that a new job is to start from, if its plan may; what becomes of its state is told either way.
pub(super) fn permitted(restore: &args::Restore, kafka: &Kafka, plan: &Plan) -> Result<Option<Savepoint>, Failure> {
    let Some(location) = &restore.restore_from else { return Ok(None) };
    let savepoint = Savepoint::open(location, kafka, plan)?;
    let comparison = savepoint.comparison();
    comparison.permit(restore.allow_non_restored_state)?;
    eprintln!("state of the savepoint {}:\n{comparison}", savepoint.manifest.savepoint);
    Ok(Some(savepoint))
}

/// The identity of the next incarnation of a job.
fn succession(file: &Path, savepoint: Option<&Savepoint>) -> Result<JobIdentity, Failure> {
    let identity = JobFile::identity(file)?;
    if savepoint.is_some_and(|savepoint| savepoint.manifest.job.uid != identity.uid) {
        return Err(Failure::user(format!(
            "the savepoint is of another job than {}: leave out --replaces to start a new job from it",
            file.display()
        )));
    }
    Ok(JobIdentity { incarnation: identity.incarnation + 1, generation: 1, ..identity })
}

/// The manifest's Kafka, or another address, which comes without the manifest's security.
fn kafka_spec(args: &args::Job, manifest: Option<&KafkaSpec>) -> Result<KafkaSpec, Failure> {
    match (&args.kafka, manifest) {
        (Some(address), Some(spec)) if spec.bootstrap_servers == *address => Ok(spec.clone()),
        (Some(address), spec) => Ok(KafkaSpec {
            bootstrap_servers: address.clone(),
            tls: None,
            sasl: None,
            replication_factor: spec.and_then(|spec| spec.replication_factor),
        }),
        (None, Some(spec)) => Ok(spec.clone()),
        (None, None) => Err(Failure::user("plain SQL names no Kafka: give its address with --kafka")),
    }
}
