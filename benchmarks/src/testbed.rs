//! The scripts of `tests/testbed` as this program uses them: Flink is started and stopped by them,
//! and the pid files say whose CPU time to read.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Process;

pub(crate) struct Testbed {
    scripts: PathBuf,
    state: PathBuf,
}

impl Testbed {
    /// The one of this repository, with its state where the scripts keep it by default.
    pub(crate) fn new() -> Result<Self> {
        let state = match std::env::var_os("TESTBED") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/millrace/testbed"),
        };
        let scripts = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/testbed"));
        Ok(Self { scripts, state })
    }

    pub(crate) fn script(&self, name: &str) -> Command {
        Command::new(self.scripts.join(name))
    }

    pub(crate) fn run(&self, name: &str) -> Result<()> {
        let status = self.script(name).status().with_context(|| format!("running {name}"))?;
        ensure!(status.success(), "{name} failed: {status}");
        Ok(())
    }

    /// The process that a start script launched, by its pid file, for example `flink/taskmanager`.
    pub(crate) fn process(&self, name: &str) -> Result<Process> {
        let path = self.state.join(format!("{name}.pid"));
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let pid = text.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok());
        Ok(Process::new(pid.with_context(|| format!("{} holds no pid", path.display()))?))
    }

    /// A new folder beside Flink's, and so on the same disk, that goes with its guard. Temporary
    /// folders of the system may be in memory.
    pub(crate) fn folder_for_a_run(&self) -> Result<TempDir> {
        let parent = self.state.join("millrace");
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        tempfile::tempdir_in(&parent).with_context(|| format!("making a folder in {}", parent.display()))
    }

    /// The broker on this port, where it is the testbed's.
    pub(crate) fn broker(&self, bootstrap_servers: &str) -> Option<Process> {
        let port = bootstrap_servers.rsplit(':').next()?;
        self.process(&format!("kafka/{port}/node-1")).ok()
    }

    pub(crate) fn flink_configuration(&self) -> Result<String> {
        let path = self.scripts.join("flink/config.yaml");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}
