//! How long a killed worker's tasks stand still: from its new start to its first commit, with its volume, and without
//! it from the log alone, from an image in the log, and from an archive. The state is a day's window of bids by auction and
//! bidder, which stays open.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

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
    /// The volume is lost: the log from its beginning.
    Log,
    /// The volume is lost, and so is the beginning of the log: an image in it.
    Image,
    /// The same: a directory with checkpoints.
    Archive,
}

impl Origin {
    /// What the status counts the tasks as.
    fn counted_as(self) -> &'static str {
        match self {
            Self::Volume => "tasksFromVolume",
            Self::Log => "tasksFromLog",
            Self::Image => "tasksFromImage",
            Self::Archive => "tasksFromCheckpoint",
        }
    }

    /// What it should take at most, in seconds.
    pub(crate) fn goal(self, state_bytes: u64) -> f64 {
        let megabytes = state_bytes as f64 / 1e6;
        match self {
            Self::Volume => 5.0,
            Self::Log | Self::Image => 5.0 + megabytes / 50.0,
            Self::Archive => 5.0 + megabytes / 100.0,
        }
    }
}

/// What a killed worker needed to commit again.
pub(crate) struct Recovery {
    pub(crate) origin: Origin,
    pub(crate) state_bytes: u64,
    pub(crate) seconds: f64,
    /// Until the tasks were its own and their state there.
    pub(crate) restore_seconds: f64,
    /// Of the task logs, that it replayed.
    pub(crate) log_bytes: u64,
}

/// A job, and how it keeps its state.
struct Setting {
    job: &'static str,
    archives: bool,
    spec: &'static str,
}

const PLAIN: Setting = Setting { job: "recovery", archives: false, spec: "checkpoint: {interval: 10s}" };
/// One task, whose log then grows so long that an image is due.
const IMAGES: Setting =
    Setting { job: "recovery-image", archives: false, spec: "parallelism: 1\n  checkpoint: {interval: 10s}" };
const ARCHIVES: Setting = Setting { job: "recovery-archive", archives: true, spec: "" };

impl Experiment<'_> {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Vec<Recovery>> {
        let mut recoveries = self.recover(testbed, &PLAIN, &[Origin::Volume, Origin::Log])?;
        recoveries.extend(self.recover(testbed, &IMAGES, &[Origin::Image])?);
        recoveries.extend(self.recover(testbed, &ARCHIVES, &[Origin::Archive])?);
        Ok(recoveries)
    }

    fn recover(&self, testbed: &Testbed, setting: &Setting, origins: &[Origin]) -> Result<Vec<Recovery>> {
        let folder = testbed.folder_for_a_run()?;
        let start = || self.start(folder.path(), setting);
        let mut running = start()?;
        running.until("all events to be read", LIMIT, |status| (status["lag"].as_i64()? == 0).then_some(()))?;
        let more_checkpoints = |running: &mut Running, what: &str, count: u64| {
            let checkpoints = |status: &serde_json::Value| status["checkpoints"].as_u64();
            let made = running.until("the number of checkpoints", LIMIT, checkpoints)?;
            running.until(what, LIMIT, |status| (checkpoints(status)? > made + count).then_some(()))
        };
        more_checkpoints(&mut running, "all of it to be on the volume", 1)?;
        for origin in origins {
            let little = self.topic.partitions as i64 * (2 << 20);
            match origin {
                Origin::Volume | Origin::Log => continue,
                Origin::Image => {
                    running.until("an image", LIMIT, |status| (status["images"].as_u64()? > 0).then_some(()))?;
                }
                // What is not there then is too little to be worth a copy.
                Origin::Archive => running.until("all of it to be in the archive", LIMIT, |status| {
                    let copied = status["archivedCheckpoints"].as_u64()? >= self.topic.partitions;
                    (copied && status["logTailBytes"].as_i64()? < little).then_some(())
                })?,
            }
            more_checkpoints(&mut running, "the log to be cut", 2)?;
        }
        let state = folder.path().join("state").join(format!("default.{}", setting.job)).join("state");
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
            let (restore, tasks) = running.until("the restore", LIMIT, |status| {
                Some((status["restore"].as_object()?.clone(), status["worker"]["tasks"].as_array()?.len() as u64))
            })?;
            let number = |field: &str| restore[field].as_u64();
            ensure!(
                number(origin.counted_as()) == Some(tasks),
                "meant to be from {origin:?}, and was {}",
                serde_json::to_string(&restore)?
            );
            recoveries.push(Recovery {
                origin,
                state_bytes,
                seconds,
                restore_seconds: restore["seconds"].as_f64().context("how long the restore took")?,
                log_bytes: number("replayedBytes").context("how much was read of the log")?,
            });
        }
        running.stop()?;
        Ok(recoveries)
    }

    fn start(&self, folder: &Path, setting: &Setting) -> Result<Running> {
        let Setting { job, archives, spec } = *setting;
        let servers = &self.topic.bootstrap_servers;
        let events = self.topic.name();
        let parameters = Parameters { bootstrap_servers: servers, topic: &events, output_topic: "", job };
        let sql = query::millrace("recovery", &parameters)?.replace("  'scan.bounded.mode' = 'latest-offset',\n", "");
        let archive = folder.join("archive");
        fs::create_dir_all(&archive)?;
        let archived = format!(
            "checkpoint: {{interval: 10s, storage: {{objectStore: {{url: \"file://{}\"}}}}}}",
            archive.display()
        );
        let manifest = running::manifest_of(job, servers, if archives { &archived } else { spec }, &sql);
        Running::start(&self.millrace_binary, &manifest, servers, folder)
    }
}

/// Bytes of all files below a folder.
pub(crate) fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
