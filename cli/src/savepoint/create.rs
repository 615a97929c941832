//! Makes a savepoint of a running job.

use crate::args;
use crate::report::Failure;
use crate::run::{io_runtime, read_token};
use millrace_job_runtime::env::SystemClock;
use millrace_launch::savepoint::{Request, make};
use std::time::Duration;

pub(crate) fn create(args: &args::CreateSavepoint) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let request = Request {
        workers: args.workers.clone(),
        token: args.token_file.as_deref().map(read_token).transpose()?,
        id: format!("savepoint-{}", clock.now_millis()),
        replaces: None,
        to: args.to.clone(),
        stop: args.stop,
        timeout: Duration::from_secs(args.timeout),
    };
    let location = io_runtime()?.block_on(make(request, clock.as_ref()))?;
    println!("{location}");
    Ok(())
}
