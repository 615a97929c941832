//! What is around a job's workers, for whoever starts them: `millrace` on one machine, the operator in a cluster. From
//! a manifest to a job with everything settled, its topics, the file that workers are started with, and savepoints of
//! all of them together. Not here: running a worker (`job-runtime`), and deciding when to do any of this.

pub mod secrets;
pub mod settings;
pub mod topics;
pub mod job_file;
pub mod creation;
pub mod savepoint;
