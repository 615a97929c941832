//! How long a killed worker's tasks stand still: from its new start to its first commit, with its volume, and without
//! it from the log and from an archive. The state is a day's window of bids by auction and bidder, which stays open.

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

pub(crate) struct Experiment<'a> {
    pub(crate) topic: &'a EventTopic,
    pub(crate) millrace_binary: PathBuf,
}

/// Where a killed worker takes its state from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Volume,
    /// The volume is lost: an image in the log, or the log from its beginning.
    Log,
    /// The volume is lost: a directory with checkpoints.
    Archive,
}

/// What a killed worker needed to commit again.
pub(crate) struct Recovery {
    pub(crate) origin: Origin,
    pub(crate) state_bytes: u64,
    pub(crate) seconds: f64,
    /// Until the tasks were its own and their state there.
    pub(crate) restore_seconds: f64,
    /// Records of the task logs that it read.
    pub(crate) log_records: u64,
}

impl Experiment<'_> {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Vec<Recovery>> {
        let mut recoveries = self.recover(testbed, "recovery", &[Origin::Volume, Origin::Log])?;
        recoveries.extend(self.recover(testbed, "recovery-archive", &[Origin::Archive])?);
        Ok(recoveries)
    }

    fn recover(&self, testbed: &Testbed, job: &str, origins: &[Origin]) -> Result<Vec<Recovery>> {
        let folder = testbed.folder_for_a_run()?;
        let archives = origins.contains(&Origin::Archive);
        let start = || self.start(folder.path(), job, archives);
        let mut running = start()?;
        running.until("all events to be read", LIMIT, |status| (status["lag"].as_i64()? == 0).then_some(()))?;
        let checkpoints = |status: &serde_json::Value| status["checkpoints"].as_u64();
        let made = running.until("the number of checkpoints", LIMIT, checkpoints)?;
        running
            .until("all of it to be on the volume", LIMIT, |status| (checkpoints(status)? > made + 1).then_some(()))?;
        if archives {
            // What is not there then is too little to be worth a copy.
            let little = self.topic.partitions as i64 * (2 << 20);
            running.until("all of it to be in the archive", LIMIT, |status| {
                let copied = status["archivedCheckpoints"].as_u64()? >= self.topic.partitions;
                (copied && status["logTailBytes"].as_i64()? < little).then_some(())
            })?;
        }
        let state = folder.path().join("state").join(format!("default.{job}")).join("state");
        let state_bytes = size(&state)?;
        let mut recoveries = Vec::new();
        for &origin in origins {
            // The process is killed.
            drop(running);
            if origin != Origin::Volume {
                fs::remove_dir_all(&state).with_context(|| format!("losing {}", state.display()))?;
            }
            let started = Instant::now();
            running = start()?;
            running.until("a commit", LIMIT, |status| (status["commits"].as_u64()? > 0).then_some(()))?;
            let seconds = started.elapsed().as_secs_f64();
            let restore = |status: &serde_json::Value| {
                Some((status["restore"]["seconds"].as_f64()?, status["restore"]["logRecords"].as_u64()?))
            };
            let (restore_seconds, log_records) = running.until("the restore", LIMIT, restore)?;
            recoveries.push(Recovery { origin, state_bytes, seconds, restore_seconds, log_records });
        }
        running.stop()?;
        Ok(recoveries)
    }

    fn start(&self, folder: &Path, job: &str, archives: bool) -> Result<Running> {
        let servers = &self.topic.bootstrap_servers;
        let events = self.topic.name();
        let parameters = Parameters { bootstrap_servers: servers, topic: &events, output_topic: "", job };
        let sql = query::millrace("recovery", &parameters)?.replace("  'scan.bounded.mode' = 'latest-offset',\n", "");
        let archive = folder.join("archive");
        fs::create_dir_all(&archive)?;
        let settings = match archives {
            true => format!("checkpoint: {{storage: {{objectStore: {{url: \"file://{}\"}}}}}}", archive.display()),
            false => "checkpoint: {interval: 10s}".to_owned(),
        };
        let manifest = running::manifest_of(job, servers, &settings, &sql);
        Running::start(&self.millrace_binary, &manifest, servers, folder)
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
