//! What goes wrong, at which step of the protocol it may, and how often it did: a table without a zero
//! where there may be none.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Looks what each log goes on from, and searches it for an image where the volume is of no use.
    Recover,
    /// Loads an image.
    Load,
    /// Ends the logs of an earlier incarnation.
    Succeed,
    /// Puts its tasks' shares of a savepoint into their stores.
    Restore,
    Scan,
    Watch,
    /// Reads what is committed while others have its tasks.
    ReadAhead,
    Fence,
    Register,
    Claim,
    Replay,
    /// Somebody claimed in between who was not fenced.
    FenceAgain,
    /// Epochs run, but sources or exchanges are not read yet, because memory would overtake Kafka.
    CatchUp,
    Open,
    Ending,
    Committing,
    Checkpoint,
    /// Writes parts of an image.
    Image,
    /// Cuts a log for an image.
    Cut,
    /// Stands still for a savepoint, between two ends of epochs.
    StandStill,
    /// Was asked to hold its tasks, up to the checkpoint that it holds.
    Hold,
    /// Holds them, until they are written; the worker may have gone on.
    Write,
    /// Writes the manifest, or stands still while somebody does.
    Publish,
    /// Was told to stop with the savepoint, up to its last commit.
    StopSaved,
}

impl Step {
    pub const ALL: [Self; 24] = [
        Self::Recover,
        Self::Load,
        Self::Succeed,
        Self::Restore,
        Self::Scan,
        Self::Watch,
        Self::ReadAhead,
        Self::Fence,
        Self::Register,
        Self::Claim,
        Self::Replay,
        Self::FenceAgain,
        Self::CatchUp,
        Self::Open,
        Self::Ending,
        Self::Committing,
        Self::Checkpoint,
        Self::Image,
        Self::Cut,
        Self::StandStill,
        Self::Hold,
        Self::Write,
        Self::Publish,
        Self::StopSaved,
    ];

    /// Whether whoever makes a savepoint waits for a worker in this step.
    pub fn is_of_a_savepoint(self) -> bool {
        matches!(self, Self::StandStill | Self::Hold | Self::Write | Self::Publish | Self::StopSaved)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed; what it wrote reaches its disk. It is started again.
    Crash,
    /// Power is cut, and of what was not synced something is gone.
    UnsyncedLoss,
    /// The process stands still until its transaction has timed out, and goes on.
    Pause,
    /// It is killed, and comes back with an empty volume.
    LostVolume,
    /// It is killed, and comes back with its volume as it was earlier.
    StaleVolume,
    /// It is killed, and comes back with a volume of another job, incarnation or task.
    ForeignVolume,
    /// It is killed, and comes back with a volume on which some task's state is damaged.
    CorruptVolume,
    /// A second process is started in its place.
    Twin,
    /// A new generation is started, mostly with another number of workers.
    Rescale,
    /// A copy of an EndTxn arrives when its sender has long had the answer to another one.
    LateEndTxn,
    /// The answer to an EndTxn is lost, and the client asks again.
    LostEndTxnAnswer,
    /// No answer to an EndTxn comes at all.
    UnknownOutcome,
    /// The answer to a registration is lost, and the client registers again.
    LostRegistration,
    /// The broker serves the process only after a while.
    Hiccup,
    /// A batch is not written, and the client gives up on it.
    FailedProduce,
    /// The coordinator aborts the transaction under way.
    TransactionTimeout,
    /// Somebody asks for a stop, and starts it again.
    GracefulStop,
    /// Whoever makes a savepoint is gone.
    DriverDies,
    /// A request of whoever makes a savepoint does not arrive.
    LostRequest,
    /// The answer to one does not.
    LostAnswer,
    /// A copy of one arrives when it has long been answered.
    LateRequest,
    /// An answer comes late, or a copy of it.
    LateAnswer,
}

impl Fault {
    pub const ALL: [Self; 22] = [
        Self::Crash,
        Self::UnsyncedLoss,
        Self::Pause,
        Self::LostVolume,
        Self::StaleVolume,
        Self::ForeignVolume,
        Self::CorruptVolume,
        Self::Twin,
        Self::Rescale,
        Self::LateEndTxn,
        Self::LostEndTxnAnswer,
        Self::UnknownOutcome,
        Self::LostRegistration,
        Self::Hiccup,
        Self::FailedProduce,
        Self::TransactionTimeout,
        Self::GracefulStop,
        Self::DriverDies,
        Self::LostRequest,
        Self::LostAnswer,
        Self::LateRequest,
        Self::LateAnswer,
    ];

    /// Why it can't hit at a step; None where it can.
    pub fn impossible_at(self, step: Step) -> Option<&'static str> {
        use Step::{CatchUp, Claim, Committing, Cut, Ending, Fence, FenceAgain, Hold, Image, Open, Register, Replay};
        use Step::{Publish, Restore, StandStill, StopSaved, Succeed, Write};
        match self {
            Self::DriverDies | Self::LostRequest | Self::LostAnswer | Self::LateAnswer if !step.is_of_a_savepoint() => {
                Some("nobody makes a savepoint in this step")
            }
            Self::LateRequest if !step.is_of_a_savepoint() && step != Open => Some("no savepoint is over in this step"),
            Self::LostEndTxnAnswer | Self::UnknownOutcome
                if !matches!(step, Claim | Committing | Succeed | Hold | StopSaved) =>
            {
                Some("no EndTxn is sent in this step")
            }
            Self::LostRegistration if !matches!(step, Fence | Register | FenceAgain | Succeed) => {
                Some("nobody registers in this step")
            }
            Self::FailedProduce
                if !matches!(
                    step,
                    Claim | CatchUp | Open | Ending | Image | Succeed | StandStill | Hold | Write | Publish | StopSaved
                ) =>
            {
                Some("nothing is produced in this step")
            }
            Self::UnsyncedLoss if step == Cut => Some("the checkpoint before it has synced everything"),
            Self::LateEndTxn if step == FenceAgain => {
                Some("its sender has claimed before; whoever could slip in since has read that claim, and stands down")
            }
            Self::TransactionTimeout if matches!(step, Replay | FenceAgain) => Some(
                "the claim is committed, and epoch 1 has not written yet: at most a twin has a transaction under way",
            ),
            Self::GracefulStop if step == StopSaved => Some("it stops already"),
            Self::Rescale if step == StopSaved => Some("whoever ends a job does not change its workers meanwhile"),
            Self::LostRequest if step == StopSaved => Some("it is asked for nothing any more"),
            Self::UnsyncedLoss if step == Succeed => {
                Some("a store without a commit has nothing unsynced, and few workers have others besides")
            }
            Self::StaleVolume if step == Restore => Some("volumes are seldom kept before a task has committed"),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    counts: [[u64; Step::ALL.len()]; Fault::ALL.len()],
}

impl Table {
    pub fn add(&mut self, fault: Fault, step: Step) {
        self.counts[fault as usize][step as usize] += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (row, others) in self.counts.iter_mut().zip(&other.counts) {
            row.iter_mut().zip(others).for_each(|(count, other)| *count += other);
        }
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// What can happen and has not.
    pub fn missing(&self) -> Vec<(Fault, Step)> {
        let pairs = pairs().filter(|(fault, step)| self.counts[*fault as usize][*step as usize] == 0);
        pairs.filter(|(fault, step)| fault.impossible_at(*step).is_none()).collect()
    }

    /// As text; `-` stands where a fault is impossible, and the reasons follow.
    pub fn render(&self) -> String {
        let mut text = format!("{:>18}", "");
        Step::ALL.iter().for_each(|step| text += &format!(" {:>10}", format!("{step:?}")));
        let mut reasons: Vec<String> = Vec::new();
        for fault in Fault::ALL {
            text += &format!("\n{:>18}", format!("{fault:?}"));
            for step in Step::ALL {
                let count = self.counts[fault as usize][step as usize];
                match fault.impossible_at(step) {
                    Some(reason) if count == 0 => {
                        text += &format!(" {:>10}", "-");
                        reasons.push(format!("{fault:?}: {reason}"));
                    }
                    _ => text += &format!(" {count:>10}"),
                }
            }
        }
        reasons.dedup();
        reasons.iter().for_each(|reason| text += &format!("\n  - {reason}"));
        text
    }
}

fn pairs() -> impl Iterator<Item = (Fault, Step)> {
    Fault::ALL.into_iter().flat_map(|fault| Step::ALL.into_iter().map(move |step| (fault, step)))
}

/// Whether a fault needs a savepoint that is being made, or a job that starts from one.
pub fn is_of_savepoints(fault: Fault, step: Step) -> bool {
    let of_savepoint = step.is_of_a_savepoint() || matches!(step, Step::Succeed | Step::Restore);
    of_savepoint || fault >= Fault::DriverDies
}

/// Every combination that can happen.
pub fn possible() -> Vec<(Fault, Step)> {
    pairs().filter(|(fault, step)| fault.impossible_at(*step).is_none()).collect()
}
