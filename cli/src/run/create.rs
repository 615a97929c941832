//! `millrace job`: creates a job for workers of its own. What an operator does in a cluster.

use crate::args;
use crate::input;
use crate::report::Failure;
use millrace_crds::stream_job::KafkaSpec;
use millrace_job_runtime::job::{JobIdentity, Kafka};
use millrace_job_runtime::savepoint::restore::Savepoint;
use millrace_launch::creation::Creation;
use millrace_launch::job_file::JobFile;
use millrace_launch::secrets::SecretDirectory;
use millrace_launch::settings;
use millrace_planner::plan::Plan;
use std::path::Path;

pub(crate) fn create(args: &args::Job) -> Result<(), Failure> {
    let mut input = input::read(&args.file)?;
    input.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if args.bounded {
        settings::bound(&mut input.plan)?;
    }
    if args.out.exists() {
        return Err(Failure::user(format!(
            "{} exists already and may be the identity of a running job: choose another file, or remove it",
            args.out.display()
        )));
    }
    let secrets = SecretDirectory(args.secrets.clone());
    let identity = match &args.replaces {
        Some(file) => JobFile::read(file)?.written().identity.next_incarnation(),
        None => JobIdentity {
            namespace: input.namespace,
            name: input.name,
            uid: uuid::Uuid::new_v4().to_string(),
            incarnation: 1,
            generation: 1,
        },
    };
    let spec = input.manifest.as_ref().map(|manifest| &manifest.spec);
    let creation = Creation {
        identity: identity.clone(),
        spec,
        kafka: kafka_spec(args, spec.map(|spec| &spec.kafka))?,
        plan: input.plan,
        restore_from: args.restore.restore_from.clone(),
        archive: settings::archive(spec),
    };
    let resolved = creation.resolve(&secrets)?;
    let savepoint = permitted(&args.restore, resolved.kafka(), resolved.plan())?;
    if let Some(file) = &args.replaces {
        succeeds(file, &identity, savepoint.as_ref())?;
        if resolved.exists()? {
            return Err(Failure::user(format!(
                "incarnation {} of this job has been created already: go on with its file, or name that with --replaces",
                identity.incarnation
            )));
        }
    }
    let file = resolved.create()?;
    let tasks = file.written().parallelism.unwrap_or_default();
    file.write(&args.out)?;
    let (prefix, out) = (identity.topic_prefix(), args.out.display());
    println!("{prefix}: {tasks} tasks; start its workers with: millrace worker {out} --state-dir DIR");
    Ok(())
}

/// The savepoint that a new job is to start from, if its plan may; what becomes of its state is told either way.
pub(super) fn permitted(restore: &args::Restore, kafka: &Kafka, plan: &Plan) -> Result<Option<Savepoint>, Failure> {
    let Some(location) = &restore.restore_from else { return Ok(None) };
    let savepoint = Savepoint::open(location, kafka, plan)?;
    let comparison = savepoint.comparison();
    comparison.permit(restore.allow_non_restored_state, "--allow-non-restored-state")?;
    eprintln!("state of the savepoint {}:\n{comparison}", savepoint.manifest.savepoint);
    Ok(Some(savepoint))
}

/// Whether a job of this identity may go on from the savepoint where that in `file` has stopped.
fn succeeds(file: &Path, identity: &JobIdentity, savepoint: Option<&Savepoint>) -> Result<(), Failure> {
    if savepoint.is_some_and(|savepoint| savepoint.manifest.job.uid != identity.uid) {
        return Err(Failure::user(format!(
            "the savepoint is of another job than {}: leave out --replaces to start a new job from it",
            file.display()
        )));
    }
    Ok(())
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
