//! The operator: reconciles `StreamJob` and `Savepoint` objects. What a job needs is decided in `job/decide.rs` from
//! what was observed, without IO; everything that touches the cluster, Kafka or the pods stands behind the two seams
//! `cluster.rs` and `surroundings.rs`, so that tests can make them fail at every call. No event is ever processed here, and
//! a job runs on when the operator does not.

pub mod settings;
pub mod names;
pub mod cluster;
pub mod surroundings;
pub mod worker_status;
mod doors;
pub mod hosts;
pub mod metrics;
pub mod leadership;
pub mod server;
pub mod job;
pub mod savepoint;
pub mod release;
mod run;

pub use run::run;
pub use settings::Settings;
