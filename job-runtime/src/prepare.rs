//! What is done once for a job before its first worker starts, by whoever creates it: settle how many tasks
//! it has, and make its own topics. Workers never do, or a log that is gone would pass for one that never was.

use crate::commit::log::{self, LogReader};
use crate::commit::own_topics;
use crate::env::Clock;
use crate::error::Result;
use crate::job::Job;
use crate::kafka::ClientOptions;
use crate::kafka::admin::{AdminClient, retrying};
use crate::tables::Tables;
use millrace_protocol::record::LogRecord;

/// Whether the job's log is there.
pub fn is_prepared(job: &Job, clock: &dyn Clock) -> Result<bool> {
    let admin = AdminClient::new(&ClientOptions::of_job(&job.kafka))?;
    Ok(log::log_parallelism(&admin, job, clock)?.is_some())
}

/// The number of tasks that the job would have if it were made now: what it says itself, or the largest partition count of
/// its sources. Looks at everything that it reads and writes, and makes nothing.
pub fn parallelism(job: &Job, clock: &dyn Clock) -> Result<u32> {
    let cluster = ClientOptions::of_job(&job.kafka);
    let admin = AdminClient::new(&cluster)?;
    let tables = Tables { job, clock, cluster: &cluster, admin: &admin };
    let scans = tables.open_scans()?;
    tables.describe_sinks()?;
    Ok(tables.wanted_parallelism(&scans))
}

/// Whether any task of the job has a commit. Nobody may be about to make one: its workers have to be gone.
pub fn has_committed(job: &Job, clock: &dyn Clock) -> Result<bool> {
    let cluster = ClientOptions::of_job(&job.kafka);
    let admin = AdminClient::new(&cluster)?;
    let Some(tasks) = log::log_parallelism(&admin, job, clock)? else { return Ok(false) };
    let ranges = LogReader::new(job, &cluster, "read_uncommitted", [])?;
    let starts = (0..tasks).map(|task| Ok((task, retrying(log::PATIENCE, clock, || ranges.range(task))?.start)));
    let starts: Vec<(u32, i64)> = starts.collect::<Result<_>>()?;
    // A log that was cut has had commits.
    if starts.iter().any(|(_, start)| *start > 0) {
        return Ok(true);
    }
    let mut found = false;
    LogReader::new(job, &cluster, "read_committed", starts)?.read_to_end(&mut |_, _, record| {
        found |= matches!(record, LogRecord::Commit(_));
        Ok(())
    })?;
    Ok(found)
}

/// Makes the job's topics and returns its number of tasks. Where they are there already they are checked.
pub fn prepare(job: &Job, clock: &dyn Clock) -> Result<u32> {
    let cluster = ClientOptions::of_job(&job.kafka);
    let admin = AdminClient::new(&cluster)?;
    let tables = Tables { job, clock, cluster: &cluster, admin: &admin };
    let scans = tables.open_scans()?;
    tables.describe_sinks()?;
    let tasks = tables.parallelism(&scans)?;
    let maker = Job { makes_topics: true, ..job.clone() };
    for topic in own_topics::names(job) {
        log::ensure_topic(&admin, clock, &maker, &topic, tasks)?;
    }
    Ok(tasks)
}
