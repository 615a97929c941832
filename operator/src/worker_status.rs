//! What the operator reads of a worker's status, as `/api/v1/status` has it. Everything is optional: a worker may be of
//! an earlier or a later version than the operator.

use serde::Deserialize;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerStatus {
    pub phase: String,
    pub problem: Option<Problem>,
    pub warnings: Vec<Problem>,
    pub commits: u64,
    pub checkpoints: u64,
    /// Epoch milliseconds.
    pub last_commit: Option<i64>,
    pub last_checkpoint: Option<i64>,
    pub last_archived_checkpoint: Option<i64>,
    pub archive_failures: u64,
    pub lag: Option<i64>,
    pub watermark: Option<i64>,
    pub restore: Option<WorkerRestore>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerRestore {
    /// Epoch milliseconds.
    pub at: i64,
    pub replayed_bytes: u64,
    pub tasks: Vec<RestoredTask>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoredTask {
    pub task: u32,
    /// `Volume`, `Image`, `Checkpoint` or `Log`.
    pub from: String,
    /// The commit that was in it.
    pub commit: Option<u64>,
}

impl WorkerStatus {
    pub fn is_running(&self) -> bool {
        self.phase == "Running" || self.phase == "Finished"
    }

    /// It has read the state of its tasks, and takes them from the workers before when it is asked.
    pub fn stands_by(&self) -> bool {
        self.phase == "StandingBy"
    }

    /// It does its work: holds its tasks, and what it does can be gone on from.
    pub fn is_stable(&self) -> bool {
        self.phase == "Finished" || self.is_running() && self.commits > 0 && self.checkpoints > 0
    }
}

impl WorkerRestore {
    /// Task by task, in words.
    pub fn from(&self) -> Vec<String> {
        let place = |task: &RestoredTask| match task.from.as_str() {
            "Volume" => "checkpoint on the volume",
            "Image" => "image in the log",
            "Checkpoint" => "checkpoint in the object store",
            _ => "the log alone",
        };
        let text = |task: &RestoredTask| match task.commit {
            Some(commit) => format!("task {}: {} of commit {commit}", task.task, place(task)),
            None => format!("task {}: {}", task.task, place(task)),
        };
        self.tasks.iter().map(text).collect()
    }
}
