//! The oracle must find fault with what is wrong, and with nothing else.

use millrace_simulation::oracle::Oracle;
use millrace_simulation::world::{Report, simulate};
use std::path::Path;

fn verdict(change: impl Fn(&mut Report)) -> String {
    let mut report = simulate(3, false);
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
