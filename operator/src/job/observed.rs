//! What there is of a job: its StatefulSet, its pods, and what the workers in them say. Read anew for every decision;
//! nothing is remembered.

use crate::cluster::Children;
use crate::names::REVISION_LABEL;
use crate::surroundings::worker_url;
use crate::worker_status::WorkerStatus;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use millrace_crds::stream_job::VolumeStorage;

/// A pod of the job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    pub name: String,
    pub uid: String,
    /// `incarnation.generation`
    pub revision: String,
    pub ordinal: Option<u32>,
    pub address: Option<String>,
    pub ready: bool,
    pub deleting: bool,
    /// Why its container waits or has ended, and how: for messages.
    pub trouble: Option<String>,
    pub status: Option<WorkerStatus>,
}

/// The job's StatefulSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    pub uid: String,
    pub replicas: u32,
    /// Of the volumes that it claims for its pods; None where it claims none.
    pub volume: Option<VolumeStorage>,
}

#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub workers: Vec<Worker>,
    pub set: Option<Set>,
}

/// Reads the children; the workers' own status comes later.
pub fn observe(children: &Children) -> Observed {
    let mut workers: Vec<Worker> = children.pods.iter().filter(|pod| !is_over(pod)).map(worker).collect();
    workers.sort_by_key(|worker| worker.ordinal);
    Observed { workers, set: children.stateful_set.as_ref().map(set) }
}

fn set(set: &StatefulSet) -> Set {
    let replicas = set.spec.replicas.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let claim = set.spec.volume_claim_templates.as_ref().and_then(|claims| claims.first()?.spec.as_ref());
    let volume = claim.and_then(|claim| {
        let requests = claim.resources.as_ref()?.requests.as_ref()?;
        Some(VolumeStorage { size: requests.get("storage")?.0.parse().ok()?, class: claim.storage_class_name.clone() })
    });
    Set { uid: set.uid().unwrap_or_default(), replicas, volume }
}

/// One whose containers have ended for good holds nothing any more.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_some()
}

fn worker(pod: &Pod) -> Worker {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let unscheduled = conditions.and_then(|all| all.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"));
    let trouble = containers
        .and_then(|all| all.first())
        .and_then(trouble_of)
        .or_else(|| unscheduled.map(|c| format!("can't be scheduled: {}", c.message.clone().unwrap_or_default())));
    Worker {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get(REVISION_LABEL).cloned().unwrap_or_default(),
        ordinal: pod.name_any().rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()),
        address: status.and_then(|status| status.pod_ip.clone()).filter(|ip| !ip.is_empty()),
        ready,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        trouble,
        status: None,
    }
}

fn trouble_of(container: &ContainerStatus) -> Option<String> {
    let ended = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| container.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
        .filter(|ended| ended.exit_code != 0);
    let ended = ended.map(|ended| {
        let said = ended.message.clone().or_else(|| ended.reason.clone()).unwrap_or_default();
        format!("ended with exit code {}: {}", ended.exit_code, worker_message(&said))
    });
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waiting = waiting.filter(|waiting| waiting.reason.as_deref() != Some("ContainerCreating")).map(|waiting| {
        let reason = waiting.reason.clone().unwrap_or_default();
        match &waiting.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason,
        }
    });
    match (ended, waiting) {
        (Some(ended), _) if !container.ready => Some(ended),
        (_, waiting) => waiting,
    }
}

/// What a worker leaves behind is `{"reason": …, "message": …}`.
fn worker_message(said: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Left {
        reason: String,
        message: String,
    }
    serde_json::from_str::<Left>(said)
        .map_or_else(|_| said.to_owned(), |left| format!("{}: {}", left.reason, left.message))
}

impl Worker {
    pub fn is_running(&self) -> bool {
        !self.deleting && self.status.as_ref().is_some_and(WorkerStatus::is_running)
    }

    pub fn stands_by(&self) -> bool {
        !self.deleting && self.status.as_ref().is_some_and(WorkerStatus::stands_by)
    }

    pub fn is_stable(&self) -> bool {
        self.ready && self.is_running() && self.status.as_ref().is_some_and(WorkerStatus::is_stable)
    }
}

impl Observed {
    /// There is no pod, and there will be none.
    pub fn is_down(&self) -> bool {
        self.workers.is_empty() && self.set.as_ref().is_none_or(|set| set.replicas == 0)
    }

    /// Where the workers take requests.
    pub fn urls(&self) -> Vec<String> {
        self.workers.iter().filter_map(|worker| worker.address.as_deref()).map(worker_url).collect()
    }

    /// Pods that do not belong to a revision.
    pub fn others(&self, revision: &str) -> Vec<(String, String)> {
        let others = self.workers.iter().filter(|worker| worker.revision != revision && !worker.deleting);
        others.map(|worker| (worker.name.clone(), worker.uid.clone())).collect()
    }

    /// Pods whose workers have stopped and do not go on by themselves.
    pub fn stopped(&self) -> Vec<(String, String)> {
        let stopped = |worker: &&Worker| worker.status.as_ref().is_some_and(|status| status.phase == "Stopped");
        let stopped = self.workers.iter().filter(|worker| !worker.deleting).filter(stopped);
        stopped.map(|worker| (worker.name.clone(), worker.uid.clone())).collect()
    }

    /// Exactly the pods of a revision, and all of them.
    pub fn is_only(&self, revision: &str, replicas: u32) -> bool {
        self.workers.len() == replicas as usize
            && self.workers.iter().all(|worker| worker.revision == revision && !worker.deleting)
    }

    /// The pods of other revisions all run, and some place that none of them has waits for a worker: until one stands by
    /// there, they lose nothing by going on.
    pub fn can_go_on_beside(&self, revision: &str, replicas: u32) -> bool {
        let (new, old): (Vec<&Worker>, Vec<&Worker>) = self.workers.iter().partition(|w| w.revision == revision);
        let is_there = |ordinal: u32| {
            let waits = |worker: &&&Worker| worker.stands_by() || worker.is_running();
            old.iter().chain(new.iter().filter(waits)).any(|worker| worker.ordinal == Some(ordinal))
        };
        !old.is_empty() && old.iter().all(|worker| worker.is_running()) && !(0..replicas).all(is_there)
    }

    /// Where workers of a revision wait to be asked to take over.
    pub fn standing_by(&self, revision: &str) -> Vec<String> {
        let workers = self.workers.iter().filter(|worker| worker.revision == revision && worker.stands_by());
        workers.filter_map(|worker| worker.address.as_deref()).map(worker_url).collect()
    }

    pub fn all_running(&self, replicas: u32) -> bool {
        self.workers.len() == replicas as usize && self.workers.iter().all(Worker::is_running)
    }

    pub fn any_running(&self) -> bool {
        self.workers.iter().any(Worker::is_running)
    }

    pub fn all_stable(&self) -> bool {
        !self.workers.is_empty() && self.workers.iter().all(Worker::is_stable)
    }

    pub fn ready(&self) -> usize {
        self.workers.iter().filter(|worker| worker.ready && !worker.deleting).count()
    }

    /// The first thing that stands against the job, by pod.
    pub fn trouble(&self) -> Option<String> {
        self.workers.iter().find_map(|worker| {
            let problem = worker.status.as_ref().and_then(|status| status.problem.as_ref());
            let problem = problem.map(|problem| format!("{}: {}", problem.reason, problem.message));
            let trouble = problem.or_else(|| worker.trouble.clone())?;
            Some(format!("pod {}: {trouble}", worker.name))
        })
    }
}
