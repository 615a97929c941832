//! How an option is described: its key, its values, who needs it, and what Millrace makes of it. The
//! descriptions themselves stand with their connectors; this is the form they have.

use super::value;
use crate::error::SqlError;

/// One option of Flink's documentation.
#[derive(Debug)]
pub struct OptionDescription {
    /// `topic`; a `*` stands for the rest (`properties.*`), a `#` for a column (`fields.#.min`).
    pub key: &'static str,
    pub value: ValueKind,
    /// As Flink documents it; None where there is none.
    pub default: Option<&'static str>,
    pub side: Side,
    pub support: Support,
}

/// What an option's value must look like.
#[derive(Clone, Copy, Debug)]
pub enum ValueKind {
    Text,
    Boolean,
    /// Least and most.
    Integer(i64, i64),
    Duration,
    OneOf(&'static [&'static str]),
    /// Names with `;` between them.
    List,
    /// `partition:0,offset:42;…`.
    Offsets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Both,
    Source,
    Sink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Full,
    /// Accepted, without effect; says why in a warning.
    Ignored(&'static str),
    /// Known to Flink, refused here by name.
    Unsupported,
}

/// What is wrong with a table's options as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionError {
    pub about: About,
    pub error: SqlError,
}

/// Where an error belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// To the option of that key.
    Option(String),
    /// To the table's declaration: something is missing from it.
    Declaration,
    /// To where the table is used.
    Use,
}

impl OptionError {
    /// The option `key`, followed by what is wrong with it.
    pub(super) fn invalid(key: &str, problem: &str) -> Self {
        Self::new(key, SqlError::invalid(format!("the option '{key}' {problem}")))
    }

    pub(super) fn new(key: &str, error: SqlError) -> Self {
        Self { about: About::Option(key.to_owned()), error }
    }
}

impl From<SqlError> for OptionError {
    fn from(error: SqlError) -> Self {
        Self { about: About::Declaration, error }
    }
}

impl From<OptionError> for SqlError {
    fn from(error: OptionError) -> Self {
        error.error
    }
}

impl OptionDescription {
    const fn new(key: &'static str, value: ValueKind, side: Side) -> Self {
        Self { key, value, default: None, side, support: Support::Full }
    }

    pub(super) const fn both(key: &'static str, value: ValueKind) -> Self {
        Self::new(key, value, Side::Both)
    }

    pub(super) const fn source(key: &'static str, value: ValueKind) -> Self {
        Self::new(key, value, Side::Source)
    }

    pub(super) const fn sink(key: &'static str, value: ValueKind) -> Self {
        Self::new(key, value, Side::Sink)
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn ignored(mut self, reason: &'static str) -> Self {
        self.support = Support::Ignored(reason);
        self
    }

    pub(super) const fn unsupported(mut self) -> Self {
        self.support = Support::Unsupported;
        self
    }

    /// Whether `key` is this option, or one of those its pattern stands for.
    pub fn matches(&self, key: &str) -> bool {
        if let Some(prefix) = self.key.strip_suffix('*') {
            return key.len() > prefix.len() && key.starts_with(prefix);
        }
        match self.key.split_once('#') {
            Some((prefix, suffix)) => {
                key.len() > prefix.len() + suffix.len() && key.starts_with(prefix) && key.ends_with(suffix)
            }
            None => self.key == key,
        }
    }
}

impl ValueKind {
    /// Err says what was expected.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Text if text.trim().is_empty() => Err("a text that is not empty".to_owned()),
            Self::Text => Ok(()),
            Self::Boolean => value::boolean(text).map(drop),
            Self::Integer(least, most) => value::integer(text, least, most).map(drop),
            Self::Duration => value::duration(text).map(drop),
            Self::OneOf(values) if values.contains(&text) => Ok(()),
            Self::OneOf(values) => Err(format!("one of '{}'", values.join("', '"))),
            Self::List => value::list(text).map(drop),
            Self::Offsets => value::offsets(text).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_many_keys_but_not_for_none() {
        let properties = OptionDescription::both("properties.*", ValueKind::Text);
        assert!(properties.matches("properties.acks") && !properties.matches("properties."));
        let min = OptionDescription::source("fields.#.min", ValueKind::Text);
        assert!(min.matches("fields.a.b.min") && !min.matches("fields..min") && !min.matches("fields.a.max"));
    }
}
