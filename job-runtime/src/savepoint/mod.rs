//! Savepoints: a consistent copy of a whole job's state, made on request, portable to another parallelism, another
//! number of workers and a changed plan. In the order of their life: the worker stands still, its tasks are
//! written, the manifest makes them one; later a plan is set against it, and tasks are restored from it.

pub mod pause;
pub mod write;
pub mod manifest;
pub mod compare;
pub mod restore;
#[cfg(test)]
mod tests;
