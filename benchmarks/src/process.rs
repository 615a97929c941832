//! What a process has used so far, from /proc: the same measure for Millrace, Flink's TaskManager
//! and the broker. Not a profiler, and Linux only.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// /proc counts in ticks of a hundredth of a second on every architecture that Linux still has.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: u32,
}

/// What a child used from its start to its end.
pub(crate) struct Usage {
    pub(crate) status: ExitStatus,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory_bytes: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// User and system time of all its threads, those that ended included.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        let stat = self.read("stat")?;
        let fields = fields_after_name(&stat);
        let ticks = |index: usize| -> Result<u64> {
            let field = fields.get(index).context("/proc/…/stat is too short")?;
            field.parse().context("/proc/…/stat has no number there")
        };
        const USER: usize = 11;
        const SYSTEM: usize = 12;
        Ok((ticks(USER)? + ticks(SYSTEM)?) as f64 / TICKS_PER_SECOND)
    }

    /// The most memory it had resident since it began or since `reset_peak_memory`; nothing once
    /// it ended.
    pub(crate) fn peak_memory_bytes(self) -> Result<Option<u64>> {
        let status = self.read("status")?;
        let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
            return Ok(None);
        };
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number of kB")?;
        Ok(Some(kib * 1024))
    }

    pub(crate) fn reset_peak_memory(self) -> Result<()> {
        const RESET_HIGH_WATER_MARK: &str = "5";
        let path = self.path("clear_refs");
        fs::write(&path, RESET_HIGH_WATER_MARK).with_context(|| format!("writing {}", path.display()))
    }

    fn has_ended(self) -> Result<bool> {
        Ok(fields_after_name(&self.read("stat")?).first() == Some(&"Z"))
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    fn read(self, file: &str) -> Result<String> {
        let path = self.path(file);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

/// Waits for a child and says what it used. A child that ended stays in /proc until it is waited
/// for, so its CPU time is read exactly, after its end; its memory is gone by then and therefore
/// sampled while it runs.
pub(crate) fn wait(mut child: Child, started: Instant, time_limit: Duration) -> Result<Usage> {
    const SAMPLING_INTERVAL: Duration = Duration::from_millis(20);
    let process = Process::new(child.id());
    let mut peak_memory_bytes = 0;
    while !process.has_ended()? {
        peak_memory_bytes = peak_memory_bytes.max(process.peak_memory_bytes()?.unwrap_or(0));
        if started.elapsed() > time_limit {
            child.kill().context("stopping a process that took too long")?;
            child.wait()?;
            bail!("it did not end within {} s", time_limit.as_secs());
        }
        std::thread::sleep(SAMPLING_INTERVAL);
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = process.cpu_seconds()?;
    Ok(Usage { status: child.wait()?, seconds, cpu_seconds, peak_memory_bytes })
}

/// The fields from the state on; the name before them is in parentheses and may contain anything.
fn fields_after_name(stat: &str) -> Vec<&str> {
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_childs_cpu_time_and_memory_are_known_after_its_end() {
        let started = Instant::now();
        let spin = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"])
            .spawn()
            .expect("sh starts");
        let usage = wait(spin, started, Duration::from_secs(60)).expect("it ends");
        assert!(usage.status.success());
        assert!(usage.cpu_seconds > 0.0 && usage.cpu_seconds <= usage.seconds + 0.02);
        assert!(usage.peak_memory_bytes > 100_000);
    }

    #[test]
    fn a_child_that_takes_too_long_is_stopped() {
        let sleep = Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let error = wait(sleep, Instant::now(), Duration::from_millis(50)).err().expect("a time-out");
        assert!(error.to_string().contains("did not end"));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        assert_eq!(fields_after_name("12 (a) b (c)) R 1 2"), ["R", "1", "2"]);
    }
}
