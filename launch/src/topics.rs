//! The topics that a job needs: on the embedded broker they are made, on anybody else's Kafka they have to
//! exist. The job's own (its log, for instance) are the runtime's to make; only deleting them is here.

use millrace_job_runtime::env::SystemClock;
use millrace_job_runtime::error::{Error, Result};
use millrace_job_runtime::job::{JobIdentity, Kafka};
use millrace_job_runtime::kafka::admin::AdminClient;
use millrace_job_runtime::kafka::{ClientOptions, access};
use millrace_job_runtime::savepoint::is_savepoint;
use millrace_planner::plan::{Connector, Plan, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions of a topic made here: enough to see parallelism, few enough for a laptop.
pub const PARTITIONS: i32 = 4;

/// A table's own Kafka, in Flink's name for it.
const BOOTSTRAP_SERVERS: &str = "properties.bootstrap.servers";

/// What a topic is for.
struct User {
    name: String,
    reads: bool,
}

pub struct Topics {
    admin: AdminClient,
    bootstrap_servers: String,
    may_create: bool,
}

impl Topics {
    pub fn new(kafka: &Kafka, may_create: bool) -> Result<Self> {
        let cluster = ClientOptions::of_job(kafka);
        access::check(&cluster, SystemClock::shared().as_ref())?;
        let admin = AdminClient::new(&cluster)?;
        Ok(Self { admin, bootstrap_servers: kafka.bootstrap_servers.clone(), may_create })
    }

    /// Sees to it that the topics of the plan's tables exist, and that of failed rows. `known`: the job may have run.
    pub fn prepare(&self, plan: &Plan, dead_letter: Option<&str>, known: bool) -> Result<()> {
        let users = self.users(plan, dead_letter);
        let mut missing = Vec::new();
        for (topic, user) in &users {
            if self.admin.describe(topic)?.is_some() {
                continue;
            }
            if self.may_create {
                self.admin.create(topic, PARTITIONS, 1, &[])?;
                tracing::info!(topic, partitions = PARTITIONS, "created topic");
            } else {
                missing.push(self.how_to_create(topic, user, known));
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::user_fault(missing.join("\n"))) }
    }

    /// Deletes the topics that only this identity uses. Its savepoints may be of use to others.
    pub fn delete_own(&self, identity: &JobIdentity) -> Result<()> {
        let prefix = format!("{}.", identity.topic_prefix());
        let mut topics = self.admin.topics()?;
        topics.retain(|topic| topic.starts_with(&prefix) && !is_savepoint(topic));
        self.admin.delete(&topics)
    }

    /// Each topic of the job's Kafka with what it is for.
    fn users(&self, plan: &Plan, dead_letter: Option<&str>) -> BTreeMap<String, User> {
        let mut users = BTreeMap::new();
        let sources = plan.scans().map(|(_, scan)| (&scan.table, true));
        let tables = sources.chain(plan.sinks().map(|(_, sink)| (&sink.table, false)));
        for (table, reads) in tables.filter(|(table, _)| self.is_on_the_jobs_kafka(table)) {
            for topic in topics_of(table) {
                users.entry(topic).or_insert_with(|| User { name: format!("table `{}`", short_name(table)), reads });
            }
        }
        if let Some(topic) = dead_letter {
            let user = || User { name: "deadLetterTopic".to_owned(), reads: false };
            users.entry(topic.to_owned()).or_insert_with(user);
        }
        users
    }

    fn is_on_the_jobs_kafka(&self, table: &Table) -> bool {
        table.connector == Connector::Kafka
            && table.options.get(BOOTSTRAP_SERVERS).is_none_or(|servers| *servers == self.bootstrap_servers)
    }

    fn how_to_create(&self, topic: &str, user: &User, known: bool) -> String {
        let servers = &self.bootstrap_servers;
        let mut text = format!(
            "the topic {topic} of {} does not exist on Kafka at {servers}; create it, for instance with\n  \
             kafka-topics.sh --bootstrap-server {servers} --create --topic {topic} --partitions {PARTITIONS}",
            user.name
        );
        if known && user.reads {
            text.push_str(
                "\nIf the job has read it before, it was deleted with what the job had not read, and one made again does \
                 not continue it: start the job anew with --discard-state",
            );
        }
        text
    }
}

/// Topics named by a Kafka table; none where it names a pattern.
fn topics_of(table: &Table) -> BTreeSet<String> {
    let names = table.options.get("topic").map(String::as_str).unwrap_or_default();
    names.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A table's name as its author wrote it, without the catalog and database that everybody has.
fn short_name(table: &Table) -> &str {
    table.name.strip_prefix("default_catalog.default_database.").unwrap_or(&table.name)
}
