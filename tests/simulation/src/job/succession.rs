//! A job goes on in place of earlier incarnations of itself: it ends their task logs, as the runtime's
//! `commit/succession.rs` does, by claims under the last of all generations. Each worker ends its share, and all wait
//! for all. Where they had read to must then be where the savepoint goes on.

use super::producer::CommitOutcome;
use super::recover::find_image;
use super::restore::{Origin, Predecessor};
use super::start::{PATIENCE, POLL, Starting};
use super::task::SCAN;
use super::worker::{Failure, Place};
use crate::log::Isolation;
use crate::storage::Manifest;
use crate::world::{Ctx, Step};
use millrace_protocol::assignment::Assignment;
use millrace_protocol::record::{Commit, LogRecord, Release, SourcePosition};
use millrace_protocol::recover::LogRange;
use millrace_protocol::replay::Applied;
use millrace_protocol::start::LAST_GENERATION;
use millrace_protocol::succession::LogEnd;
use std::collections::BTreeMap;

/// Records asked for at once.
const FETCH_RECORDS: usize = 64;

/// Returns when nobody can commit under an earlier incarnation any more.
pub async fn succeed(ctx: &Ctx, place: &Place, origin: &Origin, attempt: u64) -> Result<(), Failure> {
    let savepoint = &origin.savepoint;
    let mut open = Vec::new();
    for &Predecessor { job, topics, tasks } in origin.replaces.iter().rev() {
        let assignment = Assignment { parallelism: tasks, ..place.assignment };
        let share = Place { job, topics, generation: LAST_GENERATION, assignment, origin: None };
        match look(ctx, &share).await? {
            None => open.push(share),
            Some(commits) => {
                if job >= savepoint.job {
                    check(&commits, savepoint)?;
                }
                if job <= savepoint.job {
                    // Whoever has ended it had ended all before it.
                    break;
                }
            }
        }
    }
    for share in open.into_iter().rev() {
        ctx.enter(Some(Step::Succeed));
        if share.assignment.tasks().next().is_some() {
            end_logs(ctx, &share, savepoint, attempt).await?;
        }
        await_all(ctx, &share).await?;
    }
    Ok(())
}

/// The last commits in logs that have all ended; None where one has not.
async fn look(ctx: &Ctx, share: &Place) -> Result<Option<BTreeMap<u32, Commit>>, Failure> {
    let mut commits = BTreeMap::new();
    for task in 0..share.assignment.parallelism {
        let (at, mut end) = (share.topics.task_log(task), LogEnd::default());
        let mut next = ctx.call(|log, _| Ok(log.start_offset(at))).await?;
        loop {
            let from = next;
            let fetched = ctx.call(|log, _| log.fetch(at, from, Isolation::ReadCommitted, FETCH_RECORDS)).await?;
            next = fetched.next;
            for record in &fetched.records {
                let record = LogRecord::decode(&record.value)?;
                end.read(&record);
                if let LogRecord::Commit(commit) = record {
                    commits.insert(task, commit);
                }
            }
            if next == from {
                break;
            }
        }
        if !end.is_reached() {
            return Ok(None);
        }
    }
    Ok(Some(commits))
}

/// Takes this worker's share of the logs for good, and says so in them when that has done no harm.
async fn end_logs(ctx: &Ctx, share: &Place, savepoint: &Manifest, attempt: u64) -> Result<(), Failure> {
    let bases = find_bases(ctx, share).await?;
    let commits = bases.iter().map(|(task, applied)| (*task, applied.commit.clone())).collect();
    let applied = share.assignment.tasks().map(|task| (task, bases.get(&task)));
    let (mut producer, commits) = Starting::new(ctx, share, attempt, applied).end_logs(commits).await?;
    if share.job >= savepoint.job {
        check(&commits, savepoint)?;
    }
    let released = LogRecord::Release(Release { attempt: format!("{}-{attempt}", ctx.pid) });
    match producer.write_alone(ctx, share, &released).await? {
        CommitOutcome::Clean => Ok(()),
        CommitOutcome::Retried | CommitOutcome::Unknown => Err(Failure::Restart("nobody knows whether the logs ended")),
    }
}

/// How far the newest image has come in each log that was cut; the others are whole.
async fn find_bases(ctx: &Ctx, share: &Place) -> Result<BTreeMap<u32, Applied>, Failure> {
    let mut bases = BTreeMap::new();
    for task in share.assignment.tasks() {
        let at = share.topics.task_log(task);
        let start = ctx.call(|log, _| Ok(log.start_offset(at))).await?;
        let end = ctx.call(|log, _| Ok(log.end_offset(at))).await?;
        if start > 0 {
            bases.insert(task, find_image(ctx, share.topics, task, LogRange { start, end }).await?.applied);
        }
    }
    Ok(bases)
}

/// Whether nothing was read after the savepoint.
fn check(commits: &BTreeMap<u32, Commit>, savepoint: &Manifest) -> Result<(), Failure> {
    let scans = |commit: &Commit| commit.positions.clone().into_iter().filter(|p| p.operator == SCAN);
    let saved: BTreeMap<i32, i64> =
        savepoint.tasks.iter().flat_map(|part| scans(&part.commit)).map(|p| (p.partition, p.offset)).collect();
    let moved = |p: &SourcePosition| saved.get(&p.partition).is_some_and(|offset| *offset != p.offset);
    let read_on = commits.values().flat_map(scans).find(moved);
    read_on.map_or(Ok(()), |p| Err(Failure::ReadOn { partition: p.partition, offset: p.offset }))
}

/// Waits until every log has been claimed for good, and released by who did.
async fn await_all(ctx: &Ctx, share: &Place) -> Result<(), Failure> {
    let deadline = ctx.now() + PATIENCE;
    let tasks = share.assignment.parallelism;
    let (mut ends, mut next) = (vec![LogEnd::default(); tasks as usize], BTreeMap::new());
    for task in 0..tasks {
        let at = share.topics.task_log(task);
        next.insert(task, ctx.call(|log, _| Ok(log.start_offset(at))).await?);
    }
    loop {
        for task in 0..tasks {
            let (at, from) = (share.topics.task_log(task), next[&task]);
            let fetch = ctx.call(|log, _| log.fetch(at, from, Isolation::ReadCommitted, FETCH_RECORDS));
            let fetched = fetch.await?;
            next.insert(task, fetched.next);
            for record in &fetched.records {
                ends[task as usize].read(&LogRecord::decode(&record.value)?);
            }
        }
        if ends.iter().all(LogEnd::is_reached) {
            return Ok(());
        }
        if ctx.now() > deadline {
            return Err(Failure::Restart("the earlier incarnation has not been ended by all"));
        }
        ctx.sleep(POLL).await;
    }
}
