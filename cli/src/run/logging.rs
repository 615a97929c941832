//! Log lines on stderr, as text or JSON, above the live progress line where there is one.

use super::progress::Display;
use crate::args::LogFormat;
use indicatif::ProgressBar;
use std::io::{self, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged unless RUST_LOG says otherwise.
const DEFAULT_FILTER: &str = "info,librdkafka=warn,rdkafka=warn";

pub(super) fn start(format: LogFormat, display: &Display) {
    start_above(format, display.line());
}

/// For a process that shows no progress.
pub(crate) fn log_to_stderr(format: LogFormat) {
    start_above(format, ProgressBar::hidden());
}

fn start_above(format: LogFormat, line: ProgressBar) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveProgress(line));
    let started = match format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            subscriber.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    // Fails only where a test of this process has set one before.
    drop(started);
}

/// Writes to stderr while the progress line steps aside.
struct AboveProgress(ProgressBar);

impl<'a> MakeWriter<'a> for AboveProgress {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

struct Line<'a>(&'a ProgressBar);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
