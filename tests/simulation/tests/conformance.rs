//! The model log against what the protocol relies on in Kafka.

use millrace_simulation::conformance::{CHECKS, ModelLog};

#[test]
fn the_model_log_does_what_the_protocol_relies_on() {
    let mut log = ModelLog::default();
    for (number, check) in CHECKS.iter().enumerate() {
        println!("{}", check.name);
        (check.run)(&mut log, number as u32 * 10);
    }
}
