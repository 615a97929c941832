//! Millrace: one process per run, or one for each of several workers, measured from its start to its end,
//! planning and the creation of the job's topics included.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Cost, TIME_LIMIT, tail};
use crate::process;
use crate::testbed::Testbed;
use crate::topic;

/// What `millrace job` writes.
const JOB_FILE: &str = "job.json";

pub(crate) struct Millrace<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) testbed: &'a Testbed,
}

/// The command that both benchmarks start from, with its output in a file.
pub(crate) fn command(binary: &Path, folder: &Path, bootstrap_servers: &str, log: &Path) -> Result<Command> {
    let mut command = Command::new(binary);
    command.args(["run", "--kafka", bootstrap_servers]);
    command.arg("--state-dir").arg(folder.join("state"));
    // Any port: the default one may be taken.
    command.args(["--listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null());
    writing_to(command, log)
}

/// A worker of the job that `create` has left in the folder.
pub(super) fn worker(binary: &Path, folder: &Path, ordinal: u32, replicas: u32, log: &Path) -> Result<Command> {
    let mut command = Command::new(binary);
    command.arg("worker").arg(folder.join(JOB_FILE)).args(["--replicas", &replicas.to_string()]);
    command.args(["--ordinal", &ordinal.to_string(), "--listen", "127.0.0.1:0"]);
    command.arg("--state-dir").arg(folder.join(format!("state-{ordinal}"))).stdin(Stdio::null());
    writing_to(command, log)
}

/// A run that came to the end of its input.
pub(crate) struct Finished {
    pub(crate) cost: Cost,
    pub(crate) commits: u64,
}

impl Millrace<'_> {
    /// Runs a file of statements until its input ends, in a folder of its own that goes afterwards.
    pub(crate) fn run(&self, sql: &str, bootstrap_servers: &str) -> Result<Cost> {
        let folder = self.testbed.folder_for_a_run()?;
        let (sql_file, log_file) = (folder.path().join("query.sql"), folder.path().join("millrace.log"));
        fs::write(&sql_file, sql)?;
        let mut command = command(self.binary, folder.path(), bootstrap_servers, &log_file)?;
        command.arg("--bounded").arg("--sql").arg(&sql_file);
        self.measure(command, &log_file, Instant::now())
    }

    /// The same with several workers, each a process: what all of them took together, and the creation of the
    /// job's topics. The time is until the last has ended.
    pub(crate) fn run_workers(&self, sql: &str, bootstrap_servers: &str, replicas: u32) -> Result<Cost> {
        let folder = self.testbed.folder_for_a_run()?;
        let sql_file = folder.path().join("query.sql");
        fs::write(&sql_file, sql)?;
        let started = Instant::now();
        let (mut cost, topics) = self.create(&sql_file, true, bootstrap_servers, folder.path())?;
        let workers: Vec<Cost> = thread::scope(|scope| {
            let measured = |ordinal: u32| {
                let log_file = folder.path().join(format!("worker-{ordinal}.log"));
                let command = worker(self.binary, folder.path(), ordinal, replicas, &log_file);
                scope.spawn(move || self.measure(command?, &log_file, started))
            };
            let workers: Vec<_> = (0..replicas).map(measured).collect();
            workers.into_iter().map(|w| w.join().expect("measuring does not panic")).collect::<Result<_>>()
        })?;
        for worker in workers {
            cost.seconds = cost.seconds.max(worker.seconds);
            cost.cpu_seconds += worker.cpu_seconds;
            cost.peak_memory_bytes = cost.peak_memory_bytes.max(worker.peak_memory_bytes);
        }
        // `run` deletes its job's topics itself.
        topic::delete_all(bootstrap_servers, &topics)?;
        Ok(cost)
    }

    /// Creates a job for workers in a folder: what that took, and how the names of its topics begin.
    pub(crate) fn create(
        &self,
        file: &Path,
        bounded: bool,
        bootstrap_servers: &str,
        folder: &Path,
    ) -> Result<(Cost, String)> {
        let log = folder.join("create.log");
        let mut command = Command::new(self.binary);
        command.arg("job").arg(file).args(["--kafka", bootstrap_servers]);
        command.args(bounded.then_some("--bounded"));
        command.arg("--out").arg(folder.join(JOB_FILE)).stdin(Stdio::null());
        let cost = self.measure(writing_to(command, &log)?, &log, Instant::now())?;
        let created = fs::read_to_string(&log)?;
        let (prefix, _) = created.split_once(':').context("millrace job does not name its topics")?;
        Ok((cost, format!("{prefix}.")))
    }

    /// Runs a manifest until its input ends, in a folder of its own.
    pub(crate) fn run_manifest(&self, manifest: &str, bootstrap_servers: &str) -> Result<Finished> {
        let folder = self.testbed.folder_for_a_run()?;
        let (manifest_file, log_file) = (folder.path().join("job.yaml"), folder.path().join("millrace.log"));
        fs::write(&manifest_file, manifest)?;
        let mut command = command(self.binary, folder.path(), bootstrap_servers, &log_file)?;
        command.arg("--bounded").arg(&manifest_file);
        let cost = self.measure(command, &log_file, Instant::now())?;
        let log = fs::read_to_string(&log_file)?;
        let commits =
            commits(&log).with_context(|| format!("it does not say how often it committed:\n{}", tail(&log)))?;
        Ok(Finished { cost, commits })
    }

    fn measure(&self, mut command: Command, log_file: &Path, started: Instant) -> Result<Cost> {
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let log = || tail(&fs::read_to_string(log_file).unwrap_or_default());
        let usage =
            process::wait(child, started, TIME_LIMIT).with_context(|| format!("millrace; its log:\n{}", log()))?;
        ensure!(usage.status.success(), "millrace failed ({}); its log:\n{}", usage.status, log());
        Ok(Cost { seconds: usage.seconds, cpu_seconds: usage.cpu_seconds, peak_memory_bytes: usage.peak_memory_bytes })
    }
}

/// From the last line of progress.
fn commits(log: &str) -> Option<u64> {
    let last = log.lines().rev().find(|line| line.contains(" finished: "))?;
    last.strip_suffix(" commits")?.rsplit(' ').next()?.replace(',', "").parse().ok()
}

pub(super) fn writing_to(mut command: Command, log_file: &Path) -> Result<Command> {
    let log = File::create(log_file).with_context(|| format!("making {}", log_file.display()))?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commits_are_those_of_the_last_line_of_progress() {
        let running = "t  INFO running: 5 events/s, 1,200 in, 3 out, lag 7, 900 commits\n";
        let finished = "t  INFO finished: 0 events/s, 20,000 in, 5 out, lag 0, 1,017 commits\n";
        assert_eq!(commits(&format!("{running}{finished}t  INFO the input has ended\n")), Some(1017));
        assert_eq!(commits(running), None);
    }
}
