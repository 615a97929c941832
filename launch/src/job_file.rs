//! The file that a job's workers are started with: identity, plan and settings, as whoever created the job
//! has settled them. Without secrets, only with references to them: each worker reads those itself.

use crate::secrets::Secrets;
use crate::settings;
use millrace_crds::stream_job::KafkaSpec;
use millrace_job_runtime::error::{Error, Result};
use millrace_job_runtime::job::Job;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// Raised when a reader of the old form would misread the new one.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFile {
    format: u32,
    job: Job,
    /// Names the secrets that the job's own description of its Kafka leaves out.
    kafka: KafkaSpec,
}

impl JobFile {
    pub fn new(job: Job, kafka: KafkaSpec) -> Self {
        Self { format: FORMAT, job, kafka }
    }

    /// Refuses to replace a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failure = |error| Error::user_fault(format!("could not write {}: {error}", path.display()));
        let mut file = std::fs::File::create_new(path).map_err(failure)?;
        file.write_all(self.to_text()?.as_bytes()).and_then(|()| file.sync_all()).map_err(failure)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::user_fault(format!("could not read the job in {name}: {error}")))?;
        Self::from_text(&text).map_err(|error| error.context(name))
    }

    /// What the file has.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Error::fail_job(format!("the job is no JSON: {error}")))
    }

    /// The opposite of [`Self::to_text`].
    pub fn from_text(text: &str) -> Result<Self> {
        let unreadable = |why: String| Error::user_fault(format!("this is no job that can be run: {why}"));
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(unreadable(format!(
                "its format is {}, and this version reads {FORMAT}: use the version that wrote it",
                value["format"]
            )));
        }
        serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
    }

    /// The job as it is in the file: without secrets, so that it can't be run.
    pub fn written(&self) -> &Job {
        &self.job
    }

    /// The job with what `secrets` has for it, and with the archive at `archive_url` if that is given.
    pub fn into_job(mut self, secrets: &dyn Secrets, archive_url: Option<&str>) -> Result<Job> {
        settings::resolve_secrets(&mut self.job.plan, secrets)?;
        let archive = settings::archive_with_secrets(archive_url, self.job.archive.take(), secrets)?;
        Ok(Job { kafka: settings::kafka(&self.kafka, secrets)?, archive, ..self.job })
    }
}
