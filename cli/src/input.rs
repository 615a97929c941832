//! A job from a file: a StreamJob manifest or plain SQL, planned, with every mistake pointed at in that file.

use crate::report::{Diagnostic, Failure, Mark, Severity};
use millrace_crds::StreamJob;
use millrace_crds::manifest::{self, EmbeddedText, Position};
use millrace_planner::ast::Span;
use millrace_planner::error::SqlError;
use millrace_planner::plan::Plan;
use millrace_planner::{PlanOptions, Planned};
use std::path::Path;

/// A valid job.
pub(crate) struct Input {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// None for a plain SQL file.
    pub(crate) manifest: Option<StreamJob>,
    pub(crate) plan: Plan,
    /// What runs all the same, but perhaps not as meant.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A `.sql` file is SQL; anything else has to be a manifest.
pub(crate) fn read(path: &Path) -> Result<Input, Failure> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql")) {
        read_sql(path)
    } else {
        read_manifest(path)
    }
}

pub(crate) fn read_sql(path: &Path) -> Result<Input, Failure> {
    let file = SourceFile::read(path)?;
    let (plan, warnings) = file.plan(&file.text, None)?;
    Ok(Input { namespace: DEFAULT_NAMESPACE.to_owned(), name: job_name(path), manifest: None, plan, warnings })
}

pub(crate) fn read_manifest(path: &Path) -> Result<Input, Failure> {
    let file = SourceFile::read(path)?;
    let job = manifest::read(&file.text).map_err(|error| file.manifest_error(error))?;
    let (sql, embedded) = file.sql_of(&job)?;
    let (plan, warnings) = file.plan(&sql, embedded)?;
    let metadata = &job.metadata;
    Ok(Input {
        namespace: metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        name: metadata.name.clone().unwrap_or_else(|| job_name(path)),
        manifest: Some(job),
        plan,
        warnings,
    })
}

const DEFAULT_NAMESPACE: &str = "default";

struct SourceFile {
    name: String,
    text: String,
}

impl SourceFile {
    fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::user(format!("could not read {name}: {error}")))?;
        Ok(Self { name, text })
    }

    /// The SQL that a manifest stands for, and where it is in the file if its lines are.
    fn sql_of(&self, job: &StreamJob) -> Result<(String, Option<EmbeddedText>), Failure> {
        let spec = &job.spec;
        if let Some(sql) = &spec.sql {
            return Ok((sql.clone(), manifest::embedded_text(&self.text, &["spec", "sql"])));
        }
        if let Some(reference) = &spec.config_map_ref {
            let sql = manifest::config_map_value(&self.text, &reference.name, &reference.key).ok_or_else(|| {
                let message = format!("the key {} of ConfigMap {} is not in this file", reference.key, reference.name);
                let help = "without Kubernetes, the ConfigMap has to be a document of the same file";
                self.diagnostic(message, Some(help.to_owned()), None, 1)
            })?;
            return Ok((sql, None));
        }
        let help = "run the image's own command, or write the job as `sql`";
        Err(self.diagnostic("a job given as an image can't be run here yet".into(), Some(help.into()), None, 1).into())
    }

    /// Plans `sql`, which is all of the file's text or is embedded in it.
    fn plan(&self, sql: &str, embedded: Option<EmbeddedText>) -> Result<(Plan, Vec<Diagnostic>), Failure> {
        let Planned { plan, warnings } = millrace_planner::plan_script(sql, &PlanOptions::default()).map_err(
            |SqlError { message, hint, span, .. }| {
                self.sql_diagnostic(sql, embedded, Severity::Error, message, hint, span)
            },
        )?;
        let warnings = warnings
            .into_iter()
            .map(|warning| self.sql_diagnostic(sql, embedded, Severity::Warning, warning.message, None, warning.span));
        Ok((plan, warnings.collect()))
    }

    fn manifest_error(&self, error: manifest::ManifestError) -> Failure {
        let diagnostics = error.problems.into_iter().map(|problem| {
            let message = match problem.path.as_str() {
                "" => problem.message,
                path => format!("{path}: {}", problem.message),
            };
            let length = problem.position.map_or(1, |position| self.word_at(position));
            self.diagnostic(message, problem.hint, problem.position, length)
        });
        Failure::Diagnostics(diagnostics.collect())
    }

    fn sql_diagnostic(
        &self,
        sql: &str,
        embedded: Option<EmbeddedText>,
        severity: Severity,
        message: String,
        help: Option<String>,
        span: Option<Span>,
    ) -> Diagnostic {
        let whole = |message, help| Diagnostic { severity, ..self.diagnostic(message, help, None, 1) };
        let Some(span) = span else { return whole(message, help) };
        let (line, column) = (to_usize(span.line), to_usize(span.column));
        let length =
            if span.end_line == span.line { to_usize(span.end_column).saturating_sub(column) } else { usize::MAX };
        let position = match embedded {
            None if sql == self.text => Some(Position { line, column }),
            None => None,
            Some(embedded) => embedded.position(line, column),
        };
        if position.is_some() {
            return Diagnostic { severity, ..self.diagnostic(message, help, position, length) };
        }
        // Lines of the SQL are not lines of the file (a folded scalar, a ConfigMap): show the SQL's own.
        let mark = Mark::new(sql, Position { line, column }, length);
        Diagnostic { severity, message, help, file: format!("{} (its SQL)", self.name), mark }
    }

    fn diagnostic(
        &self,
        message: String,
        help: Option<String>,
        position: Option<Position>,
        length: usize,
    ) -> Diagnostic {
        let mark = position.and_then(|position| Mark::new(&self.text, position, length));
        Diagnostic { severity: Severity::Error, message, help, file: self.name.clone(), mark }
    }

    /// Length of the word or value at a position.
    fn word_at(&self, position: Position) -> usize {
        let line = self.text.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
        let rest = line.chars().skip(position.column.saturating_sub(1));
        rest.take_while(|c| !c.is_whitespace() && !",:{}[]#".contains(*c)).count().max(1)
    }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A name for a job without one: the file's, as Kubernetes would allow it.
fn job_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(50).collect();
    match name.trim_matches('-') {
        "" => "job".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::job_name;
    use std::path::Path;

    #[test]
    fn a_sql_file_gives_its_job_a_name_that_kubernetes_would_take() {
        assert_eq!(job_name(Path::new("/x/Query 12_b.sql")), "query-12-b");
        assert_eq!(job_name(Path::new("--.sql")), "job");
    }
}
