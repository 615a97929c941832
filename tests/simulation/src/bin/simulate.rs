//! `simulate`: runs seeds against the oracle, and with `--mutants` the list of mutants too. The last line
//! says how it went; the exit code is 0 only if nothing was wrong.

use millrace_simulation::campaign::{self, SEEDS_FOR_A_FULL_TABLE, Seeds};
use millrace_simulation::mutants::{self, Fate, Mutant};
use millrace_simulation::world::simulate;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
simulate [--seeds N] [--seed S [--trace]] [--first S] [--threads N] [--mutants [--only NAMES]] [--hunt-seeds N]

  --seeds N       how many seeds to run (100)
  --seed S        run this one only; with --trace print what happens
  --first S       the first seed (0)
  --threads N     how many at a time (all cores)
  --mutants       build and hunt the mutants of tests/simulation/mutants, too
  --only NAMES    of the mutants only those whose names contain one of these, which commas part
  --hunt-seeds N  seeds in which a mutant must be caught (20000)
  --hunt          stop at the first verdict of the oracle, and count nothing else: what mutants are run with
  --oracle PATH   the oracle's program (beside this one)";

struct Options {
    seeds: u64,
    seed: Option<u64>,
    trace: bool,
    first: u64,
    threads: usize,
    mutants: bool,
    only: String,
    hunt_seeds: u64,
    hunt: bool,
    oracle: PathBuf,
}

fn options() -> Result<Options, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut options = Options {
        seeds: 100,
        seed: None,
        trace: false,
        first: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        mutants: false,
        only: String::new(),
        hunt_seeds: 20_000,
        hunt: false,
        oracle: program.with_file_name("oracle"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{argument}: {text} is not a number"));
        match argument.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--seed" => options.seed = Some(number(value()?)?),
            "--first" => options.first = number(value()?)?,
            "--threads" => options.threads = number(value()?)? as usize,
            "--hunt-seeds" => options.hunt_seeds = number(value()?)?,
            "--only" => options.only = value()?,
            "--oracle" => options.oracle = value()?.into(),
            "--trace" => options.trace = true,
            "--mutants" => options.mutants = true,
            "--hunt" => options.hunt = true,
            _ => return Err(format!("unknown option {argument}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A panic of a simulated process is caught, and reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let result = if options.hunt { hunt(&options) } else { run(&options) };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(options: &Options) -> Seeds {
    let (first, count) = options.seed.map_or((options.first, options.seeds), |seed| (seed, 1));
    Seeds { first, count, threads: options.threads, hunt: options.hunt }
}

fn hunt(options: &Options) -> io::Result<bool> {
    let summary = campaign::run(seeds(options), &options.oracle)?;
    match summary.failures.first() {
        Some((seed, verdict)) => println!("caught by seed {seed}: {verdict}"),
        None => println!("survived"),
    }
    Ok(summary.failures.is_empty())
}

fn run(options: &Options) -> io::Result<bool> {
    if let Some(seed) = options.seed.filter(|_| options.trace) {
        simulate(seed, true);
    }
    let summary = campaign::run(seeds(options), &options.oracle)?;
    let program = std::env::current_exe()?;
    for (seed, failure) in &summary.failures {
        println!("seed {seed}: {failure}\n  replay: {} --seed {seed} --trace", program.display());
    }
    println!("{}", summary.table.render());
    println!("{} rows read, {} outputs, {} events", summary.rows.0, summary.rows.1, summary.events);
    let (restored, cut_short) = summary.restored;
    println!("{restored} jobs started from savepoints; {cut_short} were refused, since the one before went on");
    let missing = summary.table.missing();
    let full = missing.is_empty() || summary.seeds < SEEDS_FOR_A_FULL_TABLE;
    if !full {
        println!("never happened, and should have: {missing:?}");
    }
    let (caught, all) = if options.mutants { hunt_mutants(options)? } else { (0, 0) };
    let mutants = if options.mutants { format!(", {caught}/{all} mutants caught") } else { String::new() };
    let violations = summary.failures.len();
    let faults = summary.table.total();
    println!("simulate: {} seeds, {faults} faults, {violations} violations{mutants}", summary.seeds);
    Ok(violations == 0 && full && caught == all)
}

fn hunt_mutants(options: &Options) -> io::Result<(usize, usize)> {
    let mut mutants = mutants::load()?;
    mutants.retain(|mutant| options.only.split(',').any(|only| mutant.name.contains(only)));
    let told = |mutant: &Mutant, fate: &Fate| match fate {
        Fate::Caught(how) => println!("mutant {}: caught by {how}", mutant.name),
        Fate::Survived => println!("mutant {}: SURVIVED. {}", mutant.name, mutant.why),
        Fate::Broken(why) => println!("mutant {}: BROKEN: {why}", mutant.name),
    };
    let scratch = options.oracle.with_file_name("mutants");
    let fates = mutants::hunt(&mutants, &options.oracle, &scratch, options.hunt_seeds, options.threads, &told);
    let caught = fates.iter().filter(|fate| matches!(fate, Fate::Caught(_))).count();
    Ok((caught, mutants.len()))
}
