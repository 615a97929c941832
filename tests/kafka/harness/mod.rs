//! What the tests are written with: a Kafka with topics of the test's own, records in and out, jobs, and
//! processes that end with the test; and a proxy that gets between. Nothing here knows what a job computes.

pub(crate) mod random;
pub(crate) mod cluster;
pub(crate) mod own_broker;
pub(crate) mod records;
pub(crate) mod process;
pub(crate) mod job;
pub(crate) mod workers;
pub(crate) mod savepoint;
pub(crate) mod mount;
pub(crate) mod proxy;
pub(crate) mod wire;
pub(crate) mod users;
pub(crate) mod certificates;

pub(crate) use cluster::Kafka;
pub(crate) use job::{Errors, Job, run_bounded};
pub(crate) use mount::Mount;
pub(crate) use own_broker::OwnBroker;
pub(crate) use process::Millrace;
pub(crate) use proxy::Proxy;
pub(crate) use random::Random;
pub(crate) use records::{Producer, Reader, Record};
pub(crate) use savepoint::SavepointByHand;
pub(crate) use workers::{Workers, adjust_job};

use std::time::Duration;

/// No step of a test takes longer, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
