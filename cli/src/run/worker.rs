//! `millrace worker`: one worker of a job, as a pod of a cluster runs it. Its exit code tells the operator
//! whether to start it again, and its termination message why.

use super::termination::TerminationLog;
use super::{access, io_runtime, logging, progress, supervise};
use crate::args;
use crate::report::Failure;
use millrace_job_runtime::control::{StopRequest, TakeOver};
use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::job::{Job, JobIdentity};
use millrace_job_runtime::worker::Worker;
use millrace_launch::job_file::JobFile;
use millrace_launch::secrets::SecretDirectory;
use std::time::Duration;

pub(crate) fn worker(args: &args::Worker) -> Result<(), Failure> {
    let termination = TerminationLog::open(args.termination_log.as_deref())?;
    run(args).inspect_err(|failure| termination.leave(&failure.condition()))
}

fn run(args: &args::Worker) -> Result<(), Failure> {
    let process = &args.process;
    let job = JobFile::read(&args.file)?
        .into_job(&SecretDirectory(process.secrets.clone()), process.archive_url.as_deref())?;
    let job = Job {
        identity: JobIdentity { generation: args.generation, ..job.identity },
        replicas: args.replicas,
        ordinal: args.ordinal,
        state_directory: args.state_dir.clone(),
        threads: args.process.threads.map(usize::from),
        ..job
    };
    let display = progress::Display::new(args::Progress::Log, &job.plan);
    logging::start(args.process.log_format, &display);
    let access = access(&args.process)?;
    let runtime = io_runtime()?;
    let clock = SystemClock::shared();
    let stop = match &args.stopped_file {
        Some(file) => StopRequest::noted_in(file.clone(), &job.identity)?,
        None => StopRequest::default(),
    };
    let take_over = args.standby.map(Duration::from_secs).map(TakeOver::awaited).unwrap_or_default();
    let worker = Worker::start_as_asked(job, clock.clone(), stop, take_over)?;
    Ok(runtime.block_on(supervise::supervise(worker, args.process.listen, access, display, clock, args.linger))?)
}
