//! How the processes of the job are started: `millrace job` once, and `millrace worker` for each worker.

use super::job;
use crate::kafka::harness::Millrace;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a worker says that finds its place taken by another process.
pub(super) const WAITING: &str = "this worker's place is held by another process";
/// The exit code of a worker that stands down for a higher generation.
pub(super) const STOOD_DOWN: i32 = 3;

const NAME: &str = "torture";

pub(super) struct Launch {
    folder: TempDir,
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
        let launch = Self { folder };
        std::fs::write(launch.path("job.yaml"), job::manifest(NAME, kafka)).expect("the folder is writable");
        let (manifest, out) = (launch.text("job.yaml"), launch.text("job.json"));
        Millrace::start(["job", &manifest, "--kafka", kafka, "--out", &out]).wait().assert_code(0);
        launch
    }

    /// The folder of a new volume.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.path(&format!("volume-{name}"))
    }

    pub(super) fn start(&self, place: Place, volume: &Path) -> Millrace {
        let volume = volume.display().to_string();
        let Place { generation, ordinal, replicas } = place;
        let numbers = [("--generation", generation), ("--ordinal", ordinal), ("--replicas", replicas)];
        let mut arguments = vec!["worker".to_owned(), self.text("job.json")];
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
