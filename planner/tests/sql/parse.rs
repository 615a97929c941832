//! Scripts in `tests/cases/parse/*.sql` against what they declare, or their errors, in the `.txt` beside
//! them. A file has several scripts, each below a line `-- # title`. `UPDATE_EXPECTED=1` writes the
//! `.txt` anew. Then properties of the parser over everything that proptest makes up.

use millrace_planner::ast::{ColumnKind, Insert};
use millrace_planner::catalog::{Catalog, CatalogTable, Relation};
use millrace_planner::connector::Usage;
use millrace_planner::error::SqlError;
use millrace_planner::parse::{parse_script, parse_type};
use millrace_planner::types::{DataType, MAX_LENGTH, RowField, TypeKind};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::Path;

#[test]
fn every_script_declares_what_is_written_beside_it() {
    let folder = Path::new("tests/cases/parse");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a script");
        let actual = describe_all(&text);
        let beside = path.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&beside, &actual).expect("the expected text is written");
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert!(expected == actual, "{} differs, now it is:\n{actual}", beside.display());
    }
}

/// Each script of a file under its title. Lines count from the title.
fn describe_all(text: &str) -> String {
    let mut all = String::new();
    for script in text.split("-- # ").skip(1) {
        let (title, script) = script.split_once('\n').unwrap_or((script, ""));
        let outcome = match describe(script.trim_end()) {
            Ok(description) => description,
            Err(error) => format!("{error}\n"),
        };
        writeln!(all, "# {title}\n{outcome}").expect("a String takes all");
    }
    all
}

fn describe(script: &str) -> Result<String, SqlError> {
    let (catalog, inserts) = Catalog::from_statements(parse_script(script)?)?;
    let mut text = String::new();
    for relation in catalog.relations() {
        match relation {
            Relation::Table(table) => describe_table(&mut text, &catalog, table),
            Relation::View(view) => {
                let columns = view.columns.join(", ");
                writeln!(text, "view {}({columns}) as {}", view.name, view.query).expect("a String takes all");
            }
        }
    }
    for insert in &inserts {
        describe_insert(&mut text, &catalog, insert)?;
    }
    for warning in &catalog.warnings {
        writeln!(text, "warning: {warning}").expect("a String takes all");
    }
    Ok(text)
}

fn describe_table(text: &mut String, catalog: &Catalog, table: &CatalogTable) {
    writeln!(text, "table {} ({:?})", table.name, table.connector).expect("a String takes all");
    for column in &table.columns {
        let kind = match &column.kind {
            ColumnKind::Physical { data_type } => data_type.to_string(),
            ColumnKind::Computed { expression } => format!("AS {expression}"),
            ColumnKind::Metadata { data_type, key, is_virtual } => {
                let key = key.as_deref().unwrap_or(&column.name);
                format!("{data_type} METADATA FROM '{key}'{}", if *is_virtual { " VIRTUAL" } else { "" })
            }
        };
        let comment = column.comment.as_ref().map(|comment| format!(" -- {comment}")).unwrap_or_default();
        writeln!(text, "  {} {kind}{comment}", column.name).expect("a String takes all");
    }
    if let Some(watermark) = &table.watermark {
        writeln!(text, "  watermark {} as {}", watermark.column.join("."), watermark.expression)
            .expect("a String takes all");
    }
    if let Some(key) = &table.primary_key {
        writeln!(text, "  primary key {}", key.columns.join(", ")).expect("a String takes all");
    }
    for (key, value, _) in &table.options {
        writeln!(text, "  '{key}' = '{value}'").expect("a String takes all");
    }
    for usage in [Usage::Source, Usage::Sink] {
        if let Err(error) = table.to_plan(&catalog.session, usage) {
            writeln!(text, "  no {usage:?}: {error}").expect("a String takes all");
        }
    }
}

fn describe_insert(text: &mut String, catalog: &Catalog, insert: &Insert) -> Result<(), SqlError> {
    let target = catalog.table(&insert.target)?;
    let (target, _) = target.with_options(&insert.options)?;
    target.to_plan(&catalog.session, Usage::Sink)?;
    let columns: Vec<_> = match insert.columns.is_empty() {
        true => target.sink_columns()?.iter().map(|column| column.name.clone()).collect(),
        false => insert.columns.clone(),
    };
    writeln!(text, "insert into {}({}) {}", target.name, columns.join(", "), insert.query).expect("a String takes all");
    Ok(())
}

/// Pieces of scripts, from which nonsense is put together that comes near to sense.
const PIECES: &[&str] = &[
    "CREATE",
    "TABLE",
    "TEMPORARY",
    "VIEW",
    "t",
    "`a b`",
    "(",
    ")",
    "<",
    ">",
    ",",
    ";",
    ".",
    "a",
    "INT",
    "STRING",
    "ROW",
    "ARRAY",
    "MAP",
    "TIMESTAMP(3)",
    "NOT",
    "NULL",
    "PRIMARY KEY",
    "ENFORCED",
    "METADATA",
    "FROM",
    "'x'",
    "VIRTUAL",
    "AS",
    "WATERMARK FOR",
    "WITH",
    "=",
    "LIKE",
    "INCLUDING",
    "ALL",
    "INSERT INTO",
    "SELECT",
    "*",
    "1",
    "+",
    "-",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "CAST(",
    "TRY_CAST",
    "INTERVAL",
    "MINUTE",
    "MINUTES",
    "TABLE(TUMBLE(TABLE",
    "DESCRIPTOR(ts)",
    "=>",
    "GROUP BY",
    "WHERE",
    "AND",
    "OR",
    "IN",
    "EXISTS",
    "BETWEEN",
    "IS",
    "UNION ALL",
    "JOIN",
    "ON",
    "LATERAL",
    "OVER",
    "PARTITION BY",
    "ORDER BY",
    "FILTER (WHERE",
    "/*+ OPTIONS('k'='v') */",
    "/* c */",
    "-- c\n",
    "EXECUTE STATEMENT SET",
    "BEGIN",
    "SET",
    "RESET",
    "FOR SYSTEM_TIME AS OF",
    "[",
    "]",
    "::",
    "||",
    "\"q\"",
    "'",
    "`",
    "$",
    "?",
    "value",
    "IF",
    "DATE",
    "TIMESTAMP",
    "EXTRACT(",
    "FLOOR(",
    "TO",
    "VALUES",
    "u&'\\00e9'",
    "X'0f'",
    "1e5",
    ".5",
    "é",
    "{",
    "}",
    ":",
];

fn data_type() -> impl Strategy<Value = DataType> {
    let simple = prop_oneof![
        Just(TypeKind::Boolean),
        Just(TypeKind::TinyInt),
        Just(TypeKind::SmallInt),
        Just(TypeKind::Int),
        Just(TypeKind::BigInt),
        Just(TypeKind::Float),
        Just(TypeKind::Double),
        Just(TypeKind::Date),
        Just(TypeKind::IntervalYearMonth),
        Just(TypeKind::IntervalDayTime),
        (1_u8..=38, 0_u8..=38)
            .prop_map(|(precision, scale)| TypeKind::Decimal { precision, scale: scale.min(precision) }),
        (1..=MAX_LENGTH).prop_map(|length| TypeKind::Char { length }),
        (1..=MAX_LENGTH).prop_map(|length| TypeKind::VarChar { length }),
        (1..=MAX_LENGTH).prop_map(|length| TypeKind::Binary { length }),
        Just(TypeKind::VarBinary { length: MAX_LENGTH }),
        (0_u8..=9).prop_map(|precision| TypeKind::Time { precision }),
        (0_u8..=9).prop_map(|precision| TypeKind::Timestamp { precision }),
        (0_u8..=9).prop_map(|precision| TypeKind::TimestampLtz { precision }),
    ];
    let leaf = (simple, any::<bool>()).prop_map(|(kind, nullable)| DataType { kind, nullable });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = ("[a-zA-Z_` é.]{1,6}", inner.clone());
        let kind = prop_oneof![
            inner.clone().prop_map(|element| TypeKind::Array(Box::new(element))),
            inner.clone().prop_map(|element| TypeKind::Multiset(Box::new(element))),
            (inner.clone(), inner).prop_map(|(key, value)| TypeKind::Map(Box::new(key), Box::new(value))),
            proptest::collection::vec(field, 0..4).prop_map(|fields| {
                let fields = fields.into_iter().enumerate();
                TypeKind::Row(
                    fields.map(|(at, (name, data_type))| RowField { name: format!("{name}{at}"), data_type }).collect(),
                )
            }),
        ];
        (kind, any::<bool>()).prop_map(|(kind, nullable)| DataType { kind, nullable })
    })
}

/// What every script must do: come to an end without a panic, and place its error inside of itself.
fn is_judged(script: &str) -> Result<(), TestCaseError> {
    let outcome = parse_script(script).and_then(|statements| Catalog::from_statements(statements).map(drop));
    if let Err(SqlError { span: Some(span), message, .. }) = outcome {
        let lines = script.split('\n').count() as u64;
        prop_assert!((1..=lines).contains(&span.line) && span.column >= 1, "{message} at {span:?}");
        prop_assert!(!message.is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged(script in any::<String>()) {
        is_judged(&script)?;
    }

    #[test]
    fn any_soup_of_tokens_is_judged(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        is_judged(&pieces.join(" "))?;
    }

    #[test]
    fn any_soup_of_tokens_after_insert_is_judged(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        is_judged(&format!("INSERT INTO t SELECT {}", pieces.join(" ")))?;
    }

    #[test]
    fn a_printed_type_reads_as_itself(data_type in data_type()) {
        prop_assert_eq!(parse_type(&data_type.to_string()), Ok(data_type));
    }
}
