//! `StreamJob`: in the order of a reconciliation. What is wanted (`wanted.rs`), what is there (`observed.rs`) and
//! what else is known (`facts.rs`) make a decision (`decide.rs`), which is written into the status and then acted upon
//! (`reconcile.rs`) with objects that `build.rs` describes.

pub mod wanted;
pub mod observed;
pub mod operation;
mod reach;
pub mod decide;
pub mod status;
pub mod build;
mod memory;
mod facts;
pub mod reconcile;
mod prepare;
mod recollect;
pub(crate) mod own_savepoints;
pub mod deletion;
pub mod schedule;
pub mod controller;
#[cfg(test)]
mod tests;
