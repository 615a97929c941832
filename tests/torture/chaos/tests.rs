//! Plans are what their counts say, and the driver counts what took effect, with a cluster that is none.

use super::*;

/// Remembers what it suffered. The first `misses` faults of a kind take no effect.
#[derive(Default)]
struct Fake {
    suffered: Vec<Kind>,
    waits: usize,
    misses: BTreeMap<Kind, usize>,
    /// After so many faults the job commits no more.
    dies_after: Option<usize>,
    replicas: u32,
}

impl Fake {
    fn suffer(&mut self, kind: Kind) -> Took {
        assert_eq!(self.waits, self.suffered.len() + 1, "the job has committed before each fault");
        self.suffered.push(kind);
        match self.misses.get_mut(&kind) {
            Some(left @ 1..) => {
                *left -= 1;
                Err("nothing happened".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Cluster for Fake {
    fn until_commits(&mut self) -> Result<(), String> {
        self.waits += 1;
        let dead = self.dies_after.is_some_and(|faults| self.suffered.len() >= faults);
        if dead { Err("no commit".to_owned()) } else { Ok(()) }
    }

    fn kill(&mut self, ordinal: u32, _: Moment) -> Took {
        assert!(ordinal < self.replicas);
        self.suffer(Kind::Kill)
    }

    fn freeze(&mut self, ordinal: u32, _: bool) -> Took {
        assert!(ordinal < self.replicas);
        self.suffer(Kind::Freeze)
    }

    fn kill_broker(&mut self, node: u32) -> Took {
        assert!((1..=NODES).contains(&node));
        self.suffer(Kind::Broker)
    }

    fn rescale(&mut self, replicas: u32, _: bool) -> Took {
        assert!(replicas != self.replicas && (1..=REPLICAS_MAX).contains(&replicas));
        let took = self.suffer(Kind::Rescale);
        if took.is_ok() {
            self.replicas = replicas;
        }
        took
    }

    fn start_twin(&mut self, ordinal: u32, _: Survivor) -> Took {
        assert!(ordinal < self.replicas);
        self.suffer(Kind::Twin)
    }

    fn lose_volume(&mut self, ordinal: u32, _: Moment) -> Took {
        assert!(ordinal < self.replicas);
        self.suffer(Kind::Volume)
    }

    fn hold_commit(&mut self, _: Held) -> Took {
        self.suffer(Kind::HeldCommit)
    }

    fn upgrade(&mut self, replicas: u32, left: Option<Left>) -> Took {
        assert!((1..=REPLICAS_MAX).contains(&replicas));
        assert!(!left.is_some_and(|left| matches!(left, Left::Stopping { ordinal } if ordinal >= self.replicas)));
        let took = self.suffer(Kind::Upgrade);
        if took.is_ok() {
            self.replicas = replicas;
        }
        took
    }
}

fn run(plan: &Plan, fake: &mut Fake) -> Result<Counts, String> {
    fake.replicas = REPLICAS;
    suffer(plan, fake, Instant::now() + Duration::from_secs(60))
}

#[test]
fn a_plan_has_the_faults_that_were_asked_for_in_an_order_that_the_seed_decides() {
    for scale in [1, 2] {
        let plan = Plan::new(1, &whole(scale));
        assert_eq!(plan.counts(), whole(scale));
        assert_eq!(plan.faults.len(), 188 * scale as usize);
    }
    let plan = Plan::new(1, &whole(1));
    assert_eq!(plan, Plan::new(1, &whole(1)));
    assert_ne!(plan, Plan::new(2, &whole(1)));
    let kills = plan.faults[..90].iter().filter(|fault| fault.kind() == Kind::Kill).count();
    assert!((30..70).contains(&kills), "{kills} of the kills are in the first half");
}

#[test]
fn every_kind_and_both_of_its_variants_are_in_a_whole_plan() {
    let faults = Plan::new(7, &whole(1)).faults;
    let count = |like: fn(&Fault) -> bool| faults.iter().filter(|fault| like(fault)).count();
    assert_eq!(count(|fault| matches!(fault, Fault::Freeze { replaced: true, .. })), 7);
    assert_eq!(count(|fault| matches!(fault, Fault::Rescale { graceful: true, .. })), 12);
    assert_eq!(count(|fault| matches!(fault, Fault::Twin { survivor: Survivor::First, .. })), 5);
    assert_eq!(count(|fault| matches!(fault, Fault::HeldCommit { held: Held::AfterDeath })), 8);
    assert_eq!(count(|fault| matches!(fault, Fault::Upgrade { left: Some(_), .. })), 4);
    for replicas in 1..=REPLICAS_MAX {
        assert!(faults.iter().any(|fault| matches!(fault, Fault::Rescale { replicas: to, .. } if *to == replicas)));
    }
    assert!(Kind::ALL.iter().all(|kind| short().get(kind).is_some_and(|count| *count > 0)));
}

#[test]
fn every_plan_can_be_suffered() {
    for seed in 0..50 {
        let mut fake = Fake::default();
        let plan = Plan::new(seed, &whole(1));
        assert_eq!(run(&plan, &mut fake), Ok(whole(1)));
        assert_eq!(fake.suffered.len(), plan.faults.len());
    }
}

#[test]
fn a_fault_without_effect_is_not_counted_and_tried_again() {
    let mut fake = Fake { misses: [(Kind::Kill, 2), (Kind::Rescale, 1)].into(), ..Fake::default() };
    assert_eq!(run(&Plan::new(3, &short()), &mut fake), Ok(short()));
    let kills = fake.suffered.iter().filter(|kind| **kind == Kind::Kill).count();
    assert_eq!(kills, 7, "five that took effect and two that did not");
}

#[test]
fn a_kind_that_takes_too_little_effect_fails_the_run() {
    let mut fake = Fake { misses: [(Kind::Twin, usize::MAX)].into(), ..Fake::default() };
    let problem = run(&Plan::new(3, &short()), &mut fake).expect_err("no twin took effect");
    assert!(problem.contains("1 double starts, 1 lost volumes") && problem.contains("0 double starts"), "{problem}");
}

#[test]
fn a_job_that_does_not_go_on_fails_the_run() {
    let mut fake = Fake { dies_after: Some(4), ..Fake::default() };
    let problem = run(&Plan::new(3, &short()), &mut fake).expect_err("it is dead");
    assert!(problem.starts_with("after fault 3") && problem.ends_with("no commit"), "{problem}");
}

#[test]
fn a_run_ends_at_its_deadline() {
    let mut fake = Fake { replicas: REPLICAS, ..Fake::default() };
    let problem = suffer(&Plan::new(3, &short()), &mut fake, Instant::now() - Duration::from_secs(1));
    assert!(problem.is_err_and(|problem| problem.starts_with("time is over at fault 0")));
}
