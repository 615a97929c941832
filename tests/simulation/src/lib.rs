//! Deterministic simulation of the commit protocol. `millrace-protocol` says what to do; here a model of
//! Kafka and a model of disks do it, under a simulated clock and with faults drawn from a seed, and a
//! separate program, the oracle, compares what came out with what went in. In some runs savepoints are made, and
//! other jobs start from them.
//!
//! It simulates the protocol and the way the runtime performs it, not the runtime's code: SQL, threads and
//! Kafka's client are tested elsewhere.

pub mod random;
pub mod trace;
pub mod log;
pub mod disk;
pub mod storage;
pub mod job;
pub mod world;
pub mod oracle;
pub mod campaign;
pub mod mutants;
pub mod conformance;
