//! The file that a job's workers are started with: identity, plan and settings, as whoever created the job
//! has settled them. Without secrets, only with references to them: each worker reads those itself.

use crate::job;
use crate::report::Failure;
use millrace_crds::stream_job::KafkaSpec;
use millrace_job_runtime::job::{Job, JobIdentity};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// Raised when a reader of the old form would misread the new one.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobFile {
    format: u32,
    job: Job,
    /// Names the secrets that the job's own description of its Kafka leaves out.
    kafka: KafkaSpec,
}

impl JobFile {
    pub(super) fn new(job: Job, kafka: KafkaSpec) -> Self {
        Self { format: FORMAT, job, kafka }
    }

    /// Refuses to replace a file.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failure = |error| Failure::user(format!("could not write {}: {error}", path.display()));
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| Failure::Job(format!("the job is no JSON: {error}")))?;
        let mut file = std::fs::File::create_new(path).map_err(failure)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failure)
    }

    /// Who the job in a file is.
    pub(super) fn identity(path: &Path) -> Result<JobIdentity, Failure> {
        Ok(Self::parse(path)?.job.identity)
    }

    /// The job in a file, its secrets read from `secrets`, with the archive at `archive_url` if that is given.
    pub(super) fn read(path: &Path, secrets: Option<&Path>, archive_url: Option<&str>) -> Result<Job, Failure> {
        let mut file = Self::parse(path)?;
        job::resolve_secrets(&mut file.job.plan, secrets)?;
        let archive = job::archive_with_secrets(archive_url, file.job.archive.take(), secrets)?;
        Ok(Job { kafka: job::kafka(&file.kafka, secrets)?, archive, ..file.job })
    }

    fn parse(path: &Path) -> Result<Self, Failure> {
        let unreadable = |why: String| Failure::user(format!("{} is no job that can be run: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(unreadable(format!(
                "its format is {}, and this version reads {FORMAT}: use the version that wrote it",
                value["format"]
            )));
        }
        serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
    }
}
