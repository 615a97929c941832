//! What a person at the terminal sees of a running job: one live line, or a log line every ten seconds.
//! The numbers are those of the worker's status; rates are made from two of them.

use crate::args;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use millrace_job_runtime::metrics::{Phase, Status};
use millrace_planner::plan::{Connector, Plan};
use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

/// How often the live line changes.
const LIVE_INTERVAL: Duration = Duration::from_millis(250);
/// How often a line is logged in its place.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Over how long a rate is averaged in the live line.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// Where progress goes.
pub(super) struct Display {
    line: ProgressBar,
    style: Style,
    last: Option<Sample>,
    rate: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Live,
    Log,
    None,
}

struct Sample {
    at: Duration,
    records: u64,
}

impl Display {
    pub(super) fn new(wanted: args::Progress, plan: &Plan) -> Self {
        // Rows that `print` writes to the same terminal would tear a live line apart.
        let prints = plan.sinks().any(|(_, sink)| sink.table.connector == Connector::Print);
        let torn = prints && std::io::stdout().is_terminal();
        let style = match wanted {
            args::Progress::None => Style::None,
            args::Progress::Auto if std::io::stderr().is_terminal() && !torn => Style::Live,
            args::Progress::Auto | args::Progress::Log => Style::Log,
        };
        let line = ProgressBar::with_draw_target(
            None,
            match style {
                Style::Live => ProgressDrawTarget::stderr(),
                Style::Log | Style::None => ProgressDrawTarget::hidden(),
            },
        );
        if let Ok(template) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            line.set_style(template);
        }
        Self { line, style, last: None, rate: 0.0 }
    }

    /// For those who write to stderr too.
    pub(super) fn line(&self) -> ProgressBar {
        self.line.clone()
    }

    pub(super) fn interval(&self) -> Duration {
        if self.style == Style::Live { LIVE_INTERVAL } else { LOG_INTERVAL }
    }

    /// Shows `status`, at `now` of a monotonic clock and `now_millis` of the wall's.
    pub(super) fn show(&mut self, status: &Status, now: Duration, now_millis: i64) {
        self.measure(status, now);
        let summary = Summary { status, rate: self.rate, now_millis };
        match self.style {
            Style::Live => {
                self.line.set_message(summary.to_string());
                self.line.tick();
            }
            Style::Log => tracing::info!("{summary}"),
            Style::None => {}
        }
    }

    /// Leaves the last numbers on the screen.
    pub(super) fn finish(&mut self, status: &Status, now: Duration, now_millis: i64) {
        self.line.finish_and_clear();
        if self.style != Style::None {
            self.measure(status, now);
            tracing::info!("{}", Summary { status, rate: self.rate, now_millis });
        }
    }

    fn measure(&mut self, status: &Status, now: Duration) {
        let records = status.source_records;
        if let Some(last) = &self.last {
            let elapsed = now.saturating_sub(last.at);
            if elapsed.is_zero() {
                return;
            }
            let current = records.saturating_sub(last.records) as f64 / elapsed.as_secs_f64();
            // Exponentially weighted, so that one commit's burst doesn't make the number jump.
            let weight = (elapsed.as_secs_f64() / RATE_WINDOW.as_secs_f64()).min(1.0);
            self.rate += weight * (current - self.rate);
        }
        self.last = Some(Sample { at: now, records });
    }
}

/// One line about a job.
struct Summary<'a> {
    status: &'a Status,
    rate: f64,
    now_millis: i64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        let phase = match status.phase {
            Phase::Restoring => "restoring",
            Phase::Running => "running",
            Phase::Restarting => "restarting",
            Phase::Stopped => "stopped",
            Phase::StandingBy => "standing by",
            Phase::StoodDown => "stood down",
            Phase::Finished => "finished",
            Phase::Failed => "failed",
        };
        let rate = HumanCount(self.rate.round() as u64);
        write!(
            f,
            "{phase}: {rate} events/s, {} in, {} out",
            HumanCount(status.source_records),
            HumanCount(status.sink_records)
        )?;
        if let Some(lag) = status.lag {
            write!(f, ", lag {}", HumanCount(lag.max(0).unsigned_abs()))?;
        }
        // The end of a bounded input is no point in time.
        if let Some(watermark) = status.watermark.filter(|watermark| *watermark < i64::MAX) {
            let behind = self.now_millis.saturating_sub(watermark).max(0);
            write!(f, ", watermark {} behind", Behind(behind))?;
        }
        write!(f, ", {} commits", HumanCount(status.commits))?;
        let failed: u64 = status.failed_rows.values().sum();
        if failed > 0 {
            write!(f, ", {} failed rows", HumanCount(failed))?;
        }
        if status.restarts > 0 {
            write!(f, ", {} restarts", HumanCount(status.restarts))?;
        }
        Ok(())
    }
}

/// Milliseconds, in the unit in which a person would say them.
struct Behind(i64);

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..60_000 => write!(f, "{:.1} s", self.0 as f64 / 1e3),
            60_000..3_600_000 => write!(f, "{:.1} min", self.0 as f64 / 6e4),
            3_600_000..172_800_000 => write!(f, "{:.1} h", self.0 as f64 / 3.6e6),
            _ => write!(f, "{} days", self.0 / 86_400_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_job_runtime::metrics::Metrics;
    use std::collections::BTreeMap;

    fn status(records: u64) -> Status {
        Status {
            phase: Phase::Running,
            source_records: records,
            sink_records: 7,
            failed_rows: BTreeMap::from([("late", 2)]),
            commits: 24,
            watermark: Some(98_800),
            lag: Some(1_234),
            ..Metrics::default().status()
        }
    }

    #[test]
    fn the_line_says_rate_lag_watermark_and_commits() {
        let status = status(1_000_000);
        let line = Summary { status: &status, rate: 12_345.4, now_millis: 100_000 }.to_string();
        assert_eq!(
            line,
            "running: 12,345 events/s, 1,000,000 in, 7 out, lag 1,234, watermark 1.2 s behind, 24 commits, 2 failed rows"
        );
    }

    #[test]
    fn the_rate_follows_what_two_samples_say() {
        let plan = Plan { version: 1, nodes: Vec::new(), time_zone: "UTC".into() };
        let mut display = Display::new(args::Progress::None, &plan);
        display.show(&status(0), Duration::from_secs(0), 0);
        display.show(&status(20_000), Duration::from_secs(2), 0);
        assert_eq!(display.rate, 10_000.0);
        display.show(&status(20_000), Duration::from_secs(3), 0);
        assert_eq!(display.rate, 5_000.0);
    }
}
