//! What the operator is about for a job: one operation at a time, begun by writing it into the status, and gone through
//! step by step. Which steps a kind has is said here, and nowhere else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use millrace_crds::status::{Operation, OperationKind, Phase, Revision, Step};

/// The steps of an operation, in order.
fn steps(kind: OperationKind) -> &'static [Step] {
    use Step::{Preparing, Savepointing, Stabilising, Starting, Stopping};
    match kind {
        OperationKind::Deploy | OperationKind::Redeploy | OperationKind::Resume => &[Preparing, Starting, Stabilising],
        OperationKind::Upgrade => &[Savepointing, Stopping, Preparing, Starting, Stabilising],
        OperationKind::Restart | OperationKind::Rollback => &[Stopping, Preparing, Starting, Stabilising],
        OperationKind::Suspend => &[Savepointing, Stopping],
    }
}

/// What comes after a step; None: the operation is done.
pub fn next(kind: OperationKind, step: Step) -> Option<Step> {
    let steps = steps(kind);
    let at = steps.iter().position(|one| *one == step)?;
    steps.get(at + 1).copied()
}

pub fn begin(kind: OperationKind, target: Revision, generation: i64, now: Timestamp) -> Operation {
    Operation {
        id: id(kind, &target),
        kind,
        step: steps(kind)[0],
        target,
        observed_generation: generation,
        started_at: Time(now),
        step_started_at: Time(now),
        attempts: 0,
        savepoint: None,
        message: None,
    }
}

/// For instance `upgrade-2-1`; part of the names of its savepoints.
fn id(kind: OperationKind, target: &Revision) -> String {
    format!("{}-{}-{}", format!("{kind:?}").to_lowercase(), target.incarnation, target.generation)
}

/// The same operation at another step.
pub fn at(operation: &Operation, step: Step, now: Timestamp) -> Operation {
    Operation { step, step_started_at: Time(now), message: None, ..operation.clone() }
}

/// As people see it.
pub fn phase(operation: &Operation) -> Phase {
    match (operation.kind, operation.step) {
        (OperationKind::Rollback, _) => Phase::RollingBack,
        (_, Step::Savepointing) => Phase::Savepointing,
        (_, Step::Stopping) => Phase::Stopping,
        (_, Step::Preparing | Step::Starting | Step::Stabilising) => Phase::Deploying,
    }
}
