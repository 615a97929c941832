//! The job's tables as Kafka has them: clients and topics of its scans, partitions of its sinks, and the
//! parallelism that follows.

use crate::commit::log::{self, PATIENCE};
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::kafka::admin::{AdminClient, retrying};
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::role::Role;
use crate::kafka::size::TopicLimits;
use crate::kafka::{ClientOptions, PartitionConsumer, access};
use crate::source::startup::{OpenScan, describe_topics};
use millrace_planner::connector::KafkaOptions;
use millrace_planner::plan::{Connector, NodeId};
use millrace_protocol::assignment::MAX_PARALLELISM;
use std::collections::BTreeMap;

pub(crate) struct Tables<'a> {
    pub(crate) job: &'a Job,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) cluster: &'a ClientOptions,
    pub(crate) admin: &'a AdminClient,
}

impl Tables<'_> {
    /// The clients and topics of every Kafka scan.
    pub(crate) fn open_scans(&self) -> Result<BTreeMap<NodeId, OpenScan>> {
        let kafka: Vec<_> = self.job.plan.scans().filter(|(_, s)| s.table.connector == Connector::Kafka).collect();
        let queued_bytes = self.job.memory.fetch / kafka.len().max(1) / self.job.threads();
        let mut clusters = Clusters { own: self.cluster, clock: self.clock, admins: BTreeMap::new() };
        let mut scans = BTreeMap::new();
        for (id, scan) in kafka {
            let table = &scan.table.name;
            let options = KafkaOptions::from_table(&scan.table)
                .map_err(|e| Error::user_fault(format!("table {table}")).caused_by(e))?;
            let (cluster, admin) = clusters.of_table(&options).map_err(|e| e.context(format!("table {table}")))?;
            let topics = describe_topics(table, &options.topics, admin, self.clock)?;
            let isolation = options.client.get("isolation.level").map_or("read_committed", String::as_str);
            let group = options.group_id.clone().unwrap_or_else(|| self.job.identity.topic_prefix());
            let settings = ConsumerSettings {
                group_id: group,
                isolation_level: isolation.to_owned(),
                queued_bytes,
                role: Role::Source { table: table.clone() },
            };
            let consumer = PartitionConsumer::new(&cluster, &settings)?;
            scans.insert(id, OpenScan { table: table.clone(), options, cluster, consumer, topics });
        }
        Ok(scans)
    }

    /// What there is to know of the topics that are written to.
    pub(crate) fn describe_sinks(&self) -> Result<SinkTopics> {
        let mut sinks = SinkTopics::default();
        for (id, sink) in self.job.plan.sinks().filter(|(_, s)| s.table.connector == Connector::Kafka) {
            let table = &sink.table.name;
            let options = KafkaOptions::from_table(&sink.table)
                .map_err(|e| Error::user_fault(format!("table {table}")).caused_by(e))?;
            let elsewhere =
                options.bootstrap_servers.as_ref().is_some_and(|servers| *servers != self.cluster.bootstrap_servers);
            if elsewhere && !same_cluster(self.admin, &options)? {
                return Err(Error::user_fault(format!(
                    "table {table} is in another Kafka cluster than the job's: writing exactly once to another cluster is not \
                     supported yet. Leave out its 'properties.bootstrap.servers', or run the job on that cluster"
                )));
            }
            let Some(topic) = options.topics.only() else {
                return Err(Error::user_fault(format!("table {table} is written to, so it needs exactly one topic")));
            };
            let description = retrying(PATIENCE, self.clock, || self.admin.describe(topic))?.ok_or_else(|| {
                Error::user_fault(format!(
                    "topic {topic}, the sink of table {table}, does not exist: create it \
                     (kafka-topics --create --topic {topic} --partitions N)"
                ))
            })?;
            sinks.partitions.insert(id, description.partitions.len() as i32);
            self.add_limit(topic, &mut sinks.limits)?;
        }
        if let Some(topic) = &self.job.dead_letter_topic {
            if retrying(PATIENCE, self.clock, || self.admin.describe(topic))?.is_none() {
                return Err(Error::user_fault(format!(
                    "the dead-letter topic {topic} does not exist: create it first"
                )));
            }
            self.add_limit(topic, &mut sinks.limits)?;
        }
        Ok(sinks)
    }

    fn add_limit(&self, topic: &str, limits: &mut TopicLimits) -> Result<()> {
        if !limits.0.contains_key(topic) {
            let limit = retrying(PATIENCE, self.clock, || self.admin.max_message_bytes(topic))?;
            limits.0.insert(topic.to_owned(), limit);
        }
        Ok(())
    }

    /// Number of tasks: what the log has, else what the job says, else the largest partition count.
    pub(crate) fn parallelism(&self, scans: &BTreeMap<NodeId, OpenScan>) -> Result<u32> {
        if let Some(tasks) = log::log_parallelism(self.admin, self.job, self.clock)? {
            return Ok(tasks);
        }
        Ok(self.wanted_parallelism(scans))
    }

    /// The same for a job that has no log yet.
    pub(crate) fn wanted_parallelism(&self, scans: &BTreeMap<NodeId, OpenScan>) -> u32 {
        let partitions = scans.values().flat_map(|s| s.topics.values()).map(|t| t.partitions.len() as u32).max();
        let tasks = self.job.parallelism.or(partitions).unwrap_or(1).max(1);
        if tasks > MAX_PARALLELISM {
            tracing::warn!(tasks, "a job has at most {MAX_PARALLELISM} tasks; partitions share them");
        }
        tasks.min(MAX_PARALLELISM)
    }
}

/// The topics of the Kafka sinks, and of failed rows.
#[derive(Default)]
pub(crate) struct SinkTopics {
    /// Of each sink's topic.
    pub(crate) partitions: BTreeMap<NodeId, i32>,
    pub(crate) limits: TopicLimits,
}

/// Admin clients of the clusters that tables name.
struct Clusters<'a> {
    own: &'a ClientOptions,
    clock: &'a dyn Clock,
    admins: BTreeMap<ClientOptions, AdminClient>,
}

impl Clusters<'_> {
    fn of_table(&mut self, options: &KafkaOptions) -> Result<(ClientOptions, &AdminClient)> {
        let mut cluster = self.own.clone();
        if let Some(servers) = &options.bootstrap_servers {
            cluster.bootstrap_servers.clone_from(servers);
        }
        cluster.options.extend(options.client.iter().map(|(name, value)| (name.clone(), value.clone())));
        if cluster != *self.own && !self.admins.contains_key(&cluster) {
            access::check(&cluster, self.clock)?;
        }
        let admin = match self.admins.entry(cluster.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let admin = AdminClient::new(entry.key())?;
                entry.insert(admin)
            }
        };
        Ok((cluster, admin))
    }
}

fn same_cluster(admin: &AdminClient, options: &KafkaOptions) -> Result<bool> {
    let other = ClientOptions {
        bootstrap_servers: options.bootstrap_servers.clone().unwrap_or_default(),
        options: options.client.clone(),
    };
    let id = admin.cluster_id();
    Ok(id.is_some() && id == AdminClient::new(&other)?.cluster_id())
}
