//! What the tests are written with: a Kafka with topics of the test's own, records in and out, jobs, and
//! processes that end with the test. Nothing here knows what a job computes.

pub(super) mod random;
pub(super) mod cluster;
pub(super) mod records;
pub(super) mod process;
pub(super) mod job;
pub(super) mod workers;

pub(super) use cluster::Kafka;
pub(super) use job::{Errors, Job, run_bounded};
pub(super) use process::Millrace;
pub(super) use random::Random;
pub(super) use records::{Producer, Reader, Record};
pub(super) use workers::Workers;

use std::time::Duration;

/// No step of a test takes longer, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
