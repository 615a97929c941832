//! Millrace: one process per run, measured from its start to its end, planning and the creation of
//! the job's topics included.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Cost, TIME_LIMIT, tail};
use crate::process;

pub(crate) struct Millrace {
    pub(crate) binary: PathBuf,
}

impl Millrace {
    /// Runs a file of statements until its input ends, in a folder of its own that goes afterwards.
    pub(crate) fn run(&self, sql: &str, bootstrap_servers: &str) -> Result<Cost> {
        let folder = tempfile::tempdir().context("making a folder for the run")?;
        let (sql_file, log_file) = (folder.path().join("query.sql"), folder.path().join("millrace.log"));
        fs::write(&sql_file, sql)?;
        let log = File::create(&log_file)?;
        let started = Instant::now();
        let child = Command::new(&self.binary)
            .args(["run", "--bounded", "--sql"])
            .arg(&sql_file)
            .args(["--kafka", bootstrap_servers])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        let log = || tail(&fs::read_to_string(&log_file).unwrap_or_default());
        let usage =
            process::wait(child, started, TIME_LIMIT).with_context(|| format!("millrace; its log:\n{}", log()))?;
        ensure!(usage.status.success(), "millrace failed ({}); its log:\n{}", usage.status, log());
        Ok(Cost { seconds: usage.seconds, cpu_seconds: usage.cpu_seconds, peak_memory_bytes: usage.peak_memory_bytes })
    }
}
