//! Savepoints: a consistent copy of a whole job's state, made on request, portable to another parallelism, another
//! number of workers and a changed plan. In the order of their life: the worker stands still, its tasks are
//! held and written, the manifest makes them one; later a plan is set against it, and tasks are restored from it.

use crate::job::JobIdentity;
use crate::storage::KAFKA_SCHEME;

pub mod pause;
pub mod held;
pub mod write;
pub mod manifest;
pub mod compare;
pub mod restore;
#[cfg(test)]
mod tests;

/// Between the job and the savepoint in the name of a topic.
const TOPIC_PART: &str = ".sp.";

/// The place of a savepoint at a location: a folder there, or, where that is `kafka:`, a topic of the job.
pub fn place(job: &JobIdentity, location: &str, savepoint: &str) -> String {
    if location == KAFKA_SCHEME {
        return format!("{KAFKA_SCHEME}{}{TOPIC_PART}{savepoint}", job.topic_prefix());
    }
    if location.ends_with("://") {
        // It names nothing, which opening it says; with a folder it would name something else.
        return location.to_owned();
    }
    format!("{}/{savepoint}", location.strip_suffix('/').unwrap_or(location))
}

/// A task's part of a table of state, in the savepoint's place.
fn file(task: u32, operator: u32, table: &str) -> String {
    format!("task-{task}/{operator:08x}-{table}.parquet")
}

/// Whether a file is called as those of savepoints are.
fn is_file(name: &str) -> bool {
    name.starts_with("task-") && name.ends_with(".parquet")
}

/// Whether a topic is called as those of savepoints are.
pub fn is_savepoint(topic: &str) -> bool {
    topic.contains(TOPIC_PART)
}
