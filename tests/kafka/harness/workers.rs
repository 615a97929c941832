//! A job of several workers: created once, its workers started as processes. Each has a state directory of its
//! own; the same number finds it again, in its own generation and in the one after the next, when no process of
//! the one between can still be at work in it.

use super::process::Ended;
use super::{Job, Millrace, Mount};
use std::path::{Path, PathBuf};

/// Changes what the file of a job says of it.
pub(crate) fn adjust_job(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let text = std::fs::read_to_string(path).expect("the file of the job");
    let mut file: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    change(&mut file["job"]);
    std::fs::write(path, file.to_string()).expect("the folder is writable");
}

pub(crate) struct Workers<'a> {
    job: &'a Job,
    file: PathBuf,
}

impl<'a> Workers<'a> {
    /// Creates the job: its topics, and the file that its workers are started with.
    pub(crate) fn create(job: &'a Job) -> Self {
        Self::create_with(job, &[])
    }

    /// The same with further arguments.
    pub(crate) fn create_with(job: &'a Job, further: &[&str]) -> Self {
        let (file, ended) = Self::try_create(job, further);
        ended.assert_code(0);
        Self { job, file }
    }

    pub(crate) fn try_create(job: &Job, further: &[&str]) -> (PathBuf, Ended) {
        let file = job.folder().join("job.json");
        let mut arguments = vec!["job".to_owned(), job.write_manifest().display().to_string()];
        arguments.extend(["--out".to_owned(), file.display().to_string()]);
        arguments.extend(further.iter().map(|&argument| argument.to_owned()));
        let ended = Millrace::start(arguments).wait();
        (file, ended)
    }

    /// What the workers are started with.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Changes what the file says of the job, before workers are started with it.
    pub(crate) fn adjust(&self, change: impl FnOnce(&mut serde_json::Value)) {
        adjust_job(&self.file, change);
    }

    /// The state directory of this name.
    pub(crate) fn volume(&self, state_dir: &str) -> PathBuf {
        self.job.folder().join(state_dir)
    }

    /// Starts worker `ordinal` of the `replicas` of a generation.
    pub(crate) fn start(&self, generation: u32, ordinal: u32, replicas: u32) -> Millrace {
        self.start_in(&format!("worker-{ordinal}-{}", generation % 2), generation, ordinal, replicas)
    }

    /// The same with a state directory of this name.
    pub(crate) fn start_in(&self, state_dir: &str, generation: u32, ordinal: u32, replicas: u32) -> Millrace {
        Millrace::start(self.arguments(state_dir, generation, ordinal, replicas))
    }

    /// Starts a worker with further arguments.
    pub(crate) fn start_with(&self, generation: u32, ordinal: u32, replicas: u32, further: &[&str]) -> Millrace {
        let state_dir = format!("worker-{ordinal}-{}", generation % 2);
        let mut arguments = self.arguments(&state_dir, generation, ordinal, replicas);
        arguments.extend(further.iter().map(|&argument| argument.to_owned()));
        Millrace::start(arguments)
    }

    /// The only worker of a generation, on a volume that is mounted for it.
    pub(crate) fn start_on(&self, mount: &Mount, state_dir: &str, generation: u32) -> Millrace {
        Millrace::start_inside(mount, self.arguments(state_dir, generation, 0, 1))
    }

    fn arguments(&self, state_dir: &str, generation: u32, ordinal: u32, replicas: u32) -> Vec<String> {
        let numbers = [("--generation", generation), ("--ordinal", ordinal), ("--replicas", replicas)];
        let mut arguments = vec!["worker".to_owned(), self.file.display().to_string()];
        arguments.extend(numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]));
        arguments.extend(["--state-dir".to_owned(), self.volume(state_dir).display().to_string()]);
        arguments.extend(["--termination-log".to_owned(), self.termination_log(state_dir).display().to_string()]);
        arguments.extend(["--listen", "127.0.0.1:0"].map(str::to_owned));
        arguments
    }

    fn termination_log(&self, state_dir: &str) -> PathBuf {
        self.job.folder().join(format!("{state_dir}.termination-log"))
    }

    /// Why the worker with this state directory has ended, as it has left it behind.
    pub(crate) fn reason(&self, state_dir: &str) -> serde_json::Value {
        let left = std::fs::read_to_string(self.termination_log(state_dir)).expect("a worker makes it when it starts");
        serde_json::from_str(&left).unwrap_or_else(|error| panic!("{error}: {left:?}"))
    }

    /// Starts every worker of a generation.
    pub(crate) fn start_all(&self, generation: u32, replicas: u32) -> Vec<Millrace> {
        (0..replicas).map(|ordinal| self.start(generation, ordinal, replicas)).collect()
    }
}
