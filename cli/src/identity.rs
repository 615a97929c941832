//! Who a job is, kept beside its state: the same identity finds the same topics and state again. A cluster
//! gives an object its uid; here a file does. Also kept: the plan that the state belongs to.

use crate::report::Failure;
use millrace_job_runtime::job::JobIdentity;
use millrace_planner::plan::Plan;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Raised when a reader of the old form would misread the new one.
const FORMAT: u32 = 1;
/// Of a job that starts from a savepoint, of which readers of the first form know nothing.
const FORMAT_RESTORED: u32 = 2;

/// The file `job.json` of a job's folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobFile {
    format: u32,
    namespace: String,
    name: String,
    uid: String,
    incarnation: u32,
    generation: u32,
    plan: Plan,
    /// The savepoint that it starts from, as long as its tasks have no commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restore_from: Option<String>,
}

/// Who a job is, and what it starts from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) identity: JobIdentity,
    pub(crate) restore_from: Option<String>,
}

/// A job's folder under the state directory.
pub(crate) struct JobDirectory {
    path: PathBuf,
}

impl JobDirectory {
    pub(crate) fn new(state_dir: &Path, namespace: &str, name: &str) -> Self {
        Self { path: state_dir.join(format!("{namespace}.{name}")) }
    }

    /// Where the worker keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The identity in the folder, if there is one, whatever its plan.
    pub(crate) fn existing(&self) -> Result<Option<JobIdentity>, Failure> {
        Ok(self.read()?.map(|file| file.start().identity))
    }

    /// The start in the folder, or a new one. Refuses a plan that the state doesn't belong to, and another savepoint than
    /// the one that the job has started from.
    pub(crate) fn start(
        &self,
        namespace: &str,
        name: &str,
        plan: &Plan,
        restore_from: Option<&str>,
    ) -> Result<Start, Failure> {
        if let Some(file) = self.read()? {
            // Another password is no other plan; an earlier version has written it.
            if file.plan.masked() != plan.masked() {
                return Err(Failure::user(format!(
                    "the state in {} belongs to another plan of this job, and upgrades of a running plan are not \
                     supported yet: run it with --discard-state to start anew, or with another --state-dir",
                    self.path.display()
                )));
            }
            if restore_from.is_some() && restore_from != file.restore_from.as_deref() {
                let begun =
                    file.restore_from.as_ref().map_or("without a savepoint".to_owned(), |from| format!("from {from}"));
                return Err(Failure::user(format!(
                    "the job in {} has begun {begun} and goes on from there: run it without --restore-from, or start it anew \
                     with --discard-state",
                    self.path.display()
                )));
            }
            return Ok(file.start());
        }
        let file = JobFile {
            format: if restore_from.is_some() { FORMAT_RESTORED } else { FORMAT },
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uuid::Uuid::new_v4().to_string(),
            incarnation: 1,
            generation: 1,
            plan: plan.clone(),
            restore_from: restore_from.map(str::to_owned),
        };
        self.write(&file)?;
        Ok(file.start())
    }

    /// Removes identity and state; the job's topics are the caller's business.
    pub(crate) fn discard(&self) -> Result<(), Failure> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failure("remove", &error)),
            _ => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        self.path.join("job.json")
    }

    fn read(&self) -> Result<Option<JobFile>, Failure> {
        let text = match std::fs::read_to_string(self.file()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failure("read", &error)),
        };
        let unreadable = |why: String| {
            Failure::user(format!(
                "{} can't be read by this version ({why}): use the version that wrote it, or --discard-state",
                self.file().display()
            ))
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if value["format"] != FORMAT && value["format"] != FORMAT_RESTORED {
            return Err(unreadable(format!("its format is {}, not {FORMAT} or {FORMAT_RESTORED}", value["format"])));
        }
        serde_json::from_value(value).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Written beside and renamed, so that it is there whole or not at all.
    fn write(&self, file: &JobFile) -> Result<(), Failure> {
        let text =
            serde_json::to_vec_pretty(file).map_err(|error| Failure::Job(format!("the plan is no JSON: {error}")))?;
        let beside = self.path.join("job.json.new");
        let write = || {
            std::fs::create_dir_all(&self.path)?;
            let mut out = std::fs::File::create(&beside)?;
            out.write_all(&text)?;
            out.sync_all()?;
            std::fs::rename(&beside, self.file())?;
            std::fs::File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| self.failure("write", &error))
    }

    fn failure(&self, what: &str, error: &std::io::Error) -> Failure {
        Failure::user(format!("could not {what} {}: {error}", self.path.display()))
    }
}

impl JobFile {
    fn start(self) -> Start {
        let identity = JobIdentity {
            namespace: self.namespace,
            name: self.name,
            uid: self.uid,
            incarnation: self.incarnation,
            generation: self.generation,
        };
        Start { identity, restore_from: self.restore_from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_planner::plan::PLAN_VERSION;

    fn plan(time_zone: &str) -> Plan {
        Plan { version: PLAN_VERSION, nodes: Vec::new(), time_zone: time_zone.to_owned() }
    }

    fn start(directory: &JobDirectory, time_zone: &str, restore_from: Option<&str>) -> Result<Start, Failure> {
        directory.start("default", "job", &plan(time_zone), restore_from)
    }

    #[test]
    fn a_job_keeps_its_identity_until_its_state_is_discarded() {
        let state_dir = tempfile::tempdir().expect("a directory");
        let directory = JobDirectory::new(state_dir.path(), "default", "job");
        assert_eq!(directory.existing().expect("nothing yet"), None);
        let first = start(&directory, "UTC", None).expect("a new identity");
        assert_eq!(start(&directory, "UTC", None).expect("the same"), first);
        directory.discard().expect("removed");
        assert_ne!(start(&directory, "UTC", None).expect("a new one").identity.uid, first.identity.uid);
    }

    #[test]
    fn state_is_never_given_to_another_plan() {
        let state_dir = tempfile::tempdir().expect("a directory");
        let directory = JobDirectory::new(state_dir.path(), "default", "job");
        start(&directory, "UTC", None).expect("a new identity");
        let refused = start(&directory, "Europe/Berlin", None);
        assert!(matches!(refused, Err(Failure::User(message)) if message.contains("--discard-state")));
    }

    #[test]
    fn a_password_in_the_sql_is_not_kept_and_may_change() {
        let state_dir = tempfile::tempdir().expect("a directory");
        let directory = JobDirectory::new(state_dir.path(), "default", "job");
        let plan = |password: &str| {
            let sql = format!(
                "CREATE TABLE s (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json',
                 'properties.sasl.password' = '{password}');
                 CREATE TABLE t (a INT) WITH ('connector' = 'blackhole'); INSERT INTO t SELECT a FROM s;"
            );
            millrace_planner::plan_script(&sql, &millrace_planner::PlanOptions::default()).expect("valid").plan
        };
        let first = directory.start("default", "job", &plan("hawkins"), None).expect("a new identity");
        let file = std::fs::read_to_string(state_dir.path().join("default.job/job.json")).expect("written");
        assert!(file.contains("properties.sasl.password") && !file.contains("hawkins"), "{file}");
        assert_eq!(directory.start("default", "job", &plan("silver"), None).expect("the same"), first);
    }

    #[test]
    fn a_job_goes_on_from_the_savepoint_that_it_began_with_and_from_no_other() {
        let state_dir = tempfile::tempdir().expect("a directory");
        let directory = JobDirectory::new(state_dir.path(), "default", "job");
        let first = start(&directory, "UTC", Some("kafka:one")).expect("a new job");
        assert_eq!(first.restore_from.as_deref(), Some("kafka:one"));
        assert_eq!(start(&directory, "UTC", None).expect("it is known"), first);
        assert_eq!(start(&directory, "UTC", Some("kafka:one")).expect("the same"), first);
        let refused = start(&directory, "UTC", Some("kafka:two"));
        assert!(matches!(refused, Err(Failure::User(message)) if message.contains("has begun from kafka:one")));
        directory.discard().expect("removed");
        start(&directory, "UTC", None).expect("a new job");
        let refused = start(&directory, "UTC", Some("kafka:one"));
        assert!(matches!(refused, Err(Failure::User(message)) if message.contains("without a savepoint")));
    }

    #[test]
    fn a_file_of_another_version_is_refused_by_name() {
        let state_dir = tempfile::tempdir().expect("a directory");
        let directory = JobDirectory::new(state_dir.path(), "default", "job");
        start(&directory, "UTC", None).expect("a new identity");
        let file = state_dir.path().join("default.job/job.json");
        let text = std::fs::read_to_string(&file).expect("written").replace("\"format\": 1", "\"format\": 3");
        std::fs::write(&file, text).expect("overwritten");
        assert!(matches!(directory.existing(), Err(Failure::User(message)) if message.contains("its format is 3")));
    }
}
