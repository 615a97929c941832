//! What is done once for a job before its first worker starts, by whoever creates it: settle how many tasks
//! it has, and make its own topics. Workers never do, or a log that is gone would pass for one that never was.

use crate::commit::{log, own_topics};
use crate::env::Clock;
use crate::error::Result;
use crate::job::Job;
use crate::kafka::ClientOptions;
use crate::kafka::admin::AdminClient;
use crate::tables::Tables;

/// Whether the job's log is there.
pub fn is_prepared(job: &Job, clock: &dyn Clock) -> Result<bool> {
    let admin = AdminClient::new(&ClientOptions::of_job(&job.kafka))?;
    Ok(log::log_parallelism(&admin, job, clock)?.is_some())
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
