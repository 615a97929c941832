//! Writes the workload to Kafka while the job is tortured: in a thread, at a bounded rate.

use super::job::SOURCES;
use super::workload::{Stream, Workload};
use crate::kafka::harness::{Kafka, Producer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records are written in pieces of this much time, at the rate.
const PIECE: Duration = Duration::from_millis(50);
/// A piece never has more, so that the producer's queue takes it.
const PIECE_RECORDS_MAX: u64 = 5_000;

pub(super) struct Feed {
    /// None once it was waited for.
    thread: Mutex<Option<JoinHandle<u64>>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    written: AtomicU64,
    finish: AtomicBool,
    /// Nobody wants the rest.
    give_up: AtomicBool,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.progress.give_up.store(true, Ordering::Relaxed);
        self.progress.finish.store(true, Ordering::Relaxed);
    }
}

impl Feed {
    /// Writes `rate` records per second until it is to finish, and at least `least`.
    pub(super) fn start(kafka: &Kafka, workload: Workload, rate: u64, least: u64) -> Self {
        let progress = Arc::new(Progress::default());
        let writer = Writer { producer: kafka.producer(), workload, rate, least, progress: progress.clone() };
        Self { thread: Mutex::new(Some(std::thread::spawn(move || writer.run()))), progress }
    }

    pub(super) fn written(&self) -> u64 {
        self.progress.written.load(Ordering::Relaxed)
    }

    /// Whether it has ended by itself, which it only does when it fails.
    pub(super) fn has_ended(&self) -> bool {
        self.thread().as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Writes what is missing as fast as it can, and the sentinels; how many records there are without these.
    pub(super) fn finish(&self) -> u64 {
        self.progress.finish.store(true, Ordering::Relaxed);
        let thread = self.thread().take().expect("it is finished once");
        thread.join().expect("Kafka takes all records")
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<u64>>> {
        self.thread.lock().expect("nobody panics with it")
    }
}

struct Writer {
    producer: Producer,
    workload: Workload,
    rate: u64,
    least: u64,
    progress: Arc<Progress>,
}

impl Writer {
    fn run(self) -> u64 {
        let begun = Instant::now();
        let mut written = 0;
        while !self.progress.finish.load(Ordering::Relaxed) {
            // What slow brokers have cost is made up for at no more than twice the rate.
            let due = (begun.elapsed().as_millis() as u64 * self.rate / 1000).min(written + self.piece());
            written = self.write(written, due);
            self.producer.pause(PIECE);
        }
        while written < self.least && !self.has_been_given_up() {
            written = self.write(written, (written + PIECE_RECORDS_MAX).min(self.least));
            self.producer.flush();
        }
        if self.has_been_given_up() {
            return written;
        }
        let sentinel = self.workload.sentinel(written);
        for (source, partition) in
            SOURCES.iter().flat_map(|source| (0..self.workload.partitions).map(move |p| (source, p)))
        {
            self.producer.send(source, partition as i32, None, &sentinel);
        }
        self.producer.flush();
        written
    }

    fn has_been_given_up(&self) -> bool {
        self.progress.give_up.load(Ordering::Relaxed)
    }

    fn piece(&self) -> u64 {
        (self.rate * PIECE.as_millis() as u64 * 2 / 1000).clamp(1, PIECE_RECORDS_MAX)
    }

    fn write(&self, from: u64, to: u64) -> u64 {
        for input in (from..to).map(|id| self.workload.record(id)) {
            let topic = match input.stream {
                Stream::Payments => SOURCES[0],
                Stream::Logins => SOURCES[1],
            };
            self.producer.send(topic, input.partition, None, &input.json());
        }
        let written = to.max(from);
        self.progress.written.store(written, Ordering::Relaxed);
        written
    }
}
