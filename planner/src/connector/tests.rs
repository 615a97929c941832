//! What the runtime reads from a table's options.

use super::*;
use crate::plan::{Column, Table};
use crate::types::TypeKind;
use std::collections::BTreeMap;
use std::time::Duration;

fn table(connector: Connector, columns: &[&str], options: &[(&str, &str)]) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), data_type: DataType::nullable(TypeKind::BigInt) };
    Table {
        name: "t".to_owned(),
        connector,
        physical: columns.iter().map(column).collect(),
        primary_key: Vec::new(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        idle_timeout: Duration::ZERO,
    }
}

fn kafka(options: &[(&str, &str)]) -> Result<KafkaOptions, SqlError> {
    let common = [("topic", "t"), ("format", "json")];
    KafkaOptions::from_table(&table(Connector::Kafka, &["a", "k_b"], &[&common, options].concat()))
}

#[test]
fn a_plain_kafka_table_has_flinks_defaults() {
    let options = kafka(&[]).expect("options");
    assert_eq!(options.topics, Topics::List(vec!["t".to_owned()]));
    assert_eq!(options.startup, StartupMode::GroupOffsets { reset: OffsetReset::None });
    assert_eq!(options.bounded, BoundedMode::Unbounded);
    assert_eq!(options.partition_discovery_interval, Some(Duration::from_secs(300)));
    assert_eq!(options.value.format, JsonOptions::default());
    assert_eq!(options.value.columns, ["a", "k_b"]);
    assert_eq!(options.partitioner, Partitioner::Default);
    assert!(options.key.is_none() && options.bootstrap_servers.is_none() && options.client.is_empty());
}

#[test]
fn positions_are_read_with_what_they_need() {
    let options = kafka(&[
        ("scan.startup.mode", "specific-offsets"),
        ("scan.startup.specific-offsets", "partition:0,offset:42;partition:1,offset:300"),
        ("scan.bounded.mode", "timestamp"),
        ("scan.bounded.timestamp-millis", "1700000000000"),
        ("scan.topic-partition-discovery.interval", "0"),
        ("json.timestamp-format.standard", "ISO-8601"),
        ("json.map-null-key.mode", "LITERAL"),
    ])
    .expect("options");
    assert_eq!(options.startup, StartupMode::SpecificOffsets(BTreeMap::from([(0, 42), (1, 300)])));
    assert_eq!(options.bounded, BoundedMode::Timestamp(1_700_000_000_000));
    assert_eq!(options.partition_discovery_interval, None);
    assert_eq!(options.value.format.timestamp_format, TimestampFormat::Iso8601);
    assert_eq!(options.value.format.map_null_key, MapNullKey::Literal("null".to_owned()));
    assert!(kafka(&[("scan.startup.mode", "timestamp")]).is_err());
}

#[test]
fn key_columns_may_be_left_out_of_the_value() {
    let key = [("key.format", "json"), ("key.fields", "k_b"), ("key.fields-prefix", "k_")];
    let except = [("value.fields-include", "EXCEPT_KEY")];
    let options = kafka(&[&key[..], &except].concat()).expect("options");
    assert_eq!(options.value.columns, ["a"]);
    let parsed = options.key.expect("a key");
    assert_eq!((parsed.columns, parsed.prefix.as_str()), (vec!["k_b".to_owned()], "k_"));
    for wrong in [
        &key[..],
        &[("key.format", "json")],
        &[("key.fields", "a")],
        &[("key.format", "json"), ("key.fields", "c")],
        &[("key.format", "json"), ("key.fields", "a"), ("key.fields-prefix", "k_"), except[0]],
    ] {
        assert!(kafka(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_custom_partitioner_is_unsupported_by_name() {
    let error = kafka(&[("sink.partitioner", "com.example.P")]).expect_err("a Java class");
    assert_eq!(error.message, "the sink.partitioner 'com.example.P', a Java class, is not supported yet");
}

#[test]
fn datagen_fills_each_column_in_its_own_way() {
    let options = [
        ("number-of-rows", "7"),
        ("fields.a.kind", "sequence"),
        ("fields.a.start", "1"),
        ("fields.a.end", "9"),
        ("fields.b.max", "5"),
        ("fields.b.null-rate", "0.5"),
    ];
    let options = DatagenOptions::from_table(&table(Connector::Datagen, &["a", "b"], &options)).expect("options");
    assert_eq!((options.rows_per_second, options.number_of_rows), (10_000, Some(7)));
    assert_eq!(options.fields[0].kind, GeneratorKind::Sequence { start: 1, end: 9 });
    assert_eq!(options.fields[1].kind, GeneratorKind::Random { min: None, max: Some(5.0) });
    assert_eq!(options.fields[1].null_rate, 0.5);
}

#[test]
fn datagen_refuses_what_it_could_not_generate() {
    for wrong in [
        &[("fields.a.kind", "sequence")][..],
        &[("fields.a.kind", "sequence"), ("fields.a.start", "9"), ("fields.a.end", "1")],
        &[("fields.a.min", "9"), ("fields.a.max", "1")],
        &[("fields.a.min", "few")],
        &[("fields.a.null-rate", "2")],
    ] {
        assert!(DatagenOptions::from_table(&table(Connector::Datagen, &["a"], wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_default_is_a_value_of_its_option() {
    let connectors = [Connector::Kafka, Connector::Datagen, Connector::Print, Connector::Blackhole];
    for option in connectors.iter().flat_map(|connector| options(*connector)).chain(json_options()) {
        if let Some(default) = option.default {
            assert_eq!(option.value.check(default), Ok(()), "{}", option.key);
        }
    }
}
