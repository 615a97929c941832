//! What to do next for a job: decided from what is wanted, what is there, and what was begun. No IO and no clock, so that
//! every case can be tried. What is decided is written into the status before it is acted upon, and every action may be
//! done twice.

use super::observed::Observed;
use super::operation::{at, begin, next};
use super::reach::out_of_reach;
use super::wanted::{Invalid, Wanted, replicas};
use crate::names;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use millrace_crds::status::{Operation, OperationKind, Phase, Refused, Revision, Step, StreamJobStatus};
use millrace_crds::stream_job::{CheckpointStorage, Rollback, UpgradeMode};

/// What a decision rests on.
pub struct Situation<'a> {
    pub generation: i64,
    pub status: &'a StreamJobStatus,
    pub wanted: Result<&'a Wanted, &'a Invalid>,
    /// Of the wanted job, by its topics; None where nobody has looked. The error says what is missing.
    pub parallelism: Option<Result<u32, String>>,
    /// What would become of the state under the wanted plan, the running job's or that of the savepoint that a first start is
    /// from; None where it is the same plan, or there is none.
    pub comparison: Option<Result<(), String>>,
    /// Where the running revision keeps its state; None where there is none, or nobody knows any more.
    pub storage: Option<CheckpointStorage>,
    /// Where the first start takes its state from, as far as it can be said.
    pub restore_from: Result<Option<String>, String>,
    pub observed: &'a Observed,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing: look again when something changes, or the time comes.
    Rest,
    /// The status has changed: decide anew.
    Again,
    /// Make a savepoint with which the job stops: its id, and that of the attempt before, which nobody waits for any more.
    Savepoint { id: String, replaces: Option<String> },
    /// Have no pods.
    Stop,
    /// Make topics and configuration of a revision.
    Prepare { target: Revision, from: Origin },
    /// Have the pods of a revision.
    Run { revision: Revision, outdated: Outdated },
}

impl Action {
    /// Have the pods of a revision, and no others.
    fn run_alone(revision: &Revision) -> Self {
        Self::Run { revision: revision.clone(), outdated: Outdated::Go }
    }
}

/// What becomes of pods of other revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    Go,
    /// They go on; new ones come up where there is no pod yet.
    Stay,
}

/// Whose statements and settings a revision gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The object's.
    Wanted,
    /// Those of an earlier revision.
    Revision(Revision),
}

/// What is told about the job, beside what it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Why what is wanted can't be had: reason and message.
    pub stalled: Option<(String, String)>,
    /// What is waited for.
    pub waiting: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    /// What the status says of operation, phase, revisions and refusals from now on.
    pub status: StreamJobStatus,
    pub verdict: Verdict,
}

/// Reasons of refusals.
pub const UPGRADE_REFUSED: &str = "UpgradeRefused";
pub const SAVEPOINT_FAILED: &str = "SavepointFailed";
pub const ROLLED_BACK: &str = "RolledBack";

/// How often a savepoint is tried, and for how long, before a job is stopped without one, which loses nothing: its log has
/// its state. The time is long enough for one that somebody else had begun.
const SUSPEND_ATTEMPTS: u32 = 3;
const SUSPEND_PATIENCE: SignedDuration = SignedDuration::from_secs(20);
/// The same before an upgrade is given up.
const UPGRADE_ATTEMPTS: u32 = 5;
const UPGRADE_PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// For how much of the time in which a revision has to be stable pods of the one before go on beside its new ones: a half.
/// They may have what these lack, as the memory of a node.
const BESIDE: i64 = 2;

pub fn decide(situation: &Situation<'_>) -> Decision {
    match &situation.status.operation {
        Some(operation) => situation.go_on(operation),
        None => situation.idle(),
    }
}

impl Situation<'_> {
    fn idle(&self) -> Decision {
        let suspended = self.status.phase == Some(Phase::Suspended);
        let wanted = match self.wanted {
            Ok(wanted) => wanted,
            Err(Invalid(message)) => return self.keep(Some(("InvalidSpec".to_owned(), message.clone()))),
        };
        let Some(current) = &self.status.revision else { return self.first(wanted) };
        if wanted.suspended {
            return if suspended { self.keep(None) } else { self.begin(OperationKind::Suspend, current.clone()) };
        }
        let parallelism = match &self.parallelism {
            None => current.parallelism,
            Some(Ok(tasks)) => *tasks,
            Some(Err(message)) => {
                // What runs runs on.
                return self.keep(Some(("TopicsUnavailable".to_owned(), message.clone())));
            }
        };
        let target = revision(wanted, parallelism, current);
        if let Some(refused) = self.status.refused.as_ref().filter(|_| !suspended)
            && refuses(refused, &target)
            && stands(refused, wanted)
        {
            return self.keep(Some((refused.reason.clone(), refused.message.clone())));
        }
        if target.plan_hash == current.plan_hash && target.parallelism == current.parallelism {
            if let Some(message) = self.out_of_reach(wanted, target.replicas) {
                return self.keep(Some(("StateOutOfReach".to_owned(), message)));
            }
            if suspended {
                return self.begin(OperationKind::Resume, next_generation(&target, current));
            }
            if target.settings_hash == current.settings_hash && target.replicas == current.replicas {
                return self.keep(None);
            }
            return self.begin(OperationKind::Redeploy, next_generation(&target, current));
        }
        self.upgrade(wanted, target, current, suspended)
    }

    /// Why pods of what is wanted would not find the state, if they did not get it from a savepoint.
    fn out_of_reach(&self, wanted: &Wanted, replicas: u32) -> Option<String> {
        let current = self.status.revision.as_ref()?;
        let after = wanted.spec.checkpoint.storage.clone().unwrap_or_default();
        out_of_reach(self.storage.as_ref()?, &after, replicas != current.replicas)
    }

    fn first(&self, wanted: &Wanted) -> Decision {
        if wanted.suspended {
            let status = StreamJobStatus { phase: Some(Phase::Suspended), ..self.status.clone() };
            return Decision { action: Action::Rest, status, verdict: Verdict::default() };
        }
        let restored_from = match &self.restore_from {
            Ok(from) => from.clone(),
            Err(message) => return self.pending("SavepointUnavailable", message),
        };
        if let Some(Err(message)) = &self.comparison {
            return self.pending("RestoreRefused", message);
        }
        match &self.parallelism {
            None => self.pending("TopicsUnavailable", "the topics have not been looked at yet"),
            Some(Err(message)) => self.pending("TopicsUnavailable", message),
            Some(Ok(tasks)) => {
                let target = Revision { incarnation: 1, generation: 1, restored_from, ..fresh(wanted, *tasks) };
                self.begin(OperationKind::Deploy, target)
            }
        }
    }

    /// Another plan, or another number of tasks.
    fn upgrade(&self, wanted: &Wanted, target: Revision, current: &Revision, suspended: bool) -> Decision {
        let target = Revision { incarnation: current.incarnation + 1, generation: 1, ..target };
        if wanted.spec.upgrade.mode == UpgradeMode::Stateless && target.plan_hash != current.plan_hash {
            return self.begin(OperationKind::Restart, Revision { restored_from: None, ..target });
        }
        if let Some(Err(message)) = &self.comparison {
            let mut decision = self.keep(Some((UPGRADE_REFUSED.to_owned(), message.clone())));
            decision.status.refused = Some(refused(&target, UPGRADE_REFUSED, message));
            return decision;
        }
        if !suspended {
            return self.begin(OperationKind::Upgrade, target);
        }
        let Some(location) = self.status.suspended_with.clone() else {
            let message = "the job was suspended without a savepoint, so it has to resume as it was before its statements or \
                           parallelism can change: put back what they were, set desiredState to Running, and change them then";
            return self.keep(Some(("NoSavepoint".to_owned(), message.to_owned())));
        };
        // It has stopped with it already.
        let mut decision =
            self.begin(OperationKind::Upgrade, Revision { restored_from: Some(location.clone()), ..target });
        if let Some(operation) = &mut decision.status.operation {
            operation.step = Step::Stopping;
            operation.savepoint = Some(location);
        }
        decision
    }

    fn go_on(&self, operation: &Operation) -> Decision {
        if let Some(decision) = self.superseded(operation) {
            return decision;
        }
        match operation.step {
            Step::Savepointing => self.savepointing(operation),
            Step::Stopping => self.stopping(operation),
            Step::Preparing => self.preparing(operation),
            Step::Starting => self.starting(operation),
            Step::Stabilising => self.stabilising(operation),
        }
    }

    /// The object asks for something else than what is under way. What has not begun to change anything is dropped; after
    /// the job has stopped the way is on, to what is wanted now.
    fn superseded(&self, operation: &Operation) -> Option<Decision> {
        let wanted = self.wanted.ok()?;
        let target = &operation.target;
        let suspends = operation.kind == OperationKind::Suspend;
        let changed = wanted.suspended != suspends
            || !suspends
                && (wanted.plan_hash != target.plan_hash
                    || wanted.settings_hash != target.settings_hash
                    || replicas(&wanted.spec, target.parallelism) != target.replicas);
        if !changed {
            return None;
        }
        if operation.kind == OperationKind::Rollback {
            // Its target is another than what is wanted, by its nature. A new wish ends it once pods run.
            let refused = self.status.refused.as_ref();
            let refused = refused.is_some_and(|refused| refuses(refused, &fresh(wanted, refused.parallelism)));
            if refused && !wanted.suspended || operation.step < Step::Starting {
                return None;
            }
        }
        match operation.step {
            Step::Savepointing => Some(self.dropped()),
            // The job is down, and what it left is to be gone on from.
            Step::Stopping => None,
            Step::Preparing if suspends || wanted.suspended => None,
            Step::Preparing => self.retarget(operation, wanted),
            // The revision is the target by now, if not a stable one; what is wanted is an operation of its own.
            Step::Starting | Step::Stabilising => Some(self.dropped()),
        }
    }

    fn dropped(&self) -> Decision {
        let status = StreamJobStatus { operation: None, ..self.status.clone() };
        Decision { action: Action::Again, status, verdict: Verdict::default() }
    }

    /// To another target than was begun with. Configuration of the first one may be there, so it is one further.
    fn retarget(&self, operation: &Operation, wanted: &Wanted) -> Option<Decision> {
        let Some(Ok(tasks)) = self.parallelism else { return None };
        let before = &operation.target;
        let same_state = matches!(operation.kind, OperationKind::Redeploy | OperationKind::Resume);
        let other_state = || wanted.plan_hash != before.plan_hash || tasks != before.parallelism;
        let stranded = || self.out_of_reach(wanted, replicas(&wanted.spec, tasks)).is_some();
        if same_state && (other_state() || stranded()) {
            return Some(self.dropped());
        }
        let as_before = |current: &Revision| current.plan_hash == wanted.plan_hash && current.parallelism == tasks;
        if !same_state && operation.savepoint.is_none() && self.status.revision.as_ref().is_some_and(as_before) {
            // The statements are put back, and what they have left is there.
            return Some(self.dropped());
        }
        let mut target = Revision { restored_from: before.restored_from.clone(), ..fresh(wanted, tasks) };
        (target.incarnation, target.generation) = match same_state {
            true => (before.incarnation, before.generation + 1),
            false => (before.incarnation + 1, 1),
        };
        let operation = Operation {
            savepoint: operation.savepoint.clone(),
            ..at(&begin(operation.kind, target, self.generation, self.now), Step::Preparing, self.now)
        };
        Some(self.with(operation, Action::Again))
    }

    fn savepointing(&self, operation: &Operation) -> Decision {
        if let Some(location) = &operation.savepoint {
            let mut stopping = at(operation, Step::Stopping, self.now);
            if operation.kind != OperationKind::Suspend {
                stopping.target.restored_from = Some(location.clone());
            }
            return self.with(stopping, Action::Again);
        }
        let suspend = operation.kind == OperationKind::Suspend;
        let current = self.status.revision.as_ref();
        let replicas = current.map_or(0, |revision| revision.replicas);
        let (most, patience) = match suspend {
            true => (SUSPEND_ATTEMPTS, SUSPEND_PATIENCE),
            false => (UPGRADE_ATTEMPTS, UPGRADE_PATIENCE),
        };
        let late = self.is_late(operation);
        let in_vain = operation.attempts >= most && self.now.duration_since(operation.step_started_at.0) > patience;
        if self.observed.all_running(replicas) && !in_vain {
            let attempt = Operation { attempts: operation.attempts + 1, ..operation.clone() };
            let replaces = (operation.attempts > 0).then(|| savepoint_id(operation));
            let id = savepoint_id(&attempt);
            return self.with(attempt, Action::Savepoint { id, replaces });
        }
        if let Some(revision) = current
            && !self.observed.stopped().is_empty()
        {
            // They stopped with a savepoint that the operator did not come to write down.
            return self.act(operation, Action::run_alone(revision), "workers that have stopped have to run again");
        }
        if in_vain || late {
            let why = operation
                .message
                .clone()
                .or_else(|| self.observed.trouble())
                .unwrap_or_else(|| "its workers do not all run".to_owned());
            return self.without_savepoint(operation, why);
        }
        let incarnation = |revision: Option<&Revision>| revision.map(|revision| revision.incarnation);
        let ever_stable = incarnation(current) == incarnation(self.status.stable.as_ref());
        if !ever_stable && !self.observed.any_running() && !suspend {
            // What has never run stable may have nothing to save; whether that is so is seen once it has stopped.
            return self.with(at(operation, Step::Stopping, self.now), Action::Again);
        }
        let waiting = "all workers have to run before a savepoint can be made";
        match current {
            // What came before may have taken them down.
            Some(revision) => self.act(operation, Action::run_alone(revision), waiting),
            None => self.waits(operation, waiting),
        }
    }

    /// No savepoint could be made.
    fn without_savepoint(&self, operation: &Operation, why: String) -> Decision {
        if operation.kind == OperationKind::Suspend {
            return self.with(at(operation, Step::Stopping, self.now), Action::Again);
        }
        let message = format!(
            "no savepoint could be made, so the job runs on as it was: {why}. Correct that, or, where its state is not \
             needed, set upgrade.mode to Stateless"
        );
        let mut decision = self.dropped();
        decision.status.refused = Some(refused(&operation.target, SAVEPOINT_FAILED, &message));
        decision
    }

    fn stopping(&self, operation: &Operation) -> Decision {
        if !self.observed.is_down() {
            return self.act(operation, Action::Stop, "the job's pods have to be gone");
        }
        match next(operation.kind, Step::Stopping) {
            Some(step) => self.with(at(operation, step, self.now), Action::Again),
            None => {
                let status = StreamJobStatus {
                    operation: None,
                    phase: Some(Phase::Suspended),
                    suspended_with: operation.savepoint.clone(),
                    ..self.status.clone()
                };
                Decision { action: Action::Again, status, verdict: Verdict::default() }
            }
        }
    }

    fn preparing(&self, operation: &Operation) -> Decision {
        let from = match (operation.kind, &self.status.stable) {
            (OperationKind::Rollback, Some(stable)) => Origin::Revision(stable.clone()),
            _ => Origin::Wanted,
        };
        if from == Origin::Wanted
            && let Err(Invalid(message)) = self.wanted
        {
            let mut decision = self.waits(operation, "the object has to be corrected");
            decision.verdict.stalled = Some(("InvalidSpec".to_owned(), message.clone()));
            return decision;
        }
        let action = Action::Prepare { target: operation.target.clone(), from };
        let mut decision = self.act(operation, action, "topics and configuration are made");
        decision.verdict.stalled = operation.message.clone().map(|message| ("NotPrepared".to_owned(), message));
        decision
    }

    fn starting(&self, operation: &Operation) -> Decision {
        let target = &operation.target;
        let name = names::revision(target.incarnation, target.generation);
        if self.observed.is_only(&name, target.replicas) {
            return self.with(at(operation, Step::Stabilising, self.now), Action::Again);
        }
        if self.is_late(operation) {
            return self.not_stable(operation);
        }
        let same_state = operation.kind == OperationKind::Redeploy;
        if same_state && self.observed.can_go_on_beside(&name, target.replicas) && !self.is_past(operation, BESIDE) {
            return self.run(operation, Outdated::Stay, "pods in new places read their state");
        }
        self.run(operation, Outdated::Go, "all pods have to be of the new revision")
    }

    fn stabilising(&self, operation: &Operation) -> Decision {
        let target = &operation.target;
        let name = names::revision(target.incarnation, target.generation);
        if self.observed.is_only(&name, target.replicas) && self.observed.all_stable() {
            let mut status = StreamJobStatus {
                operation: None,
                stable: Some(target.clone()),
                phase: Some(Phase::Running),
                suspended_with: None,
                ..self.status.clone()
            };
            if operation.kind != OperationKind::Rollback {
                status.refused = None;
            }
            return Decision { action: Action::Again, status, verdict: Verdict::default() };
        }
        if self.is_late(operation) {
            return self.not_stable(operation);
        }
        self.run(operation, Outdated::Go, "every pod has to be ready, and to have committed and made a checkpoint")
    }

    /// The target does not come to run in time.
    fn not_stable(&self, operation: &Operation) -> Decision {
        let why = self.observed.trouble().unwrap_or_else(|| "its pods do not all become ready and commit".to_owned());
        let message =
            format!("revision {}.{} does not run: {why}", operation.target.incarnation, operation.target.generation);
        let automatic = self.wanted.is_ok_and(|wanted| wanted.spec.upgrade.rollback == Rollback::Automatic);
        let rolls = matches!(operation.kind, OperationKind::Redeploy | OperationKind::Upgrade | OperationKind::Resume);
        let back =
            self.status.stable.as_ref().filter(|_| automatic && rolls).and_then(|stable| back_to(stable, operation));
        let Some((target, step)) = back else {
            let mut decision = self.run(operation, Outdated::Go, "it is not given up, but a person should look");
            decision.status.phase = Some(Phase::Failed);
            decision.verdict.stalled = Some(("NotStable".to_owned(), message));
            return decision;
        };
        let rollback = at(&begin(OperationKind::Rollback, target, self.generation, self.now), step, self.now);
        let mut decision = self.with(rollback, Action::Again);
        decision.status.refused = Some(refused(&operation.target, ROLLED_BACK, &message));
        decision
    }

    fn is_late(&self, operation: &Operation) -> bool {
        self.is_past(operation, 1)
    }

    /// Whether a step has taken longer than one of so many parts of the time in which it has to be done.
    fn is_past(&self, operation: &Operation, parts: i64) -> bool {
        let most = self.wanted.ok().map_or(300_000, |wanted| wanted.spec.upgrade.stable_within.get().as_millis());
        let most = SignedDuration::from_millis(i64::try_from(most).unwrap_or(i64::MAX) / parts);
        self.now.duration_since(operation.step_started_at.0) > most
    }

    /// Pods of the operation's target.
    fn run(&self, operation: &Operation, outdated: Outdated, waiting: &str) -> Decision {
        let mut decision = self.act(operation, Action::Run { revision: operation.target.clone(), outdated }, waiting);
        decision.status.revision = Some(operation.target.clone());
        decision
    }

    /// Goes on as it is, or does not begin: what runs is kept running.
    fn keep(&self, stalled: Option<(String, String)>) -> Decision {
        let suspended = self.status.phase == Some(Phase::Suspended);
        let action = match &self.status.revision {
            Some(revision) if !suspended => Action::run_alone(revision),
            Some(_) => Action::Stop,
            None => Action::Rest,
        };
        let mut status = self.status.clone();
        status.phase = Some(match (&self.status.revision, suspended) {
            (None, _) if stalled.is_some() => Phase::Failed,
            (None, _) => Phase::Pending,
            (Some(_), true) => Phase::Suspended,
            (Some(_), false) => Phase::Running,
        });
        Decision { action, status, verdict: Verdict { stalled, waiting: None } }
    }

    /// A first start that can't be begun yet.
    fn pending(&self, reason: &str, message: &str) -> Decision {
        let status = StreamJobStatus { phase: Some(Phase::Pending), ..self.status.clone() };
        let stalled = Some((reason.to_owned(), message.to_owned()));
        Decision { action: Action::Rest, status, verdict: Verdict { stalled, waiting: None } }
    }

    fn begin(&self, kind: OperationKind, target: Revision) -> Decision {
        self.with(begin(kind, target, self.generation, self.now), Action::Again)
    }

    fn with(&self, operation: Operation, action: Action) -> Decision {
        let phase = Some(super::operation::phase(&operation));
        let status = StreamJobStatus { operation: Some(operation), phase, ..self.status.clone() };
        Decision { action, status, verdict: Verdict::default() }
    }

    fn act(&self, operation: &Operation, action: Action, waiting: &str) -> Decision {
        let mut decision = self.with(operation.clone(), action);
        decision.verdict.waiting = Some(operation.message.clone().unwrap_or_else(|| waiting.to_owned()));
        decision
    }

    fn waits(&self, operation: &Operation, waiting: &str) -> Decision {
        self.act(operation, Action::Rest, waiting)
    }
}

/// What is wanted, with so many tasks, as a revision after `current`.
fn revision(wanted: &Wanted, parallelism: u32, current: &Revision) -> Revision {
    Revision {
        incarnation: current.incarnation,
        generation: current.generation,
        restored_from: current.restored_from.clone(),
        ..fresh(wanted, parallelism)
    }
}

fn fresh(wanted: &Wanted, parallelism: u32) -> Revision {
    Revision {
        incarnation: 1,
        generation: 1,
        replicas: replicas(&wanted.spec, parallelism),
        parallelism,
        plan_hash: wanted.plan_hash.clone(),
        settings_hash: wanted.settings_hash.clone(),
        restored_from: None,
    }
}

fn next_generation(target: &Revision, current: &Revision) -> Revision {
    Revision { generation: current.generation + 1, ..target.clone() }
}

/// From an operation that failed to the last stable revision: the target, and the first step. None where there is no way
/// back: a job that has lost its state on purpose does not get it back by itself.
fn back_to(stable: &Revision, operation: &Operation) -> Option<(Revision, Step)> {
    let failed = &operation.target;
    if stable.incarnation == failed.incarnation {
        return Some((Revision { generation: failed.generation + 1, ..stable.clone() }, Step::Preparing));
    }
    // Only while the failed incarnation has committed nothing; its workers' successors see to that themselves.
    let restored_from = Some(failed.restored_from.clone()?);
    Some((
        Revision { incarnation: failed.incarnation + 1, generation: 1, restored_from, ..stable.clone() },
        Step::Stopping,
    ))
}

fn refuses(refused: &Refused, target: &Revision) -> bool {
    let Refused { plan_hash, settings_hash, parallelism, replicas, .. } = refused;
    *plan_hash == target.plan_hash
        && *settings_hash == target.settings_hash
        && (*parallelism, *replicas) == (target.parallelism, target.replicas)
}

/// Whether a refusal does not depend on how the upgrade is to be made. What the comparison has refused is compared again.
fn stands(refused: &Refused, wanted: &Wanted) -> bool {
    match refused.reason.as_str() {
        UPGRADE_REFUSED => false,
        SAVEPOINT_FAILED => wanted.spec.upgrade.mode == UpgradeMode::Savepoint,
        _ => true,
    }
}

fn refused(target: &Revision, reason: &str, message: &str) -> Refused {
    Refused {
        plan_hash: target.plan_hash.clone(),
        settings_hash: target.settings_hash.clone(),
        parallelism: target.parallelism,
        replicas: target.replicas,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// Each attempt is a savepoint of its own: workers that have gone on do not stand still for the same one again.
fn savepoint_id(operation: &Operation) -> String {
    format!("{}-{}-{}", operation.id, operation.started_at.0.as_second(), operation.attempts)
}
