//! `millrace operator` and what its chart runs beside it: settings from the command line.

use crate::args;
use crate::report::Failure;
use crate::run::{io_runtime, log_to_stderr};
use millrace_job_runtime::storage::choose_cryptography;
use millrace_operator::settings::LeaderElection;
use millrace_operator::{Settings, release};
use std::time::Duration;

pub(crate) fn run(args: &args::Operator) -> Result<(), Failure> {
    log_to_stderr(args.log_format);
    let leader_election = args.lease_namespace.clone().zip(args.identity.clone());
    let settings = Settings {
        namespaces: named(&args.namespaces),
        image: args.job_image.clone(),
        listen: args.listen,
        leader_election: leader_election.map(|(namespace, identity)| LeaderElection { namespace, identity }),
        status_interval: Duration::from_secs(args.status_interval),
        topics_interval: Duration::from_secs(args.topics_interval),
    };
    io_runtime()?.block_on(millrace_operator::run(settings)).map_err(|error| Failure::Job(error.to_string()))
}

pub(crate) fn release(args: &args::OperatorRelease) -> Result<(), Failure> {
    log_to_stderr(args::LogFormat::Text);
    choose_cryptography();
    let released = io_runtime()?.block_on(release::release(&named(&args.namespaces)));
    let released = released.map_err(|error| Failure::Job(error.to_string()))?;
    println!("{released} objects wait for the operator no more");
    Ok(())
}

pub(crate) fn check(args: &args::OperatorCheck) -> Result<(), Failure> {
    choose_cryptography();
    io_runtime()?.block_on(release::check(&args.url)).map_err(|error| Failure::Job(error.to_string()))?;
    println!("the operator serves, and the cluster has its definitions");
    Ok(())
}

/// What an empty variable says is no namespace.
fn named(namespaces: &[String]) -> Vec<String> {
    namespaces.iter().filter(|namespace| !namespace.is_empty()).cloned().collect()
}
