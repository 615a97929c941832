//! Decides what goes wrong and when. A fault is armed for a step of the protocol and strikes the next
//! process that is in it, at one of its awaits; it counts when it has taken effect, which for some is later.

use super::faults::{Table, is_of_savepoints, possible};
use super::jobs::JobId;
use super::process::Process;
use super::{Fault, Item, MILLISECOND, Pid, SECOND, Step, World};
use crate::disk::Volume;
use crate::log::Micros;

/// Earlier contents of a volume that are kept to come back.
const SNAPSHOTS: usize = 6;

/// Of a savepoint, the shorter ones more often.
const SAVEPOINT: [Step; 5] = [Step::StandStill, Step::Hold, Step::Write, Step::Publish, Step::Publish];

/// Of one with which the job stops.
const SAVEPOINT_WITH_STOP: [Step; 8] = [
    Step::StandStill,
    Step::Hold,
    Step::Write,
    Step::Publish,
    Step::Publish,
    Step::StopSaved,
    Step::StopSaved,
    Step::StopSaved,
];

/// What would hardly ever happen by itself.
const RARE: [(Fault, Step); 8] = [
    (Fault::LateRequest, Step::Open),
    (Fault::UnknownOutcome, Step::Hold),
    (Fault::UnknownOutcome, Step::StopSaved),
    (Fault::UnsyncedLoss, Step::StopSaved),
    (Fault::Pause, Step::StopSaved),
    (Fault::DriverDies, Step::StopSaved),
    (Fault::LateAnswer, Step::Publish),
    (Fault::LostAnswer, Step::Publish),
];

struct Armed {
    fault: Fault,
    step: Step,
    expires: Micros,
}

#[derive(Default)]
pub(crate) struct Trouble {
    armed: Vec<Armed>,
    pub table: Table,
    /// No more faults.
    pub quiet: bool,
    /// None but those of a savepoint, while one is made: otherwise hardly any would be.
    pub calm: bool,
    /// The step at which a job's generation was replaced, until the next one claims.
    rescaled_at: Option<(JobId, Step)>,
    snapshots: Vec<(usize, Volume)>,
}

impl Trouble {
    /// No further generation of the job will claim.
    pub(crate) fn forget_rescale(&mut self, of: JobId) {
        self.rescaled_at.take_if(|(job, _)| *job == of);
    }
}

/// What became of a process that was about to go on.
#[derive(PartialEq, Eq)]
pub(crate) enum Struck {
    No,
    Dead,
    Paused,
}

impl World {
    pub(crate) fn took_effect(&mut self, pid: Pid, fault: Fault, step: Step) {
        if self.trouble.quiet {
            return;
        }
        self.trouble.table.add(fault, step);
        self.event(pid, "fault", &[fault as i64, step as i64]);
        let (now, pid) = (self.now(), pid as u64);
        self.trace.remark(now, pid, || format!("        {fault:?} at {step:?} took effect"));
    }

    /// Chooses a next fault, and what leads to its step.
    pub(crate) fn arm(&mut self) {
        if self.trouble.quiet {
            return;
        }
        let now = self.now();
        self.trouble.armed.retain(|armed| armed.expires > now);
        if !self.trouble.calm && self.trouble.armed.len() < 6 {
            let pairs: Vec<_> =
                possible().into_iter().filter(|(fault, step)| !is_of_savepoints(*fault, *step)).collect();
            let (fault, step) = *self.random.pick(&pairs).expect("there are faults");
            // What is rare is waited for longer.
            let patience = match step {
                Step::FenceAgain => 6 * SECOND,
                Step::Load | Step::Image | Step::Cut => 3 * SECOND,
                _ => 1_500 * MILLISECOND,
            };
            self.trouble.armed.push(Armed { fault, step, expires: now + patience });
            self.provoke(fault, step);
        }
        self.after(50 * MILLISECOND, 400 * MILLISECOND, Item::Arm);
    }

    /// Somebody wants a savepoint, and mostly nothing else goes wrong until it is made, or is not.
    pub(crate) fn calm(&mut self) {
        self.trouble.calm = !self.random.one_in(4);
        if self.trouble.calm {
            self.trouble.armed.clear();
        }
    }

    /// Chooses what goes wrong while a savepoint is made; sometimes nothing does.
    pub(crate) fn arm_savepoint(&mut self, stop: bool) {
        let most = self.random.below(3);
        self.arm_steps(most, if stop { &SAVEPOINT_WITH_STOP } else { &SAVEPOINT });
        if self.random.one_in(2) {
            let (fault, step) = *self.random.pick(&RARE).expect("there are some");
            self.arm_for(fault, step);
        }
    }

    /// The same while a job starts from one, in place of earlier ones or of its own.
    pub(crate) fn arm_restore(&mut self, succeeds: bool) {
        let most = self.random.below(4);
        self.arm_steps(most, if succeeds { &[Step::Succeed, Step::Restore] } else { &[Step::Restore] });
        if succeeds && self.random.one_in(4) {
            self.arm_for(Fault::LateEndTxn, Step::Succeed);
        }
    }

    fn arm_steps(&mut self, most: u64, steps: &[Step]) {
        for _ in 0..most {
            let step = *self.random.pick(steps).expect("there are steps");
            let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|f| f.impossible_at(step).is_none()).collect();
            let fault = *self.random.pick(&faults).expect("there are faults");
            self.arm_for(fault, step);
        }
    }

    fn arm_for(&mut self, fault: Fault, step: Step) {
        if !self.trouble.quiet {
            self.trouble.armed.push(Armed { fault, step, expires: self.now() + 3 * SECOND });
        }
    }

    /// Makes somebody start, where a fault waits for a start and none is under way.
    fn provoke(&mut self, fault: Fault, step: Step) {
        let starts = |s: Step| s <= Step::CatchUp;
        let under_way = self.processes.iter().any(|p| p.alive && p.step.is_some_and(starts));
        if !starts(step) || (under_way && self.random.one_in(2)) {
            return;
        }
        let running = |(_, p): &(Pid, &Process)| p.alive && p.paused.is_none() && self.is_current(p);
        let running: Vec<Pid> = self.processes.iter().enumerate().filter(running).map(|(pid, _)| pid).collect();
        let Some(&pid) = self.random.pick(&running) else { return };
        let Some(at) = self.processes[pid].step else { return };
        let cause = match step {
            Step::Load => *self.random.pick(&[Fault::LostVolume, Fault::StaleVolume]).expect("two"),
            Step::Watch if fault == Fault::UnsyncedLoss => Fault::Twin,
            Step::Watch => *self.random.pick(&[Fault::LostVolume, Fault::Twin]).expect("two"),
            _ if fault == Fault::UnsyncedLoss => Fault::TransactionTimeout,
            Step::ReadAhead | Step::Fence | Step::FenceAgain | Step::CatchUp => Fault::Rescale,
            _ => Fault::Crash,
        };
        self.strike_with(cause, pid, at);
    }

    /// Before `pid` goes on: whether something armed hits it here.
    pub(crate) fn strike(&mut self, pid: Pid) -> Struck {
        self.late_copies(pid);
        self.late_requests(pid);
        let Some(step) = self.step_of(pid) else { return Struck::No };
        let fits = |armed: &Armed| armed.step == step && hits_processes(armed.fault);
        let Some(at) = self.trouble.armed.iter().position(fits) else { return Struck::No };
        if self.random.one_in(2) {
            return Struck::No;
        }
        let fault = self.trouble.armed[at].fault;
        if !self.strike_with(fault, pid, step) {
            return Struck::No;
        }
        self.trouble.armed.remove(at);
        let process = &self.processes[pid];
        match process.alive {
            false => Struck::Dead,
            true if process.paused.is_some() => Struck::Paused,
            true => Struck::No,
        }
    }

    /// Returns whether it hit: some faults need something to take.
    fn strike_with(&mut self, fault: Fault, pid: Pid, step: Step) -> bool {
        let volume = self.processes[pid].volume;
        match fault {
            Fault::Crash => self.kill(pid),
            Fault::UnsyncedLoss if self.volumes[volume].has_unsynced() => {
                self.volumes[volume].lose_unsynced(&mut self.random);
                self.kill(pid);
            }
            Fault::LostVolume if !self.volumes[volume].is_empty() => {
                self.kill(pid);
                self.volumes[volume] = Volume::new(self.new_holder());
            }
            Fault::StaleVolume => {
                let Some(earlier) = self.earlier(volume) else { return false };
                self.kill(pid);
                self.volumes[volume] = earlier;
            }
            Fault::ForeignVolume => {
                let mut foreign = self.volumes[volume].clone();
                if !foreign.estrange(&mut self.random) {
                    return false;
                }
                self.kill(pid);
                foreign.settle();
                foreign.holder = self.new_holder();
                self.volumes[volume] = foreign;
            }
            Fault::CorruptVolume => {
                if self.volumes[volume].is_empty() {
                    return false;
                }
                self.kill(pid);
                self.volumes[volume].damage(&mut self.random);
            }
            Fault::TransactionTimeout => {
                let (process, now) = (&self.processes[pid], self.now());
                let ids = match step {
                    Step::Succeed => self.transactional_ids_of_the_end(process),
                    _ => vec![self.transactional_id(process)],
                };
                if !ids.iter().any(|id| self.log.time_out(id, now)) {
                    return false;
                }
            }
            _ => return self.disturb(fault, pid, step),
        }
        self.took_effect(pid, fault, step);
        if !self.processes[pid].alive {
            self.restart(pid);
        }
        true
    }

    /// The faults that count later, when they have had their effect.
    fn disturb(&mut self, fault: Fault, pid: Pid, step: Step) -> bool {
        let process = &self.processes[pid];
        let job = process.job;
        let current = self.is_current(process);
        match fault {
            Fault::Pause if process.paused.is_none() => {
                let length = self.settings.transaction_timeout + self.random.between(1, 1_500) * MILLISECOND;
                self.processes[pid].paused = Some((step, self.now() + length));
            }
            Fault::Twin if current && !process.is_twin => self.start_twin(pid, step),
            Fault::Rescale
                if current
                    && self.jobs[job].stopped_with.is_none()
                    && step != Step::StopSaved
                    && self.trouble.rescaled_at.is_none() =>
            {
                self.trouble.rescaled_at = Some((job, step));
                self.rescale(job);
            }
            Fault::GracefulStop if process.stop.is_none() && !process.is_twin => {
                self.processes[pid].stop = Some(step);
            }
            _ => return false,
        }
        true
    }

    /// Where a process is, which may be publishing besides, or not know yet that it is to stop.
    pub(crate) fn step_of(&self, pid: Pid) -> Option<Step> {
        let process = &self.processes[pid];
        let between = matches!(process.step, Some(Step::Open | Step::CatchUp | Step::StandStill | Step::Write));
        match process.step {
            Some(_) if process.stops_saved.is_some() => Some(Step::StopSaved),
            Some(_) if process.publishing.is_some() && between => Some(Step::Publish),
            step => step,
        }
    }

    /// Whether a fault of requests hits the one that `pid` is making, or is made.
    pub(crate) fn strikes_call(&mut self, pid: Pid, fault: Fault) -> bool {
        let step = self.step_of(pid);
        let strikes = self.strikes_silently(pid, fault);
        if let Some(step) = step.filter(|_| strikes)
            && !matches!(fault, Fault::UnknownOutcome | Fault::LostEndTxnAnswer)
        {
            self.took_effect(pid, fault, step);
        }
        strikes
    }

    /// The same, where it takes effect later.
    pub(crate) fn strikes_silently(&mut self, pid: Pid, fault: Fault) -> bool {
        let Some(step) = self.step_of(pid) else { return false };
        let fits = |armed: &Armed| armed.fault == fault && armed.step == step;
        let Some(at) = self.trouble.armed.iter().position(fits) else { return false };
        if self.trouble.quiet || self.random.one_in(3) {
            return false;
        }
        self.trouble.armed.remove(at);
        true
    }

    /// Takes the step at which a late copy of something is wanted that is sent in step `now`. Who ends the logs of others
    /// does so under a name that it has then only.
    pub(crate) fn disarm(&mut self, fault: Fault, now: Step) -> Option<Step> {
        let fits = |armed: &Armed| armed.fault == fault && (armed.step == Step::Succeed) == (now == Step::Succeed);
        let at = self.trouble.armed.iter().position(fits)?;
        Some(self.trouble.armed.remove(at).step)
    }

    // ---- what takes effect later

    pub(crate) fn resumed(&mut self, pid: Pid) {
        if let Some((step, _)) = self.processes[pid].paused.take() {
            self.took_effect(pid, Fault::Pause, step);
        }
    }

    pub(crate) fn claimed(&mut self, pid: Pid) {
        self.event(pid, "claimed", &[]);
        let process = &self.processes[pid];
        if self.is_current(process)
            && let Some((_, step)) = self.trouble.rescaled_at.take_if(|(job, _)| *job == process.job)
        {
            self.took_effect(pid, Fault::Rescale, step);
        }
    }

    pub(crate) fn checkpointed(&mut self, pid: Pid) {
        self.event(pid, "checkpointed", &[]);
        if self.random.one_in(2) {
            let volume = self.processes[pid].volume;
            self.trouble.snapshots.push((volume, self.volumes[volume].clone()));
            if self.trouble.snapshots.len() > SNAPSHOTS {
                let oldest = self.random.below(SNAPSHOTS as u64) as usize;
                self.trouble.snapshots.remove(oldest);
            }
        }
    }

    fn earlier(&mut self, volume: usize) -> Option<Volume> {
        let is_earlier = |(of, earlier): &&(usize, Volume)| *of == volume && self.volumes[volume].is_ahead_of(earlier);
        let fit: Vec<&Volume> = self.trouble.snapshots.iter().filter(is_earlier).map(|(_, v)| v).collect();
        let mut earlier = fit.get(self.random.below(fit.len().max(1) as u64) as usize).map(|v| (*v).clone())?;
        earlier.settle();
        Some(earlier)
    }

    /// From now on nothing goes wrong any more, and what has gone wrong ends.
    pub(crate) fn quiet(&mut self) {
        self.trouble.quiet = true;
        self.trouble.armed.clear();
        let until = self.now() + SECOND;
        for pid in 0..self.processes.len() {
            let process = &self.processes[pid];
            if process.alive && (process.is_twin || !self.is_current(process)) {
                self.after(0, SECOND, Item::Kill(pid));
            }
            if let Some((step, end)) = self.processes[pid].paused {
                self.processes[pid].paused = Some((step, end.min(until)));
            }
        }
    }
}

/// Whether a fault hits a process as such, not one of its requests.
fn hits_processes(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::LateEndTxn
            | Fault::LostEndTxnAnswer
            | Fault::UnknownOutcome
            | Fault::LostRegistration
            | Fault::Hiccup
            | Fault::FailedProduce
            | Fault::DriverDies
            | Fault::LostRequest
            | Fault::LostAnswer
            | Fault::LateRequest
            | Fault::LateAnswer
    )
}
