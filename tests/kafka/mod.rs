//! Jobs run by the built `millrace` command, on the Apache Kafka that MILLRACE_TEST_KAFKA names and on the
//! embedded broker, and what comes out of them compared with what has to. Without MILLRACE_TEST_KAFKA the
//! tests that need it are skipped, or fail where MILLRACE_REQUIRE_KAFKA is 1; `tests/testbed/kafka/run.sh`
//! sets both.

pub(crate) mod harness;
mod events;

mod bounded;
mod stop;
mod kill;
mod twins;
mod full_queue;
mod late_checkpoint;
mod large_window;
mod undelivered;
mod workers;
mod images;
mod archive;
mod volumes;
mod full_disk;
mod savepoints;
mod commits;
mod topics;
mod partitions;
mod idle;
mod clock;
mod late;
mod poison;
mod limits;
mod oversize;
mod sasl;
mod tls;
mod deleted;
mod join;
mod embedded;
mod proxy;
mod model_log;
