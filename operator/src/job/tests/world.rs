//! A model of what the operator works on: an API server with versions, the StatefulSet controller, pods whose workers
//! follow the commit protocol's rules, and savepoints. It can be made to fail at any write. The model judges: results that
//! were written twice, or left out, are counted here, whatever the operator believes.

mod api;
mod claims;
mod outside;
mod savepoints;

use self::claims::Claims;
use self::savepoints::Savepoints;
use crate::cluster::{ClusterError, Result};
use crate::names::{self, REVISION_LABEL};
use crate::surroundings::{Outcome, Trouble};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use millrace_crds::StreamJob;
use millrace_crds::status::StreamJobStatus;
use millrace_job_runtime::job::JobIdentity;
use millrace_job_runtime::savepoint::place;
use millrace_launch::savepoint::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is done, and the answer is lost.
    AfterSuccess,
    /// It is not done.
    Before,
    /// Somebody else was first.
    Conflict,
    /// The operator ends after it, and another one begins.
    Crash,
}

pub(super) const FAULTS: [Fault; 4] = [Fault::AfterSuccess, Fault::Before, Fault::Conflict, Fault::Crash];

#[derive(Clone, Debug)]
struct SimulatedPod {
    uid: u64,
    ordinal: u32,
    incarnation: u32,
    generation: u32,
    image: String,
    /// Ticks until it is gone.
    dying: Option<u32>,
    /// Ticks until its worker has its tasks.
    starting: u32,
    /// It waits to be asked before it takes them from an earlier generation.
    waits: bool,
    stands_by: bool,
    /// Stands still for this savepoint, until then at most.
    paused: Option<(String, Timestamp)>,
    /// Stopped with a savepoint, until it is replaced.
    stopped: bool,
    commits: u64,
}

/// Ticks until a late pod's worker is as far.
pub(super) const LATE: u32 = 12;

/// How long a worker stands still for a savepoint that nobody asks for any more.
const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// The job's state in Kafka, for each incarnation.
#[derive(Clone, Debug)]
struct Incarnation {
    identity: JobIdentity,
    /// The position up to which results are written.
    position: u64,
    restored: Option<u64>,
    /// The highest generation that has claimed.
    generation: u32,
    /// No one may commit under it any more.
    ended: bool,
    begun: bool,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) job: Option<StreamJob>,
    /// What the watch has not told yet.
    cached: Option<StreamJob>,
    version: u64,
    config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// What Kafka lets in: the value of this key of this Secret.
    pub(super) password: Option<(String, String, String)>,
    set: Option<Value>,
    /// Of the last one that was made.
    set_uid: u64,
    claims: Claims,
    pods: Vec<SimulatedPod>,
    next_uid: u64,
    incarnations: BTreeMap<u32, Incarnation>,
    pub(super) savepoints: Savepoints,
    pub(super) partitions: u32,
    pub(super) now: Timestamp,
    /// Writes so far, and the one that fails.
    pub(super) writes: u64,
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) crashed: bool,
    pub(super) savepoints_fail: bool,
    /// A pod that takes longer to start, by its number.
    pub(super) late: Option<u32>,
    /// What a plan may not go on from.
    pub(super) incompatible: bool,
    /// What must never be.
    pub(super) violations: Vec<String>,
    /// Where a restart without state begins, as that is asked for.
    pub(super) stateless: bool,
}

#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(mut job: StreamJob) -> Self {
        let mut world =
            World { partitions: 4, now: Timestamp::from_second(1_800_000_000).expect("a time"), ..World::default() };
        job.metadata.creation_timestamp = Some(Time(world.now));
        world.put(job);
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panics with it")
    }

    /// Counts a write, and says what goes wrong with it.
    fn write<T>(&self, done: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let mut world = self.lock();
        if world.crashed {
            return Err(ClusterError::Unavailable("this operator has ended".to_owned()));
        }
        match world.next_fault() {
            None => done(&mut world),
            Some(Fault::Before) => Err(ClusterError::Unavailable("no answer".to_owned())),
            Some(Fault::Conflict) => Err(ClusterError::Conflict("somebody was first".to_owned())),
            Some(Fault::AfterSuccess) => {
                done(&mut world)?;
                Err(ClusterError::Unavailable("the answer is lost".to_owned()))
            }
            Some(Fault::Crash) => {
                let _ = done(&mut world);
                world.crashed = true;
                Err(ClusterError::Unavailable("this operator has ended".to_owned()))
            }
        }
    }
}

impl World {
    /// Counts a place at which something may go wrong, and says what does.
    fn next_fault(&mut self) -> Option<Fault> {
        self.writes += 1;
        self.fault.filter(|(at, _)| *at == self.writes).map(|(_, fault)| fault)
    }

    /// A request to a worker, which may fail; done or not.
    fn request(&mut self, done: impl FnOnce(&mut Self)) -> Outcome<()> {
        let fault = self.next_fault();
        if matches!(fault, None | Some(Fault::AfterSuccess | Fault::Crash)) {
            done(self);
        }
        self.crashed |= fault == Some(Fault::Crash);
        match fault {
            None => Ok(()),
            Some(fault) => Err(Trouble::Passing(format!("a worker did not answer: {fault:?}"))),
        }
    }

    fn abandon(&mut self, savepoint: &str) {
        for pod in self.pods.iter_mut().filter(|pod| !pod.stopped) {
            pod.paused.take_if(|(id, _)| id == savepoint);
        }
    }

    /// All stand still, all is written, all stop; whoever asks may end in between.
    fn save(&mut self, request: &Request) -> Outcome<String> {
        if let Some(earlier) = &request.replaces {
            self.abandon(earlier);
        }
        let all = self.pods.iter().all(|pod| self.is_running(pod)) && !self.pods.is_empty();
        if !all || self.savepoints_fail {
            return Err(Trouble::Passing("not all workers stand still".to_owned()));
        }
        if self.pods.iter().any(|pod| pod.paused.is_some()) {
            return Err(Trouble::Passing("another savepoint is being made".to_owned()));
        }
        let until = self.now + LEASE;
        for at in 0..self.pods.len() {
            self.request(|world| world.pods[at].paused = Some((request.id.clone(), until)))?;
        }
        let incarnation = &self.incarnations[&self.pods[0].incarnation];
        let (position, location) = (incarnation.position, place(&incarnation.identity, &request.to, &request.id));
        self.request(|world| world.savepoints.begin(&location))?;
        self.request(|world| world.savepoints.complete(&location, position))?;
        if !request.stop {
            self.abandon(&request.id);
            return Ok(location);
        }
        let mut stopped = Ok(());
        for at in 0..self.pods.len() {
            stopped = stopped.and(self.request(|world| world.pods[at].stopped = true));
            if self.crashed {
                break;
            }
        }
        stopped.map(|()| location)
    }

    fn put(&mut self, mut job: StreamJob) {
        self.version += 1;
        job.metadata.resource_version = Some(self.version.to_string());
        self.job = Some(job);
    }

    /// Changes a job that nobody has changed since; it goes with its last finalizer.
    fn update(&mut self, seen: &StreamJob, change: impl FnOnce(&mut StreamJob)) -> Result<StreamJob> {
        let mut current = self.job.clone().ok_or_else(|| ClusterError::Conflict("gone".to_owned()))?;
        if current.metadata.resource_version != seen.metadata.resource_version {
            return Err(ClusterError::Conflict("another version".to_owned()));
        }
        change(&mut current);
        let goes = current.metadata.deletion_timestamp.is_some() && current.finalizers().is_empty();
        self.put(current);
        let written = self.job.clone().expect("it was put");
        self.job.take_if(|_| goes);
        Ok(written)
    }

    /// Somebody changes the spec.
    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut StreamJob)) {
        let mut job = self.job.clone().expect("a job");
        edit(&mut job);
        job.metadata.generation = job.metadata.generation.map(|generation| generation + 1);
        self.put(job);
    }

    pub(super) fn delete(&mut self) {
        let now = self.now;
        self.edit(|job| job.metadata.deletion_timestamp = Some(Time(now)));
    }

    pub(super) fn status(&self) -> StreamJobStatus {
        self.job.as_ref().and_then(|job| job.status.clone()).unwrap_or_default()
    }

    /// Pods that are not going, as `incarnation.generation`.
    pub(super) fn pods(&self) -> Vec<String> {
        let staying = self.pods.iter().filter(|pod| pod.dying.is_none());
        staying.map(|pod| format!("{}.{}", pod.incarnation, pod.generation)).collect()
    }

    pub(super) fn uids(&self) -> Vec<u64> {
        self.pods.iter().map(|pod| pod.uid).collect()
    }

    /// Pods whose workers wait to be asked before they take over.
    pub(super) fn standing_by(&self) -> usize {
        self.pods.iter().filter(|pod| pod.stands_by).count()
    }

    pub(super) fn image(&self) -> Option<String> {
        self.pods.first().map(|pod| pod.image.clone())
    }

    /// Of the job's status, as `incarnation.generation`.
    pub(super) fn revision(&self) -> Option<String> {
        self.status().revision.map(|revision| names::revision(revision.incarnation, revision.generation))
    }

    /// By the numbers of their pods.
    pub(super) fn volumes(&self) -> Vec<u32> {
        self.claims.numbers()
    }

    /// Of each, as the set claims them.
    pub(super) fn volume_size(&self) -> Option<String> {
        let claim = &self.set.as_ref()?["spec"]["volumeClaimTemplates"][0];
        claim["spec"]["resources"]["requests"]["storage"].as_str().map(str::to_owned)
    }

    /// How far results are written, in the newest incarnation that has begun.
    pub(super) fn position(&self) -> u64 {
        self.incarnations.values().rfind(|one| one.begun).map_or(0, |one| one.position)
    }

    pub(super) fn has_topics(&self) -> bool {
        !self.incarnations.is_empty()
    }

    /// Half a second passes.
    pub(super) fn tick(&mut self) {
        self.now = self.now.checked_add(SignedDuration::from_millis(500)).expect("a time");
        self.cached = self.job.clone();
        for pod in &mut self.pods {
            pod.dying = pod.dying.map(|left| left.saturating_sub(1));
        }
        self.pods.retain(|pod| pod.dying != Some(0));
        self.claims.tick(&self.pods);
        self.follow_set();
        self.work();
    }

    /// The StatefulSet controller: ordinals 0 to n-1, each once; another of the same name only when the first is gone.
    fn follow_set(&mut self) {
        let Some(set) = self.set.clone() else { return };
        let replicas = set["spec"]["replicas"].as_u64().unwrap_or(1) as u32;
        let template = &set["spec"]["template"];
        let revision = template["metadata"]["labels"][REVISION_LABEL].as_str().unwrap_or_default().to_owned();
        let (incarnation, generation) = revision.split_once('.').expect("a revision");
        let (incarnation, generation) = (incarnation.parse().expect("a number"), generation.parse().expect("a number"));
        let mut env = template["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
        let waits = env.any(|one| one["name"] == "MILLRACE_STANDBY");
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        let goes_along = set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete";
        for pod in self.pods.iter_mut().filter(|pod| pod.ordinal >= replicas) {
            pod.dying.get_or_insert(3);
            self.claims.scaled_away(pod.ordinal, goes_along);
        }
        for ordinal in 0..replicas {
            if self.pods.iter().all(|pod| pod.ordinal != ordinal) {
                match self.claims.bind(ordinal, &set["spec"]["volumeClaimTemplates"]) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(violation) => self.violations.push(violation),
                }
                self.next_uid += 1;
                self.pods.push(SimulatedPod {
                    uid: self.next_uid,
                    ordinal,
                    incarnation,
                    generation,
                    image: image.clone(),
                    dying: None,
                    starting: if self.late == Some(ordinal) { LATE } else { 2 },
                    waits,
                    stands_by: false,
                    paused: None,
                    stopped: false,
                    commits: 0,
                });
            }
        }
    }

    /// Workers claim, and commit while their claim stands.
    fn work(&mut self) {
        let mut pods = std::mem::take(&mut self.pods);
        for pod in &mut pods {
            let now = self.now;
            pod.paused.take_if(|(_, until)| *until < now);
            if pod.image == "broken" || pod.stopped || pod.paused.is_some() {
                continue;
            }
            if pod.starting > 0 {
                pod.starting -= 1;
                pod.stands_by = pod.starting == 0 && pod.waits && self.is_held_by_an_earlier_generation(pod);
                if pod.starting > 0 || pod.stands_by || !self.claim(pod) {
                    pod.starting = pod.starting.max(1);
                    continue;
                }
            }
            let Some(incarnation) = self.incarnations.get_mut(&pod.incarnation) else { continue };
            if incarnation.ended || incarnation.generation != pod.generation {
                continue;
            }
            incarnation.position += 1;
            pod.commits += 1;
        }
        self.pods = pods;
    }

    fn is_held_by_an_earlier_generation(&self, pod: &SimulatedPod) -> bool {
        self.incarnations.get(&pod.incarnation).is_some_and(|own| (1..pod.generation).contains(&own.generation))
    }

    /// A worker's start: earlier incarnations are ended first, and must not have gone on after the savepoint.
    fn claim(&mut self, pod: &SimulatedPod) -> bool {
        let Some(own) = self.incarnations.get(&pod.incarnation).cloned() else { return false };
        if own.ended || own.generation > pod.generation {
            return false;
        }
        if !own.begun {
            if let Some(restored) = own.restored {
                let ends = self.incarnations.range_mut(..pod.incarnation).map(|(_, earlier)| earlier);
                let mut last = None;
                for earlier in ends {
                    earlier.ended = true;
                    if earlier.begun {
                        last = Some(earlier.position);
                    }
                }
                // The protocol refuses it; the operator must not bring it about.
                if last.is_some_and(|last| last != restored) {
                    self.violations
                        .push(format!("incarnation {} starts at {restored}, and {last:?} is written", pod.incarnation));
                    return false;
                }
            } else {
                let forgotten = self.incarnations.range(..pod.incarnation).any(|(_, earlier)| earlier.position > 0);
                if forgotten && !self.stateless {
                    self.violations.push(format!("incarnation {} forgets what was committed", pod.incarnation));
                }
                // Nothing ends them: their pods have to be gone.
                if self.pods.iter().any(|other| other.incarnation < pod.incarnation) {
                    self.violations.push("a new incarnation beside pods of an earlier one".to_owned());
                }
            }
        }
        let own = self.incarnations.get_mut(&pod.incarnation).expect("it was there");
        if !own.begun {
            own.position = own.restored.unwrap_or(0);
            own.begun = true;
        }
        own.generation = pod.generation;
        true
    }

    fn pod(&self, pod: &SimulatedPod, job: &str) -> Pod {
        let ready = self.is_running(pod);
        let revision = names::revision(pod.incarnation, pod.generation);
        let mut object = json!({
            "metadata": {
                "name": format!("{job}-{}", pod.ordinal), "uid": pod.uid.to_string(),
                "labels": {REVISION_LABEL: revision},
            },
            "status": {
                "phase": "Running", "podIP": format!("uid-{}", pod.uid),
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        });
        if pod.dying.is_some() {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(object).expect("a pod")
    }

    fn is_running(&self, pod: &SimulatedPod) -> bool {
        let own = self.incarnations.get(&pod.incarnation);
        let claimed = own.is_some_and(|own| own.begun && own.generation == pod.generation && !own.ended);
        pod.starting == 0 && claimed && !pod.stopped && pod.image != "broken"
    }
}
