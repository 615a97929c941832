//! Checks a table's options: each by itself where the table is declared, and all of them together where
//! the table is used, since a table may be there only to be LIKEd.

use super::client::{self, Verdict};
use super::option::{About, OptionDescription, OptionError, Support, ValueKind};
use super::{DatagenOptions, KafkaOptions, datagen, json, nearest, options};
use crate::ast::Span;
use crate::error::{SqlError, SqlWarning};
use crate::parse::TableOption;
use crate::plan::{self, Connector};

/// Formats of Flink that are not here yet.
const UNSUPPORTED_FORMATS: &[&str] = &[
    "avro",
    "avro-confluent",
    "canal-json",
    "csv",
    "debezium-avro-confluent",
    "debezium-json",
    "maxwell-json",
    "ogg-json",
    "orc",
    "parquet",
    "protobuf",
    "raw",
];

/// Options of every source, kafka and datagen alike.
const SOURCE_OPTIONS: &[OptionDescription] = &[
    OptionDescription::source("scan.watermark.idle-timeout", ValueKind::Duration).default("10 s"),
    OptionDescription::source("scan.watermark.emit.strategy", ValueKind::OneOf(&["on-periodic", "on-event"]))
        .default("on-periodic")
        .ignored("watermarks travel with every batch"),
    OptionDescription::source("scan.watermark.alignment.group", ValueKind::Text).unsupported(),
    OptionDescription::source("scan.watermark.alignment.max-drift", ValueKind::Duration).unsupported(),
    OptionDescription::source("scan.watermark.alignment.update-interval", ValueKind::Duration).unsupported(),
];

/// Checks each option by itself: that it is known, that it is supported, and its value.
pub fn check_options(connector: Connector, given: &[TableOption]) -> Result<Vec<SqlWarning>, SqlError> {
    let mut warnings = Vec::new();
    let mut prefixes = Vec::new();
    if connector == Connector::Kafka {
        for (key, value, span) in given {
            let prefix = match key.as_str() {
                "format" => "json.",
                "value.format" => "value.json.",
                "key.format" => "key.json.",
                _ => continue,
            };
            format(value).map_err(|error| error.at(*span))?;
            prefixes.push(prefix);
        }
    }
    for (key, value, span) in given {
        if key == "connector" {
            continue;
        }
        let Some(description) = describe(connector, &prefixes, key) else {
            return Err(unknown(connector, &prefixes, key).at(*span));
        };
        warnings.extend(check(description, key, value, *span)?);
    }
    Ok(warnings)
}

fn describe(connector: Connector, prefixes: &[&str], key: &str) -> Option<&'static OptionDescription> {
    let of_format = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix));
    if let Some(found) = of_format.and_then(|key| json::OPTIONS.iter().find(|option| option.matches(key))) {
        return Some(found);
    }
    let common = if is_source(connector) { SOURCE_OPTIONS } else { &[] };
    options(connector).iter().chain(common).find(|option| option.matches(key))
}

fn is_source(connector: Connector) -> bool {
    matches!(connector, Connector::Kafka | Connector::Datagen)
}

fn check(description: &OptionDescription, key: &str, value: &str, span: Span) -> Result<Option<SqlWarning>, SqlError> {
    if description.support == Support::Unsupported {
        return Err(SqlError::unsupported(format!("the option '{key}'")).at(span));
    }
    description.value.check(value).map_err(|expected| {
        SqlError::invalid(format!("the option '{key}' is '{value}', but must be {expected}")).at(span)
    })?;
    if let Some(property) = key.strip_prefix("properties.") {
        return match client::judge(property, value) {
            Verdict::Accepted => Ok(None),
            Verdict::Ignored(message) => Ok(Some(SqlWarning { message, span: Some(span) })),
            Verdict::Refused(message, hint) => Err(SqlError::invalid(message).at(span).hint(hint)),
        };
    }
    Ok(match description.support {
        Support::Ignored(reason) => {
            Some(SqlWarning { message: format!("the option '{key}' has no effect: {reason}"), span: Some(span) })
        }
        Support::Full | Support::Unsupported => None,
    })
}

fn format(name: &str) -> Result<(), SqlError> {
    if name == "json" {
        return Ok(());
    }
    if UNSUPPORTED_FORMATS.contains(&name) {
        return Err(SqlError::unsupported(format!("the format '{name}'")).hint("supported is json"));
    }
    Err(SqlError::not_found(format!("there is no format '{name}'")).hint("supported is json"))
}

/// The error for an option that the connector doesn't have.
fn unknown(connector: Connector, prefixes: &[&str], key: &str) -> SqlError {
    let common = if is_source(connector) { SOURCE_OPTIONS } else { &[] };
    let of_connector = options(connector).iter().chain(common).map(|option| option.key.to_owned());
    let of_formats =
        prefixes.iter().flat_map(|prefix| json::OPTIONS.iter().map(move |option| format!("{prefix}{}", option.key)));
    let known: Vec<String> = std::iter::once("connector".to_owned()).chain(of_connector).chain(of_formats).collect();
    let name = super::SUPPORTED_CONNECTORS.iter().find(|(_, other)| *other == connector).map_or("", |(name, _)| *name);
    let error = SqlError::not_found(format!("the connector '{name}' has no option '{key}'"));
    match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint(format!("it has {}", known[1..].join(", "))),
    }
}

/// What a query does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Source,
    Sink,
}

/// Checks a table's options as a whole, for one use of it.
pub fn check_complete(table: &plan::Table, usage: Usage) -> Result<(), OptionError> {
    let allowed = match table.connector {
        Connector::Kafka => None,
        Connector::Datagen => Some((Usage::Source, "datagen can only be read from")),
        Connector::Print => Some((Usage::Sink, "print can only be written to")),
        Connector::Blackhole => Some((Usage::Sink, "blackhole can only be written to")),
    };
    if let Some((allowed, reason)) = allowed
        && allowed != usage
    {
        let error = SqlError::invalid(format!("a table with the connector {reason}"));
        return Err(OptionError { about: About::Use, error });
    }
    match table.connector {
        Connector::Kafka => kafka(table, usage),
        Connector::Datagen => datagen(table),
        Connector::Print | Connector::Blackhole => Ok(()),
    }
}

fn kafka(table: &plan::Table, usage: Usage) -> Result<(), OptionError> {
    let has = |key: &str| table.options.contains_key(key);
    match (has("format"), has("value.format")) {
        (true, true) => return Err(OptionError::invalid("value.format", "can't be given together with 'format'")),
        (false, false) => {
            return Err(SqlError::invalid("a kafka table needs the option 'format'").hint("'format' = 'json'").into());
        }
        _ => {}
    }
    let physical: Vec<&str> = table.physical.iter().map(|column| column.name.as_str()).collect();
    let kafka = KafkaOptions::parse(&table.options, &physical)?;
    let formats = std::iter::once(&kafka.value.format).chain(kafka.key.iter().map(|key| &key.format));
    for format in formats {
        if format.fail_on_missing_field && format.ignore_parse_errors {
            let message = "json.fail-on-missing-field and json.ignore-parse-errors exclude each other";
            return Err(SqlError::invalid(message).into());
        }
    }
    match (&kafka.topics, usage) {
        (super::Topics::List(topics), Usage::Sink) if topics.len() > 1 => {
            Err(OptionError::invalid("topic", "must name one topic where the table is written to"))
        }
        (super::Topics::Pattern(_), Usage::Sink) => {
            Err(OptionError::invalid("topic-pattern", "is for reading; a table that is written to needs 'topic'"))
        }
        _ => Ok(()),
    }
}

fn datagen(table: &plan::Table) -> Result<(), OptionError> {
    for key in table.options.keys() {
        if let Some(field) = datagen::field_of(key)
            && !table.physical.iter().any(|column| column.name == field)
        {
            let error = SqlError::not_found(format!("the option '{key}' names no physical column"));
            let near = nearest(field, table.physical.iter().map(|column| column.name.as_str()));
            let error = match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            };
            return Err(OptionError::new(key, error));
        }
    }
    DatagenOptions::parse(table).map(drop)
}
