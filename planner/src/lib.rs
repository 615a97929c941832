//! From Flink SQL to a plan. `parse` -> `catalog` -> `bind` -> `optimise` -> `stages`; one call does it
//! all: [`plan_script`]. No IO, no clock, and no knowledge of Kafka's client: a plan is pure data.

pub mod types;
pub mod ast;
pub mod error;
pub mod parse;
pub mod connector;
pub mod catalog;
pub mod function;
pub mod expression;
pub mod plan;
