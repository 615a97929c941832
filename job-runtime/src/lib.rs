//! Runs a plan: reads sources, decodes, computes, keeps state, commits, writes sinks. The modules stand
//! in the order of the data path; `pipeline` composes it, `worker` keeps it running.

pub mod env;
pub mod error;
pub mod condition;
pub mod schema;
pub mod job;
pub mod batch;
pub mod kafka;
pub mod source;
pub mod decode;
pub mod key;
pub mod row;
pub mod expression;
pub mod operators;
pub mod exchange;
pub mod state;
pub mod storage;
pub mod archive;
pub mod commit;
pub mod savepoint;
pub mod encode;
pub mod sink;
pub mod task;
pub mod thread;
pub mod pipeline;
pub mod metrics;
pub mod control;
mod tables;
pub mod prepare;
mod positions;
pub mod watch;
pub mod worker;
