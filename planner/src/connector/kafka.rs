//! The `kafka` connector: its options and metadata columns, and how the runtime reads them. Not here:
//! properties of the client (`client.rs`), nor anything that talks to Kafka.

use super::json::JsonOptions;
use super::option::{OptionDescription, OptionError, ValueKind};
use super::{client, value};
use crate::error::SqlError;
use crate::plan;
use crate::secret::Options;
use crate::types::{DataType, TypeKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Flink's default.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5 * 60);

const STARTUP_MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_MODES: &[&str] = &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const ONE_PARALLELISM: &str = "a job has one parallelism, spec.parallelism";
const GUARANTEES: &[&str] = &["exactly-once", "at-least-once", "none"];

pub(super) const OPTIONS: &[OptionDescription] = &[
    OptionDescription::both("topic", ValueKind::List),
    OptionDescription::source("topic-pattern", ValueKind::Text),
    OptionDescription::both("properties.*", ValueKind::Text),
    OptionDescription::both("format", ValueKind::Text),
    OptionDescription::both("value.format", ValueKind::Text),
    OptionDescription::both("value.fields-include", ValueKind::OneOf(&["ALL", "EXCEPT_KEY"])).default("ALL"),
    OptionDescription::both("key.format", ValueKind::Text),
    OptionDescription::both("key.fields", ValueKind::List),
    OptionDescription::both("key.fields-prefix", ValueKind::Text),
    OptionDescription::source("scan.startup.mode", ValueKind::OneOf(STARTUP_MODES)).default("group-offsets"),
    OptionDescription::source("scan.startup.specific-offsets", ValueKind::Offsets),
    OptionDescription::source("scan.startup.timestamp-millis", ValueKind::Integer(0, i64::MAX)),
    OptionDescription::source("scan.bounded.mode", ValueKind::OneOf(BOUNDED_MODES)).default("unbounded"),
    OptionDescription::source("scan.bounded.specific-offsets", ValueKind::Offsets),
    OptionDescription::source("scan.bounded.timestamp-millis", ValueKind::Integer(0, i64::MAX)),
    OptionDescription::source("scan.topic-partition-discovery.interval", ValueKind::Duration).default("5 min"),
    OptionDescription::source("scan.parallelism", ValueKind::Integer(1, 1024)).ignored(ONE_PARALLELISM),
    OptionDescription::sink("sink.partitioner", ValueKind::Text).default("default"),
    OptionDescription::sink("sink.delivery-guarantee", ValueKind::OneOf(GUARANTEES)).default("at-least-once"),
    OptionDescription::sink("sink.semantic", ValueKind::Text).unsupported(),
    OptionDescription::sink("sink.transactional-id-prefix", ValueKind::Text)
        .ignored("Millrace names its transactions itself"),
    OptionDescription::sink("sink.transaction-naming-strategy", ValueKind::Text)
        .ignored("Millrace names its transactions itself"),
    OptionDescription::sink("sink.parallelism", ValueKind::Integer(1, 1024)).ignored(ONE_PARALLELISM),
];

/// The metadata columns of a record: key, type, and whether a sink can write it.
pub(super) fn metadata(key: &str) -> Option<(DataType, bool)> {
    let headers = TypeKind::Map(
        Box::new(DataType::string().with_nullable(false)),
        Box::new(DataType::nullable(TypeKind::VarBinary { length: crate::types::MAX_LENGTH })),
    );
    match key {
        "topic" | "timestamp-type" => Some((DataType::string().with_nullable(false), false)),
        "partition" => Some((DataType::not_null(TypeKind::Int), false)),
        "offset" => Some((DataType::not_null(TypeKind::BigInt), false)),
        "leader-epoch" => Some((DataType::nullable(TypeKind::Int), false)),
        "timestamp" => Some((DataType::not_null(TypeKind::TimestampLtz { precision: 3 }), true)),
        "headers" => Some((DataType::not_null(headers), true)),
        _ => None,
    }
}

pub(super) const METADATA_KEYS: &[&str] =
    &["topic", "partition", "headers", "leader-epoch", "offset", "timestamp", "timestamp-type"];

/// A Kafka table as the runtime needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaOptions {
    pub topics: Topics,
    /// None: the job's Kafka.
    pub bootstrap_servers: Option<String>,
    pub group_id: Option<String>,
    /// For librdkafka, by its names; without servers, group and what exactly once fixes.
    pub client: Options,
    pub startup: StartupMode,
    pub bounded: BoundedMode,
    /// None: topics and partitions are looked up once.
    pub partition_discovery_interval: Option<Duration>,
    pub value: ValueOptions,
    /// None: a record's key is not read, and written empty.
    pub key: Option<KeyOptions>,
    pub partitioner: Partitioner,
    pub delivery_guarantee: DeliveryGuarantee,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// At least one; a sink has exactly one.
    List(Vec<String>),
    /// A regular expression over whole names.
    Pattern(String),
}

impl Topics {
    /// The one topic, where there is exactly one.
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::List(topics) => <&[String; 1]>::try_from(topics.as_slice()).ok().map(|[topic]| topic.as_str()),
            Self::Pattern(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueOptions {
    pub format: JsonOptions,
    /// The physical columns in the value, in order.
    pub columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOptions {
    pub format: JsonOptions,
    /// The physical columns in the key, in order.
    pub columns: Vec<String>,
    /// Cut off a column's name to get the name of its field in the key.
    pub prefix: String,
}

/// Where a job starts to read a partition at its very first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupMode {
    EarliestOffset,
    LatestOffset,
    /// Where the group has committed; `reset` says what to do where it has not.
    GroupOffsets {
        reset: OffsetReset,
    },
    /// Milliseconds since 1970.
    Timestamp(i64),
    SpecificOffsets(BTreeMap<i32, i64>),
}

/// `properties.auto.offset.reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// The job fails.
    None,
    Earliest,
    Latest,
}

/// Where it stops to read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundedMode {
    Unbounded,
    /// At the end that the partition has at the first start.
    LatestOffset,
    GroupOffsets,
    Timestamp(i64),
    /// Partitions that are not named are not read.
    SpecificOffsets(BTreeMap<i32, i64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// By the key's hash, as Java's client does; without a key, spread evenly.
    Default,
    /// Each task to one partition.
    Fixed,
    RoundRobin,
}

/// What was asked for; what is given is never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    ExactlyOnce,
    AtLeastOnce,
    None,
}

impl KafkaOptions {
    /// Reads a table of a plan. Fails only where the plan was not made by this crate.
    pub fn from_table(table: &plan::Table) -> Result<Self, SqlError> {
        let physical: Vec<&str> = table.physical.iter().map(|column| column.name.as_str()).collect();
        Ok(Self::parse(&table.options, &physical)?)
    }

    /// Also checks what concerns several options at once.
    pub(super) fn parse(options: &BTreeMap<String, String>, physical: &[&str]) -> Result<Self, OptionError> {
        let get = |key: &str| options.get(key).map(String::as_str);
        let key = key(options, physical)?;
        let except_key = get("value.fields-include") == Some("EXCEPT_KEY");
        let in_key = |column: &str| key.as_ref().is_some_and(|key| key.columns.iter().any(|name| name == column));
        let columns = physical.iter().filter(|column| !(except_key && in_key(column)));
        let columns = columns.map(|column| (*column).to_owned()).collect();
        let value_prefix = if options.contains_key("value.format") { "value.json." } else { "json." };
        if key.as_ref().is_some_and(|key| !key.prefix.is_empty()) && !except_key {
            return Err(OptionError::invalid("key.fields-prefix", "needs 'value.fields-include' = 'EXCEPT_KEY'"));
        }
        let interval = match get("scan.topic-partition-discovery.interval") {
            Some(text) => {
                value::duration(text).map_err(|expected| wrong("scan.topic-partition-discovery.interval", &expected))?
            }
            None => DISCOVERY_INTERVAL,
        };
        Ok(Self {
            topics: topics(options)?,
            bootstrap_servers: get("properties.bootstrap.servers").map(str::to_owned),
            group_id: get("properties.group.id").map(str::to_owned),
            client: client::translate(options).into(),
            startup: startup(options)?,
            bounded: bounded(options)?,
            partition_discovery_interval: Some(interval).filter(|interval| !interval.is_zero()),
            value: ValueOptions { format: JsonOptions::from_options(options, value_prefix), columns },
            key,
            partitioner: partitioner(get("sink.partitioner"))?,
            delivery_guarantee: match get("sink.delivery-guarantee") {
                Some("exactly-once") => DeliveryGuarantee::ExactlyOnce,
                Some("none") => DeliveryGuarantee::None,
                _ => DeliveryGuarantee::AtLeastOnce,
            },
        })
    }
}

fn wrong(key: &str, expected: &str) -> OptionError {
    OptionError::invalid(key, &format!("must be {expected}"))
}

fn topics(options: &BTreeMap<String, String>) -> Result<Topics, OptionError> {
    match (options.get("topic"), options.get("topic-pattern")) {
        (Some(_), Some(_)) => Err(OptionError::invalid("topic-pattern", "can't be given together with 'topic'")),
        (Some(topics), None) => value::list(topics).map(Topics::List).map_err(|expected| wrong("topic", &expected)),
        (None, Some(pattern)) => Ok(Topics::Pattern(pattern.clone())),
        (None, None) => Err(SqlError::invalid("a kafka table needs the option 'topic' or 'topic-pattern'").into()),
    }
}

/// The option that a mode needs besides.
fn needed<'a>(options: &'a BTreeMap<String, String>, mode: (&str, &str), key: &str) -> Result<&'a str, OptionError> {
    options.get(key).map(String::as_str).ok_or_else(|| {
        let problem = format!("'{}' = '{}' needs the option '{key}'", mode.0, mode.1);
        OptionError::new(mode.0, SqlError::invalid(problem))
    })
}

fn millis(options: &BTreeMap<String, String>, mode: (&str, &str), key: &str) -> Result<i64, OptionError> {
    value::integer(needed(options, mode, key)?, 0, i64::MAX).map_err(|expected| wrong(key, &expected))
}

fn offsets(
    options: &BTreeMap<String, String>,
    mode: (&str, &str),
    key: &str,
) -> Result<BTreeMap<i32, i64>, OptionError> {
    value::offsets(needed(options, mode, key)?).map_err(|expected| wrong(key, &expected))
}

fn startup(options: &BTreeMap<String, String>) -> Result<StartupMode, OptionError> {
    let key = "scan.startup.mode";
    let mode = options.get(key).map_or("group-offsets", String::as_str);
    match mode {
        "earliest-offset" => Ok(StartupMode::EarliestOffset),
        "latest-offset" => Ok(StartupMode::LatestOffset),
        "group-offsets" => Ok(StartupMode::GroupOffsets { reset: reset(options)? }),
        "timestamp" => Ok(StartupMode::Timestamp(millis(options, (key, mode), "scan.startup.timestamp-millis")?)),
        "specific-offsets" => {
            Ok(StartupMode::SpecificOffsets(offsets(options, (key, mode), "scan.startup.specific-offsets")?))
        }
        _ => Err(wrong(key, &format!("one of '{}'", STARTUP_MODES.join("', '")))),
    }
}

fn reset(options: &BTreeMap<String, String>) -> Result<OffsetReset, OptionError> {
    let key = "properties.auto.offset.reset";
    match options.get(key).map(String::as_str) {
        Some("earliest") => Ok(OffsetReset::Earliest),
        Some("latest") => Ok(OffsetReset::Latest),
        Some("none") | None => Ok(OffsetReset::None),
        Some(_) => Err(wrong(key, "one of 'earliest', 'latest', 'none'")),
    }
}

fn bounded(options: &BTreeMap<String, String>) -> Result<BoundedMode, OptionError> {
    let key = "scan.bounded.mode";
    let mode = options.get(key).map_or("unbounded", String::as_str);
    match mode {
        "unbounded" => Ok(BoundedMode::Unbounded),
        "latest-offset" => Ok(BoundedMode::LatestOffset),
        "group-offsets" => Ok(BoundedMode::GroupOffsets),
        "timestamp" => Ok(BoundedMode::Timestamp(millis(options, (key, mode), "scan.bounded.timestamp-millis")?)),
        "specific-offsets" => {
            Ok(BoundedMode::SpecificOffsets(offsets(options, (key, mode), "scan.bounded.specific-offsets")?))
        }
        _ => Err(wrong(key, &format!("one of '{}'", BOUNDED_MODES.join("', '")))),
    }
}

fn partitioner(name: Option<&str>) -> Result<Partitioner, OptionError> {
    match name {
        None | Some("default") => Ok(Partitioner::Default),
        Some("fixed") => Ok(Partitioner::Fixed),
        Some("round-robin") => Ok(Partitioner::RoundRobin),
        Some(class) => {
            let error = SqlError::unsupported(format!("the sink.partitioner '{class}', a Java class,"));
            Err(OptionError::new("sink.partitioner", error.hint("use 'default', 'fixed' or 'round-robin'")))
        }
    }
}

fn key(options: &BTreeMap<String, String>, physical: &[&str]) -> Result<Option<KeyOptions>, OptionError> {
    let fields = options.get("key.fields");
    if !options.contains_key("key.format") {
        return match ["key.fields", "key.fields-prefix"].into_iter().find(|key| options.contains_key(*key)) {
            Some(key) => Err(OptionError::invalid(key, "needs the option 'key.format'")),
            None => Ok(None),
        };
    }
    let Some(fields) = fields else {
        return Err(OptionError::invalid("key.format", "needs the option 'key.fields'"));
    };
    let columns = value::list(fields).map_err(|expected| wrong("key.fields", &expected))?;
    let prefix = options.get("key.fields-prefix").cloned().unwrap_or_default();
    for column in &columns {
        if !physical.contains(&column.as_str()) {
            return Err(OptionError::invalid("key.fields", &format!("names '{column}', which is no physical column")));
        }
        if !column.starts_with(&prefix) {
            return Err(OptionError::invalid(
                "key.fields",
                &format!("names '{column}', which doesn't start with '{prefix}'"),
            ));
        }
    }
    Ok(Some(KeyOptions { format: JsonOptions::from_options(options, "key.json."), columns, prefix }))
}
