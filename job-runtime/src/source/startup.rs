//! Which partitions a scan has, and where each starts and ends: settled once, at a job's very first start,
//! and read back from the last commit ever after. Partitions that appear later are read from their
//! beginning.

use super::{AssignedPartition, PartitionId};
use crate::condition::Reason;
use crate::env::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::admin::{AdminClient, TopicDescription, retrying};
use crate::kafka::{ClientOptions, PartitionConsumer};
use millrace_planner::connector::{BoundedMode, KafkaOptions, OffsetReset, StartupMode, Topics};
use millrace_protocol::assignment::task_of_partition;
use millrace_protocol::record::SourcePosition;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long Kafka may be out of reach before the start fails.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(15);

/// A scan's topics as the cluster has them.
pub type ScanTopics = BTreeMap<String, TopicDescription>;

/// Looks the scan's topics up. A listed topic that doesn't exist is the user's error, whether it was deleted or never
/// made, which nobody knows here; a pattern may match none.
pub fn describe_topics(table: &str, topics: &Topics, admin: &AdminClient, clock: &dyn Clock) -> Result<ScanTopics> {
    let names = match topics {
        Topics::List(names) => names.clone(),
        Topics::Pattern(pattern) => {
            let pattern = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
                Error::user_fault(format!("'topic-pattern' of table {table} is not a regular expression")).caused_by(e)
            })?;
            let mut all = retrying(PATIENCE, clock, || admin.topics())?;
            all.retain(|name| pattern.is_match(name) && !name.starts_with("__"));
            all
        }
    };
    let mut found = ScanTopics::new();
    for name in names {
        match retrying(PATIENCE, clock, || admin.describe(&name))? {
            Some(description) => {
                found.insert(name, description);
            }
            None => {
                return Err(Error::user_fault(format!(
                    "topic {name}, the source of table {table}, does not exist. For a new job, create it \
                     (kafka-topics --create --topic {name} --partitions N). If the job has read it, it was deleted with \
                     what the job had not read, and one made again does not continue it: start the job anew \
                     (millrace run --discard-state), or without this table from a savepoint"
                ))
                .because(Reason::SourceGone));
            }
        }
    }
    Ok(found)
}

/// A Kafka scan with its client and topics.
pub struct OpenScan {
    pub table: String,
    pub options: KafkaOptions,
    pub cluster: ClientOptions,
    pub consumer: Arc<PartitionConsumer>,
    pub topics: ScanTopics,
}

/// Who reads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    OtherWorker,
    /// A task that has never committed: the job starts here.
    NewTask,
    /// A task that has: what it does not know has appeared since.
    KnownTask,
}

/// What a scan's positions are settled from.
pub struct Startup<'a> {
    pub operator: u32,
    pub table: &'a str,
    pub options: &'a KafkaOptions,
    pub topics: &'a ScanTopics,
    pub consumer: &'a PartitionConsumer,
    pub clock: &'a dyn Clock,
}

impl Startup<'_> {
    /// The position of every partition of this worker: from `restored` (of this scan's operator) where it is
    /// there.
    pub fn positions(
        &self,
        restored: &[SourcePosition],
        ownership: impl Fn(i32) -> Ownership,
    ) -> Result<Vec<SourcePosition>> {
        let mut known: BTreeMap<(&str, i32), &SourcePosition> =
            restored.iter().map(|p| ((p.topic.as_str(), p.partition), p)).collect();
        let mut positions = Vec::new();
        for (topic, description) in self.topics {
            for &partition in &description.partitions {
                let position = match (known.remove(&(topic.as_str(), partition)), ownership(partition)) {
                    (Some(position), _) => self.checked(position, description)?,
                    (None, Ownership::OtherWorker) => continue,
                    (None, Ownership::NewTask) => self.first(topic, description, partition)?,
                    (None, Ownership::KnownTask) => self.appeared(topic, description, partition)?,
                };
                positions.push(position);
            }
        }
        if let Some(((topic, partition), _)) = known.pop_first() {
            return Err(Error::fail_job(format!(
                "{topic}-{partition}, which the job has read as the source of table {}, no longer exists: its topic was \
                 deleted, or made again with fewer partitions. Start the job anew (millrace run --discard-state)",
                self.table
            ))
            .because(Reason::SourceGone));
        }
        Ok(positions)
    }

    fn checked(&self, position: &SourcePosition, description: &TopicDescription) -> Result<SourcePosition> {
        same_topic(&position.topic, &position.topic_id, description)?;
        Ok(position.clone())
    }

    /// A partition that was not there at the last commit.
    pub fn appeared(&self, topic: &str, description: &TopicDescription, partition: i32) -> Result<SourcePosition> {
        let (low, _) = self.ends(topic, partition)?;
        tracing::info!(topic, partition, offset = low, "reading a partition that was added");
        Ok(self.position(topic, description, partition, low, None))
    }

    fn first(&self, topic: &str, description: &TopicDescription, partition: i32) -> Result<SourcePosition> {
        let (low, high) = self.ends(topic, partition)?;
        let offset = match &self.options.startup {
            StartupMode::EarliestOffset => low,
            StartupMode::LatestOffset => high,
            StartupMode::Timestamp(millis) => self.at_time(topic, partition, *millis)?.unwrap_or(high),
            StartupMode::SpecificOffsets(offsets) => match offsets.get(&partition) {
                Some(&offset) => offset,
                None => self.committed(topic, partition)?.unwrap_or(low),
            },
            StartupMode::GroupOffsets { reset } => match (self.committed(topic, partition)?, reset) {
                (Some(offset), _) => offset,
                (None, OffsetReset::Earliest) => low,
                (None, OffsetReset::Latest) => high,
                (None, OffsetReset::None) => return Err(self.nothing_committed(topic, partition)),
            },
        };
        let end = match &self.options.bounded {
            BoundedMode::Unbounded => None,
            BoundedMode::LatestOffset => Some(high),
            BoundedMode::GroupOffsets => match self.committed(topic, partition)? {
                Some(offset) => Some(offset),
                None => return Err(self.nothing_committed(topic, partition)),
            },
            BoundedMode::Timestamp(millis) => Some(self.at_time(topic, partition, *millis)?.unwrap_or(high)),
            BoundedMode::SpecificOffsets(offsets) => Some(offsets.get(&partition).copied().unwrap_or(offset)),
        };
        Ok(self.position(topic, description, partition, offset, end))
    }

    fn nothing_committed(&self, topic: &str, partition: i32) -> Error {
        let group = self.options.group_id.as_deref().unwrap_or("(none)");
        Error::user_fault(format!(
            "table {} starts at its group's offsets, but group {group} has none for {topic}-{partition}: set \
             'scan.startup.mode' = 'earliest-offset', or 'properties.auto.offset.reset' = 'earliest'",
            self.table
        ))
    }

    fn position(
        &self,
        topic: &str,
        description: &TopicDescription,
        partition: i32,
        offset: i64,
        end: Option<i64>,
    ) -> SourcePosition {
        SourcePosition {
            operator: self.operator,
            topic: topic.to_owned(),
            topic_id: description.id.clone(),
            partition,
            offset,
            end,
        }
    }

    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        retrying(PATIENCE, self.clock, || self.consumer.watermarks(topic, partition))
    }

    fn at_time(&self, topic: &str, partition: i32, millis: i64) -> Result<Option<i64>> {
        retrying(PATIENCE, self.clock, || self.consumer.offset_for_time(topic, partition, millis, TIMEOUT))
    }

    fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        if self.options.group_id.is_none() {
            return Err(Error::new(
                ErrorKind::UserFault,
                format!("table {} starts at its group's offsets, but has no 'properties.group.id'", self.table),
            ));
        }
        let offsets = retrying(PATIENCE, self.clock, || self.consumer.committed(topic, &[partition], TIMEOUT))?;
        Ok(offsets.into_iter().next().flatten())
    }
}

/// Gives a position to the task that owns its partition.
pub fn assign(position: &SourcePosition, tasks: u32) -> AssignedPartition {
    AssignedPartition {
        task: task_of_partition(position.partition, tasks),
        partition: PartitionId { topic: position.topic.clone(), partition: position.partition },
        start: position.offset,
        end: position.end,
    }
}
/// Refuses a topic that is another than the one with this id, which positions are of. Where the broker tells no ids,
/// nobody knows.
pub fn same_topic(topic: &str, id: &str, description: &TopicDescription) -> Result<()> {
    if id.is_empty() || description.id.is_empty() || id == description.id {
        return Ok(());
    }
    Err(Error::fail_job(format!(
        "topic {topic} was deleted and made again since the job's last commit (topic id {id} then, {} now): its offsets mean \
         other records. Start the job anew to read it from its beginning",
        description.id
    ))
    .because(Reason::SourceGone))
}
