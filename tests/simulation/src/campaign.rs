//! Many seeds, on all cores: runs them, has the oracle judge them, and adds up what happened.

use crate::oracle::Oracle;
use crate::world::{Report, Table, simulate};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A run in which fewer faults took effect is a failure of the generator.
pub const FAULTS_MIN: u64 = 20;
/// From so many seeds on the table of faults and steps must be without a zero.
pub const SEEDS_FOR_A_FULL_TABLE: u64 = 3_000;
/// Every so many seeds one is run again, which must come to the same.
const AGAIN: u64 = 100;

#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    pub first: u64,
    pub count: u64,
    pub threads: usize,
    /// Only what the oracle says counts, and the first thing that it says is enough.
    pub hunt: bool,
}

#[derive(Default)]
pub struct Summary {
    pub seeds: u64,
    pub table: Table,
    pub events: u64,
    /// Rows read, and outputs committed.
    pub rows: (u64, u64),
    /// Jobs started from savepoints, and runs that ended because one was not to.
    pub restored: (u64, u64),
    /// Seeds that failed, each with what is wrong.
    pub failures: Vec<(u64, String)>,
}

/// What is wrong with a run; `verdict` is the oracle's.
fn complaint(seed: u64, report: &Report, verdict: Option<String>) -> Option<String> {
    if let Some(verdict) = verdict {
        return Some(format!("{verdict}; {}", report.complaints.join("; ")));
    }
    if let Some(complaint) = report.complaints.first() {
        return Some(complaint.clone());
    }
    let faults = report.faults.total();
    if report.cut_short {
        // Whatever was still to go wrong has had no time to.
    } else if faults < FAULTS_MIN || faults < report.faults_wanted {
        return Some(format!("only {faults} faults took effect, {} were wanted", report.faults_wanted));
    }
    if seed.is_multiple_of(AGAIN) && simulate(seed, false) != *report {
        return Some("the same seed did not give the same trace".to_owned());
    }
    None
}

/// # Errors
/// When the oracle can't be started or asked.
pub fn run(seeds: Seeds, oracle: &Path) -> io::Result<Summary> {
    let oracle = Mutex::new(Oracle::start(oracle)?);
    let summary = Mutex::new(Summary::default());
    let next = AtomicU64::new(seeds.first);
    let enough = AtomicBool::new(false);
    let work = || -> io::Result<()> {
        let mut own = Summary::default();
        while !enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.first + seeds.count {
                break;
            }
            let report = simulate(seed, false);
            let verdict = oracle.lock().unwrap_or_else(PoisonError::into_inner).judge(&report)?;
            let failure = if seeds.hunt { verdict } else { complaint(seed, &report, verdict) };
            enough.fetch_or(seeds.hunt && failure.is_some(), Ordering::Relaxed);
            own.add(seed, &report, failure);
        }
        summary.lock().unwrap_or_else(PoisonError::into_inner).merge(own);
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..seeds.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
    })?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failures.sort();
    Ok(summary)
}

impl Summary {
    fn add(&mut self, seed: u64, report: &Report, failure: Option<String>) {
        self.seeds += 1;
        self.events += report.events;
        self.table.merge(&report.faults);
        let count = |partitions: &[Vec<Vec<u8>>]| partitions.iter().map(Vec::len).sum::<usize>() as u64;
        self.rows = (self.rows.0 + count(&report.input), self.rows.1 + count(&report.output));
        self.restored = (self.restored.0 + report.restored, self.restored.1 + u64::from(report.cut_short));
        self.failures.extend(failure.map(|failure| (seed, failure)));
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.table.merge(&other.table);
        self.rows = (self.rows.0 + other.rows.0, self.rows.1 + other.rows.1);
        self.restored = (self.restored.0 + other.restored.0, self.restored.1 + other.restored.1);
        self.failures.extend(other.failures);
    }
}
