//! What is outside of the cluster's API: Kafka, the object store, and the workers in their pods. One trait, so that
//! tests can stand in for it, and its one implementation by `launch` and HTTP.

use crate::doors::Doors;
use crate::hosts;
use crate::job::wanted;
use crate::names::WORKER_PORT;
use crate::worker_status::WorkerStatus;
use millrace_crds::stream_job::{KafkaSpec, StreamJobSpec};
use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::error::{Error, ErrorKind};
use millrace_job_runtime::job::{JobIdentity, Kafka};
use millrace_job_runtime::savepoint::manifest::Manifest;
use millrace_job_runtime::storage::{KAFKA_SCHEME, Storage, choose_cryptography};
use millrace_launch::creation::{Creation, Resolved};
use millrace_launch::job_file::JobFile;
use millrace_launch::secrets::Secrets;
use millrace_launch::topics::Topics;
use millrace_launch::{savepoint, settings};
use millrace_planner::plan::Plan;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// By what a manifest lets state be left behind.
pub(crate) const ALLOW_NON_RESTORED_STATE: &str = "spec.upgrade.allowNonRestoredState: true";

/// Why something outside of the cluster was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The job, or what it names, has to be corrected.
    #[error("{0}")]
    Invalid(String),
    /// It may be done later.
    #[error("{0}")]
    Passing(String),
}

pub type Outcome<T> = std::result::Result<T, Trouble>;

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::UserFault => Self::Invalid(error.to_string()),
            _ => Self::Passing(error.to_string()),
        }
    }
}

/// Secrets that were read from the cluster.
#[derive(Clone, Default)]
pub struct ReadSecrets(pub BTreeMap<String, BTreeMap<String, String>>);

impl Secrets for ReadSecrets {
    fn value(&self, whose: &str, name: &str, key: &str) -> Result<String, Error> {
        let Some(entries) = self.0.get(name) else {
            return Err(Error::user_fault(format!(
                "{whose} needs the Secret {name}, which is not in the job's namespace"
            )));
        };
        let value = entries.get(key).cloned();
        value.ok_or_else(|| {
            Error::user_fault(format!("{whose} needs the key {key} of the Secret {name}, which has none"))
        })
    }

    fn entries(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let entries = self.0.get(name).cloned();
        entries.ok_or_else(|| Error::user_fault(format!("the Secret {name} is not in the job's namespace")))
    }
}

/// A job that is to be made, or looked at.
#[derive(Clone)]
pub struct JobRequest {
    pub identity: JobIdentity,
    pub spec: StreamJobSpec,
    pub plan: Plan,
    pub restore_from: Option<String>,
    pub secrets: ReadSecrets,
}

/// A place of savepoints, with what it takes to get there.
#[derive(Clone)]
pub struct Place {
    pub location: String,
    pub kafka: KafkaSpec,
    pub secrets: ReadSecrets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavepointSize {
    pub bytes: u64,
    pub parallelism: u32,
}

pub trait Surroundings: Send + Sync + 'static {
    /// The number of tasks that the job has now, by its topics; says as well what is missing or refused.
    fn parallelism(&self, request: JobRequest) -> impl Future<Output = Outcome<u32>> + Send;
    /// Makes the job's topics; returns what its workers are started with. Doing it again changes nothing.
    fn create(&self, request: JobRequest) -> impl Future<Output = Outcome<String>> + Send;
    /// Whether tasks of the job in this file have committed anything.
    fn has_committed(&self, file: String, secrets: ReadSecrets) -> impl Future<Output = Outcome<bool>> + Send;
    fn make_savepoint(&self, request: savepoint::Request) -> impl Future<Output = Outcome<String>> + Send;
    /// What becomes of a savepoint's state under a plan; an error where that is not permitted.
    fn permits(
        &self,
        place: Place,
        plan: Plan,
        allow_non_restored: bool,
    ) -> impl Future<Output = Outcome<String>> + Send;
    fn savepoint_size(&self, place: Place) -> impl Future<Output = Outcome<SavepointSize>> + Send;
    /// Complete or not; that there is none is as good.
    fn delete_savepoint(&self, place: Place) -> impl Future<Output = Outcome<()>> + Send;
    /// Deletes the topics of all incarnations up to this one.
    fn delete_topics(
        &self,
        identity: JobIdentity,
        kafka: KafkaSpec,
        secrets: ReadSecrets,
    ) -> impl Future<Output = Outcome<()>> + Send;
    /// Has workers that stand by take their tasks.
    fn take_over(&self, workers: Vec<String>, token: String) -> impl Future<Output = Outcome<()>> + Send;
    /// The status of the workers at these addresses.
    fn statuses(&self, addresses: Vec<Option<String>>) -> impl Future<Output = Vec<Option<WorkerStatus>>> + Send;
}

/// The real ones.
pub struct RealSurroundings {
    client: reqwest::Client,
    doors: Doors,
}

/// How long a worker may take to tell its status.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

impl RealSurroundings {
    pub fn new() -> Result<Self, reqwest::Error> {
        choose_cryptography();
        let client = reqwest::Client::builder().timeout(STATUS_PATIENCE).build()?;
        Ok(Self { client, doors: Doors::default() })
    }

    /// Kafka's client blocks; the operator's threads do not wait for it.
    async fn at<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let _seat = self.doors.enter(place).await;
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|panic| Err(Trouble::Passing(format!("the request ended in a panic: {panic}"))))
    }
}

/// How a worker at an address is reached.
pub fn worker_url(address: &str) -> String {
    if address.contains(':') {
        format!("http://[{address}]:{WORKER_PORT}")
    } else {
        format!("http://{address}:{WORKER_PORT}")
    }
}

impl JobRequest {
    fn resolve(self) -> Outcome<Resolved> {
        let creation = Creation {
            archive: settings::archive(Some(&self.spec)),
            kafka: self.spec.kafka.clone(),
            spec: Some(&self.spec),
            identity: self.identity,
            plan: self.plan,
            restore_from: self.restore_from,
        };
        Ok(creation.resolve(&self.secrets)?)
    }
}

impl Place {
    /// Where one has to get in to read it.
    fn door(&self) -> &str {
        match self.location.starts_with(KAFKA_SCHEME) {
            true => &self.kafka.bootstrap_servers,
            false => &self.location,
        }
    }

    fn open(&self) -> Outcome<Storage> {
        Ok(Storage::existing(&self.location, self.job_kafka()?.as_ref())?)
    }

    /// The Kafka that it is on.
    fn job_kafka(&self) -> Outcome<Option<Kafka>> {
        let kafka = settings::kafka(&self.kafka, &self.secrets)?;
        Ok(self.location.starts_with(KAFKA_SCHEME).then_some(kafka))
    }
}

impl Surroundings for RealSurroundings {
    async fn parallelism(&self, request: JobRequest) -> Outcome<u32> {
        let place = request.spec.kafka.bootstrap_servers.clone();
        self.at(&place, move || {
            for servers in wanted::servers(&request.spec, &request.plan) {
                hosts::check_resolved(&servers).map_err(Trouble::Invalid)?;
            }
            Ok(request.resolve()?.look()?)
        })
        .await
    }

    async fn create(&self, request: JobRequest) -> Outcome<String> {
        let place = request.spec.kafka.bootstrap_servers.clone();
        self.at(&place, move || Ok(request.resolve()?.create()?.to_text()?)).await
    }

    async fn has_committed(&self, file: String, secrets: ReadSecrets) -> Outcome<bool> {
        let job = JobFile::from_text(&file)?.into_job(&secrets, None)?;
        let place = job.kafka.bootstrap_servers.clone();
        self.at(&place, move || Ok(millrace_job_runtime::prepare::has_committed(&job, SystemClock::shared().as_ref())?))
            .await
    }

    async fn make_savepoint(&self, request: savepoint::Request) -> Outcome<String> {
        Ok(savepoint::make(request, SystemClock::shared().as_ref()).await?)
    }

    async fn permits(&self, place: Place, plan: Plan, allow_non_restored: bool) -> Outcome<String> {
        let door = place.door().to_owned();
        self.at(&door, move || {
            let comparison = Manifest::read(&place.open()?)?.compare(&plan)?;
            comparison.permit(allow_non_restored, ALLOW_NON_RESTORED_STATE)?;
            Ok(comparison.to_string())
        })
        .await
    }

    async fn savepoint_size(&self, place: Place) -> Outcome<SavepointSize> {
        let door = place.door().to_owned();
        self.at(&door, move || {
            let manifest = Manifest::read(&place.open()?)?;
            let files = manifest.tasks.iter().flat_map(|task| &task.files);
            Ok(SavepointSize { bytes: files.map(|file| file.bytes).sum(), parallelism: manifest.parallelism })
        })
        .await
    }

    async fn delete_savepoint(&self, place: Place) -> Outcome<()> {
        let door = place.door().to_owned();
        self.at(&door, move || {
            if let Some(storage) = Storage::find(&place.location, place.job_kafka()?.as_ref())? {
                Manifest::delete(&storage)?;
            }
            Ok(())
        })
        .await
    }

    async fn delete_topics(&self, identity: JobIdentity, kafka: KafkaSpec, secrets: ReadSecrets) -> Outcome<()> {
        let place = kafka.bootstrap_servers.clone();
        self.at(&place, move || {
            let topics = Topics::new(&settings::kafka(&kafka, &secrets)?, false)?;
            (1..=identity.incarnation)
                .try_for_each(|incarnation| topics.delete_own(&JobIdentity { incarnation, ..identity.clone() }))?;
            Ok(())
        })
        .await
    }

    async fn take_over(&self, workers: Vec<String>, token: String) -> Outcome<()> {
        let asked = workers.into_iter().map(|worker| {
            let request = self.client.post(format!("{worker}/api/v1/take-over")).bearer_auth(&token);
            async move { request.send().await?.error_for_status() }
        });
        match futures_util::future::try_join_all(asked).await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Trouble::Passing(format!("a worker that stands by could not be asked to take over: {error}")))
            }
        }
    }

    async fn statuses(&self, addresses: Vec<Option<String>>) -> Vec<Option<WorkerStatus>> {
        futures_util::future::join_all(addresses.into_iter().map(|address| async move {
            let url = format!("{}/api/v1/status", worker_url(&address?));
            self.client.get(url).send().await.ok()?.json().await.ok()
        }))
        .await
    }
}
