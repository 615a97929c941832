//! Creates a job for workers of its own: looks at what it reads and writes, settles how many tasks it has, makes its
//! topics, and has the file that its workers are started with.

use crate::job_file::JobFile;
use crate::secrets::Secrets;
use crate::settings::{self, Surroundings};
use crate::topics::Topics;
use millrace_crds::stream_job::{KafkaSpec, StreamJobSpec};
use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::error::Result;
use millrace_job_runtime::job::{ArchiveSettings, Job, JobIdentity, Kafka};
use millrace_job_runtime::prepare::{is_prepared, parallelism, prepare};
use millrace_planner::plan::Plan;

/// A job that is to be.
pub struct Creation<'a> {
    pub identity: JobIdentity,
    /// None for plain SQL.
    pub spec: Option<&'a StreamJobSpec>,
    /// The job's Kafka, which need not be the spec's.
    pub kafka: KafkaSpec,
    pub plan: Plan,
    /// The savepoint that it starts from.
    pub restore_from: Option<String>,
    pub archive: Option<ArchiveSettings>,
}

/// A job with clients' options and secrets, ready to be prepared.
pub struct Resolved {
    job: Job,
    /// As it goes into the file.
    written_plan: Plan,
    kafka: KafkaSpec,
}

impl Creation<'_> {
    /// Reads the secrets that it needs.
    pub fn resolve(self, secrets: &dyn Secrets) -> Result<Resolved> {
        let mut plan = self.plan;
        settings::refuse_secrets(&mut plan)?;
        let written_plan = plan.clone();
        settings::resolve_secrets(&mut plan, secrets)?;
        let surroundings = Surroundings {
            identity: self.identity,
            kafka: settings::kafka(&self.kafka, secrets)?,
            state_directory: Default::default(),
            threads: None,
            makes_topics: false,
            restore_from: self.restore_from,
            archive: self.archive,
        };
        let job = settings::job(self.spec, plan, surroundings);
        Ok(Resolved { job, written_plan, kafka: self.kafka })
    }
}

impl Resolved {
    pub fn kafka(&self) -> &Kafka {
        &self.job.kafka
    }

    /// With secrets: for clients, not for files.
    pub fn plan(&self) -> &Plan {
        &self.job.plan
    }

    /// Whether it has been created already.
    pub fn exists(&self) -> Result<bool> {
        is_prepared(&self.job, SystemClock::shared().as_ref())
    }

    /// Looks at what it reads and writes, and how many tasks that would give it; makes nothing.
    pub fn look(self) -> Result<u32> {
        let topics = Topics::new(&self.job.kafka, false)?;
        topics.prepare(&self.job.plan, self.job.dead_letter_topic.as_deref(), false)?;
        parallelism(&self.job, SystemClock::shared().as_ref())
    }

    /// Makes the job's own topics, where they are not there yet, and settles its number of tasks.
    ///
    /// # Errors
    /// `UserFault` where topics that it reads or writes are missing, or may not be used.
    pub fn create(self) -> Result<JobFile> {
        let topics = Topics::new(&self.job.kafka, false)?;
        topics.prepare(&self.job.plan, self.job.dead_letter_topic.as_deref(), false)?;
        let tasks = prepare(&self.job, SystemClock::shared().as_ref())?;
        Ok(JobFile::new(Job { parallelism: Some(tasks), plan: self.written_plan, ..self.job }, self.kafka))
    }
}
