//! Watches for partitions (and, under a topic pattern, topics) that appear while a job runs, and announces
//! them to the threads that own them. Also notices a topic that was deleted and made again, of which no position
//! holds any more. When to look is `watch`'s business.

use super::AddedPartition;
use super::startup::{self, ScanTopics, Startup, describe_topics};
use crate::commit::gate::Report;
use crate::condition::Reason;
use crate::env::Clock;
use crate::error::{ErrorKind, Result};
use crate::kafka::admin::AdminClient;
use crate::kafka::role::Role;
use crate::kafka::{ClientOptions, PartitionConsumer};
use millrace_planner::connector::KafkaOptions;
use millrace_planner::plan::NodeId;
use millrace_protocol::assignment::task_of_partition;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A scan to watch.
pub struct DiscoveredScan {
    pub scan: NodeId,
    pub operator: u32,
    pub table: String,
    pub options: KafkaOptions,
    pub cluster: ClientOptions,
    pub consumer: Arc<PartitionConsumer>,
    /// As known so far.
    pub topics: ScanTopics,
    pub interval: Duration,
    /// How often in a row one of its topics was not found.
    pub missing: u32,
}

/// A topic that is not found so often in a row is gone; a broker may not have heard of it for a moment.
const GONE: u32 = 3;

impl DiscoveredScan {
    fn role(&self) -> Role {
        Role::Source { table: self.table.clone() }
    }
}

pub struct Discovery {
    scans: Vec<DiscoveredScan>,
    admins: BTreeMap<ClientOptions, AdminClient>,
    parallelism: u32,
    targets: BTreeMap<u32, Sender<AddedPartition>>,
    reports: Sender<Report>,
    clock: Arc<dyn Clock>,
}

impl Discovery {
    /// `targets` reach the threads of this worker's tasks, of `parallelism` of the job.
    pub fn new(
        scans: Vec<DiscoveredScan>,
        parallelism: u32,
        targets: BTreeMap<u32, Sender<AddedPartition>>,
        reports: Sender<Report>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut admins = BTreeMap::new();
        for scan in &scans {
            if let Entry::Vacant(entry) = admins.entry(scan.cluster.clone()) {
                entry.insert(AdminClient::new(&scan.cluster)?);
            }
        }
        Ok(Self { scans, admins, parallelism, targets, reports, clock })
    }

    /// How often to look; None where no table asks for it.
    pub fn interval(&self) -> Option<Duration> {
        self.scans.iter().map(|scan| scan.interval).min()
    }

    pub fn look(&mut self) {
        let Self { scans, admins, parallelism, targets, reports, clock } = self;
        for scan in scans {
            match look(scan, &admins[&scan.cluster], *parallelism, targets, clock.as_ref()) {
                Ok(()) => scan.missing = 0,
                Err(error) if error.kind == ErrorKind::FailJob => {
                    // Without a coordinator the worker is ending already.
                    let _ = reports.send(Report::Failed(error));
                }
                Err(error) if error.reason() == Reason::SourceGone && scan.missing + 1 == GONE => {
                    let topics: Vec<&str> = scan.topics.keys().map(String::as_str).collect();
                    let _ = reports.send(Report::Failed(scan.role().gone(&topics.join(", "), "no broker knows it")));
                }
                Err(error) if error.reason() == Reason::SourceGone => {
                    scan.missing += 1;
                    tracing::warn!(table = %scan.table, %error, "looking again for a topic that is not found");
                }
                Err(error) => {
                    tracing::warn!(table = %scan.table, %error, "could not look for new partitions");
                }
            }
        }
    }
}

fn look(
    scan: &mut DiscoveredScan,
    admin: &AdminClient,
    parallelism: u32,
    targets: &BTreeMap<u32, Sender<AddedPartition>>,
    clock: &dyn Clock,
) -> Result<()> {
    let topics = describe_topics(&scan.table, &scan.options.topics, admin, clock)?;
    let startup = Startup {
        operator: scan.operator,
        table: &scan.table,
        options: &scan.options,
        topics: &topics,
        consumer: &scan.consumer,
        clock,
    };
    for (topic, description) in &topics {
        let known = scan.topics.get(topic);
        known.map_or(Ok(()), |known| startup::same_topic(topic, &known.id, description))?;
        for &partition in &description.partitions {
            if known.is_some_and(|k| k.partitions.contains(&partition)) {
                continue;
            }
            // Other workers find theirs.
            let Some(target) = targets.get(&task_of_partition(partition, parallelism)) else { continue };
            let position = startup.appeared(topic, description, partition)?;
            // A thread that is gone has ended with the attempt; the next one reads the topic anew.
            let _ = target.send(AddedPartition { scan: scan.scan, position });
        }
    }
    scan.topics = topics;
    Ok(())
}
