//! The two engines under test. Each runs one file of SQL over bounded input to its end and says
//! what that took.

mod http;

pub(crate) mod millrace;

pub(crate) mod running;

pub(crate) mod flink;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// No run on any engine takes this long; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(1800);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Millrace,
    /// Millrace with several workers.
    Workers,
    Flink,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Millrace => "Millrace",
            Self::Workers => "workers",
            Self::Flink => "Flink",
        })
    }
}

/// What one run took of the process that does the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory_bytes: u64,
}

/// The end of a log, for errors.
fn tail(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
