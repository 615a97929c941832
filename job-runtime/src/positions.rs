//! Where every task goes on reading: in its source partitions and in its partitions of the exchanges. From
//! its last commit; what that does not have (at the first start, everything) is settled here and committed
//! before anything is read, so that a restart can't settle it otherwise.

use crate::commit::log::{self, PATIENCE, transaction_timeout};
use crate::commit::start::Started;
use crate::condition::Reason;
use crate::env::Clock;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::kafka::PartitionConsumer;
use crate::kafka::admin::{AdminClient, retrying};
use crate::savepoint::restore::Savepoint;
use crate::source::DatagenSource;
use crate::source::startup::{OpenScan, Ownership, Startup};
use millrace_planner::connector::DatagenOptions;
use millrace_planner::plan::{Connector, Node, NodeId, Operator, Table};
use millrace_protocol::assignment::Assignment;
use millrace_protocol::record::{Commit, LogRecord, SourcePosition};
use std::collections::BTreeMap;

pub(crate) struct Positions<'a> {
    pub(crate) job: &'a Job,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) admin: &'a AdminClient,
    pub(crate) started: &'a Started,
    pub(crate) scans: &'a BTreeMap<NodeId, OpenScan>,
    pub(crate) assignment: &'a Assignment,
    /// The client that reads the exchanges; None where there is nothing to read.
    pub(crate) exchanges: Option<&'a PartitionConsumer>,
}

impl Positions<'_> {
    /// The commit from which each task goes on.
    pub(crate) fn settle(&self) -> Result<BTreeMap<u32, Commit>> {
        let mut restored: Vec<SourcePosition> =
            self.started.commits.values().flatten().flat_map(|c| c.positions.clone()).collect();
        restored.extend(self.of_savepoint());
        let mut positions = Vec::new();
        for (id, node) in self.job.plan.nodes.iter().enumerate() {
            let of_node: Vec<SourcePosition> =
                restored.iter().filter(|p| p.operator == node.operator_id).cloned().collect();
            positions.extend(self.of_node(id, node, of_node)?);
        }
        self.commit(&positions)
    }

    /// Those of tasks that have no commit yet and start from a savepoint.
    fn of_savepoint(&self) -> Vec<SourcePosition> {
        let Some(savepoint) = &self.started.savepoint else { return Vec::new() };
        let new = self.started.commits.iter().filter(|(_, commit)| commit.is_none());
        new.flat_map(|(&task, _)| savepoint.positions(task, self.assignment.parallelism)).collect()
    }

    fn of_node(&self, id: NodeId, node: &Node, restored: Vec<SourcePosition>) -> Result<Vec<SourcePosition>> {
        match &node.operator {
            Operator::Scan(scan) if scan.table.connector == Connector::Datagen => {
                self.of_datagen(node.operator_id, &scan.table, restored)
            }
            Operator::Scan(_) => {
                let scan = &self.scans[&id];
                let startup = Startup {
                    operator: node.operator_id,
                    table: &scan.table,
                    options: &scan.options,
                    topics: &scan.topics,
                    consumer: &scan.consumer,
                    clock: self.clock,
                };
                startup.positions(&restored, |partition| self.ownership(node.operator_id, partition))
            }
            Operator::Values(values) if restored.is_empty() && self.assignment.owns(0) => {
                Ok(vec![generated(node.operator_id, "VALUES", 0, Some(values.rows.len() as i64))])
            }
            Operator::Values(_) => Ok(restored),
            Operator::Exchange(_) => self.of_exchange(node, restored),
            _ => Ok(Vec::new()),
        }
    }

    fn ownership(&self, operator: u32, partition: i32) -> Ownership {
        let known = |savepoint: &Savepoint| savepoint.knows_source(operator);
        match self.started.commits.get(&self.assignment.task_of_partition(partition)) {
            None => Ownership::OtherWorker,
            // What the savepoint does not have of a source that it knows was added since.
            Some(None) if self.started.savepoint.as_ref().is_some_and(known) => Ownership::KnownTask,
            Some(None) => Ownership::NewTask,
            Some(Some(_)) => Ownership::KnownTask,
        }
    }

    fn of_datagen(&self, operator: u32, table: &Table, restored: Vec<SourcePosition>) -> Result<Vec<SourcePosition>> {
        let saved = self.started.savepoint.as_ref().filter(|savepoint| savepoint.knows_source(operator));
        if saved.is_some_and(|savepoint| savepoint.manifest.parallelism != self.assignment.parallelism) {
            return Err(Error::user_fault(format!(
                "table {} makes its rows up, a share for each task, which can't be shared out anew: restore the job with the                  parallelism that it had",
                table.name
            )));
        }
        if !restored.is_empty() {
            return Ok(restored);
        }
        let options = DatagenOptions::from_table(table)
            .map_err(|e| Error::user_fault(format!("table {}", table.name)).caused_by(e))?;
        let share = |task| DatagenSource::share_of(&options, task, self.assignment.parallelism);
        Ok(self.assignment.tasks().map(|task| generated(operator, &table.name, task, share(task))).collect())
    }

    /// What other workers send to our tasks: from the last commit, else all there is, since it is counted
    /// from the first record.
    fn of_exchange(&self, node: &Node, restored: Vec<SourcePosition>) -> Result<Vec<SourcePosition>> {
        let Some(consumer) = self.exchanges else { return Ok(Vec::new()) };
        let topic = self.job.identity.exchange_topic(node);
        let parallelism = self.assignment.parallelism;
        let (topic_id, _) = log::ensure_topic(self.admin, self.clock, self.job, &topic, parallelism)?;
        let mut positions = Vec::new();
        for task in self.assignment.tasks() {
            let partition = task as i32;
            let position = match restored.iter().find(|p| p.partition == partition) {
                Some(position) if position.topic_id != topic_id => {
                    return Err(Error::fail_job(format!(
                        "the job's topic {topic} was deleted and made again: what tasks had sent each other is lost. \
                         Restore the job from a savepoint, or start it anew"
                    ))
                    .because(Reason::LogLost));
                }
                Some(position) => position.clone(),
                None => {
                    let offsets = || consumer.watermarks(&topic, partition);
                    let (offset, _) = retrying(PATIENCE, self.clock, offsets)?;
                    let (topic, topic_id) = (topic.clone(), topic_id.clone());
                    SourcePosition { operator: node.operator_id, topic, topic_id, partition, offset, end: None }
                }
            };
            positions.push(position);
        }
        Ok(positions)
    }

    /// Commits the positions where a task's last commit does not have them all.
    fn commit(&self, positions: &[SourcePosition]) -> Result<BTreeMap<u32, Commit>> {
        let mut commits = BTreeMap::new();
        let mut changed = false;
        for (&task, last) in &self.started.commits {
            let own = |p: &&SourcePosition| self.assignment.task_of_partition(p.partition) == task;
            let own: Vec<SourcePosition> = positions.iter().filter(own).cloned().collect();
            changed |= last.as_ref().is_none_or(|c| c.positions.len() != own.len());
            let sequence = last.as_ref().map_or(0, |c| c.sequence);
            commits.insert(task, Commit { claim: self.started.claims[&task], sequence, positions: own });
        }
        if changed {
            commits.values_mut().for_each(|c| c.sequence += 1);
            let records = commits.iter().map(|(&task, c)| (task, LogRecord::Commit(c.clone()).encode()));
            let (topic, timeout) = (self.job.identity.log_topic(), transaction_timeout(self.job));
            log::commit_alone(
                &self.started.producer,
                &topic,
                records,
                "could not commit the first positions",
                timeout,
            )?;
        }
        Ok(commits)
    }
}

/// A position of a source that makes its rows up.
fn generated(operator: u32, table: &str, task: u32, end: Option<i64>) -> SourcePosition {
    SourcePosition {
        operator,
        topic: table.to_owned(),
        topic_id: String::new(),
        partition: task as i32,
        offset: 0,
        end,
    }
}
