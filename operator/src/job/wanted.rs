//! What a `StreamJob` asks for: its statements planned, everything that can be said without IO checked, and two hashes that
//! tell whether something else runs. The first is of the plan: another one needs a savepoint. The second is of all that
//! pods are started with.

use crate::hosts;
use crate::names::NAME_MAX;
use millrace_crds::StreamJob;
use millrace_crds::stream_job::{DesiredState, ObjectStore, StreamJobSpec};
use millrace_planner::plan::Plan;
use millrace_planner::{PlanOptions, plan_script};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Wanted {
    /// With its SQL inline, and the image that its pods get.
    pub spec: StreamJobSpec,
    pub plan: Plan,
    /// Names of the Secrets that it needs.
    pub secrets: BTreeSet<String>,
    pub plan_hash: String,
    pub settings_hash: String,
    pub suspended: bool,
    pub warnings: Vec<String>,
}

/// A mistake in the object; displays as where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

/// `sql`: of the spec, or of the ConfigMap that it names.
pub fn wanted(job: &StreamJob, sql: &str, image: &str) -> Result<Wanted, Invalid> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if name.len() > NAME_MAX {
        return Err(Invalid(format!(
            "metadata.name: {name} has {} characters, and the names of its pods leave room for {NAME_MAX}: use a shorter one",
            name.len()
        )));
    }
    if let Some(violation) = job.spec.violations().first() {
        return Err(Invalid(format!("{}: {}", violation.path.join("."), violation.message)));
    }
    let mut spec = StreamJobSpec { sql: Some(sql.to_owned()), config_map_ref: None, ..job.spec.clone() };
    let pod = spec.pod.get_or_insert_default();
    pod.image.get_or_insert_with(|| image.to_owned());
    check_places(&spec)?;
    let planned = plan_script(sql, &PlanOptions::default()).map_err(|error| Invalid(sql_message(&error)))?;
    let mut plan = planned.plan;
    check_tables(&mut plan)?;
    Ok(Wanted {
        secrets: secrets(&spec, &plan),
        plan_hash: plan_hash(&plan),
        settings_hash: settings_hash(&spec),
        suspended: spec.desired_state == DesiredState::Suspended,
        warnings: planned.warnings.into_iter().map(|warning| warning.message).collect(),
        spec,
        plan,
    })
}

/// For instance `spec.sql, line 3, column 8: unknown column …; did you mean …`.
fn sql_message(error: &millrace_planner::error::SqlError) -> String {
    let place =
        error.span.as_ref().map_or(String::new(), |span| format!(", line {}, column {}", span.line, span.column));
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("spec.sql{place}: {}{hint}", error.message)
}

/// Hosts and places that a pod may not, or can't, reach.
fn check_places(spec: &StreamJobSpec) -> Result<(), Invalid> {
    let at = |field: &'static str| move |message: String| Invalid(format!("{field}: {message}"));
    hosts::check_servers(&spec.kafka.bootstrap_servers).map_err(at("spec.kafka.bootstrapServers"))?;
    let checkpoints = spec.checkpoint.storage.as_ref().and_then(|storage| storage.object_store.as_ref());
    if let Some(store) = checkpoints {
        check_store(store).map_err(at("spec.checkpoint.storage.objectStore"))?;
    }
    let Some(storage) = spec.savepoint.as_ref().and_then(|savepoint| savepoint.storage.as_ref()) else { return Ok(()) };
    if storage.directory.is_some() {
        let message = "pods share no directory: use an objectStore, or leave storage out to keep savepoints in Kafka";
        return Err(Invalid(format!("spec.savepoint.storage.directory: {message}")));
    }
    storage
        .object_store
        .as_ref()
        .map_or(Ok(()), |store| check_store(store).map_err(at("spec.savepoint.storage.objectStore")))
}

fn check_store(store: &ObjectStore) -> Result<(), String> {
    if store.url.starts_with("file:") {
        return Err("pods share no directory: use an object store, such as s3://bucket/prefix".to_owned());
    }
    hosts::check_url(&store.url)?;
    store.endpoint.as_deref().map_or(Ok(()), hosts::check_url)
}

fn check_tables(plan: &mut Plan) -> Result<(), Invalid> {
    for (table, options) in plan.table_options_mut() {
        if let Some(option) = options.secrets().next() {
            return Err(Invalid(format!(
                "spec.sql: '{option}' of table {table} stands in the SQL, where everybody who may see the job can read it: put \
                 it into a Secret and write '${{secret:NAME:KEY}}' in its place"
            )));
        }
        if let Some(servers) = options.get("properties.bootstrap.servers") {
            hosts::check_servers(servers).map_err(|message| {
                Invalid(format!("spec.sql: 'properties.bootstrap.servers' of table {table}: {message}"))
            })?;
        }
    }
    Ok(())
}

/// The servers that a job connects to, so that what their names resolve to can be checked as well.
pub fn servers(spec: &StreamJobSpec, plan: &Plan) -> Vec<String> {
    let mut plan = plan.clone();
    let tables =
        plan.table_options_mut().filter_map(|(_, options)| options.get("properties.bootstrap.servers").cloned());
    let mut all: Vec<String> = tables.collect();
    all.push(spec.kafka.bootstrap_servers.clone());
    all
}

/// The Secrets that a job names: the only ones that are read for it, and mounted into its pods.
pub fn secrets(spec: &StreamJobSpec, plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(tls) = &spec.kafka.tls {
        names.extend(tls.ca_secret_ref.iter().map(|secret| secret.name.clone()));
        names.extend(tls.certificate_secret_ref.iter().map(|secret| secret.name.clone()));
    }
    names.extend(spec.kafka.sasl.iter().map(|sasl| sasl.secret_ref.name.clone()));
    let stores = [
        spec.checkpoint.storage.as_ref().and_then(|storage| storage.object_store.as_ref()),
        spec.savepoint.as_ref().and_then(|s| s.storage.as_ref()).and_then(|storage| storage.object_store.as_ref()),
    ];
    names.extend(stores.into_iter().flatten().filter_map(|store| store.secret_ref.as_ref()).map(|s| s.name.clone()));
    let mut plan = plan.clone();
    for (_, options) in plan.table_options_mut() {
        names.extend(options.references().map(|(name, _)| name.to_owned()));
    }
    names
}

/// Pods: as many as asked for, but none without a task.
pub fn replicas(spec: &StreamJobSpec, parallelism: u32) -> u32 {
    let asked = spec.replicas.and_then(|replicas| u32::try_from(replicas).ok());
    asked.unwrap_or(parallelism).clamp(1, parallelism.max(1))
}

/// Where the job's savepoints go.
pub fn savepoint_location(spec: &StreamJobSpec) -> String {
    let storage = spec.savepoint.as_ref().and_then(|savepoint| savepoint.storage.as_ref());
    storage.and_then(|storage| storage.object_store.as_ref()).map_or("kafka:".to_owned(), |store| store.url.clone())
}

/// Of a plan without its secrets.
pub fn plan_hash(plan: &Plan) -> String {
    hash(&plan.masked())
}

/// Of everything that pods are started with, except for what has a life of its own in the status: replicas, tasks and
/// statements.
pub fn settings_hash(spec: &StreamJobSpec) -> String {
    let unsaid: StreamJobSpec = serde_json::from_value(serde_json::json!({"kafka": {"bootstrapServers": "-"}}))
        .expect("all else has a default");
    hash(&StreamJobSpec {
        sql: None,
        replicas: None,
        parallelism: None,
        desired_state: unsaid.desired_state,
        savepoint: None,
        upgrade: unsaid.upgrade,
        restore_from: None,
        deletion_policy: unsaid.deletion_policy,
        final_savepoint: None,
        ..spec.clone()
    })
}

fn hash(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_vec(value).expect("plain data always serialises");
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
