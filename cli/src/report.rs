//! How failures look: a message, and for mistakes in a file the line in question with a mark under it.
//! Nothing is read here; the text comes with the diagnostic.

use millrace_crds::manifest::Position;
use millrace_job_runtime::condition::{Condition, Reason};
use millrace_job_runtime::error::{Error, ErrorKind};
use millrace_planner::secret::masked_line;
use std::fmt;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The worker ended with an error; its kind says whose it is.
    Worker(Error),
    /// What the command is to do can't be done.
    Job(String),
    /// The command, its environment or its options have to be changed.
    User(String),
    /// Mistakes in a file.
    Diagnostics(Vec<Diagnostic>),
}

impl Failure {
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self::User(message.into())
    }

    pub(crate) fn print(&self) {
        match self {
            Self::Worker(error) if error.kind == ErrorKind::StandDown => eprintln!("{error}"),
            Self::Worker(error) => eprintln!("error: {error}"),
            Self::Job(message) | Self::User(message) => eprintln!("error: {message}"),
            Self::Diagnostics(diagnostics) => diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}")),
        }
    }

    /// What the process ends with; `args.rs` says what the numbers mean.
    pub(crate) fn exit_code(&self) -> u8 {
        let kind = match self {
            Self::Worker(error) => error.kind,
            Self::Job(_) => ErrorKind::FailJob,
            Self::User(_) | Self::Diagnostics(_) => ErrorKind::UserFault,
        };
        match kind {
            ErrorKind::Retry | ErrorKind::RestartWorker | ErrorKind::FailJob => 1,
            ErrorKind::UserFault => 2,
            ErrorKind::StandDown => 3,
        }
    }

    /// The same for tools.
    pub(crate) fn condition(&self) -> Condition {
        match self {
            Self::Worker(error) => Condition::from(error),
            Self::Job(message) => Condition::new(Reason::Failed, message),
            Self::User(message) => Condition::new(Reason::InvalidJob, message),
            Self::Diagnostics(diagnostics) => {
                let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
                Condition::new(Reason::InvalidJob, lines.join("\n"))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Worker(error)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Diagnostics(vec![diagnostic])
    }
}

/// A mistake in a file. Displays over several lines:
///
/// ```text
/// error: unknown column `actoin`
///   --> job.yaml:14:12
///    |
/// 14 |     SELECT actoin FROM user_events;
///    |            ^^^^^^
///    = help: did you mean `action`?
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) file: String,
    /// None where the file as a whole is meant.
    pub(crate) mark: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    /// The job runs all the same.
    Warning,
}

/// What a diagnostic points at.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    /// Characters, at least 1; cut at the line's end.
    pub(crate) length: usize,
    /// The line of the file.
    pub(crate) line: String,
}

impl Mark {
    /// None where `text` has no such line.
    pub(crate) fn new(text: &str, position: Position, length: usize) -> Option<Self> {
        let line = masked_line(text.lines().nth(position.line.checked_sub(1)?)?);
        Some(Self { position, length, line })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        let Some(Mark { position, length, line }) = &self.mark else {
            write!(f, "  --> {}", self.file)?;
            return match &self.help {
                Some(help) => write!(f, "\n   = help: {help}"),
                None => Ok(()),
            };
        };
        let gutter = " ".repeat(position.line.to_string().len());
        // A tab is as wide as the reader's terminal makes it; as one space the mark stands right.
        let line = line.replace('\t', " ");
        let room = line.chars().count().saturating_sub(position.column - 1);
        let carets = "^".repeat((*length).min(room).max(1));
        writeln!(f, "{gutter}--> {}:{}:{}", self.file, position.line, position.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{} | {line}", position.line)?;
        write!(f, "{gutter} | {}{carets}", " ".repeat(position.column - 1))?;
        match &self.help {
            Some(help) => write!(f, "\n{gutter} = help: {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(text: &str, line: usize, column: usize, length: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: "unknown column `actoin`".into(),
            help: Some("did you mean `action`?".into()),
            file: "job.sql".into(),
            mark: Mark::new(text, Position { line, column }, length),
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_mark_under_it() {
        let text = "CREATE TABLE t (x INT);\n\tSELECT actoin FROM t;\n";
        assert_eq!(
            diagnostic(text, 2, 9, 6).to_string(),
            "error: unknown column `actoin`\n --> job.sql:2:9\n  |\n2 |  SELECT actoin FROM t;\n  |         ^^^^^^\n  = help: did you mean `action`?"
        );
    }

    #[test]
    fn a_mark_stays_inside_its_line_and_a_missing_line_shows_the_file_alone() {
        assert!(diagnostic("ab\n", 1, 2, 80).to_string().contains("\n  |  ^\n"));
        assert!(diagnostic("ab\n", 1, 3, 1).to_string().contains("\n  |   ^\n"), "just after the end");
        assert!(diagnostic("ab\n", 9, 1, 1).to_string().contains("--> job.sql\n"));
    }
}
