//! How the processes of the job are started: `millrace job` once for each incarnation, and `millrace worker` for each worker.

use super::job;
use crate::kafka::harness::{Millrace, adjust_job};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a worker says that finds its place taken by another process.
pub(super) const WAITING: &str = "this worker's place is held by another process";
/// The exit code of a worker that stands down for a higher generation.
pub(super) const STOOD_DOWN: i32 = 3;

const NAME: &str = "torture";

pub(super) struct Launch {
    folder: TempDir,
    kafka: String,
    incarnation: u32,
}

/// Which worker of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) generation: u32,
    pub(super) ordinal: u32,
    pub(super) replicas: u32,
}

impl Launch {
    /// Prepares the job; `kafka` is what its workers connect to.
    pub(super) fn new(kafka: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let launch = Self { folder, kafka: kafka.to_owned(), incarnation: 1 };
        std::fs::write(launch.path("job.yaml"), job::manifest(NAME, kafka)).expect("the folder is writable");
        launch.create(&[]);
        launch
    }

    /// Prepares the next incarnation of the job, which goes on from a savepoint.
    pub(super) fn replace(&mut self, savepoint: &str) {
        let replaced = self.job();
        self.incarnation += 1;
        self.create(&["--restore-from", savepoint, "--replaces", &replaced]);
    }

    fn create(&self, further: &[&str]) {
        let (manifest, out) = (self.text("job.yaml"), self.job());
        let arguments = ["job", &manifest, "--kafka", &self.kafka, "--out", &out];
        Millrace::start(arguments.iter().chain(further)).wait().assert_code(0);
        let timeout = json!({"secs": job::TRANSACTION_TIMEOUT.as_secs(), "nanos": 0});
        adjust_job(Path::new(&out), |job| job["transactionTimeout"] = timeout);
    }

    /// What the workers of this incarnation are started with.
    fn job(&self) -> String {
        self.text(&format!("job-{}.json", self.incarnation))
    }

    /// Where savepoints go.
    pub(super) fn savepoints(&self) -> String {
        self.text("savepoints")
    }

    /// The folder of a new volume.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.path(&format!("volume-{name}"))
    }

    pub(super) fn start(&self, place: Place, volume: &Path) -> Millrace {
        let volume = volume.display().to_string();
        let Place { generation, ordinal, replicas } = place;
        let numbers = [("--generation", generation), ("--ordinal", ordinal), ("--replicas", replicas)];
        let mut arguments = vec!["worker".to_owned(), self.job()];
        numbers.iter().for_each(|(name, number)| arguments.extend([(*name).to_owned(), number.to_string()]));
        arguments.extend(["--state-dir", &volume, "--listen", "127.0.0.1:0"].map(str::to_owned));
        Millrace::start(arguments)
    }

    /// Deletes what is on a volume; false where nothing was.
    pub(super) fn lose(&self, volume: &Path) -> bool {
        let full = std::fs::read_dir(volume).is_ok_and(|mut entries| entries.next().is_some());
        if full {
            std::fs::remove_dir_all(volume).expect("nobody uses it");
        }
        full
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}
