//! What can be wrong with a script: where it is, what was found, what to do. Every error of this crate
//! is the user's to mend.

use crate::ast::Span;

/// Displays as `line 3, column 14: message`, and `hint` on a line of its own where there is one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct SqlError {
    pub message: String,
    /// None where the script as a whole is meant (it has no INSERT, for instance).
    pub span: Option<Span>,
    /// What to write instead.
    pub hint: Option<String>,
    pub kind: SqlErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// Not SQL, or not Flink's.
    Syntax,
    /// An unknown table, column, function or option.
    NotFound,
    /// Types or arguments that don't fit.
    Invalid,
    /// Valid in Flink, not yet here; the message names the feature.
    Unsupported,
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(span) = self.span {
            write!(f, "line {}, column {}: ", span.line, span.column)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl SqlError {
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, hint: None, kind }
    }

    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Syntax, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::NotFound, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Invalid, message)
    }

    /// `feature` is named as a user of Flink knows it, for instance "ORDER BY without a time attribute".
    pub fn unsupported(feature: impl std::fmt::Display) -> Self {
        Self::new(SqlErrorKind::Unsupported, format!("{feature} is not supported yet"))
    }

    /// Sets the place unless a more precise one is known already.
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Something that is accepted but will not do what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlWarning {
    pub message: String,
    pub span: Option<Span>,
}

/// As an error, `line 3, column 14: message`.
impl std::fmt::Display for SqlWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(span) = self.span {
            write!(f, "line {}, column {}: ", span.line, span.column)?;
        }
        f.write_str(&self.message)
    }
}
