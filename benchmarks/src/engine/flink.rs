//! Apache Flink: the testbed's session cluster, fed by Flink's own SQL client. What is measured is
//! the TaskManager, which does the work; the JobManager and the client are left out.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{Cost, http, tail};
use crate::process::Process;
use crate::testbed::Testbed;

/// A running cluster, stopped when dropped.
pub(crate) struct Flink<'a> {
    testbed: &'a Testbed,
    task_manager: Process,
    rest_address: String,
}

#[derive(Deserialize)]
struct JobsOverview {
    jobs: Vec<JobOverview>,
}

#[derive(Deserialize)]
struct JobOverview {
    name: String,
    state: String,
    /// In milliseconds, from submission to the end.
    duration: u64,
}

impl<'a> Flink<'a> {
    pub(crate) fn start(testbed: &'a Testbed) -> Result<Self> {
        // A cluster of its own: one that ran before has other jobs' code and memory.
        testbed.run("flink/stop.sh")?;
        testbed.run("flink/start.sh")?;
        let port = std::env::var("TESTBED_FLINK_PORT").unwrap_or_else(|_| "18081".to_owned());
        Ok(Self {
            testbed,
            task_manager: testbed.process("flink/taskmanager")?,
            rest_address: format!("127.0.0.1:{port}"),
        })
    }

    /// Runs statements whose one job has this name, which no job had before.
    pub(crate) fn run(&self, job: &str, sql: &str) -> Result<Cost> {
        let folder = self.testbed.folder_for_a_run()?;
        let (sql_file, log_file) = (folder.path().join("query.sql"), folder.path().join("client.log"));
        std::fs::write(&sql_file, sql)?;
        let log = File::create(&log_file)?;
        self.task_manager.reset_peak_memory()?;
        let cpu_before = self.task_manager.cpu_seconds()?;
        let status = self
            .testbed
            .script("flink/sql.sh")
            .arg(&sql_file)
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("running Flink's SQL client")?;
        let cpu_seconds = self.task_manager.cpu_seconds()? - cpu_before;
        let log = || tail(&std::fs::read_to_string(&log_file).unwrap_or_default());
        ensure!(status.success(), "Flink's SQL client failed ({status}):\n{}", log());
        let Some(overview) = self.job(job)? else {
            bail!("Flink ran no job for the statements:\n{}", log());
        };
        ensure!(overview.state == "FINISHED", "Flink's job {job} is {}:\n{}", overview.state, log());
        Ok(Cost {
            seconds: Duration::from_millis(overview.duration).as_secs_f64(),
            cpu_seconds,
            peak_memory_bytes: self.task_manager.peak_memory_bytes()?.context("the TaskManager died")?,
        })
    }

    fn job(&self, name: &str) -> Result<Option<JobOverview>> {
        let overview: JobsOverview =
            serde_json::from_str(&http::get(&self.rest_address, "/jobs/overview")?).context("Flink's list of jobs")?;
        Ok(overview.jobs.into_iter().find(|job| job.name == name))
    }
}

impl Drop for Flink<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.testbed.run("flink/stop.sh") {
            eprintln!("Flink was not stopped: {error:#}");
        }
    }
}
