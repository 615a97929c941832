//! State that is many times larger than a worker's memory: a window with more groups than fit runs in a control group of
//! little memory, is killed on the way, once with and once without its volume, and must still count every row once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cgroup::MemoryGroup;
use crate::engine::running::{self, Running};
use crate::query::{self, Parameters};
use crate::recovery;
use crate::testbed::Testbed;

const JOB: &str = "large-state";
const LIMIT: Duration = Duration::from_secs(3_600);
/// Of the string that each group keeps.
const PAYLOAD: u64 = 200;
/// A prime, so that keys come in no order.
const STRIDE: u64 = 7_368_787;

pub(crate) struct Experiment {
    pub(crate) bootstrap_servers: String,
    /// Groups, of which the last fifth gets a second row after a kill.
    pub(crate) keys: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) millrace_binary: PathBuf,
}

pub(crate) struct Report {
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    /// On the volume, before the first kill.
    pub(crate) state_bytes: u64,
    /// The most that the process itself had.
    pub(crate) own_memory_bytes: u64,
    /// From a start on the volume to the next commit.
    pub(crate) restart_seconds: f64,
    /// The same from the archive.
    pub(crate) restore_seconds: f64,
}

impl Experiment {
    pub(crate) fn run(&self, testbed: &Testbed) -> Result<Report> {
        let group = MemoryGroup::new(&format!("millrace-bench-{}", std::process::id()), self.memory_bytes)?;
        let folder = testbed.folder_for_a_run()?;
        let rows = self.keys / 5 * 6;
        let mut own_memory_bytes = 0;
        let mut watch = |status: &Value| {
            own_memory_bytes = own_memory_bytes.max(group.own_bytes().unwrap_or(0));
            status["sourceRecords"].as_u64()
        };
        let started = Instant::now();
        let mut running = self.start(&group, folder.path(), rows)?;
        running.until("all keys", LIMIT, |status| (watch(status)? > self.keys).then_some(()))?;
        let archived = |status: &Value| status["archivedCheckpoints"].as_u64();
        let before = running.until("the archive", LIMIT, archived)?;
        running.until("a checkpoint in the archive", LIMIT, |status| {
            watch(status)?;
            (archived(status)? > before).then_some(())
        })?;
        // The process is killed.
        drop(running);
        let state_bytes = recovery::size(&folder.path().join("state"))?;
        let (mut running, restart_seconds) = self.restart(&group, folder.path(), rows)?;
        running.until("some more commits", LIMIT, |status| (status["commits"].as_u64()? > 5).then_some(()))?;
        drop(running);
        let state = folder.path().join("state").join(format!("default.{JOB}")).join("state");
        fs::remove_dir_all(&state).with_context(|| format!("losing {}", state.display()))?;
        let (running, restore_seconds) = self.restart(&group, folder.path(), rows)?;
        let output = running.finish(LIMIT, || {
            own_memory_bytes = own_memory_bytes.max(group.own_bytes().unwrap_or(0));
        })?;
        self.check(&output, rows)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Report { rows, seconds, state_bytes, own_memory_bytes, restart_seconds, restore_seconds })
    }

    fn restart(&self, group: &MemoryGroup, folder: &Path, rows: u64) -> Result<(Running, f64)> {
        let started = Instant::now();
        let mut running = self.start(group, folder, rows)?;
        running.until("a commit", LIMIT, |status| (status["commits"].as_u64()? > 0).then_some(()))?;
        Ok((running, started.elapsed().as_secs_f64()))
    }

    fn start(&self, group: &MemoryGroup, folder: &Path, rows: u64) -> Result<Running> {
        let servers = &self.bootstrap_servers;
        let sql = query::millrace_alone(
            "large-state",
            &Parameters { bootstrap_servers: servers, topic: "", output_topic: "", job: JOB },
        )?;
        let numbers = [("{keys}", self.keys), ("{last_row}", rows - 1), ("{payload}", PAYLOAD), ("{stride}", STRIDE)];
        let sql = numbers.iter().fold(sql, |sql, (name, number)| sql.replace(name, &number.to_string()));
        let settings = format!(
            "parallelism: 4\n  limits: {{fetchMemory: 16Mi, epochMemory: 8Mi, stateMemory: 48Mi, operatorMemory: 64Mi}}\n  \
             checkpoint: {{storage: {{objectStore: {{url: \"file://{}\"}}}}}}",
            folder.join("archive").display()
        );
        fs::create_dir_all(folder.join("archive"))?;
        let manifest = running::manifest_of(JOB, servers, &settings, &sql);
        Running::start_in(group, &self.millrace_binary, &manifest, servers, folder)
    }

    /// The totals, against what follows from the numbers alone.
    fn check(&self, output: &str, rows: u64) -> Result<()> {
        let weighted: u64 = (0..rows).map(|n| n * STRIDE % self.keys).sum();
        let expected = format!("+I[{}, {rows}, {weighted}, {}]", self.keys, self.keys * PAYLOAD);
        let found: Vec<&str> = output.lines().filter(|line| line.starts_with("+I[")).collect();
        ensure!(found == [expected.as_str()], "expected {expected} and nothing else, found {found:?}");
        Ok(())
    }
}
