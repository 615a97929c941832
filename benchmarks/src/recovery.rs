//! How long a killed worker's tasks stand still: from its new start to its first commit, with its volume and
//! without it. The state is a day's window of bids by auction and bidder, which stays open.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::engine::running::{self, Running};
use crate::query::{self, Parameters};
use crate::testbed::Testbed;
use crate::topic::EventTopic;

/// Reading all events takes no longer, and neither does a recovery.
const LIMIT: Duration = Duration::from_secs(600);
const JOB: &str = "recovery";

pub(crate) struct Experiment<'a> {
    pub(crate) topic: &'a EventTopic,
    pub(crate) millrace_binary: PathBuf,
}

/// What a killed worker needed to commit again.
pub(crate) struct Recovery {
    pub(crate) volume: bool,
    pub(crate) seconds: f64,
    /// Records of the task logs that it read.
    pub(crate) log_records: u64,
}

pub(crate) struct Report {
    pub(crate) state_bytes: u64,
    pub(crate) recoveries: Vec<Recovery>,
}

impl Experiment<'_> {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Report> {
        let folder = testbed.folder_for_a_run()?;
        let mut running = self.start(folder.path())?;
        running.until("all events to be read", LIMIT, |status| (status["lag"].as_i64()? == 0).then_some(()))?;
        let checkpoints = |status: &serde_json::Value| status["checkpoints"].as_u64();
        let made = running.until("the number of checkpoints", LIMIT, checkpoints)?;
        running
            .until("all of it to be on the volume", LIMIT, |status| (checkpoints(status)? > made + 1).then_some(()))?;
        let state = folder.path().join("state").join(format!("default.{JOB}")).join("state");
        let state_bytes = size(&state)?;
        let mut recoveries = Vec::new();
        for volume in [true, false] {
            // The process is killed.
            drop(running);
            if !volume {
                fs::remove_dir_all(&state).with_context(|| format!("losing {}", state.display()))?;
            }
            let started = Instant::now();
            running = self.start(folder.path())?;
            running.until("a commit", LIMIT, |status| (status["commits"].as_u64()? > 0).then_some(()))?;
            let seconds = started.elapsed().as_secs_f64();
            let read = |status: &serde_json::Value| status["restore"]["logRecords"].as_u64();
            recoveries.push(Recovery { volume, seconds, log_records: running.until("the restore", LIMIT, read)? });
        }
        running.stop()?;
        Ok(Report { state_bytes, recoveries })
    }

    fn start(&self, folder: &Path) -> Result<Running> {
        let servers = &self.topic.bootstrap_servers;
        let events = self.topic.name();
        let parameters = Parameters { bootstrap_servers: servers, topic: &events, output_topic: "", job: JOB };
        let sql = query::millrace(JOB, &parameters)?.replace("  'scan.bounded.mode' = 'latest-offset',\n", "");
        Running::start(&self.millrace_binary, &running::manifest(JOB, servers, &sql), servers, folder)
    }
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
