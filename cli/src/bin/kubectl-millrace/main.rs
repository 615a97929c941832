//! `kubectl millrace`: what people do with jobs in a cluster, beyond get and apply. It talks to the API server only, with
//! the rights of whoever calls it; workers are reached through it.

mod args;
mod cluster;
mod status;
mod change;
mod savepoint;
mod plan;

use args::{Arguments, Command};
use clap::Parser;
use cluster::{Access, PluginError};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("could not start: {error}")),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(code) => code,
        Err(error) => failed(&error.to_string()),
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let access = Access::new(arguments).await?;
    match &arguments.command {
        Command::Status { job } => status::show(&access, job.as_deref()).await?,
        Command::Plan { job, json } => plan::show(&access, job, *json).await?,
        Command::Savepoint(asked) => savepoint::make(&access, asked).await?,
        Command::Logs { job, follow, tail } => return access.kubectl_logs(job, *follow, *tail),
        Command::Suspend { job } => change::suspend(&access, job, true).await?,
        Command::Resume { job } => change::suspend(&access, job, false).await?,
        Command::Restart { job } => change::restart(&access, job).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
