//! Millrace: one process per run, measured from its start to its end, planning and the creation of
//! the job's topics included.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Cost, TIME_LIMIT, tail};
use crate::process;
use crate::testbed::Testbed;

pub(crate) struct Millrace<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) testbed: &'a Testbed,
}

/// The command that both benchmarks start from, with its output in a file.
pub(crate) fn command(binary: &Path, folder: &Path, bootstrap_servers: &str, log: &Path) -> Result<Command> {
    let log = File::create(log).with_context(|| format!("making {}", log.display()))?;
    let mut command = Command::new(binary);
    command.args(["run", "--kafka", bootstrap_servers]);
    command.arg("--state-dir").arg(folder.join("state"));
    // Any port: the default one may be taken.
    command.args(["--listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

impl Millrace<'_> {
    /// Runs a file of statements until its input ends, in a folder of its own that goes afterwards.
    pub(crate) fn run(&self, sql: &str, bootstrap_servers: &str) -> Result<Cost> {
        let folder = self.testbed.folder_for_a_run()?;
        let (sql_file, log_file) = (folder.path().join("query.sql"), folder.path().join("millrace.log"));
        fs::write(&sql_file, sql)?;
        let mut command = command(self.binary, folder.path(), bootstrap_servers, &log_file)?;
        command.arg("--bounded").arg("--sql").arg(&sql_file);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let log = || tail(&fs::read_to_string(&log_file).unwrap_or_default());
        let usage =
            process::wait(child, started, TIME_LIMIT).with_context(|| format!("millrace; its log:\n{}", log()))?;
        ensure!(usage.status.success(), "millrace failed ({}); its log:\n{}", usage.status, log());
        Ok(Cost { seconds: usage.seconds, cpu_seconds: usage.cpu_seconds, peak_memory_bytes: usage.peak_memory_bytes })
    }
}
