//! Volumes that are damaged, or older than the log goes back: they are replaced from the log's images. Where
//! nothing has the state any more, the job says so and stops.

use super::events::{Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::process::Ended;
use super::harness::{Job, Kafka, Millrace, PATIENCE, Workers};
use super::images::{create, feed_until_cut, log_topic};
use std::path::{Path, PathBuf};

/// A job with two tasks, what it is fed, and what has to come out.
pub(super) struct Fed<'a> {
    kafka: &'a Kafka,
    pub(super) workers: Workers<'a>,
    feed: Feed,
    windows: Windows,
    to: String,
}

fn job(kafka: &Kafka, from: &str, to: &str) -> Job {
    Job::new(kafka, "job", &counts_per_second(from, to, NEVER_IDLE))
}

impl<'a> Fed<'a> {
    pub(super) fn new(kafka: &'a Kafka, workers: Workers<'a>, from: &str, to: &str, seed: u64) -> Self {
        let (feed, windows) = (Feed::new(kafka, from, seed), Windows::tumbling(1_000));
        Self { kafka, workers, feed, windows, to: to.to_owned() }
    }

    /// Feeds a worker until its logs are cut beyond this; how far they are then.
    pub(super) fn feed_until_cut(&mut self, worker: &Millrace, beyond: i64) -> i64 {
        let starts = feed_until_cut(self.kafka, worker, beyond, || {
            self.feed.send(400, |event| self.windows.add(event));
        });
        starts.into_iter().max().expect("two tasks")
    }

    /// Feeds a worker until it has made checkpoints of it.
    pub(super) fn feed_until_checkpoints(&mut self, worker: &Millrace, count: u64) {
        worker.until("checkpoints", || {
            self.feed.send(400, |event| self.windows.add(event));
            (worker.status()?["checkpoints"].as_u64()? >= count).then_some(())
        });
    }

    /// Feeds a worker until it gives up.
    pub(super) fn feed_until_end(&mut self, worker: Millrace) -> Ended {
        worker.try_until_or_end(PATIENCE, || {
            self.feed.send(400, |event| self.windows.add(event));
            None::<()>
        });
        worker.wait()
    }

    /// Runs a worker on the volume until its logs are cut beyond this, and kills it.
    fn run_until_cut(&mut self, beyond: i64) -> i64 {
        let worker = self.workers.start_in("volume", 1, 0, 1);
        let cut = self.feed_until_cut(&worker, beyond);
        worker.kill();
        cut
    }

    /// Runs a worker on a volume to the end of the input, and compares; returns how it came to its state.
    pub(super) fn finish(self, volume: &str, what: &str) -> (serde_json::Value, String) {
        let worker = self.workers.start_in(volume, 1, 0, 1);
        self.finish_with(worker, what)
    }

    /// The same with a worker that was just started.
    pub(super) fn finish_with(mut self, worker: Millrace, what: &str) -> (serde_json::Value, String) {
        worker.wait_until_running();
        let status = worker.status().expect("it serves its status");
        self.feed.send(2_000, |event| self.windows.add(event));
        self.feed.send_sentinels();
        await_records(self.kafka, &worker, &self.to, self.windows.rows().len());
        let ended = worker.stop();
        ended.assert_code(0);
        assert_windows(&self.windows, &self.kafka.read(&self.to), what);
        (status["restore"].clone(), ended.log)
    }
}

/// The files of RocksDB's tables in a volume.
fn tables(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the volume is there");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sst"));
    files.extend(folders.iter().flat_map(|folder| tables(folder)));
    files
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is writable");
    for entry in std::fs::read_dir(from).expect("the volume is there") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}

#[test]
fn a_volume_whose_data_is_damaged_is_replaced_from_an_image() {
    let Some(kafka) = Kafka::apache("damaged") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = job(&kafka, &from, &to);
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 17);
    fed.run_until_cut(0);
    let tables = tables(&fed.workers.volume("volume"));
    assert!(!tables.is_empty(), "checkpoints wrote tables");
    for table in &tables {
        // In the first block of data, which is read when state is.
        let mut bytes = std::fs::read(table).expect("a table");
        bytes[8] ^= 0xFF;
        std::fs::write(table, bytes).expect("writable");
    }
    let (restore, log) = fed.finish("volume", "windows after damage");
    assert!(log.contains("it is corrupt, and will be replaced"), "{log}");
    assert!(restore["tasksFromImage"].as_u64() > Some(0), "{restore}");
}

#[test]
fn a_volume_of_which_files_are_missing_is_replaced_from_an_image() {
    let Some(kafka) = Kafka::apache("missing") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = job(&kafka, &from, &to);
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 17);
    fed.run_until_cut(0);
    tables(&fed.workers.volume("volume")).iter().for_each(|table| std::fs::remove_file(table).expect("removable"));
    let (restore, _) = fed.finish("volume", "windows after files were lost");
    assert_eq!(restore["tasksFromImage"], 2, "{restore}");
}

#[test]
fn an_old_volume_put_back_is_replaced_from_an_image() {
    let Some(kafka) = Kafka::apache("stale") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = job(&kafka, &from, &to);
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 17);
    let (volume, old) = (fed.workers.volume("volume"), fed.workers.volume("old"));
    let cut = fed.run_until_cut(0);
    copy(&volume, &old);
    let ends = kafka.ends(&log_topic(&kafka)).into_values().max().expect("two tasks");
    assert!(ends > cut);
    fed.run_until_cut(ends);
    std::fs::remove_dir_all(&volume).expect("removable");
    copy(&old, &volume);
    let (restore, log) = fed.finish("volume", "windows on an old volume");
    assert!(log.contains("too old for its log"), "{log}");
    assert_eq!(restore["tasksFromImage"], 2, "{restore}");
}

#[test]
fn a_state_that_nothing_has_any_more_is_called_lost_and_never_taken_for_empty() {
    let Some(kafka) = Kafka::apache("lost-state") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = job(&kafka, &from, &to);
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 17);
    fed.run_until_cut(0);
    let log = log_topic(&kafka);
    for (partition, end) in kafka.ends(&log) {
        kafka.delete_records(&log, partition, end).expect("deleted");
    }
    for state_dir in ["volume", "new-volume"] {
        let ended = fed.workers.start_in(state_dir, 1, 0, 1).wait();
        ended.assert_code(1);
        assert!(ended.log.contains("the state of task 0 is lost"), "{}", ended.log);
        let left = fed.workers.reason(state_dir);
        assert_eq!(left["reason"], "StateLost", "{left}");
        assert!(left["message"].as_str().is_some_and(|message| message.contains("task 0")), "{left}");
    }
}
