//! Runs a plan: reads sources, decodes, computes, keeps state, commits, writes sinks. The modules stand
//! in the order of the data path; `pipeline` composes it.

pub mod env;
pub mod error;
pub mod schema;
pub mod job;
pub mod batch;
pub mod decode;
pub mod key;
pub mod expression;
pub mod operators;
pub mod state;
pub mod encode;
