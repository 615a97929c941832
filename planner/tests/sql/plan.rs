//! Every script in `tests/cases/plan` against its plan, or its error, in the `.txt` beside it.
//! `UPDATE=1 cargo test -p millrace-planner` writes the files anew; read the difference before keeping it.
//!
//! A script may start with lines `--! use NAME`, which put `tests/cases/plan/NAME.tables` before it.

use millrace_planner::expression::{Expression, ExpressionKind};
use millrace_planner::plan::{Operator, Plan};
use millrace_planner::{PlanOptions, plan_script};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_script_gives_its_plan_or_its_error() {
    let folder = Path::new("tests/cases/plan");
    let mut scripts: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases are beside this test")
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    scripts.sort();
    let update = std::env::var_os("UPDATE").is_some();
    let count = scripts.len();
    let mut wrong = Vec::new();
    for script in scripts {
        let actual = outcome(folder, &script);
        let expected_path = script.with_extension("txt");
        if update {
            fs::write(&expected_path, &actual).expect("the folder is writable");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            wrong.push(format!("=== {name}\n--- expected\n{expected}--- actual\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 60, "cases went missing: {count} are left");
}

/// A case with the tables that it uses before it.
fn script(folder: &Path, case: &Path) -> String {
    let text = fs::read_to_string(case).expect("a case is readable");
    let tables: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("--! use ")).collect();
    let mut sql = String::new();
    for name in &tables {
        // On one line, so that places of errors are those in the script.
        let file = fs::read_to_string(folder.join(format!("{name}.tables"))).expect("the tables are there");
        sql.push_str(&file.lines().collect::<Vec<_>>().join(" "));
        sql.push('\n');
    }
    sql.extend(text.lines().skip(tables.len()).flat_map(|line| [line, "\n"]));
    sql
}

/// What the script's author gets to see.
fn outcome(folder: &Path, case: &Path) -> String {
    match plan_script(&script(folder, case), &PlanOptions::default()) {
        Ok(planned) => {
            let warnings: String = planned.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            format!("{warnings}{}", planned.plan.explain())
        }
        Err(error) => format!("{:?} error: {error}\n", error.kind),
    }
}

/// Calls `check` with the name and the plan of every case that has one.
fn each_plan(mut check: impl FnMut(&str, &Plan)) {
    let folder = Path::new("tests/cases/plan");
    for entry in fs::read_dir(folder).expect("the cases are beside this test") {
        let path = entry.expect("the folder is readable").path();
        if path.extension().is_some_and(|extension| extension == "sql")
            && let Ok(planned) = plan_script(&script(folder, &path), &PlanOptions::default())
        {
            check(&path.file_name().unwrap_or_default().to_string_lossy(), &planned.plan);
        }
    }
}

#[test]
fn every_plan_survives_json() {
    each_plan(|name, plan| {
        let json = serde_json::to_string(plan).expect("a plan is data");
        let read: Plan = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(*plan, read, "{name}");
    });
}

/// Every column that an expression names is there and has the type that the expression says.
#[test]
fn every_expression_fits_its_input() {
    each_plan(|name, plan| {
        for (id, node) in plan.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|input| *input < id), "{name}: node {id} stands before its input");
            let input: Vec<_> = node.inputs.iter().flat_map(|input| &plan.nodes[*input].schema.columns).collect();
            let (expressions, outputs): (Vec<&Expression>, _) = match &node.operator {
                Operator::Calc(calc) => (calc.projection.iter().chain(&calc.filter).collect(), Some(&calc.projection)),
                Operator::Watermark(watermark) => (vec![&watermark.expression], None),
                Operator::WindowJoin(join) => {
                    let emitted = join.output.iter().map(|column| &input[*column].data_type);
                    assert!(
                        emitted.eq(node.schema.columns.iter().map(|column| &column.data_type)),
                        "{name}: node {id}"
                    );
                    (join.condition.iter().collect(), None)
                }
                _ => continue,
            };
            for expression in expressions {
                expression.walk(&mut |part| {
                    if let ExpressionKind::Column(column) = part.kind {
                        assert_eq!(
                            part.data_type.kind, input[column].data_type.kind,
                            "{name}: node {id}, column {column}"
                        );
                    }
                });
            }
            for (value, column) in outputs.into_iter().flatten().zip(&node.schema.columns) {
                assert_eq!(value.data_type.kind, column.data_type.kind, "{name}: node {id}, {}", column.name);
            }
        }
    });
}

#[test]
fn operators_keep_their_ids_when_another_query_joins_the_script() {
    let tables = "CREATE TABLE t (a STRING, b INT, c ROW<d INT>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
        WITH ('connector' = 'datagen'); CREATE TABLE s (a STRING, n BIGINT) WITH ('connector' = 'blackhole'); \
        CREATE TABLE u (b INT, d INT) WITH ('connector' = 'print');";
    let counts = "INSERT INTO s SELECT a, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) \
        GROUP BY a, window_start, window_end;";
    let joins = "INSERT INTO u SELECT l.b, r.b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS l \
        JOIN TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS r ON l.a = r.a AND \
        l.window_start = r.window_start AND l.window_end = r.window_end AND l.b < r.c.d;";
    let other = "INSERT INTO u SELECT b, c.d FROM t WHERE b > 1;";
    let ids = |sql: &str| {
        let plan = plan_script(sql, &PlanOptions::default()).expect("the script is right").plan;
        let stateful = plan.nodes.into_iter().filter(|node| !matches!(node.operator, Operator::Calc(_)));
        stateful.map(|node| node.operator_id).collect::<BTreeSet<_>>()
    };
    for query in [counts, joins] {
        let alone = ids(&format!("{tables}{query}"));
        assert!(alone.is_subset(&ids(&format!("{tables}{query}{other}"))));
        assert!(alone.is_subset(&ids(&format!("{tables}{other}{query}"))));
    }
}
