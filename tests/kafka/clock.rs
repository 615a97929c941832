//! A machine whose clock is set forward and back while a job runs: every row is counted once, windows of both kinds of
//! time go on closing, nothing starts again. The worker runs in this process, since no process has a clock of its own; on
//! a broker in this process too.

use super::events::{BASE, Event, Feed, Windows, assert_windows};
use super::harness::{Job, OwnBroker, PATIENCE, Reader, Record, Workers};
use millrace_job_runtime::env::{Clock, SystemClock};
use millrace_job_runtime::metrics::Phase;
use millrace_job_runtime::worker::{Outcome, Worker, WorkerHandle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Counts per second of both kinds of time. A partition that is silent holds nothing back after a second, in which no row
/// is late, since all are of less than a minute.
const SQL: &str = "
CREATE TABLE events (
  id BIGINT, k STRING, v BIGINT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
  'scan.watermark.idle-timeout' = '1 s');
CREATE TABLE counts (window_start TIMESTAMP(3), k STRING, n BIGINT, total BIGINT)
  WITH ('connector' = 'kafka', 'topic' = 'counts', 'format' = 'json');
CREATE TABLE ticks (window_start TIMESTAMP(3), n BIGINT)
  WITH ('connector' = 'kafka', 'topic' = 'ticks', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO counts SELECT window_start, k, COUNT(*), SUM(v)
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k;
INSERT INTO ticks SELECT window_start, COUNT(*)
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(pt), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
END;
";

/// The machine's clock, set wrong by so many milliseconds.
struct WrongClock {
    clock: Arc<dyn Clock>,
    wrong: AtomicI64,
}

impl WrongClock {
    fn set(&self, millis: i64) {
        self.wrong.store(millis, Ordering::SeqCst);
    }
}

impl Clock for WrongClock {
    fn now_millis(&self) -> i64 {
        self.clock.now_millis() + self.wrong.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration);
    }
}

/// Reads on until `done`, while the worker runs.
fn read_until(reader: &mut Reader, records: &mut Vec<Record>, worker: &WorkerHandle, done: impl Fn(&[Record]) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(records) {
        assert!(worker.is_running(), "the worker has ended: {:?}", worker.status());
        assert!(Instant::now() < end, "waited {PATIENCE:?}: {} records; {:?}", records.len(), worker.status());
        records.extend(reader.poll());
    }
}

/// Rows that windows of processing time have counted, by their starts.
fn counted(ticks: &[Record]) -> BTreeMap<String, u64> {
    let mut windows = BTreeMap::new();
    for tick in ticks {
        let json = tick.json();
        let (start, count) = (json["window_start"].to_string(), json["n"].as_u64().expect("a count"));
        assert_eq!(windows.insert(start, count), None, "a window fired twice: {json}");
    }
    windows
}

#[test]
fn a_clock_that_is_set_forward_and_back_loses_nothing_doubles_nothing_and_holds_nothing_up() {
    let own = OwnBroker::start(&[("events", 2), ("counts", 2), ("ticks", 2)]);
    let kafka = &own.kafka;
    let job = Job::new(kafka, "job", SQL);
    let file = std::fs::read_to_string(Workers::create(&job).file()).expect("the file of the job");
    let file: serde_json::Value = serde_json::from_str(&file).expect("JSON");
    let mut settings: millrace_job_runtime::job::Job = serde_json::from_value(file["job"].clone()).expect("a job");
    settings.state_directory = own.folder().join("state");

    let clock = Arc::new(WrongClock { clock: SystemClock::shared(), wrong: AtomicI64::new(0) });
    let worker = Worker::start(settings, clock.clone()).expect("it starts");
    let (mut feed, mut windows, mut sent) = (Feed::new(kafka, "events", 61), Windows::tumbling(1_000), 0);
    let (mut reader, mut ticks) = (kafka.reader("ticks"), Vec::new());
    // In the end so far back that the events, by that clock, were more than a day in the future.
    let before_the_events = BASE - 2 * DAY - clock.clock.now_millis();
    for wrong in [0, DAY, -HOUR, 0, -2 * HOUR, before_the_events] {
        clock.set(wrong);
        feed.send(3_000, |event: &Event| windows.add(event));
        sent += 3_000;
        read_until(&mut reader, &mut ticks, &worker, |ticks| counted(ticks).values().sum::<u64>() >= sent);
    }
    assert_eq!(counted(&ticks).values().sum::<u64>(), sent);

    // Partition 1 is silent by the time that passes, whatever the clock says.
    feed.producer().send("events", 0, None, &Event::sentinel(10 * HOUR).json());
    feed.producer().flush();
    let (mut reader, mut counts) = (kafka.reader("counts"), Vec::new());
    read_until(&mut reader, &mut counts, &worker, |counts| counts.len() >= windows.rows().len());
    assert_windows(&windows, &counts, "windows of event time");

    let status = worker.status();
    assert_eq!((status.phase, status.restarts), (Phase::Running, 0), "{status:?}");
    assert_eq!(status.failed_rows.values().sum::<u64>(), 0, "{status:?}");
    worker.request_stop();
    let (say, ended) = mpsc::channel();
    std::thread::spawn(move || say.send(worker.wait()));
    let ended = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited {PATIENCE:?} for the worker to stop"));
    assert_eq!(ended.expect("it stops in order"), Outcome::Stopped);
    own.stop();
}
