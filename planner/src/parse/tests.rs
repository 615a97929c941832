//! What the parser accepts and how it refuses, by example. The bigger cases are files, see
//! `tests/sql/parse.rs`.

use super::*;
use crate::ast::{ColumnKind, CreateTable, Insert, StatementKind};
use crate::error::SqlErrorKind;
use sqlparser::ast::{Expr, SetExpr, TableFactor};

fn one(sql: &str) -> StatementKind {
    let mut statements = parse_script(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
    assert_eq!(statements.len(), 1, "in: {sql}");
    statements.remove(0).kind
}

fn table(sql: &str) -> CreateTable {
    match one(sql) {
        StatementKind::CreateTable(table) => *table,
        other => panic!("no table: {other:?}"),
    }
}

fn insert(sql: &str) -> Insert {
    match one(sql) {
        StatementKind::Insert(insert) => insert,
        other => panic!("no INSERT: {other:?}"),
    }
}

fn error(sql: &str) -> SqlError {
    match parse_script(sql) {
        Ok(statements) => panic!("no error, but {statements:?}"),
        Err(error) => error,
    }
}

fn from(insert: &Insert) -> &TableFactor {
    let SetExpr::Select(select) = insert.query.body.as_ref() else { panic!("no SELECT") };
    &select.from[0].relation
}

#[test]
fn a_table_keeps_its_columns_in_order_and_by_kind() {
    let table = table(
        "CREATE TABLE `db`.bids (id BIGINT NOT NULL PRIMARY KEY NOT ENFORCED COMMENT 'the id',
           price DECIMAL(10, 2), doubled AS price * 2 COMMENT 'twice', `timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
           key STRING, headers MAP<STRING, BYTES> METADATA, WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECONDS)
         COMMENT 'all bids' WITH ('connector' = 'kafka', 'topic' = 'it''s')",
    );
    assert_eq!(table.name.parts, ["db", "bids"]);
    let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "price", "doubled", "timestamp", "key", "headers"]);
    assert_eq!(table.columns[0].comment.as_deref(), Some("the id"));
    assert!(matches!(table.columns[2].kind, ColumnKind::Computed { .. }));
    assert!(
        matches!(&table.columns[3].kind, ColumnKind::Metadata { key: Some(key), is_virtual: true, .. } if key == "timestamp")
    );
    assert_eq!(table.primary_key.expect("a key").columns, ["id"]);
    assert_eq!(table.watermark.expect("a watermark").column, ["timestamp"]);
    assert_eq!(table.options[1].1, "it's");
    assert_eq!(table.comment.as_deref(), Some("all bids"));
}

#[test]
fn like_keeps_its_options_as_written() {
    let table = table("CREATE TEMPORARY TABLE b LIKE a (EXCLUDING ALL including options)");
    let like = table.like.expect("LIKE");
    assert_eq!(like.source.parts, ["a"]);
    assert_eq!(like.options[1], ("INCLUDING".to_owned(), "OPTIONS".to_owned()));
}

#[test]
fn the_table_argument_of_a_window_is_a_plain_name() {
    for sql in [
        "INSERT INTO s SELECT * FROM TABLE(TUMBLE(TABLE d.t, DESCRIPTOR(ts), INTERVAL '10' MINUTES)) AS w",
        "INSERT INTO s SELECT * FROM TUMBLE(TABLE d.t, DESCRIPTOR(ts), INTERVAL '10' MINUTE) AS w",
    ] {
        let insert = insert(sql);
        let TableFactor::TableFunction { expr: Expr::Function(function), alias } = from(&insert) else {
            panic!("no table function: {:?}", from(&insert));
        };
        assert_eq!(function.to_string(), "TUMBLE(d.t, DESCRIPTOR(ts), INTERVAL '10' MINUTE)");
        assert_eq!(alias.as_ref().expect("an alias").name.value, "w");
    }
}

#[test]
fn named_arguments_of_a_window_keep_their_names() {
    let insert = insert(
        "INSERT INTO s SELECT * FROM TABLE(HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '1' MINUTE,
           SIZE => INTERVAL '5' MINUTES, `OFFSET` => INTERVAL '1' SECOND))",
    );
    let TableFactor::TableFunction { expr, .. } = from(&insert) else { panic!("no table function") };
    assert!(expr.to_string().starts_with("HOP(DATA => t, TIMECOL => DESCRIPTOR(ts), SLIDE => "), "{expr}");
}

#[test]
fn every_type_is_read_after_cast() {
    let insert = insert(
        "INSERT INTO s SELECT CAST(TRY_CAST(a AS ROW<x INT, y ARRAY<MAP<STRING, TIMESTAMP(3) WITH LOCAL TIME ZONE>>>) AS INT NOT NULL) FROM t",
    );
    let SetExpr::Select(select) = insert.query.body.as_ref() else { panic!("no SELECT") };
    let sqlparser::ast::SelectItem::UnnamedExpr(Expr::Cast { data_type, expr, .. }) = &select.projection[0] else {
        panic!("no CAST: {:?}", select.projection)
    };
    assert_eq!(cast_type(data_type).expect("a type").to_string(), "INT NOT NULL");
    let Expr::Cast { data_type, .. } = expr.as_ref() else { panic!("no CAST inside") };
    assert_eq!(
        cast_type(data_type).expect("a type").to_string(),
        "ROW<`x` INT, `y` ARRAY<MAP<STRING, TIMESTAMP_LTZ(3)>>>"
    );
}

#[test]
fn hints_are_carried_to_their_tables() {
    let insert = insert(
        "INSERT INTO s /*+ OPTIONS('a' = 'b') */ SELECT * FROM d.t /*+ OPTIONS('scan.startup.mode'='earliest-offset', 'k'='v') */ AS x",
    );
    assert_eq!(insert.options[0].0, "a");
    let hints = table_hints(from(&insert));
    assert_eq!(hints[0].0, "scan.startup.mode");
    assert_eq!(hints[1].1, "v");
}

#[test]
fn hints_that_would_have_no_effect_are_refused() {
    for sql in [
        "INSERT INTO s SELECT /*+ BROADCAST(t) */ * FROM t",
        "INSERT INTO s SELECT a /*+ OPTIONS('k'='v') */ FROM t",
        "CREATE TABLE t /*+ OPTIONS('k'='v') */ (a INT)",
        "/*+ OPTIONS('k'='v') */ SET a = b",
    ] {
        assert_eq!(error(sql).kind, SqlErrorKind::Unsupported, "{sql}");
    }
}

#[test]
fn statement_sets_have_two_forms() {
    for sql in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b VALUES (1), (2); END;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b (SELECT 2); END",
    ] {
        assert!(matches!(one(sql), StatementKind::StatementSet(inserts) if inserts.len() == 2));
    }
}

#[test]
fn set_takes_a_value_as_written() {
    let set = |key: &str, value: &str| StatementKind::Set { key: key.to_owned(), value: value.to_owned() };
    assert_eq!(one("SET 'table.local-time-zone' = 'Europe/Berlin'"), set("table.local-time-zone", "Europe/Berlin"));
    assert_eq!(one("SET table.exec.source.idle-timeout = 10 s;"), set("table.exec.source.idle-timeout", "10 s"));
    assert_eq!(one("RESET"), StatementKind::Reset { key: None });
    assert_eq!(one("RESET 'a'"), StatementKind::Reset { key: Some("a".to_owned()) });
}

#[test]
fn units_of_time_and_functions_without_parentheses_are_no_reserved_names() {
    insert(
        "INSERT INTO s SELECT TIMESTAMPDIFF(DAY, a, b), CURRENT_TIMESTAMP, LOCALTIME, EXTRACT(YEAR FROM a), FLOOR(a TO HOUR), MAP['a', 1], ARRAY[1], ROW(1, 2) FROM t",
    );
    insert(
        "INSERT INTO s SELECT COUNT(*) FILTER (WHERE a IS NOT NULL), DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', key, type FROM t",
    );
}

#[test]
fn everyday_queries_are_read() {
    for query in [
        "SELECT * FROM o JOIN LATERAL TABLE(f(o.a)) AS t(x) ON TRUE",
        "SELECT o.a, r.rate FROM o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.proctime AS r ON o.c = r.c",
        "SELECT x, y FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y)",
        "WITH c AS (SELECT 1 AS a), d (b) AS (SELECT a FROM c) SELECT c.*, d.b FROM c, d WHERE EXISTS (SELECT 1 FROM d) AND a IN (SELECT b FROM d)",
        "SELECT a, COUNT(DISTINCT b), SUM(c) FILTER (WHERE d > 0), LISTAGG(e, ',') FROM t GROUP BY GROUPING SETS ((a), ()) HAVING COUNT(*) > 1",
        "SELECT a, SUM(b) OVER (PARTITION BY a ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), MAX(b) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY ts)",
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) AS rn FROM t) WHERE rn <= 3",
        "SELECT a IS NOT DISTINCT FROM b, c LIKE 'x%' ESCAPE '!', d SIMILAR TO 'y', e NOT BETWEEN 1 AND 2, f || 'g', h % 2, -i, NOT j FROM t",
        "SELECT INTERVAL '1 10' DAY TO HOUR, INTERVAL '5' SECOND(3), INTERVAL '1-2' YEAR TO MONTH, INTERVAL '10' DAYS",
        "SELECT arr[1], m['k'], r.f.g, t.r.f, ROW(1, 'a'), ARRAY['x'], MAP['k', ARRAY[1, 2]], (r).f FROM t",
        "SELECT POSITION('a' IN b), SUBSTRING(c FROM 1 FOR 2), TRIM(BOTH ' ' FROM d), OVERLAY(e PLACING 'x' FROM 1), CEIL(ts TO DAY), EXTRACT(EPOCH FROM ts) FROM t",
        "SELECT TIMESTAMPADD(MINUTE, 5, ts), DATE '2020-01-01', TIME '10:00:00', TIMESTAMP '2020-01-01 00:00:00.123', X'0aff', U&'\\00e9', 1e3, .5, 5. FROM t",
        "SELECT CASE WHEN a > 1 THEN 'x' ELSE NULL END, CASE b WHEN 1 THEN 2 END, COALESCE(a, b), NULLIF(a, 1), IF(a > 1, 2, 3), YEAR(ts), LEFT('abc', 1), MOD(5, 2), TRUNCATE(1.5, 1) FROM t",
        "SELECT a FROM t UNION ALL SELECT b FROM u EXCEPT (SELECT 1) ORDER BY a LIMIT 5",
        "SELECT name, type, `key`, state, a.b$c, übung FROM t ORDER BY ts FETCH FIRST 5 ROWS ONLY",
    ] {
        insert(&format!("INSERT INTO s {query}"));
    }
}

#[test]
fn errors_point_at_the_token_and_say_what_was_expected() {
    for (sql, message) in [
        (
            "CREATE TABLE t (a INT",
            "line 1, column 22: expected ',' or ')' but found the end of the script\n  hint: the '(' after the table's name is not closed",
        ),
        (
            "CREATE TABLE t (a INT b INT)",
            "line 1, column 23: expected ',' or ')' but found 'b'\n  hint: is a comma missing before b?",
        ),
        (
            "CREATE TABLE t (\n  timestamp BIGINT)",
            "line 2, column 3: expected a column name but found the reserved word 'timestamp'\n  hint: write it in backticks to use it as a name: `timestamp`",
        ),
        ("CREATE TABLE t (a TEXT)", "line 1, column 19: TEXT is not a data type of Flink SQL\n  hint: use STRING"),
        (
            "INSERT INTO s SELECT value FROM t",
            "line 1, column 22: expected an expression but found the reserved word 'value'\n  hint: write it in backticks to use it as a name: `value`",
        ),
        (
            "INSERT INTO s SELECT a FROM t WHERE",
            "line 1, column 36: expected an expression but found the end of the script",
        ),
        ("INSERT INTO s SELECT (a + 1 FROM t;", "line 1, column 29: expected ')' but found 'FROM'"),
        ("INSERT INTO s SELECT a) FROM t;", "line 1, column 23: expected an operator, a clause or ';' but found ')'"),
        (
            "SELECT 1",
            "line 1, column 1: a query without INSERT INTO is not supported yet\n  hint: write its rows to a table: INSERT INTO t SELECT …, where t may have 'connector' = 'print'",
        ),
        (
            "INSERT INTO s SELECT \"a\" FROM t",
            "line 1, column 22: unexpected double quotes around \"a\"\n  hint: quote a name with backticks (`a`) and a string with single quotes ('a')",
        ),
        (
            "INSERT OVERWRITE s SELECT 1",
            "line 1, column 8: INSERT OVERWRITE is not supported yet\n  hint: a stream only adds rows: INSERT INTO",
        ),
        ("ALTER TABLE t ADD a INT", "line 1, column 1: the statement ALTER TABLE is not supported yet"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (a)", "line 1, column 24: PARTITIONED BY is not supported yet"),
        (
            "CREATE TABLE t (a INT) WITH ('k' = 'v' 'l' = 'w')",
            "line 1, column 40: expected ',' or ')' but found 'l'\n  hint: is a comma missing between two options?",
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            "line 1, column 34: expected NOT ENFORCED after the PRIMARY KEY but found ')'\n  hint: write PRIMARY KEY (…) NOT ENFORCED",
        ),
    ] {
        assert_eq!(error(sql).to_string(), message, "in: {sql}");
    }
}

#[test]
fn a_hostile_script_is_an_error_and_no_stack_overflow() {
    let depth = 100_000;
    for sql in [
        format!("INSERT INTO s SELECT {}", "(".repeat(depth)),
        format!("INSERT INTO s SELECT {}1", "NOT ".repeat(depth)),
        format!("INSERT INTO s SELECT {}1", "- ".repeat(depth)),
        format!("INSERT INTO s SELECT 1{}", " + 1".repeat(depth)),
        format!("INSERT INTO s SELECT {}", "CASE ".repeat(depth)),
        format!("INSERT INTO s SELECT 1{}", " UNION ALL SELECT 1".repeat(depth)),
        format!("CREATE TABLE t (a {})", "ARRAY<".repeat(depth)),
        format!("CREATE TABLE t (a INT{})", " ARRAY".repeat(depth)),
        format!("CREATE TABLE t (a {})", "ROW(a ".repeat(depth)),
    ] {
        let error = error(&sql).to_string();
        assert!(error.starts_with("line 1, column "), "{error}");
    }
    // What is allowed must fit into a test's stack.
    parse_script(&format!("INSERT INTO s SELECT {}1{}", "(".repeat(99), ")".repeat(99))).expect("99 brackets");
    parse_script(&format!("INSERT INTO s SELECT 1{}", " + 1".repeat(999))).expect("999 operators");
    parse_script(&format!("INSERT INTO s SELECT 1 FROM {}t{}", "(SELECT 1 FROM ".repeat(90), ")".repeat(90)))
        .expect("90 queries");
}
