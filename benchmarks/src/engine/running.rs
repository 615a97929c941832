//! A job that runs until it is stopped or killed: `millrace run` with a manifest, or one worker of a job; its log,
//! status and metrics.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{http, millrace};
use crate::cgroup::MemoryGroup;

/// Between two looks at what can't be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Ended when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

/// A job of these statements, with the defaults of a StreamJob.
pub(crate) fn manifest(name: &str, bootstrap_servers: &str, sql: &str) -> String {
    manifest_with(name, bootstrap_servers, "500ms", sql)
}

/// One that commits at this interval.
pub(crate) fn manifest_with(name: &str, bootstrap_servers: &str, commit_interval: &str, sql: &str) -> String {
    manifest_of(name, bootstrap_servers, &format!("commitInterval: {commit_interval}"), sql)
}

/// One with these fields of its spec, indented as there.
pub(crate) fn manifest_of(name: &str, bootstrap_servers: &str, settings: &str, sql: &str) -> String {
    let indented: Vec<_> = sql.lines().map(|line| format!("    {line}")).collect();
    format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata: {{name: {name}}}\nspec:\n  \
         kafka: {{bootstrapServers: \"{bootstrap_servers}\"}}\n  {settings}\n  sql: |\n{}\n",
        indented.join("\n")
    )
}

impl Running {
    /// Starts it in a folder, where a later start finds its state again.
    pub(crate) fn start(binary: &Path, manifest: &str, bootstrap_servers: &str, folder: &Path) -> Result<Self> {
        let (manifest_file, log) = (folder.join("job.yaml"), folder.join("millrace.log"));
        fs::write(&manifest_file, manifest)?;
        let mut command = millrace::command(binary, folder, bootstrap_servers, &log)?;
        command.arg(&manifest_file);
        Self::spawn(command, log)
    }

    /// The same, with no more memory than the group has.
    pub(crate) fn start_in(
        group: &MemoryGroup,
        binary: &Path,
        manifest: &str,
        bootstrap_servers: &str,
        folder: &Path,
    ) -> Result<Self> {
        let (manifest_file, log) = (folder.join("job.yaml"), folder.join("millrace.log"));
        fs::write(&manifest_file, manifest)?;
        let mut command = millrace::command(binary, folder, bootstrap_servers, &log)?;
        command.arg(&manifest_file);
        Self::spawn(millrace::writing_to(group.around(&command), &log)?, log)
    }

    /// Starts one worker of a job whose file is in the folder.
    pub(crate) fn start_worker(binary: &Path, folder: &Path, ordinal: u32, replicas: u32) -> Result<Self> {
        let log = folder.join(format!("worker-{ordinal}.log"));
        Self::spawn(millrace::worker(binary, folder, ordinal, replicas, &log)?, log)
    }

    fn spawn(mut command: Command, log: PathBuf) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("millrace ended ({status}); its log:\n{log}");
        }
        Ok(())
    }

    /// Waits until its status has what `found` is looking for.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(found) = self.status().as_ref().and_then(&mut found) {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "waited {} s for {what}", limit.as_secs());
            thread::sleep(LOOK);
        }
    }

    /// Its metrics, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> Result<String> {
        self.get("/metrics").context("no metrics are served")
    }

    /// None before it is served.
    fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/api/v1/status")?).ok()
    }

    fn get(&self, path: &str) -> Option<String> {
        let log = fs::read_to_string(&self.log).ok()?;
        let (_, rest) = log.split_once("status at http://")?;
        let (address, _) = rest.split_once('/')?;
        http::get(address, path).ok()
    }

    /// Waits until it has ended by itself, looking at it meanwhile; returns what it has written.
    pub(crate) fn finish(mut self, limit: Duration, mut look: impl FnMut()) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(&self.log)?;
                ensure!(status.success(), "millrace failed ({status}); its log:\n{log}");
                return Ok(log);
            }
            ensure!(Instant::now() < deadline, "waited {} s for it to end", limit.as_secs());
            look();
            thread::sleep(LOOK);
        }
    }

    /// Asks it to stop, as Kubernetes would, and waits until it did.
    pub(crate) fn stop(mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").arg(&pid).status().context("running kill")?;
        ensure!(asked.success(), "kill {pid} failed");
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "millrace did not stop within 30 s");
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Running {
    /// `kill -9`, without effect where it ended already.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
