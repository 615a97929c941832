//! What a decision rests on, beside what is there of the job: what its object asks for, what its Secrets and topics say, what
//! a revision was made of, and what would become of its state. What was asked is remembered for a while.

use super::memory::Version;
use super::reconcile::{Context, RETRY, Result};
use super::wanted::{self, Invalid, Wanted, wanted};
use crate::cluster::{Cluster, ClusterError};
use crate::names::{self, JOB_KEY, SPEC_KEY};
use crate::surroundings::{ALLOW_NON_RESTORED_STATE, JobRequest, Place, ReadSecrets, Surroundings, Trouble};
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::{Revision, StreamJobStatus};
use millrace_crds::stream_job::{CheckpointStorage, RestoreFrom, StreamJobSpec};
use millrace_job_runtime::job::JobIdentity;
use millrace_job_runtime::savepoint::compare::compare_plans;
use millrace_launch::job_file::JobFile;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What an object asks for, or what is wrong with it.
pub(super) type Asked = Arc<std::result::Result<Wanted, Invalid>>;

/// What a revision was made of.
pub(crate) struct Made {
    pub(crate) file: JobFile,
    pub(crate) spec: StreamJobSpec,
    /// Names of the Secrets that it needs.
    pub(crate) secrets: BTreeSet<String>,
}

/// How old Secrets may be that a running job's topics are looked at with.
const SECRETS_AGE: Duration = Duration::from_secs(300);
/// How old statements may be that a ConfigMap has, which nobody tells of when they change.
const SQL_AGE: Duration = Duration::from_secs(90);

impl<C: Cluster, S: Surroundings> Context<C, S> {
    /// What the object asks for, planned once for each version of it.
    pub(super) async fn wanted(&self, job: &StreamJob) -> Result<Asked> {
        if job.spec.image.is_some() {
            let message = "spec.image: jobs given as an image can't be run yet: write the job as sql";
            return Ok(Arc::new(Err(Invalid(message.to_owned()))));
        }
        let sql = match self.sql(job).await? {
            Ok(sql) => sql,
            Err(invalid) => return Ok(Arc::new(Err(invalid))),
        };
        let version = Version { uid: job.uid(), generation: job.metadata.generation, sql };
        let known = self.recall(job, |memory| {
            memory.wanted.as_ref().filter(|(of, _)| *of == version).map(|(_, wanted)| wanted.clone())
        });
        if let Some(wanted) = known {
            return Ok(wanted);
        }
        let wanted = Arc::new(wanted(job, &version.sql, &self.settings.image));
        self.update(job, |memory| memory.wanted = Some((version, wanted.clone())));
        Ok(wanted)
    }

    /// The job's statements, where they are.
    async fn sql(&self, job: &StreamJob) -> Result<std::result::Result<String, Invalid>> {
        let reference = match (&job.spec.sql, &job.spec.config_map_ref) {
            (Some(sql), _) => return Ok(Ok(sql.clone())),
            (None, Some(reference)) => reference,
            (None, None) => {
                return Ok(Err(Invalid("spec: one of sql and configMapRef says what the job does".to_owned())));
            }
        };
        // With a new version of the object its statements may be meant to change, too.
        let (uid, generation) = (job.uid().unwrap_or_default(), job.metadata.generation);
        let key = format!("{uid}/{generation:?}/{}/{}", reference.name, reference.key);
        let known = self.recall(job, |memory| {
            let (at, of, sql) = memory.sql.as_ref()?;
            (*of == key && self.since(*at) < SQL_AGE).then(|| sql.clone())
        });
        if let Some(sql) = known {
            return Ok(Ok(sql));
        }
        let map = self.cluster.config_map(&job.namespace().unwrap_or_default(), &reference.name).await?;
        let Some(sql) = map.and_then(|mut map| map.remove(&reference.key)) else {
            return Ok(Err(Invalid(format!(
                "spec.configMapRef: there is no ConfigMap {} with the key {} in the namespace",
                reference.name, reference.key
            ))));
        };
        self.update(job, |memory| memory.sql = Some(((self.now)(), key, sql.clone())));
        Ok(Ok(sql))
    }

    pub(crate) async fn read_secrets(&self, job: &StreamJob, named: &BTreeSet<String>) -> Result<ReadSecrets> {
        let runs = |status: &StreamJobStatus| status.revision.is_some() && status.operation.is_none();
        let settled = job.status.as_ref().is_some_and(runs);
        let key = format!("{named:?}");
        let known = self.recall(job, |memory| {
            let (at, of, read) = memory.secrets.as_ref()?;
            // With what did not get in nobody tries again.
            let refused = memory.parallelism.as_ref().is_some_and(|(_, _, found)| found.is_err());
            (settled && !refused && *of == key && self.since(*at) < SECRETS_AGE).then(|| read.clone())
        });
        if let Some(read) = known {
            return Ok(read);
        }
        let namespace = job.namespace().unwrap_or_default();
        let mut read = BTreeMap::new();
        for name in named {
            if let Some(entries) = self.cluster.secret(&namespace, name).await? {
                read.insert(name.clone(), entries);
            }
        }
        let read = ReadSecrets(read);
        self.update(job, |memory| memory.secrets = Some(((self.now)(), key, read.clone())));
        Ok(read)
    }

    pub(crate) fn identity(job: &StreamJob, revision: &Revision) -> JobIdentity {
        JobIdentity {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            incarnation: revision.incarnation,
            generation: revision.generation,
        }
    }

    /// The number of tasks that the job's topics give it; asked now and then, and for each new version of the job.
    pub(super) async fn parallelism(
        &self,
        job: &StreamJob,
        wanted: &Wanted,
        secrets: &ReadSecrets,
    ) -> Option<std::result::Result<u32, String>> {
        let about = format!("{}{}{:?}", wanted.plan_hash, wanted.settings_hash, wanted.spec.parallelism);
        let known = self.recall(job, |memory| {
            let (at, of, found) = memory.parallelism.as_ref()?;
            let fresh_for = if found.is_ok() { self.settings.topics_interval } else { RETRY };
            (*of == about && self.since(*at) < fresh_for).then(|| found.clone())
        });
        if known.is_some() {
            return known;
        }
        let first = Revision { incarnation: 1, generation: 1, ..Revision::default() };
        let request = JobRequest {
            identity: Self::identity(job, &first),
            spec: wanted.spec.clone(),
            plan: wanted.plan.clone(),
            restore_from: None,
            secrets: secrets.clone(),
        };
        let found = match self.surroundings.parallelism(request).await {
            Ok(tasks) => Ok(tasks),
            Err(Trouble::Invalid(message) | Trouble::Passing(message)) => Err(message),
        };
        self.update(job, |memory| memory.parallelism = Some(((self.now)(), about, found.clone())));
        Some(found)
    }

    /// What would become of the state that there is.
    pub(super) async fn comparison(
        &self,
        job: &StreamJob,
        status: &StreamJobStatus,
        wanted: &Wanted,
        restore_from: &std::result::Result<Option<String>, String>,
        secrets: &ReadSecrets,
    ) -> Result<Option<std::result::Result<(), String>>> {
        let allowed = wanted.spec.upgrade.allow_non_restored_state;
        let Some(current) = &status.revision else {
            // A first start from somebody else's savepoint is compared with that.
            let Ok(Some(location)) = restore_from else { return Ok(None) };
            let place =
                Place { location: location.clone(), kafka: wanted.spec.kafka.clone(), secrets: secrets.clone() };
            let permitted = self.surroundings.permits(place, wanted.plan.clone(), allowed).await;
            return Ok(Some(permitted.map(drop).map_err(|trouble| trouble.to_string())));
        };
        if current.plan_hash == wanted.plan_hash {
            return Ok(None);
        }
        let Some(made) = self.made(job, current).await? else { return Ok(None) };
        let compared = compare_plans(&made.file.written().plan, &wanted.plan)
            .and_then(|comparison| comparison.permit(allowed, ALLOW_NON_RESTORED_STATE))
            .map_err(|error| error.to_string());
        Ok(Some(compared))
    }

    /// Where the running revision keeps its state.
    pub(super) async fn storage(&self, job: &StreamJob, status: &StreamJobStatus) -> Result<Option<CheckpointStorage>> {
        let Some(current) = &status.revision else { return Ok(None) };
        Ok(self.made(job, current).await?.and_then(|made| made.spec.checkpoint.storage.clone()))
    }

    /// What a revision was made of.
    pub(crate) async fn made(&self, job: &StreamJob, revision: &Revision) -> Result<Option<Arc<Made>>> {
        let name = names::config_map(&job.name_any(), revision.incarnation, revision.generation);
        // One by this name that was deleted and made again is another job's.
        let key = format!("{}/{name}", job.uid().unwrap_or_default());
        if let Some(made) = self.recall(job, |memory| memory.made.get(&key).cloned()) {
            return Ok(Some(made));
        }
        let Some(data) = self.cluster.config_map(&job.namespace().unwrap_or_default(), &name).await? else {
            return Ok(None);
        };
        let text = data.get(JOB_KEY).cloned().unwrap_or_default();
        let unreadable =
            |why: String| ClusterError::Refused(format!("the ConfigMap {name} is not what the operator made: {why}"));
        let file = JobFile::from_text(&text).map_err(|error| unreadable(error.to_string()))?;
        let spec: StreamJobSpec = serde_json::from_str(data.get(SPEC_KEY).map_or("", String::as_str))
            .map_err(|error| unreadable(error.to_string()))?;
        let secrets = wanted::secrets(&spec, &file.written().plan);
        let made = Arc::new(Made { file, spec, secrets });
        self.update(job, |memory| drop(memory.made.insert(key, made.clone())));
        Ok(Some(made))
    }

    pub(super) async fn restore_from(&self, job: &StreamJob) -> Result<std::result::Result<Option<String>, String>> {
        let Some(RestoreFrom { savepoint, url }) = &job.spec.restore_from else { return Ok(Ok(None)) };
        if job.status.as_ref().is_some_and(|status| status.revision.is_some()) {
            return Ok(Ok(None));
        }
        let Some(name) = savepoint else { return Ok(Ok(url.clone())) };
        let found = self.cluster.savepoint(&job.namespace().unwrap_or_default(), name).await?;
        Ok(match found.and_then(|savepoint| savepoint.status).and_then(|status| status.location) {
            Some(location) => Ok(Some(location)),
            None => Err(format!(
                "spec.restoreFrom.savepoint: there is no Savepoint {name} that is complete, in the namespace"
            )),
        })
    }
}
