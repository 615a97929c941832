//! The oracle must find fault with what is wrong, and with nothing else.

use millrace_simulation::oracle::Oracle;
use millrace_simulation::world::{Report, simulate};
use std::path::Path;

fn verdict(change: impl Fn(&mut Report)) -> String {
    verdict_on(simulate(3, false), change)
}

/// On a run in which a second job has started from a savepoint of the first.
fn verdict_on_two_jobs(change: impl Fn(&mut Report)) -> String {
    let mut reports = (0..).map(|seed| simulate(seed, false));
    let has_both = |report: &Report| !report.second.is_empty() && report.second.iter().all(|outputs| outputs.len() > 9);
    verdict_on(reports.find(has_both).expect("some run has two jobs"), change)
}

fn verdict_on(mut report: Report, change: impl Fn(&mut Report)) -> String {
    change(&mut report);
    let mut oracle = Oracle::start(Path::new(env!("CARGO_BIN_EXE_oracle"))).expect("the oracle starts");
    oracle.judge(&report).expect("the oracle answers").unwrap_or_else(|| "ok".to_owned())
}

#[test]
fn what_came_out_right_is_right() {
    assert_eq!(verdict(|_| {}), "ok");
}

#[test]
fn a_missing_output_is_noticed() {
    let missing = verdict(|report| drop(report.output[0].pop()));
    assert!(missing.starts_with("lost"), "{missing}");
    let nothing = verdict(|report| report.output.iter_mut().for_each(Vec::clear));
    assert!(nothing.starts_with("lost"), "{nothing}");
}

#[test]
fn a_repeated_output_is_noticed() {
    let repeated = verdict(|report| {
        let last = report.output[1].last().cloned().expect("outputs");
        report.output[1].push(last);
    });
    assert!(repeated.starts_with("doubled"), "{repeated}");
}

#[test]
fn outputs_in_another_order_and_of_nothing_are_noticed() {
    let swapped = verdict(|report| report.output[0].reverse());
    assert_ne!(swapped, "ok");
    let invented = verdict(|report| drop(report.input[0].remove(0)));
    assert_ne!(invented, "ok");
}

#[test]
fn a_second_job_may_begin_anywhere_and_then_has_to_be_right() {
    assert_eq!(verdict_on_two_jobs(|_| {}), "ok");
    let missing = verdict_on_two_jobs(|report| drop(report.second[0].remove(5)));
    assert_ne!(missing, "ok");
    let repeated = verdict_on_two_jobs(|report| {
        let last = report.second[1].last().cloned().expect("outputs");
        report.second[1].push(last);
    });
    assert!(repeated.starts_with("doubled"), "{repeated}");
    let unfinished = verdict_on_two_jobs(|report| drop(report.second[0].pop()));
    assert!(unfinished.starts_with("lost"), "{unfinished}");
}

#[test]
fn a_second_job_goes_on_from_one_moment_of_the_first() {
    let from_the_beginning = verdict_on_two_jobs(|report| {
        let is_window = |record: &Vec<u8>| record[0] == 2;
        let closed_before: Vec<Vec<u8>> =
            report.output[0].iter().filter(|r| is_window(r) && !report.second[0].contains(r)).cloned().collect();
        report.second[0].splice(0..0, closed_before);
    });
    assert!(from_the_beginning.starts_with("doubled"), "{from_the_beginning}");
}

#[test]
fn a_job_that_was_cut_short_may_lack_results_and_nothing_else() {
    let missing = verdict(|report| {
        report.cut_short = true;
        report.output[0].pop();
    });
    assert_eq!(missing, "ok");
    let repeated = verdict(|report| {
        report.cut_short = true;
        let last = report.output[1].last().cloned().expect("outputs");
        report.output[1].push(last);
    });
    assert!(repeated.starts_with("doubled"), "{repeated}");
}
