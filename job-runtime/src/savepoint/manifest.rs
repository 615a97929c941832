//! The manifest of a savepoint: what it is of, and what belongs to it. It is written last, so a savepoint without one
//! is none.

use super::compare::{Comparison, compare};
use super::{TOPIC_PART, is_file, is_savepoint, place};
use crate::error::{Error, Result};
use crate::job::{Job, JobIdentity, Kafka};
use crate::operators::state_table::{Scope, state_tables};
use crate::state::TableId;
use crate::storage::{KAFKA_SCHEME, Storage};
use millrace_planner::plan::{Node, Operator, Plan};
use millrace_protocol::savepoint::{TaskPart, check};
use serde::{Deserialize, Serialize};

/// Its name in the savepoint's place.
pub const MANIFEST: &str = "savepoint.json";

/// Raised when a reader of the old form would misread the new one.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    pub savepoint: String,
    /// The version of Millrace that wrote it.
    pub written_by: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    pub job: JobIdentity,
    pub parallelism: u32,
    pub plan: Plan,
    pub operators: Vec<ManifestOperator>,
    pub tasks: Vec<TaskPart>,
}

/// An operator that keeps something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestOperator {
    pub id: u32,
    pub name: String,
    pub tables: Vec<ManifestTable>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestTable {
    pub id: TableId,
    pub name: String,
    pub scope: Scope,
    pub layout: String,
}

impl Manifest {
    /// Of all tasks of a job, which are a consistent cut.
    pub fn new(
        job: &Job,
        parallelism: u32,
        savepoint: &str,
        created_at: i64,
        mut tasks: Vec<TaskPart>,
    ) -> Result<Self> {
        tasks.sort_by_key(|part| part.cut.task);
        let cuts: Vec<_> = tasks.iter().map(|part| &part.cut).collect();
        check(parallelism, &cuts)
            .map_err(|why| Error::user_fault(format!("these tasks are no consistent savepoint: {why:?}")))?;
        Ok(Self {
            format: FORMAT,
            savepoint: savepoint.to_owned(),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            created_at,
            job: job.identity.clone(),
            parallelism,
            plan: job.plan.clone(),
            operators: operators(&job.plan)?,
            tasks,
        })
    }

    /// Writes it into the savepoint's place, once everything that it names is there. Returns what the place is called.
    pub fn publish(&self, location: &str, kafka: &Kafka) -> Result<String> {
        let place = place(&self.job, location, &self.savepoint);
        let storage = Storage::open(&place, Some(kafka))?;
        for file in self.tasks.iter().flat_map(|task| &task.files) {
            let found = storage.size(&file.path)?;
            if found != Some(file.bytes) {
                let found = found.map_or("nothing".to_owned(), |bytes| format!("{bytes} bytes"));
                return Err(Error::user_fault(format!(
                    "{} in {place} has {} bytes where it was written, and here is {found}: all workers need the same \
                     storage",
                    file.path, file.bytes
                )));
            }
        }
        let text = serde_json::to_vec_pretty(self).expect("plain data always serialises");
        storage.put(MANIFEST, text)?;
        Ok(place)
    }

    /// Deletes a savepoint: its manifest first, so that what is left halfway is none. One that was not completed, too.
    /// Says whether there was anything.
    pub fn delete(storage: &Storage) -> Result<bool> {
        if let Some(topic) = storage.location().strip_prefix(KAFKA_SCHEME) {
            if !is_savepoint(topic) {
                return Err(Error::user_fault(format!(
                    "{topic} is no savepoint's topic: those are called JOB{TOPIC_PART}ID"
                )));
            }
            return storage.remove(&[]).map(|()| true);
        }
        let names = match Self::find(storage)? {
            Some(manifest) => {
                let files = manifest.tasks.into_iter().flat_map(|task| task.files);
                std::iter::once(MANIFEST.to_owned()).chain(files.map(|file| file.path)).collect()
            }
            None => storage.names()?,
        };
        if let Some(other) = names.iter().find(|name| *name != MANIFEST && !is_file(name)) {
            let location = storage.location();
            return Err(Error::user_fault(format!(
                "{location} is no savepoint: it has {other}, and no {MANIFEST}; name the folder that the savepoint is in"
            )));
        }
        storage.remove(&names).map(|()| !names.is_empty())
    }

    /// What becomes of its state under a plan.
    pub fn compare(&self, plan: &Plan) -> Result<Comparison> {
        Ok(compare(&self.operators, &operators(plan)?))
    }

    /// Reads it from a savepoint's place.
    pub fn read(storage: &Storage) -> Result<Self> {
        Self::find(storage)?.ok_or_else(|| {
            let location = storage.location();
            Error::user_fault(format!(
                "{location} has no {MANIFEST}: it is no savepoint, or one that was not completed; name the folder or the \
                 topic that the savepoint is in"
            ))
        })
    }

    /// The same; None where there is none.
    fn find(storage: &Storage) -> Result<Option<Self>> {
        let Some(text) = storage.get(MANIFEST)? else { return Ok(None) };
        let location = storage.location();
        let unreadable = |why: String| Error::user_fault(format!("{MANIFEST} in {location} can't be read: {why}"));
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        if value["format"] != FORMAT {
            let why = format!("its format is {}, this version of Millrace reads {FORMAT}", value["format"]);
            return Err(unreadable(format!("{why}: use the version that wrote it, {}", value["writtenBy"])));
        }
        serde_json::from_value(value).map(Some).map_err(|e| unreadable(e.to_string()))
    }
}

/// The operators of a plan that keep something: state, or positions in a source.
pub fn operators(plan: &Plan) -> Result<Vec<ManifestOperator>> {
    let mut found = Vec::new();
    for node in &plan.nodes {
        let tables: Vec<ManifestTable> = state_tables(plan, node)?
            .into_iter()
            .map(|t| ManifestTable { id: t.id, name: t.name.to_owned(), scope: t.scope, layout: t.layout })
            .collect();
        let is_source = matches!(node.operator, Operator::Scan(_) | Operator::Values(_));
        if is_source || !tables.is_empty() {
            found.push(ManifestOperator { id: node.operator_id, name: name(node), tables });
        }
    }
    Ok(found)
}

fn name(node: &Node) -> String {
    match &node.operator {
        Operator::Scan(scan) => format!("Scan of {}", scan.table.name),
        Operator::Values(_) => "Values".to_owned(),
        Operator::Watermark(_) => "Watermark".to_owned(),
        Operator::GlobalWindowAggregate(_) => "GlobalWindowAggregate".to_owned(),
        Operator::WindowJoin(_) => "WindowJoin".to_owned(),
        Operator::Exchange(_) => "Exchange".to_owned(),
        _ => "Operator".to_owned(),
    }
}
