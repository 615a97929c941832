//! One reconciliation: reads what there is, decides, writes the decision into the status, acts. Repeated until there is
//! nothing more to do at once. Everything it does may fail or be done twice; whoever comes next decides anew by what is
//! there then.

use super::build;
use super::decide::{self, Action, Decision, Outdated, Situation, Verdict};
use super::deletion;
use super::facts::Made;
use super::memory::Memory;
use super::observed::{Observed, Set, observe};
use super::schedule;
use super::status::{Report, complete, is_news, seconds};
use super::wanted::{self, Invalid, Wanted};
use crate::cluster::{Children, Cluster, ClusterError, Freshness, Notice};
use crate::names::{self, FINALIZER, TOKEN_KEY};
use crate::settings::Settings;
use crate::surroundings::{Outcome, ReadSecrets, Surroundings, Trouble};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::{Copy, Phase, Revision, Step, StreamJobStatus};
use millrace_crds::stream_job::StreamJobSpec;
use millrace_launch::savepoint::Request as SavepointRequest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

pub type Result<T> = std::result::Result<T, ReconcileError>;

pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What reconciliations of all jobs share.
pub struct Context<C, S> {
    pub cluster: C,
    pub surroundings: S,
    pub settings: Settings,
    pub now: Now,
    pub(super) memory: Mutex<HashMap<String, Memory>>,
}

/// How long what was applied is trusted to be there; the cluster tells of most changes anyway.
const REAPPLY: Duration = Duration::from_secs(1800);
const REAPPLY_IN_OPERATION: Duration = Duration::from_secs(10);
/// Between looks at an operation that waits for pods.
const OPERATION_LOOK: Duration = Duration::from_secs(1);
/// Between two looks whether pods in new places are there, and whether they are asked to take over.
const BESIDE_LOOK: Duration = Duration::from_millis(250);
/// How long an operation is looked at that often while it waits for pods to become stable.
const IMPATIENCE: Duration = Duration::from_secs(120);
/// After something outside has failed.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// Decisions of one reconciliation, at most: more than any operation has steps.
const MOST_STEPS: usize = 24;
const NO_TOKEN: &str = "the Secret with the workers' token is gone";
/// A savepoint that an operation waits for.
const SAVEPOINT_PATIENCE: Duration = Duration::from_secs(120);

impl<C: Cluster, S: Surroundings> Context<C, S> {
    pub fn new(cluster: C, surroundings: S, settings: Settings, now: Now) -> Self {
        Self { cluster, surroundings, settings, now, memory: Mutex::default() }
    }

    /// Brings a job nearer to what it should be. Returns when to look again.
    pub async fn reconcile(&self, namespace: &str, name: &str) -> Result<Duration> {
        let Some(mut job) = self.cluster.job(namespace, name, Freshness::Cached).await? else {
            self.forget(namespace, name);
            return Ok(Duration::MAX);
        };
        if job.metadata.deletion_timestamp.is_some() {
            return deletion::delete(self, &job).await;
        }
        if !job.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
            job = self.cluster.set_finalizer(&job, true).await?;
        }
        for _ in 0..MOST_STEPS {
            match self.step(job).await? {
                Progress::More(written) => job = *written,
                Progress::Rest(wait) => return Ok(wait),
            }
        }
        Ok(Duration::ZERO)
    }

    async fn step(&self, job: StreamJob) -> Result<Progress> {
        let status = job.status.clone().unwrap_or_default();
        let namespace = job.namespace().unwrap_or_default();
        let wanted = self.wanted(&job).await?;
        let secrets = match wanted.as_ref() {
            Ok(wanted) => self.read_secrets(&job, &wanted.secrets).await?,
            Err(_) => ReadSecrets::default(),
        };
        // What an operation does next has to rest on what is there now.
        let settled = status.revision.is_some() && self.is_calm(&status);
        let freshness = if settled { Freshness::Cached } else { Freshness::Live };
        let children = self.cluster.children(&namespace, &job.name_any(), freshness).await?;
        if status.revision.is_none()
            && status.operation.is_none()
            && let Some(recollected) = self.recollect(&job, &children).await?
        {
            tracing::warn!(
                namespace,
                job = job.name_any(),
                "the status of a job that runs was lost; it is found again"
            );
            return Ok(Progress::More(Box::new(self.cluster.write_status(&job, &recollected).await?)));
        }
        let observed = self.observe(&children).await;
        let restore_from = self.restore_from(&job).await?;
        let (parallelism, comparison) = match wanted.as_ref() {
            Ok(wanted) => {
                let parallelism = self.parallelism(&job, wanted, &secrets).await;
                (parallelism, self.comparison(&job, &status, wanted, &restore_from, &secrets).await?)
            }
            Err(_) => (None, None),
        };
        let now = (self.now)();
        let situation = Situation {
            generation: job.metadata.generation.unwrap_or_default(),
            status: &status,
            wanted: wanted.as_ref().as_ref(),
            parallelism,
            comparison,
            storage: self.storage(&job, &status).await?,
            restore_from,
            observed: &observed,
            now,
        };
        let mut decision = decide::decide(&situation);
        if let Action::Savepoint { id, .. } = &decision.action {
            Self::announce_savepoint(&job, &mut decision.status, id);
        }
        let job = self.write(job, &decision, wanted.as_ref().as_ref(), &observed, now).await?;
        if decision.action == Action::Again {
            return Ok(Progress::More(Box::new(job)));
        }
        self.act(job, decision, &wanted, &observed, &secrets).await
    }

    /// What there is, and what the workers say of themselves.
    pub(crate) async fn observe(&self, children: &Children) -> Observed {
        let mut observed = observe(children);
        let addresses = observed.workers.iter().map(|worker| worker.address.clone()).collect();
        let statuses = self.surroundings.statuses(addresses).await;
        for (worker, status) in observed.workers.iter_mut().zip(statuses) {
            worker.status = status;
        }
        observed
    }

    /// The status as decided, if it is news.
    async fn write(
        &self,
        job: StreamJob,
        decision: &Decision,
        wanted: std::result::Result<&Wanted, &Invalid>,
        observed: &Observed,
        now: Timestamp,
    ) -> Result<StreamJob> {
        let before = job.status.clone().unwrap_or_default();
        let report = Report {
            name: &job.name_any(),
            generation: job.metadata.generation.unwrap_or_default(),
            wanted,
            verdict: &decision.verdict,
            observed,
            now,
        };
        let after = complete(decision.status.clone(), &report);
        let last = self.recall(&job, |memory| memory.status_written).map(|at| self.since(at));
        if !is_news(&before, &after, last, self.settings.status_interval) {
            return Ok(job);
        }
        let written = self.cluster.write_status(&job, &after).await?;
        self.update(&job, |memory| memory.status_written = Some((self.now)()));
        self.announce(&written, &after, &decision.verdict).await;
        Ok(written)
    }

    /// Tells of a new phase, and of what stands against the job, once each.
    async fn announce(&self, job: &StreamJob, status: &StreamJobStatus, verdict: &Verdict) {
        let stalled = verdict.stalled.as_ref().map(|(reason, message)| format!("{reason}: {message}"));
        let now = (status.phase, stalled);
        let before = self.recall(job, |memory| memory.announced.clone()).unwrap_or_default();
        if before == now {
            return;
        }
        if before.0 != now.0
            && let Some(phase) = now.0
        {
            tracing::info!(namespace = job.namespace(), job = job.name_any(), ?phase, "phase");
            let message = match &status.operation {
                Some(operation) => format!("{} ({})", operation.id, format!("{:?}", operation.step).to_lowercase()),
                None => match &verdict.stalled {
                    Some((_, message)) => message.clone(),
                    None => "there is nothing to be done".to_owned(),
                },
            };
            self.cluster.tell(job, Notice { warning: false, reason: format!("{phase:?}"), message }).await;
        }
        if before.1 != now.1
            && let Some((reason, message)) = &verdict.stalled
        {
            let notice = Notice { warning: true, reason: reason.clone(), message: message.clone() };
            self.cluster.tell(job, notice).await;
        }
        self.update(job, |memory| memory.announced = Some(now));
    }

    async fn act(
        &self,
        job: StreamJob,
        decision: Decision,
        wanted: &std::result::Result<Wanted, Invalid>,
        observed: &Observed,
        secrets: &ReadSecrets,
    ) -> Result<Progress> {
        match decision.action {
            Action::Again => Ok(Progress::More(Box::new(job))),
            Action::Rest => Ok(Progress::Rest(self.rest(&job))),
            Action::Savepoint { id, replaces } => self.make_savepoint(job, id, replaces, observed).await,
            Action::Stop => {
                self.stop(&job, observed).await?;
                Ok(Progress::Rest(self.rest(&job)))
            }
            Action::Prepare { target, from } => self.prepare(job, target, from, wanted, secrets).await,
            Action::Run { revision, outdated } => self.run(job, revision, observed, outdated).await,
        }
    }

    /// When to look again at a job that nothing happens to.
    fn rest(&self, job: &StreamJob) -> Duration {
        let status = job.status.as_ref();
        match status {
            Some(status) if !self.is_calm(status) => OPERATION_LOOK,
            Some(status) if status.phase == Some(Phase::Pending) => RETRY.max(self.settings.topics_interval / 2),
            _ => self.settings.status_interval.min(self.settings.topics_interval),
        }
    }

    /// Nothing is under way, or it has waited for pods for so long that looking all the time would not hurry them. What
    /// changes about them is told by the watches.
    fn is_calm(&self, status: &StreamJobStatus) -> bool {
        status.operation.as_ref().is_none_or(|operation| {
            operation.step == Step::Stabilising && self.since(operation.step_started_at.0) > IMPATIENCE
        })
    }

    async fn make_savepoint(
        &self,
        job: StreamJob,
        id: String,
        replaces: Option<String>,
        observed: &Observed,
    ) -> Result<Progress> {
        let made = match self.token(&job).await? {
            Some(token) => {
                let request = SavepointRequest {
                    workers: observed.urls(),
                    token: Some(token),
                    id,
                    replaces,
                    to: wanted::savepoint_location(&job.spec),
                    stop: true,
                    timeout: SAVEPOINT_PATIENCE,
                };
                self.surroundings.make_savepoint(request).await
            }
            None => Err(Trouble::Passing(NO_TOKEN.to_owned())),
        };
        let mut status = job.status.clone().unwrap_or_default();
        let Some(operation) = &mut status.operation else { return Ok(Progress::More(Box::new(job))) };
        match made {
            Ok(location) => {
                operation.savepoint = Some(location.clone());
                operation.message = None;
                status.last_savepoint = Some(Copy { time: Time(seconds((self.now)())), url: Some(location) });
                Ok(Progress::More(Box::new(self.cluster.write_status(&job, &status).await?)))
            }
            Err(trouble) => {
                operation.message = Some(trouble.to_string());
                self.cluster.write_status(&job, &status).await?;
                Ok(Progress::Rest(RETRY))
            }
        }
    }

    /// The token that the job's workers take requests with.
    pub(crate) async fn token(&self, job: &StreamJob) -> Result<Option<String>> {
        let name = names::token(&job.name_any());
        let secret = self.cluster.secret(&job.namespace().unwrap_or_default(), &name).await?;
        Ok(secret.and_then(|mut entries| entries.remove(TOKEN_KEY)))
    }

    /// Has the StatefulSet make no pods.
    pub(super) async fn stop(&self, job: &StreamJob, observed: &Observed) -> Result<()> {
        if let Some(set) = observed.set.as_ref().filter(|set| set.replicas > 0) {
            self.cluster.scale_to_zero(&job.namespace().unwrap_or_default(), &job.name_any(), &set.uid).await?;
            self.update(job, |memory| memory.applied = None);
        }
        Ok(())
    }

    async fn run(
        &self,
        job: StreamJob,
        revision: Revision,
        observed: &Observed,
        outdated: Outdated,
    ) -> Result<Progress> {
        let Some(made) = self.made(&job, &revision).await? else {
            return self.trouble(job, "the ConfigMap of the revision is gone".to_owned()).await;
        };
        if let Some(set) = observed.set.as_ref().filter(|set| has_other_volumes(set, &made.spec)) {
            return self.take_down(&job, set, observed).await;
        }
        let namespace = job.namespace().unwrap_or_default();
        let makes_none = observed.set.as_ref().is_none_or(|set| set.replicas == 0);
        if makes_none && self.cluster.has_stale_claims(&namespace, &job.name_any()).await? {
            return Ok(Progress::Rest(OPERATION_LOOK));
        }
        self.apply(&job, &revision, &made, outdated).await?;
        if outdated == Outdated::Stay {
            return Ok(Progress::Rest(BESIDE_LOOK));
        }
        let own = names::revision(revision.incarnation, revision.generation);
        let mut outdated = observed.others(&own);
        outdated.extend(observed.stopped());
        if !outdated.is_empty() {
            self.cluster.delete_pods(&namespace, &outdated).await?;
        }
        if let Err(trouble) = self.have_taken_over(&job, observed.standing_by(&own)).await? {
            tracing::warn!(%namespace, job = job.name_any(), %trouble, "asking again");
            return Ok(Progress::Rest(BESIDE_LOOK));
        }
        let settled = job.status.as_ref().is_some_and(|status| status.operation.is_none());
        let mut wait = self.rest(&job);
        if settled {
            self.clean(&job, &revision).await?;
            let job = self.clean_savepoints(job).await?;
            wait = wait.min(self.scheduled_savepoints(&job).await?);
        }
        Ok(Progress::Rest(wait))
    }

    /// Nobody has to wait for more workers any more.
    async fn have_taken_over(&self, job: &StreamJob, workers: Vec<String>) -> Result<Outcome<()>> {
        if workers.is_empty() {
            return Ok(Ok(()));
        }
        Ok(match self.token(job).await? {
            Some(token) => self.surroundings.take_over(workers, token).await,
            None => Err(Trouble::Passing(NO_TOKEN.to_owned())),
        })
    }

    /// A StatefulSet's volumes can't be changed. It goes, and its volumes, and is made anew; what was on them the task logs
    /// or the archive have as well.
    async fn take_down(&self, job: &StreamJob, set: &Set, observed: &Observed) -> Result<Progress> {
        self.stop(job, observed).await?;
        if observed.is_down() {
            self.cluster.delete_claims(&job.namespace().unwrap_or_default(), &job.name_any(), 0).await?;
            self.cluster.delete_set(&job.namespace().unwrap_or_default(), &job.name_any(), &set.uid).await?;
        }
        Ok(Progress::Rest(OPERATION_LOOK))
    }

    /// Applies a revision's objects, unless that was just done.
    async fn apply(&self, job: &StreamJob, revision: &Revision, made: &Made, outdated: Outdated) -> Result<()> {
        let standby = (outdated == Outdated::Stay).then(|| made.spec.upgrade.stable_within.get());
        let children = build::children(job, revision, &made.spec, &made.secrets, standby);
        let digest =
            serde_json::to_string(&children.iter().map(|child| &child.object).collect::<Vec<_>>()).unwrap_or_default();
        let calm = job.status.as_ref().is_none_or(|status| self.is_calm(status));
        let lasts = if calm { REAPPLY } else { REAPPLY_IN_OPERATION };
        let is_there = |memory: &Memory| {
            let (applied, at) = memory.applied.as_ref()?;
            (*applied == digest && self.since(*at) < lasts).then_some(())
        };
        if self.recall(job, is_there).is_some() {
            return Ok(());
        }
        let namespace = job.namespace().unwrap_or_default();
        for child in &children {
            self.cluster.apply(&namespace, child).await?;
        }
        self.update(job, |memory| memory.applied = Some((digest, (self.now)())));
        Ok(())
    }

    /// Configuration of revisions that nothing goes back to, and volumes of pods that an earlier one had more.
    async fn clean(&self, job: &StreamJob, revision: &Revision) -> Result<()> {
        let status = job.status.clone().unwrap_or_default();
        let kept = [Some(revision.clone()), status.stable].into_iter().flatten();
        let names: Vec<String> =
            kept.map(|r| names::config_map(&job.name_any(), r.incarnation, r.generation)).collect();
        if self.recall(job, |memory| (memory.kept.as_ref() == Some(&names)).then_some(())).is_some() {
            return Ok(());
        }
        let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
        self.cluster.keep_config_maps(&namespace, &name, &names).await?;
        self.cluster.delete_claims(&namespace, &name, revision.replicas).await?;
        self.update(job, |memory| {
            memory.made.retain(|key, _| names.iter().any(|name| key.ends_with(name)));
            memory.kept = Some(names);
        });
        Ok(())
    }

    async fn scheduled_savepoints(&self, job: &StreamJob) -> Result<Duration> {
        let Some(schedule) = job.spec.savepoint.as_ref().and_then(|savepoint| savepoint.schedule) else {
            return Ok(Duration::MAX);
        };
        let (namespace, now) = (job.namespace().unwrap_or_default(), (self.now)());
        let savepoints = self.cluster.savepoints_of_schedule(&namespace, &job.name_any()).await?;
        let since = job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let due = schedule::due(schedule, &savepoints, since, now);
        for name in &due.delete {
            self.cluster.delete_savepoint(&namespace, name).await?;
        }
        if due.make {
            self.cluster.create_savepoint(&namespace, &build::scheduled_savepoint(job, now.as_second())).await?;
            return Ok(schedule.interval.get());
        }
        Ok(due.next)
    }
}

fn has_other_volumes(set: &Set, spec: &StreamJobSpec) -> bool {
    set.volume.as_ref() != spec.checkpoint.storage.as_ref().and_then(|storage| storage.volume.as_ref())
}

pub(super) enum Progress {
    /// Decide again.
    More(Box<StreamJob>),
    Rest(Duration),
}

/// So that the controller can share it.
pub type Shared<C, S> = Arc<Context<C, S>>;
