//! `millrace check` and `millrace plan`: what there is to say about a job without running it.

use crate::args;
use crate::input;
use crate::report::Failure;
use millrace_planner::plan::{Operator, Plan};
use std::io::Write;

pub(crate) fn check(args: &args::Check) -> Result<(), Failure> {
    let input = input::read(&args.file)?;
    input.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    print_line(&format!("{}: valid: {}", args.file.display(), summary(&input.plan)))
}

pub(crate) fn print(args: &args::Plan) -> Result<(), Failure> {
    let input = input::read(&args.file)?;
    input.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let plan = input.plan;
    if args.json {
        let json = serde_json::to_string_pretty(&plan)
            .map_err(|error| Failure::Job(format!("the plan is no JSON: {error}")))?;
        return print_line(&json);
    }
    print_line(plan.explain().trim_end())
}

/// For instance `1 source, 1 sink, 2 stages`.
fn summary(plan: &Plan) -> String {
    let count = |what: &str, n: usize| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let scans = plan.scans().count();
    let sinks = plan.sinks().count();
    let exchanges = plan.nodes.iter().filter(|node| matches!(node.operator, Operator::Exchange(_))).count();
    format!("{}, {}, {}", count("source", scans), count("sink", sinks), count("exchange", exchanges))
}

/// A reader that has gone (`millrace plan … | head`) is no failure.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Job(format!("could not write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
