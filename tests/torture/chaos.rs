//! The faults: a plan that a seed decides, as pure data, and the driver that has a cluster suffer them one
//! after the other. Between two faults the driver waits until the job commits again, never for time alone;
//! and it counts a fault only if it took effect. One that did not is tried again.

use crate::kafka::harness::Random;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a fault is tried that does not take effect.
const ATTEMPTS: u32 = 4;
/// With how many workers a job begins.
pub(super) const REPLICAS: u32 = 3;
const REPLICAS_MAX: u32 = 4;
pub(super) const NODES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `kill -9` of a worker.
    Kill,
    /// SIGSTOP of a worker for longer than the transaction timeout.
    Freeze,
    /// `kill -9` of a broker.
    Broker,
    /// Another number of workers, in a new generation.
    Rescale,
    /// A second process for an ordinal that has one.
    Twin,
    /// A worker killed, and its volume lost.
    Volume,
    /// The end of a transaction held back.
    HeldCommit,
    /// Another incarnation of the job in place of this one, from a savepoint.
    Upgrade,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Freeze,
        Self::Broker,
        Self::Rescale,
        Self::Twin,
        Self::Volume,
        Self::HeldCommit,
        Self::Upgrade,
    ];
}

/// When a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long after it was seen running: an epoch is open, ending, or being committed.
    Working(Duration),
    /// So long after it was seen to commit: its changes may not be in RocksDB yet.
    Committed(Duration),
    /// It is replaced, and so long after that its successor is killed: mostly while that claims and replays.
    Starting(Duration),
}

/// Who is left of two processes for one ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survivor {
    First,
    Second,
}

/// What becomes of a held end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It arrives so much later, and its sender is still there.
    Late(Duration),
    /// Its sender is killed, and it arrives when the successor commits.
    AfterDeath,
}

/// Where somebody who makes a savepoint with which the job stops is heard of no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Paused,
    Held,
    Written,
    Published,
    /// One worker has been told to stop, and the others have not.
    Stopping {
        ordinal: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill {
        ordinal: u32,
        moment: Moment,
    },
    /// `replaced`: another process takes its place while it is stopped.
    Freeze {
        ordinal: u32,
        replaced: bool,
    },
    /// It stays away until the job has committed without it. Nodes count from 1.
    Broker {
        node: u32,
    },
    /// `graceful`: the old workers are asked to stop first; otherwise the new ones fence them.
    Rescale {
        replicas: u32,
        graceful: bool,
    },
    Twin {
        ordinal: u32,
        survivor: Survivor,
    },
    Volume {
        ordinal: u32,
        moment: Moment,
    },
    HeldCommit {
        held: Held,
    },
    /// `left`: another savepoint was begun before, and left.
    Upgrade {
        replicas: u32,
        left: Option<Left>,
    },
}

impl Fault {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Kill { .. } => Kind::Kill,
            Self::Freeze { .. } => Kind::Freeze,
            Self::Broker { .. } => Kind::Broker,
            Self::Rescale { .. } => Kind::Rescale,
            Self::Twin { .. } => Kind::Twin,
            Self::Volume { .. } => Kind::Volume,
            Self::HeldCommit { .. } => Kind::HeldCommit,
            Self::Upgrade { .. } => Kind::Upgrade,
        }
    }
}

/// How many faults of each kind there are to be.
pub(super) type Counts = BTreeMap<Kind, u32>;

/// What a whole torture has, times its scale.
pub(super) fn whole(scale: u32) -> Counts {
    let each = [
        (Kind::Kill, 100),
        (Kind::Freeze, 15),
        (Kind::Broker, 10),
        (Kind::Rescale, 25),
        (Kind::Twin, 10),
        (Kind::Volume, 5),
        (Kind::HeldCommit, 15),
        (Kind::Upgrade, 8),
    ];
    each.into_iter().map(|(kind, count)| (kind, count * scale)).collect()
}

/// Some of each kind, for every run of the tests.
pub(super) fn short() -> Counts {
    let each = [
        (Kind::Kill, 5),
        (Kind::Freeze, 1),
        (Kind::Broker, 1),
        (Kind::Rescale, 3),
        (Kind::Twin, 1),
        (Kind::Volume, 1),
        (Kind::HeldCommit, 2),
        (Kind::Upgrade, 1),
    ];
    each.into()
}

/// The faults in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) faults: Vec<Fault>,
}

impl Plan {
    pub(super) fn new(seed: u64, counts: &Counts) -> Self {
        let mut random = Random::new(seed);
        let mut kinds: Vec<Kind> =
            counts.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count as usize)).collect();
        for last in (1..kinds.len()).rev() {
            kinds.swap(last, random.below(0..last as u64 + 1) as usize);
        }
        let mut replicas = REPLICAS;
        let mut of_kind = Counts::new();
        let faults = kinds.into_iter().map(|kind| {
            let before = of_kind.entry(kind).or_default();
            *before += 1;
            let fault = random_fault(&mut random, kind, before.is_multiple_of(2), replicas);
            if let Fault::Rescale { replicas: next, .. } | Fault::Upgrade { replicas: next, .. } = fault {
                replicas = next;
            }
            fault
        });
        Self { faults: faults.collect() }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        self.faults.iter().for_each(|fault| *counts.entry(fault.kind()).or_default() += 1);
        counts
    }
}

/// Of the kinds that have two variants, `other` has the second: each is had about as often.
fn random_fault(random: &mut Random, kind: Kind, other: bool, replicas: u32) -> Fault {
    let ordinal = random.below(0..replicas.into()) as u32;
    match kind {
        Kind::Kill => Fault::Kill { ordinal, moment: random_moment(random) },
        Kind::Freeze => Fault::Freeze { ordinal, replaced: other },
        Kind::Broker => Fault::Broker { node: random.below(1..u64::from(NODES) + 1) as u32 },
        Kind::Rescale => {
            // Any number but the one that there is.
            let next = random.below(1..REPLICAS_MAX.into()) as u32;
            Fault::Rescale { replicas: if next >= replicas { next + 1 } else { next }, graceful: other }
        }
        Kind::Twin => Fault::Twin { ordinal, survivor: if other { Survivor::First } else { Survivor::Second } },
        Kind::Volume => Fault::Volume { ordinal, moment: random_moment(random) },
        Kind::HeldCommit => {
            Fault::HeldCommit { held: if other { Held::Late(random.millis(500..3000)) } else { Held::AfterDeath } }
        }
        Kind::Upgrade => {
            let replicas = random.below(1..u64::from(REPLICAS_MAX) + 1) as u32;
            Fault::Upgrade { replicas, left: (!other).then(|| random_left(random, ordinal)) }
        }
    }
}

fn random_moment(random: &mut Random) -> Moment {
    match random.below(0..4) {
        0 => Moment::Starting(random.millis(0..1000)),
        1 | 2 => Moment::Working(random.millis(0..1500)),
        _ => Moment::Committed(random.millis(0..50)),
    }
}

/// Mostly where some have stopped and others go on.
fn random_left(random: &mut Random, ordinal: u32) -> Left {
    match random.below(0..8) {
        0 => Left::Paused,
        1 => Left::Held,
        2 => Left::Written,
        3 => Left::Published,
        _ => Left::Stopping { ordinal },
    }
}

/// Whether a fault did what it is for; otherwise why not.
pub(super) type Took = Result<(), String>;

/// What suffers the faults. A method returns when its fault is over; that the job goes on afterwards is
/// [`Cluster::until_commits`]' business. What can't be repaired is a panic: it fails the test.
pub(super) trait Cluster {
    /// Returns when every worker has committed, in an epoch that ended after this call; an error where none
    /// does.
    fn until_commits(&mut self) -> Result<(), String>;
    fn kill(&mut self, ordinal: u32, moment: Moment) -> Took;
    fn freeze(&mut self, ordinal: u32, replaced: bool) -> Took;
    fn kill_broker(&mut self, node: u32) -> Took;
    fn rescale(&mut self, replicas: u32, graceful: bool) -> Took;
    fn start_twin(&mut self, ordinal: u32, survivor: Survivor) -> Took;
    fn lose_volume(&mut self, ordinal: u32, moment: Moment) -> Took;
    fn hold_commit(&mut self, held: Held) -> Took;
    fn upgrade(&mut self, replicas: u32, left: Option<Left>) -> Took;
}

/// Has a cluster suffer a plan. Returns what took effect, or what went wrong: the job does not go on, faults
/// of a kind are fewer than planned, or `deadline` is over.
pub(super) fn suffer(plan: &Plan, cluster: &mut impl Cluster, deadline: Instant) -> Result<Counts, String> {
    let begun = Instant::now();
    let mut took = Counts::new();
    cluster.until_commits()?;
    for (number, fault) in plan.faults.iter().enumerate() {
        for attempt in 1..=ATTEMPTS {
            if Instant::now() > deadline {
                return Err(format!("time is over at fault {number} of {}: {}", plan.faults.len(), list(&took)));
            }
            let at = begun.elapsed().as_secs_f64();
            let outcome = perform(cluster, fault);
            println!("torture: {at:.1} s, fault {number}, attempt {attempt}: {fault:?}: {outcome:?}");
            cluster.until_commits().map_err(|problem| format!("after fault {number}, {fault:?}: {problem}"))?;
            if outcome.is_ok() {
                *took.entry(fault.kind()).or_default() += 1;
                break;
            }
        }
    }
    let planned = plan.counts();
    if took == planned {
        Ok(took)
    } else {
        Err(format!("not every fault took effect: planned {}; took {}", list(&planned), list(&took)))
    }
}

fn perform(cluster: &mut impl Cluster, fault: &Fault) -> Took {
    match *fault {
        Fault::Kill { ordinal, moment } => cluster.kill(ordinal, moment),
        Fault::Freeze { ordinal, replaced } => cluster.freeze(ordinal, replaced),
        Fault::Broker { node } => cluster.kill_broker(node),
        Fault::Rescale { replicas, graceful } => cluster.rescale(replicas, graceful),
        Fault::Twin { ordinal, survivor } => cluster.start_twin(ordinal, survivor),
        Fault::Volume { ordinal, moment } => cluster.lose_volume(ordinal, moment),
        Fault::HeldCommit { held } => cluster.hold_commit(held),
        Fault::Upgrade { replicas, left } => cluster.upgrade(replicas, left),
    }
}

/// Counts in words.
pub(super) fn list(counts: &Counts) -> String {
    let of = |kind: Kind| counts.get(&kind).copied().unwrap_or(0);
    format!(
        "{} kills, {} stops, {} broker kills, {} rescales, {} double starts, {} lost volumes, {} held commits, \
         {} upgrades",
        of(Kind::Kill),
        of(Kind::Freeze),
        of(Kind::Broker),
        of(Kind::Rescale),
        of(Kind::Twin),
        of(Kind::Volume),
        of(Kind::HeldCommit),
        of(Kind::Upgrade)
    )
}

#[cfg(test)]
mod tests;
