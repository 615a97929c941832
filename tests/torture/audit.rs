//! Reads what is committed to the sinks while the job is tortured, and remembers it as briefly as the oracle
//! can compare it. It reads committed records only, straight from the brokers.

use super::job::Sink;
use super::oracle::{Expected, Found, Report, Row};
use super::workload::{Workload, key_number};
use crate::kafka::harness::{Kafka, Reader};
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Read of one sink before it is the next one's turn.
const TURN: usize = 10_000;
/// How often somebody who waits looks again.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Audit {
    /// None once it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

struct Shared {
    found: Mutex<Found>,
    /// Nothing more will be written: read to the end and stop.
    finish: AtomicBool,
    /// Nobody wants to know any more.
    give_up: AtomicBool,
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.give_up.store(true, Ordering::Relaxed);
    }
}

impl Audit {
    pub(super) fn start(kafka: &Kafka, workload: Workload) -> Self {
        let readers: Vec<_> = Sink::all().iter().map(|sink| (*sink, kafka.reader(sink.name()))).collect();
        let shared = Arc::new(Shared {
            found: Mutex::new(Found::new(workload)),
            finish: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
        });
        let reading = shared.clone();
        Self { thread: Mutex::new(Some(std::thread::spawn(move || read(readers, &reading)))), shared }
    }

    /// Rows read so far, of all sinks.
    pub(super) fn rows(&self) -> u64 {
        let found = self.shared.found();
        Sink::all().iter().map(|sink| found.rows(*sink)).sum()
    }

    /// Waits until there is as much as there has to be. False where nothing has come for `patience`, or
    /// `deadline` is over: what is missing is for the comparison to tell.
    pub(super) fn until_complete(&self, expected: &Expected, patience: Duration, deadline: Instant) -> bool {
        let (mut rows, mut since) = (self.rows(), Instant::now());
        loop {
            let complete = {
                let found = self.shared.found();
                Sink::all().iter().all(|sink| found.rows(*sink) >= expected.rows(*sink))
            };
            let now = Instant::now();
            if complete || self.has_ended() || now - since > patience || now > deadline {
                return complete;
            }
            std::thread::park_timeout(LOOK);
            if self.rows() > rows {
                (rows, since) = (self.rows(), Instant::now());
            }
        }
    }

    /// Reads to the end, once nobody writes any more, and compares.
    pub(super) fn finish(&self, expected: &Expected) -> Report {
        self.shared.finish.store(true, Ordering::Relaxed);
        let thread = self.thread().take().expect("it is finished once");
        thread.join().expect("what is committed can be read");
        self.shared.found().compare(expected)
    }

    /// Whether it has ended by itself, which it only does when it fails.
    pub(super) fn has_ended(&self) -> bool {
        self.thread().as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().expect("nobody panics with it")
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("nobody panics with it")
    }
}

fn read(mut readers: Vec<(Sink, Reader)>, shared: &Shared) {
    while !shared.give_up.load(Ordering::Relaxed) {
        // Looked at first: what was written before is read after.
        let finish = shared.finish.load(Ordering::Relaxed);
        let mut more = false;
        for (sink, reader) in &mut readers {
            let mut rows = Vec::new();
            more |= reader.poll_values(TURN, |value| rows.push(row(*sink, value))) > 0;
            let mut found = shared.found();
            rows.into_iter().for_each(|row| found.add(row));
            more |= !reader.at_end();
        }
        if finish && !more {
            return;
        }
    }
}

#[derive(Deserialize)]
struct Passed<'a> {
    id: u64,
    k: &'a str,
    v: i64,
}

#[derive(Deserialize)]
struct Windowed<'a> {
    window_start: &'a str,
    k: &'a str,
    n: i64,
    total: i64,
}

#[derive(Deserialize)]
struct Joined<'a> {
    window_start: &'a str,
    k: &'a str,
    payment: u64,
    login: u64,
}

/// A row of a sink; fails the test where it isn't one at all.
fn row(sink: Sink, value: &[u8]) -> Row {
    let unreadable = |what: &dyn std::fmt::Display| -> ! {
        panic!("{what} in a row of {}: {}", sink.name(), String::from_utf8_lossy(value))
    };
    let key = |k: &str| key_number(k).unwrap_or_else(|| unreadable(&"no key of ours"));
    let start = |text: &str| millis(text).unwrap_or_else(|| unreadable(&"no time"));
    match sink {
        Sink::Passed => match serde_json::from_slice(value) {
            Ok(Passed { id, k, v }) => Row::Passed { id, key: key(k), value: v },
            Err(error) => unreadable(&error),
        },
        Sink::Tumbled | Sink::Hopped => match serde_json::from_slice(value) {
            Ok(Windowed { window_start, k, n, total }) => {
                let window = (start(window_start), key(k));
                if sink == Sink::Tumbled {
                    Row::Tumbled { window, count: n, total }
                } else {
                    Row::Hopped { window, count: n, total }
                }
            }
            Err(error) => unreadable(&error),
        },
        Sink::Joined => match serde_json::from_slice(value) {
            Ok(Joined { window_start, k, payment, login }) => {
                Row::Joined { window: (start(window_start), key(k)), payment, login }
            }
            Err(error) => unreadable(&error),
        },
    }
}

/// Epoch milliseconds of a timestamp as Flink writes it into JSON.
fn millis(text: &str) -> Option<i64> {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_millis())
}

#[test]
fn rows_are_read_as_the_job_writes_them() {
    let window = (super::workload::BASE + 10_000, 7);
    let text = br#"{"window_start":"2025-06-01 00:00:10","k":"k7","n":3,"total":-5}"#;
    assert_eq!(row(Sink::Tumbled, text), Row::Tumbled { window, count: 3, total: -5 });
    assert_eq!(row(Sink::Hopped, text), Row::Hopped { window, count: 3, total: -5 });
    let text = br#"{"id":4,"k":"k0","v":9}"#;
    assert_eq!(row(Sink::Passed, text), Row::Passed { id: 4, key: 0, value: 9 });
    let text = br#"{"window_start":"2025-06-01 00:00:10.000","k":"k7","payment":1,"login":2}"#;
    assert_eq!(row(Sink::Joined, text), Row::Joined { window, payment: 1, login: 2 });
}
