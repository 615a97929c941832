//! A taste of what `make simulate` does at length: some hundred seeds, and a few mutants.

use millrace_simulation::campaign::{self, Seeds};
use millrace_simulation::mutants::{self, Fate};
use millrace_simulation::world::simulate;
use std::path::Path;

/// Mutants that fall soon.
const SOME: [&str; 4] =
    ["skip-the-fence", "apply-before-commit", "no-catching-up", "counts-of-exchanges-are-not-compared"];
const ORACLE: &str = env!("CARGO_BIN_EXE_oracle");

#[test]
fn whatever_goes_wrong_every_row_counts_once() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = Seeds { first: 0, count: 300, threads, hunt: false };
    let summary = campaign::run(seeds, Path::new(ORACLE)).expect("the oracle answers");
    assert_eq!(summary.failures, []);
    assert!(summary.table.total() >= 300 * campaign::FAULTS_MIN);
    let (restored, refused) = summary.restored;
    assert!(restored > 50, "{restored} jobs started from savepoints");
    assert!(refused * 5 < restored, "{refused} runs ended because a job went on after its last savepoint");
}

#[test]
fn a_seed_is_the_same_run_every_time_and_another_seed_another() {
    let first = simulate(7, false);
    assert_eq!(first, simulate(7, false));
    assert_ne!(first.fingerprint, simulate(8, false).fingerprint);
    let restored = (0..).find(|seed| simulate(*seed, false).restored > 0).expect("some run has a savepoint");
    assert_eq!(simulate(restored, false), simulate(restored, false));
}

#[test]
fn the_oracle_notices_some_of_the_mutants() {
    let mut mutants = mutants::load().expect("the lists are mutants");
    assert!(mutants.len() >= 25);
    mutants.retain(|m| SOME.contains(&m.name.as_str()));
    assert_eq!(mutants.len(), SOME.len());
    let oracle = Path::new(ORACLE);
    let scratch = oracle.with_file_name("mutants");
    let fates = mutants::hunt(&mutants, oracle, &scratch, 1000, 1, &|_, _| {});
    for (mutant, fate) in mutants.iter().zip(fates) {
        assert!(matches!(fate, Fate::Caught(_)), "{}: {fate:?}", mutant.name);
    }
}

#[test]
fn every_mutant_stands_where_the_list_says_and_nowhere_else() {
    let mut wrong = Vec::new();
    for mutant in mutants::load().expect("the lists are mutants") {
        let text = std::fs::read_to_string(mutants::repository().join(&mutant.file)).unwrap_or_default();
        if text.matches(&mutant.find).count() != 1 || mutant.why.is_empty() {
            wrong.push(mutant.name);
        }
    }
    assert_eq!(wrong, [""; 0]);
}
