//! The job under torture: two streams in; out of them every payment, tumbling windows of payments, hopping
//! windows of logins, and the join of both in windows.

use super::workload::{DELAY_MILLIS, SENTINEL};
use crate::kafka::harness::Kafka;
use std::time::Duration;

/// Size of the tumbling windows, of the hopping ones, and of those that are joined.
pub(super) const WINDOW_MILLIS: i64 = 10_000;
/// How far apart hopping windows begin.
pub(super) const SLIDE_MILLIS: i64 = 5_000;

const COMMIT_INTERVAL: &str = "200ms";
/// Half of what jobs have: every stop lasts longer than it.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A sink of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sink {
    Passed,
    Tumbled,
    Hopped,
    Joined,
}

impl Sink {
    /// Those that the job has.
    pub(super) fn all() -> &'static [Self] {
        &[Self::Passed, Self::Tumbled, Self::Hopped, Self::Joined]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Tumbled => "tumbled",
            Self::Hopped => "hopped",
            Self::Joined => "joined",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Passed => "id BIGINT, k STRING, v BIGINT",
            Self::Tumbled | Self::Hopped => "window_start TIMESTAMP(3), k STRING, n BIGINT, total BIGINT",
            Self::Joined => "window_start TIMESTAMP(3), k STRING, payment BIGINT, login BIGINT",
        }
    }

    /// The query that fills it. Sentinels close windows, and are in none that closes.
    fn query(self) -> String {
        let seconds = |millis: i64| format!("INTERVAL '{}' SECOND", millis / 1000);
        let (size, slide) = (seconds(WINDOW_MILLIS), seconds(SLIDE_MILLIS));
        let tumble = |table: &str| format!("TABLE(TUMBLE(TABLE {table}, DESCRIPTOR(ts), {size}))");
        match self {
            Self::Passed => format!("SELECT id, k, v FROM payments WHERE k <> '{SENTINEL}'"),
            Self::Tumbled => format!(
                "SELECT window_start, k, COUNT(*), SUM(v) FROM {} GROUP BY window_start, window_end, k",
                tumble("payments")
            ),
            Self::Hopped => format!(
                "SELECT window_start, k, COUNT(*), SUM(v) FROM TABLE(HOP(TABLE logins, DESCRIPTOR(ts), {slide}, \
                 {size})) GROUP BY window_start, window_end, k"
            ),
            Self::Joined => format!(
                "SELECT L.window_start, L.k, L.id, R.id FROM (SELECT * FROM {}) L JOIN (SELECT * FROM {}) R \
                 ON L.k = R.k AND L.window_start = R.window_start AND L.window_end = R.window_end",
                tumble("payments"),
                tumble("logins")
            ),
        }
    }
}

/// The names of the topics: sources, then sinks.
pub(super) const SOURCES: [&str; 2] = ["payments", "logins"];

/// Makes the topics that the job reads and writes.
pub(super) fn create_topics(kafka: &Kafka, source_partitions: u32, sink_partitions: u32) {
    SOURCES.iter().for_each(|source| kafka.create(source, source_partitions as i32));
    Sink::all().iter().for_each(|sink| kafka.create(sink.name(), sink_partitions as i32));
}

pub(super) fn sql() -> String {
    let mut text = String::new();
    for source in SOURCES {
        text.push_str(&format!(
            "CREATE TABLE {source} (\n  id BIGINT, k STRING, v BIGINT, ms BIGINT,\n  \
             ts AS TO_TIMESTAMP_LTZ(ms, 3),\n  WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND\n) WITH (\
             'connector' = 'kafka', 'topic' = '{source}', 'format' = 'json', \
             'scan.startup.mode' = 'earliest-offset', 'scan.watermark.idle-timeout' = '0');\n",
            DELAY_MILLIS / 1000
        ));
    }
    for sink in Sink::all() {
        let name = sink.name();
        text.push_str(&format!(
            "CREATE TABLE {name} ({}) WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json');\n",
            sink.columns()
        ));
    }
    text.push_str("EXECUTE STATEMENT SET BEGIN\n");
    Sink::all().iter().for_each(|sink| text.push_str(&format!("INSERT INTO {} {};\n", sink.name(), sink.query())));
    text.push_str("END;\n");
    text
}

/// The job as a StreamJob. Nothing may be late and nothing may fail: a row that can't go on fails the job.
pub(super) fn manifest(name: &str, kafka: &str) -> String {
    let sql: String = sql().lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata:\n  name: {name}\nspec:\n  \
         kafka: {{bootstrapServers: \"{kafka}\"}}\n  commitInterval: {COMMIT_INTERVAL}\n  \
         checkpoint: {{interval: 3s}}\n  errors: {{decode: Fail, evaluate: Fail, late: Fail}}\n  sql: |\n{sql}"
    )
}
