//! Watches for partitions (and, under a topic pattern, topics) that appear while a job runs, and announces
//! them to the threads that own them. Also notices a topic that was deleted and made again, of which no position
//! holds any more. One thread of its own, so that slow metadata calls hold nothing up.

use super::AddedPartition;
use super::startup::{self, ScanTopics, Startup, describe_topics};
use crate::commit::gate::Report;
use crate::env::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::admin::AdminClient;
use crate::kafka::{ClientOptions, PartitionConsumer};
use millrace_planner::connector::KafkaOptions;
use millrace_planner::plan::NodeId;
use millrace_protocol::assignment::task_of_partition;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
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
}

/// Ends with its owner.
pub struct Discovery {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Discovery {
    /// `targets` reach the threads of this worker's tasks, of `parallelism` of the job.
    pub fn start(
        mut scans: Vec<DiscoveredScan>,
        parallelism: u32,
        targets: BTreeMap<u32, Sender<AddedPartition>>,
        reports: Sender<Report>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (stop, stopped) = channel::<()>();
        let Some(interval) = scans.iter().map(|s| s.interval).min() else {
            return Ok(Self { stop: None, thread: None });
        };
        let mut admins = BTreeMap::new();
        for scan in &scans {
            if let Entry::Vacant(entry) = admins.entry(scan.cluster.clone()) {
                entry.insert(AdminClient::new(&scan.cluster)?);
            }
        }
        let run = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                for scan in &mut scans {
                    match look(scan, &admins[&scan.cluster], parallelism, &targets, clock.as_ref()) {
                        Ok(()) => {}
                        Err(error) if error.kind == ErrorKind::FailJob => {
                            // Without a coordinator the worker is ending already.
                            let _ = reports.send(Report::Failed(error));
                        }
                        Err(error) => {
                            tracing::warn!(table = %scan.table, %error, "could not look for new partitions");
                        }
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("discovery".into())
            .spawn(run)
            .map_err(|e| Error::fail_job("could not start the discovery thread").caused_by(e))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that its log lines have not said.
            let _ = thread.join();
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
