//! Reads a `StreamJob` from the text of a manifest, as a person wrote it: every field that the schema does
//! not know is an error, and every error says where it stands. The operator doesn't come here: what the API
//! server stored is read leniently. No IO.

mod document;
mod position;
mod schema;

pub use position::{EmbeddedText, Position};

use crate::stream_job::StreamJob;
use document::Document;
use serde_json::Value;
use std::fmt;

/// What stands in the way of running a manifest: at least one problem, each with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct ManifestError {
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Fields and indexes from the root of the object: `spec.kafka.bootstrapServers`; empty for the text as
    /// a whole.
    pub path: String,
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// None where the text as a whole is meant.
    pub position: Option<Position>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "line {}, column {}: ", position.line, position.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

impl From<Problem> for ManifestError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(String),
    Index(usize),
}

/// A place in an object: the value that `steps` lead to, or the key of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    steps: Vec<Step>,
    key: bool,
}

/// Reads the one `StreamJob` of a manifest, which may have other objects beside it, in documents of their own.
pub fn read(yaml: &str) -> Result<StreamJob, ManifestError> {
    let document = stream_job_document(yaml)?;
    let known = schema::stream_job();
    let mut problems = schema::check(&document.value, &known);
    if problems.is_empty() {
        match serde_json::from_value::<StreamJob>(document.value.clone()) {
            Ok(job) => {
                problems.extend(job.spec.violations().into_iter().map(|violation| schema::Finding {
                    place: Place::fields(&violation.path),
                    message: violation.message,
                    hint: None,
                }));
                if problems.is_empty() {
                    return Ok(job);
                }
            }
            // The schema is made from the types, so what it lets pass is read; this is for what it can't say.
            Err(error) => problems.push(schema::Finding::whole(error.to_string())),
        }
    }
    let problems = problems.into_iter().map(|finding| document.problem(yaml, finding)).collect();
    Err(ManifestError { problems })
}

/// The text at `path` of the manifest's `StreamJob`, with the way from its lines to the file's.
pub fn embedded_text(yaml: &str, path: &[&str]) -> Option<EmbeddedText> {
    let document = stream_job_document(yaml).ok()?;
    position::embedded_text(yaml, document.index, &Place::fields(path))
}

/// The value of a ConfigMap's key, where the ConfigMap is in the manifest too.
pub fn config_map_value(yaml: &str, name: &str, key: &str) -> Option<String> {
    let documents = document::all(yaml).ok()?;
    let map = documents.iter().find(|document| {
        let value = &document.value;
        document.kind() == Some("ConfigMap") && value["apiVersion"] == "v1" && value["metadata"]["name"] == name
    })?;
    map.value["data"][key].as_str().map(str::to_owned)
}

fn stream_job_document(yaml: &str) -> Result<Document, ManifestError> {
    let documents = document::all(yaml)?;
    let others: Vec<String> = documents.iter().filter_map(|d| d.kind().map(str::to_owned)).collect();
    let untyped = documents.iter().find(|d| d.kind().is_none()).map(|d| d.index);
    let mut jobs = documents.into_iter().filter(|d| d.kind() == Some("StreamJob"));
    match (jobs.next(), jobs.next()) {
        (Some(job), None) => {
            job.check_version(yaml)?;
            Ok(job)
        }
        (Some(_), Some(second)) => {
            let finding = schema::Finding {
                place: Place { steps: vec![Step::Field("kind".into())], key: true },
                message: "this is a second StreamJob: a manifest to run has exactly one".into(),
                hint: Some("put each job into a file of its own".into()),
            };
            Err(second.problem(yaml, finding).into())
        }
        (None, _) => {
            let found = match (others.is_empty(), untyped) {
                (false, _) => format!("the file has no StreamJob, only {}", others.join(", ")),
                (true, Some(_)) => "the document has no `kind`".to_owned(),
                (true, None) => "the file is empty".to_owned(),
            };
            let hint = format!(
                "a manifest begins with `apiVersion: {}/{}` and `kind: StreamJob`",
                crate::GROUP,
                crate::VERSION
            );
            Err(Problem { path: String::new(), message: found, hint: Some(hint), position: None }.into())
        }
    }
}

impl Place {
    fn fields(fields: &[&str]) -> Self {
        Self { steps: fields.iter().map(|field| Step::Field((*field).to_owned())).collect(), key: false }
    }

    /// Fields in dots, indexes in brackets; a name with a dot in it is quoted.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) if name.contains('.') => path.push_str(&format!("[\"{name}\"]")),
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        path
    }
}

/// What a person calls a value of YAML.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() <= 40 && !s.contains('\n') => format!("the text \"{s}\""),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

#[cfg(test)]
mod tests;
