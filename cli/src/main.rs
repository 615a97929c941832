//! `millrace`: check a job, see its plan, run it on this machine. Reads files and talks to people; what a
//! job means is the planner's business, and running it the runtime's.

mod allocator;
mod args;
mod report;
mod input;
mod plan;
mod identity;
mod run;
mod savepoint;
mod operator;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Check(check) => plan::check(check),
        Command::Plan(plan) => plan::print(plan),
        Command::Run(run) => run::run(run),
        Command::Job(job) => run::create(job),
        Command::Worker(worker) => run::worker(worker),
        Command::Operator(operator) => operator::run(operator),
        Command::OperatorRelease(release) => operator::release(release),
        Command::OperatorCheck(check) => operator::check(check),
        Command::Savepoint(args::Savepoint::Create(create)) => savepoint::create(create),
        Command::Savepoint(args::Savepoint::Inspect(inspect)) => savepoint::inspect(inspect),
        Command::Savepoint(args::Savepoint::Delete(delete)) => savepoint::delete(delete),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}
