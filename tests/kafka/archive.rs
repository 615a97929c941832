//! Checkpoints in an S3 beside the job: a worker whose volume is lost comes back from there, from the one before if the
//! newest is damaged, and never from nothing; and the logs are cut for them. They need the S3 that MILLRACE_TEST_S3
//! names (`tests/testbed/s3/run.sh`), as Kafka's need MILLRACE_TEST_KAFKA.

use super::events::{NEVER_IDLE, counts_per_second};
use super::harness::{Job, Kafka, Millrace, Workers};
use super::volumes::Fed;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A place in the S3 to test with.
struct Place {
    endpoint: String,
    bucket: String,
    /// Of this test, in the bucket.
    prefix: String,
}

impl Place {
    fn new(kafka: &Kafka) -> Option<Self> {
        let Some(endpoint) = std::env::var("MILLRACE_TEST_S3").ok().filter(|url| !url.is_empty()) else {
            let required = std::env::var("MILLRACE_REQUIRE_S3").is_ok_and(|value| value == "1");
            assert!(!required, "MILLRACE_REQUIRE_S3 is set, and MILLRACE_TEST_S3 names no S3");
            println!("skipped: MILLRACE_TEST_S3 names no S3");
            return None;
        };
        let bucket = std::env::var("MILLRACE_TEST_S3_BUCKET").expect("set beside MILLRACE_TEST_S3");
        Some(Self { endpoint, bucket, prefix: kafka.name("archive") })
    }

    /// A job that archives at each checkpoint, after a few commits.
    fn create<'a>(&self, job: &'a Job) -> Workers<'a> {
        let workers = Workers::create(job);
        let url = format!("s3://{}/{}", self.bucket, self.prefix);
        workers.adjust(|job| {
            job["checkpointInterval"] = json!({"secs": 0, "nanos": 400_000_000});
            job["archive"] = json!({"url": url, "endpoint": self.endpoint, "tailBytesMin": 1_000,
                "interval": {"secs": 0, "nanos": 100_000_000}});
        });
        workers
    }

    /// The files that the server keeps objects in, of a kind: `files` or `checkpoints`; the newest of a task last.
    fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let data = std::env::var("MILLRACE_TEST_S3_DATA").expect("set beside MILLRACE_TEST_S3");
        let mut found = Vec::new();
        files(&Path::new(&data).join(&self.prefix), &mut found);
        found.retain(|file| file.parent().is_some_and(|folder| folder.ends_with(kind)));
        found.sort();
        found
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the bucket has it") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Runs a worker until the logs were cut for several checkpoints.
fn run_until_cut(fed: &mut Fed<'_>) -> Millrace {
    let worker = fed.workers.start_in("volume", 1, 0, 1);
    (0..3).fold(0, |beyond, _| fed.feed_until_cut(&worker, beyond));
    worker
}

#[test]
fn a_lost_volume_comes_back_from_the_archive_and_the_log_is_cut_for_it() {
    let Some(kafka) = Kafka::apache("archive") else { return };
    let Some(place) = Place::new(&kafka) else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let mut fed = Fed::new(&kafka, place.create(&job), &from, &to, 31);
    let worker = run_until_cut(&mut fed);
    let status = worker.status().expect("it serves its status");
    assert!(status["archivedCheckpoints"].as_u64() >= Some(8), "{status}");
    assert_eq!((&status["archiveFailures"], &status["images"]), (&json!(0), &json!(0)), "{status}");
    assert!(status["lastArchivedBytes"].as_i64() > Some(0), "{status}");
    worker.kill();
    let manifests = place.objects("checkpoints").len();
    // Two of each of two tasks, and at most one of each that was not committed, or whose elders are not deleted yet.
    assert!((4..=8).contains(&manifests), "{manifests} checkpoints are kept");

    let (restore, log) = fed.finish("new-volume", "windows after a volume was lost");
    assert_eq!(restore["tasksFromCheckpoint"], 2, "{restore}");
    assert!(log.contains("fetched a checkpoint from the archive"), "{log}");
}

#[test]
fn damaged_checkpoints_are_refused_for_the_one_before_and_without_any_the_state_is_lost() {
    let Some(kafka) = Kafka::apache("damaged-archive") else { return };
    let Some(place) = Place::new(&kafka) else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let mut fed = Fed::new(&kafka, place.create(&job), &from, &to, 37);
    run_until_cut(&mut fed).kill();

    let lost = || {
        let ended = fed.workers.start_in("lost-volume", 1, 0, 1).wait();
        ended.assert_code(1);
        assert!(ended.log.contains("the state of task") && ended.log.contains("is lost"), "{}", ended.log);
    };
    // Every object of a kind is away, or is another than was stored.
    let away = |path: &Path| path.with_extension("away");
    let manifests = place.objects("checkpoints");
    manifests.iter().for_each(|manifest| std::fs::rename(manifest, away(manifest)).expect("renamed"));
    lost();
    manifests.iter().for_each(|manifest| std::fs::rename(away(manifest), manifest).expect("renamed"));
    let objects = place.objects("files");
    let contents: Vec<Vec<u8>> = objects.iter().map(|object| std::fs::read(object).expect("readable")).collect();
    for (object, content) in objects.iter().zip(&contents) {
        let mut damaged = content.clone();
        damaged.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        std::fs::write(object, damaged).expect("writable");
    }
    lost();
    for (object, content) in objects.iter().zip(&contents) {
        std::fs::write(object, content).expect("writable");
    }

    // What the newest committed checkpoint of each task has: the log names it, and so does its manifest.
    for task in newest(&kafka) {
        let manifest =
            place.objects("checkpoints").into_iter().find(|path| path.ends_with(&task)).expect("it is there");
        let mut damaged = std::fs::read(&manifest).expect("readable");
        damaged.push(b' ');
        std::fs::write(&manifest, damaged).expect("writable");
    }
    let (restore, log) = fed.finish("new-volume", "windows after damage");
    assert_eq!(restore["tasksFromCheckpoint"], 2, "{restore}");
    assert!(log.contains("a checkpoint in the archive is of no use"), "{log}");
}

/// Keys of the newest manifests that the task logs name, below the job's place.
fn newest(kafka: &Kafka) -> Vec<PathBuf> {
    use millrace_protocol::record::LogRecord;
    let mut newest = std::collections::BTreeMap::new();
    for record in kafka.read(&super::images::log_topic(kafka)) {
        if let Ok(LogRecord::Checkpoint(checkpoint)) = LogRecord::decode(record.payload.as_deref().unwrap_or(&[])) {
            let manifest = PathBuf::from(checkpoint.manifest);
            newest.insert(manifest.parent().map(Path::to_owned), manifest);
        }
    }
    assert_eq!(newest.len(), 2, "each task's log names a checkpoint");
    newest.into_values().collect()
}

#[test]
fn an_archive_that_refuses_its_keys_is_said_at_the_start() {
    let Some(kafka) = Kafka::apache("refused") else { return };
    let Some(place) = Place::new(&kafka) else { return };
    let (from, to) = (kafka.topic("events", 1), kafka.topic("counts", 1));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = place.create(&job);
    workers.adjust(|job| job["archive"]["url"] = json!("s3://no-such-bucket/jobs"));
    let ended = workers.start(1, 0, 1).wait();
    ended.assert_code(2);
    assert!(ended.log.contains("there is no such bucket"), "{}", ended.log);
}
