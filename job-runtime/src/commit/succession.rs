//! A job goes on in place of earlier incarnations of itself, from a savepoint. Before it claims anything, it ends
//! their task logs: it claims them under the last of all generations and never commits there, so that whoever had
//! them is fenced, and whoever comes later stands down. Each worker ends its share, and all wait for all.
//!
//! Where they had read to must then be where the savepoint goes on, or what they have written since would be
//! written again.

use super::log::{self, LogReader, PATIENCE, transaction_timeout};
use super::recover::{find_bases, ranges};
use super::silence::Ends;
use super::start::{Start, StartRequest};
use crate::error::{Error, Result};
use crate::job::{Job, JobIdentity};
use crate::kafka::admin::retrying;
use crate::savepoint::restore::Savepoint;
use millrace_protocol::assignment::Assignment;
use millrace_protocol::record::{Commit, LogRecord, Release, SourcePosition};
use millrace_protocol::recover::LogRange;
use millrace_protocol::start::{Claimant, LAST_GENERATION, StartMachine};
use millrace_protocol::succession::LogEnd;
use std::collections::{BTreeMap, BTreeSet};

/// Records at the end of a log among which its last commit nearly always is, and its end.
const TAIL: i64 = 100;

/// Returns when nobody can commit under an earlier incarnation any more.
pub(super) fn succeed(request: &StartRequest<'_>, savepoint: &Savepoint) -> Result<()> {
    let saved = savepoint.manifest.job.incarnation;
    let mut open = Vec::new();
    for incarnation in (1..request.job.identity.incarnation).rev() {
        let identity = JobIdentity { incarnation, generation: LAST_GENERATION, ..request.job.identity.clone() };
        let job = Job { identity, ..request.job.clone() };
        let topic = job.identity.log_topic();
        let Some(found) = retrying(PATIENCE, request.clock(), || request.admin.describe(&topic))? else {
            // Nobody can claim a log that is gone.
            continue;
        };
        let Assignment { replicas, ordinal, .. } = request.assignment;
        let assignment = Assignment { parallelism: found.partitions.len() as u32, replicas, ordinal };
        let earlier = StartRequest { job: &job, assignment, ..*request };
        let logs = ranges(&earlier, 0..assignment.parallelism)?;
        let LastRecords { ended, commits } = last_records(&earlier, logs.iter().map(|(&task, log)| (task, tail(log))))?;
        // Once a log is ended the earlier incarnation can't go on, so it is looked first. Only afterwards it is sure.
        if incarnation >= saved {
            check(&committed(&earlier, &logs, commits)?, savepoint, &job)?;
        }
        if ended.len() < logs.len() {
            open.push((job, assignment));
        } else if incarnation <= saved {
            // Whoever has ended it had ended all before it.
            break;
        }
    }
    for (job, assignment) in open.into_iter().rev() {
        end(&StartRequest { job: &job, assignment, ..*request }, savepoint)?;
    }
    Ok(())
}

fn end(request: &StartRequest<'_>, savepoint: &Savepoint) -> Result<()> {
    let (tasks, incarnation) = (request.assignment.parallelism, request.job.identity.incarnation);
    if request.assignment.tasks().next().is_some() {
        end_logs(request, savepoint)?;
    }
    await_all(request)?;
    tracing::info!(incarnation, tasks, "an earlier incarnation of the job has ended");
    Ok(())
}

/// Takes this worker's share of the logs for good, and says so in them when that has done no harm.
fn end_logs(request: &StartRequest<'_>, savepoint: &Savepoint) -> Result<()> {
    let (job, assignment) = (request.job, request.assignment);
    let attempt = uuid::Uuid::new_v4().to_string();
    let me = Claimant {
        generation: LAST_GENERATION,
        assignment,
        holder: request.holder.to_owned(),
        attempt: attempt.clone(),
        transactional_id: job.identity.transactional_id(assignment.ordinal),
    };
    let ends = Ends::now(request)?;
    let bases = find_bases(request)?;
    let (machine, effects) = StartMachine::new(me, assignment.tasks().map(|task| (task, bases.get(&task))));
    let mut commits: BTreeMap<u32, Commit> = bases.into_iter().map(|(task, applied)| (task, applied.commit)).collect();
    let mut start = Start::new(request, machine, ends);
    start.run(effects, &mut |task, (portion, _)| {
        commits.insert(task, portion.applied.commit);
        Ok(())
    })?;
    check(&commits, savepoint, job)?;
    let released = LogRecord::Release(Release { attempt }).encode();
    let records = assignment.tasks().map(|task| (task, released.clone()));
    let producer = start.into_producer();
    let what = "could not end the earlier incarnation's logs";
    log::commit_alone(&producer, &job.identity.log_topic(), records, what, transaction_timeout(job))
}

/// The last commits of all tasks, also of those that other workers end, as far as transactions are over; `commits` are
/// those that the logs' last records have.
fn committed(
    request: &StartRequest<'_>,
    logs: &BTreeMap<u32, LogRange>,
    mut commits: BTreeMap<u32, Commit>,
) -> Result<BTreeMap<u32, Commit>> {
    let missing = logs.iter().filter(|(task, log)| !commits.contains_key(task) && tail(log) > log.start);
    let missing: Vec<(u32, i64)> = missing.map(|(&task, log)| (task, log.start)).collect();
    if !missing.is_empty() {
        commits.extend(last_records(request, missing)?.commits);
    }
    Ok(commits)
}

fn tail(log: &LogRange) -> i64 {
    log.start.max(log.end - TAIL)
}

/// What the records of some logs say.
struct LastRecords {
    ended: BTreeSet<u32>,
    commits: BTreeMap<u32, Commit>,
}

fn last_records(request: &StartRequest<'_>, from: impl IntoIterator<Item = (u32, i64)>) -> Result<LastRecords> {
    let (mut ends, mut commits) = (BTreeMap::<u32, LogEnd>::new(), BTreeMap::new());
    LogReader::new(request.job, request.cluster, "read_committed", from)?.read_to_end(&mut |task, _, record| {
        ends.entry(task).or_default().read(&record);
        if let LogRecord::Commit(commit) = record {
            commits.insert(task, commit);
        }
        Ok(())
    })?;
    let ended = ends.into_iter().filter(|(_, end)| end.is_reached()).map(|(task, _)| task).collect();
    Ok(LastRecords { ended, commits })
}

/// Whether an incarnation from the savepoint's on has read nothing since.
fn check(commits: &BTreeMap<u32, Commit>, savepoint: &Savepoint, job: &Job) -> Result<()> {
    let saved = &savepoint.manifest;
    if job.identity.incarnation < saved.job.incarnation {
        return Ok(());
    }
    let place = |p: &SourcePosition| (p.operator, p.topic.clone(), p.partition);
    let sources: BTreeSet<u32> = saved.operators.iter().filter(|o| o.tables.is_empty()).map(|o| o.id).collect();
    let positions = saved.tasks.iter().flat_map(|part| &part.commit.positions);
    let offsets: BTreeMap<_, i64> =
        positions.filter(|p| sources.contains(&p.operator)).map(|p| (place(p), p.offset)).collect();
    let read_on = |p: &&SourcePosition| offsets.get(&place(p)).is_some_and(|offset| *offset != p.offset);
    let Some(position) = commits.values().flat_map(|commit| &commit.positions).find(read_on) else { return Ok(()) };
    let SourcePosition { topic, partition, offset, .. } = position;
    Err(Error::fail_job(format!(
        "incarnation {} of the job has read on after the savepoint {} ({topic}-{partition} to offset {offset}): what it has \
         written since would be written again. Make a savepoint with --stop and start from that, or leave out --replaces to \
         start another job from this one",
        job.identity.incarnation, saved.savepoint
    )))
}

/// Waits until every log has been claimed for good, and released by who did.
fn await_all(request: &StartRequest<'_>) -> Result<()> {
    let tasks = request.assignment.parallelism;
    let from = ranges(request, 0..tasks)?.into_iter().map(|(task, log)| (task, log.start));
    let mut reader = LogReader::new(request.job, request.cluster, "read_committed", from)?;
    let mut ends = vec![LogEnd::default(); tasks as usize];
    let deadline = request.clock().monotonic() + PATIENCE;
    while !ends.iter().all(LogEnd::is_reached) {
        reader.read_some(&mut |task, _, record| {
            ends[task as usize].read(&record);
            Ok(())
        })?;
        if request.clock().monotonic() > deadline {
            let missing: Vec<u32> = (0..tasks).filter(|&task| !ends[task as usize].is_reached()).collect();
            return Err(Error::restart_worker(format!(
                "the earlier incarnation's logs of tasks {missing:?} have not been ended by the workers whose share they are: \
                 start all workers of the job"
            )));
        }
    }
    Ok(())
}
