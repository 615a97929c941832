//! The topic of a job's task logs: its names, making and checking it, reading and writing its partitions.
//! What its records mean is the protocol's business.

use super::own_topics::keep_for_ever;
use crate::batch::SourceRecords;
use crate::condition::Reason;
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::job::{Job, JobIdentity};
use crate::kafka::admin::{AdminClient, KEPT_FOR_EVER, retrying};
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::role::Role;
use crate::kafka::size::{BATCH_BYTES, MAX_MESSAGE_BYTES, OWN_TOPIC_BYTES};
use crate::kafka::{
    ClientOptions, CommitOutcome, FetchQueue, Fetched, OutgoingRecord, PartitionConsumer, TransactionalProducer,
};
use millrace_protocol::record::LogRecord;
use millrace_protocol::recover::LogRange;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long Kafka may be out of reach before a start is given up (and tried again by the supervisor).
pub const PATIENCE: Duration = Duration::from_secs(60);

/// With what a topic of the job's own is made.
fn own_config(max_message_bytes: &str) -> Vec<(&str, &str)> {
    KEPT_FOR_EVER.into_iter().chain([(MAX_MESSAGE_BYTES, max_message_bytes)]).collect()
}

/// Whether a topic of the job's own takes records as large as the job writes them, and how to mend it.
fn check_record_size(topic: &str, config: &BTreeMap<String, String>) -> Result<()> {
    let value = config.get(MAX_MESSAGE_BYTES).map_or("", String::as_str);
    match value.parse::<usize>() {
        Ok(bytes) if bytes >= BATCH_BYTES => Ok(()),
        _ => Err(Error::fail_job(format!(
            "the job's topic {topic} has {MAX_MESSAGE_BYTES}={value}, which is less than the job's records take: set it back to \
             {OWN_TOPIC_BYTES} (kafka-configs --alter --entity-type topics --entity-name {topic} --add-config \
             {MAX_MESSAGE_BYTES}={OWN_TOPIC_BYTES})"
        ))
        .because(Reason::RecordTooLarge)),
    }
}

impl JobIdentity {
    /// First part of the names of the job's own topics.
    pub fn topic_prefix(&self) -> String {
        let uid: String = self.uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}.{}.{uid}.{}", self.namespace, self.name, self.incarnation)
    }

    pub fn log_topic(&self) -> String {
        format!("{}.log", self.topic_prefix())
    }

    pub fn transactional_id(&self, ordinal: u32) -> String {
        format!("{}.{}.{}.{}.{ordinal}", self.namespace, self.uid, self.incarnation, self.generation)
    }
}

/// A transaction lives at most this long without its worker.
pub fn transaction_timeout(job: &Job) -> Duration {
    (job.commit_interval * 4).max(job.transaction_timeout)
}

/// The parallelism that the job's log fixes; None before the first start.
pub fn log_parallelism(admin: &AdminClient, job: &Job, clock: &dyn Clock) -> Result<Option<u32>> {
    let topic = job.identity.log_topic();
    let found = retrying(PATIENCE, clock, || admin.describe(&topic))?;
    Ok(found.map(|log| log.partitions.len() as u32))
}

/// Makes a topic of the job's own with a partition for each task, or checks the one there is. Returns its id
/// and whether it was there.
pub fn ensure_topic(
    admin: &AdminClient,
    clock: &dyn Clock,
    job: &Job,
    topic: &str,
    tasks: u32,
) -> Result<(String, bool)> {
    let describe = || admin.describe(topic);
    let existed = retrying(PATIENCE, clock, describe)?.is_some();
    if !existed && !job.makes_topics {
        return Err(Error::fail_job(format!(
            "the job's topic {topic} does not exist: if the job is new, make its topics first (millrace job); if not, it \
             was deleted, and the job has to be restored from a savepoint or started anew"
        ))
        .because(Reason::LogLost));
    }
    if !existed {
        let partitions = i32::try_from(tasks).expect("at most 1024 tasks");
        let max_message_bytes = OWN_TOPIC_BYTES.to_string();
        let config = own_config(&max_message_bytes);
        let create = || admin.create(topic, partitions, job.kafka.replication, &config);
        retrying(PATIENCE, clock, create)?;
    }
    let ready = || describe()?.ok_or_else(|| Error::retry(format!("topic {topic} is not there yet")));
    let description = retrying(PATIENCE, clock, ready)?;
    if description.partitions.len() != tasks as usize {
        return Err(Error::fail_job(format!(
            "the job's topic {topic} has {} partitions, the job {tasks} tasks: the parallelism of a running job changes \
             only through a savepoint",
            description.partitions.len(),
        ))
        .because(Reason::InvalidJob));
    }
    let config = retrying(PATIENCE, clock, || keep_for_ever(admin, topic))?;
    check_record_size(topic, &config)?;
    Ok((description.id, existed))
}

/// Writes a record for each of some tasks into the producer's open transaction.
pub fn write(
    producer: &Arc<TransactionalProducer>,
    log: &str,
    records: impl IntoIterator<Item = (u32, Vec<u8>)>,
) -> Result<()> {
    let topic = producer.topic(log)?;
    let mut scratch = Default::default();
    for (task, record) in records {
        let record = OutgoingRecord { key: None, payload: Some(&record) };
        topic.produce(Some(task as i32), std::iter::once(record), &mut scratch)?;
    }
    Ok(())
}

/// Writes records in a transaction of their own, to its end. Whatever else is heard, the worker starts again:
/// the log then says what happened.
pub fn commit_alone(
    producer: &Arc<TransactionalProducer>,
    log: &str,
    records: impl IntoIterator<Item = (u32, Vec<u8>)>,
    what: &str,
    timeout: Duration,
) -> Result<()> {
    producer.begin()?;
    write(producer, log, records)?;
    match producer.commit(timeout) {
        CommitOutcome::Clean => Ok(()),
        CommitOutcome::Retried => Err(Error::restart_worker(format!("{what}: committed by a retried request"))),
        CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => Err(error.context(what)),
    }
}

/// Reads the logs of some tasks from given offsets.
pub struct LogReader {
    consumer: Arc<PartitionConsumer>,
    queue: FetchQueue,
    topic: String,
    /// By task: the offset at which its log was seen to end.
    ended: BTreeMap<u32, Option<i64>>,
}

impl LogReader {
    pub fn new(
        job: &Job,
        cluster: &ClientOptions,
        isolation_level: &str,
        from: impl IntoIterator<Item = (u32, i64)>,
    ) -> Result<Self> {
        let settings = ConsumerSettings {
            group_id: format!("{}.log-reader", job.identity.topic_prefix()),
            isolation_level: isolation_level.to_owned(),
            queued_bytes: job.memory.fetch,
            role: Role::Log,
        };
        let topic = job.identity.log_topic();
        let consumer = PartitionConsumer::new(cluster, &settings)?;
        // A worker that has the tasks still may cut their logs.
        let queue = FetchQueue::new(&consumer, 1024).expecting_cuts();
        let mut ended = BTreeMap::new();
        for (task, offset) in from {
            consumer.assign(&topic, task as i32, offset, &queue)?;
            ended.insert(task, None);
        }
        Ok(Self { consumer, queue, topic, ended })
    }

    /// Calls `visit(task, offset, record)` for what is there now. Returns when every partition's end was
    /// seen, or at the first error.
    pub fn read_to_end(&mut self, visit: &mut dyn FnMut(u32, i64, LogRecord<'_>) -> Result<()>) -> Result<()> {
        while !self.has_ended() {
            self.read_some(visit)?;
        }
        Ok(())
    }

    /// Whether every log was read to its end, as that was then.
    pub fn has_ended(&self) -> bool {
        self.ended.values().all(Option::is_some)
    }

    /// Where a log was seen to end.
    pub fn read_to(&self, task: u32) -> i64 {
        self.ended.get(&task).copied().flatten().unwrap_or(0)
    }

    pub fn read_some(&mut self, visit: &mut dyn FnMut(u32, i64, LogRecord<'_>) -> Result<()>) -> Result<u64> {
        let mut fetched = Vec::new();
        self.queue.fetch(Duration::from_millis(5), &mut fetched)?;
        let mut count = 0;
        for item in fetched {
            match item {
                Fetched::EndOfPartition { partition, next, .. } => {
                    self.ended.insert(partition as u32, Some(next));
                }
                Fetched::Records(records) => {
                    let task = records.partition() as u32;
                    for index in 0..records.len() {
                        let offset = records.offset(index);
                        let at = || format!("task {task}, offset {offset}");
                        let payload =
                            records.payload(index).ok_or_else(|| Error::fail_job("a record is empty").context(at()))?;
                        let record = LogRecord::decode(payload).map_err(|e| Error::from(e).context(at()))?;
                        visit(task, offset, record)?;
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }

    /// What there is of a log, up to the last record of open transactions too.
    pub fn range(&self, task: u32) -> Result<LogRange> {
        let ask = || self.consumer.watermarks(&self.topic, task as i32);
        // One after the other: asked for at once, the end may be the older of the two.
        let (start, _) = ask()?;
        let (_, end) = ask()?;
        Ok(LogRange { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_takes_less_than_the_job_writes_is_named_with_what_to_set() {
        let check = |bytes: &str| check_record_size("log", &[(MAX_MESSAGE_BYTES.to_owned(), bytes.to_owned())].into());
        // As it is made, and as an earlier version made it.
        check(&OWN_TOPIC_BYTES.to_string()).unwrap();
        check("1048588").unwrap();
        let error = check("999999").unwrap_err();
        assert_eq!(error.reason(), Reason::RecordTooLarge);
        for part in ["max.message.bytes=999999", "--entity-name log --add-config max.message.bytes="] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
