//! What the catalogue makes of a script, by example. Declarations and errors are in
//! `tests/cases/parse/`.

use super::*;
use crate::connector::Usage;
use crate::parse::parse_script;
use std::time::Duration;

const TABLE: &str = "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";

fn catalog(script: &str) -> (Catalog, Vec<Insert>) {
    let statements = parse_script(script).unwrap_or_else(|error| panic!("{error}\nin: {script}"));
    Catalog::from_statements(statements).unwrap_or_else(|error| panic!("{error}\nin: {script}"))
}

fn only_table(catalog: &Catalog) -> &CatalogTable {
    match catalog.relations().next() {
        Some(Relation::Table(table)) => table,
        other => panic!("no table: {other:?}"),
    }
}

fn idle_timeout(script: &str) -> Duration {
    let (catalog, _) = catalog(script);
    only_table(&catalog).to_plan(&catalog.session, Usage::Source).expect("a source").idle_timeout
}

#[test]
fn the_idle_timeout_is_the_tables_or_the_sessions_or_ten_seconds() {
    let with_own = TABLE.replace("'topic'", "'scan.watermark.idle-timeout' = '0', 'topic'");
    assert_eq!(idle_timeout(TABLE), Duration::from_secs(10));
    assert_eq!(
        idle_timeout(&format!("{TABLE} SET 'table.exec.source.idle-timeout' = '1 min'")),
        Duration::from_secs(60)
    );
    assert_eq!(idle_timeout(&format!("{with_own} SET 'table.exec.source.idle-timeout' = '1 min'")), Duration::ZERO);
}

#[test]
fn a_hint_goes_before_the_tables_own_options() {
    let script = "INSERT INTO t /*+ OPTIONS('topic' = 'u', 'sink.parallelism' = '2') */ SELECT 1";
    let (catalog, inserts) = catalog(&format!("{TABLE} {script}"));
    let table = catalog.table(&inserts[0].target).expect("a table");
    let (hinted, warnings) = table.with_options(&inserts[0].options).expect("options");
    let planned = hinted.to_plan(&catalog.session, Usage::Sink).expect("a sink");
    assert_eq!(planned.options["topic"], "u");
    assert_eq!(planned.name, "default_catalog.default_database.t");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(catalog.warnings.is_empty());
}

#[test]
fn a_hint_cannot_change_the_connector() {
    let (catalog, inserts) = catalog(&format!("{TABLE} INSERT INTO t /*+ OPTIONS('connector' = 'print') */ SELECT 1"));
    let table = catalog.table(&inserts[0].target).expect("a table");
    assert!(table.with_options(&inserts[0].options).is_err());
}

#[test]
fn an_insert_is_given_back_where_it_stands() {
    let script = format!("{TABLE} INSERT INTO t SELECT 1; DROP TABLE t; CREATE TABLE t (b INT);");
    let mut catalog = Catalog::new();
    let mut seen = Vec::new();
    for statement in parse_script(&script).expect("statements") {
        for insert in catalog.apply(statement).expect("a valid statement") {
            seen.push(catalog.table(&insert.target).expect("a table").physical()[0].name.clone());
        }
    }
    assert_eq!(seen, ["a"]);
}

#[test]
fn reset_brings_defaults_back() {
    let (catalog, _) = catalog(
        "SET 'table.local-time-zone' = 'Asia/Tokyo'; SET 'table.exec.source.idle-timeout' = '4 s'; RESET 'table.local-time-zone';",
    );
    assert_eq!(catalog.session.time_zone(), "UTC");
    assert_eq!(catalog.session.idle_timeout(), Duration::from_secs(4));
}

#[test]
fn names_are_found_in_full_and_in_part() {
    let (catalog, inserts) = catalog(&format!(
        "{TABLE} INSERT INTO default_catalog.default_database.t SELECT 1; INSERT INTO default_database.t SELECT 1"
    ));
    for insert in inserts {
        assert!(catalog.table(&insert.target).is_ok());
    }
}
