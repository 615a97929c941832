//! What connectors and formats there are, and their options: every option that Flink documents, with its
//! values and with what Millrace makes of it. Unknown ones are errors, never dropped. The runtime reads a
//! plan's table through [`KafkaOptions`] and [`DatagenOptions`]. Not here: any connection.

mod nearest;
mod value;
mod option;
mod json;
mod client;
mod kafka;
mod datagen;
mod sinks;
mod check;

pub use check::{Usage, check_complete, check_options};
pub use datagen::{DatagenOptions, FieldGenerator, GeneratorKind};
pub use json::{JsonOptions, MapNullKey, TimestampFormat};
pub use kafka::{
    BoundedMode, DeliveryGuarantee, KafkaOptions, KeyOptions, OffsetReset, Partitioner, StartupMode, Topics,
    ValueOptions,
};
pub use option::{About, OptionDescription, OptionError, Side, Support, ValueKind};

pub(crate) use nearest::nearest;
pub(crate) use value::duration;

use crate::error::SqlError;
use crate::plan::Connector;
use crate::types::DataType;

/// Connectors of Flink and its community that are not here yet.
const UNSUPPORTED_CONNECTORS: &[&str] = &[
    "dynamodb",
    "elasticsearch-6",
    "elasticsearch-7",
    "elasticsearch-8",
    "filesystem",
    "firehose",
    "hbase-1.4",
    "hbase-2.2",
    "iceberg",
    "jdbc",
    "kinesis",
    "mongodb",
    "mysql-cdc",
    "opensearch",
    "paimon",
    "postgres-cdc",
    "pulsar",
    "upsert-kafka",
];

pub(crate) const SUPPORTED_CONNECTORS: &[(&str, Connector)] = &[
    ("kafka", Connector::Kafka),
    ("datagen", Connector::Datagen),
    ("print", Connector::Print),
    ("blackhole", Connector::Blackhole),
];

/// The connector by the name in a table's WITH clause.
pub fn connector(name: &str) -> Result<Connector, SqlError> {
    if let Some((_, connector)) = SUPPORTED_CONNECTORS.iter().find(|(known, _)| *known == name) {
        return Ok(*connector);
    }
    let supported = "supported are kafka, datagen, print and blackhole";
    if UNSUPPORTED_CONNECTORS.contains(&name) {
        return Err(SqlError::unsupported(format!("the connector '{name}'")).hint(supported));
    }
    let near = nearest(name, SUPPORTED_CONNECTORS.iter().map(|(known, _)| *known));
    Err(SqlError::not_found(format!("there is no connector '{name}'")).hint(match near {
        Some(near) => format!("did you mean '{near}'?"),
        None => supported.to_owned(),
    }))
}

/// Every option of a connector, without those of formats.
pub fn options(connector: Connector) -> &'static [OptionDescription] {
    match connector {
        Connector::Kafka => kafka::OPTIONS,
        Connector::Datagen => datagen::OPTIONS,
        Connector::Print => sinks::PRINT,
        Connector::Blackhole => sinks::BLACKHOLE,
    }
}

/// Every option of the `json` format, relative to its prefix.
pub fn json_options() -> &'static [OptionDescription] {
    json::OPTIONS
}

/// A METADATA column that a connector offers.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataColumn {
    /// What a scan emits for it, before any cast to the declared type.
    pub data_type: DataType,
    /// Whether a sink can write it.
    pub writable: bool,
}

pub fn metadata(connector: Connector, key: &str) -> Option<MetadataColumn> {
    match connector {
        Connector::Kafka => kafka::metadata(key).map(|(data_type, writable)| MetadataColumn { data_type, writable }),
        Connector::Datagen | Connector::Print | Connector::Blackhole => None,
    }
}

/// The keys that [`metadata`] knows.
pub fn metadata_keys(connector: Connector) -> &'static [&'static str] {
    match connector {
        Connector::Kafka => kafka::METADATA_KEYS,
        Connector::Datagen | Connector::Print | Connector::Blackhole => &[],
    }
}

#[cfg(test)]
mod tests;
