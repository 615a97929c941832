//! Expressions as SQL writes them: each line of `cases/expression` is planned, evaluated over one row and
//! compared with the value that Flink documents. `expression => value`, where the value is what CAST to
//! STRING prints, `NULL`, or `! message` of a row that fails. `zone NAME` sets the session's time zone for
//! the lines after it.

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, cast::AsArray};
use millrace_job_runtime::batch::{Batch, FailedRow};
use millrace_job_runtime::decode::json::{JsonDecodeOptions, JsonDecoder};
use millrace_job_runtime::decode::{Decoded, RecordDecoder};
use millrace_job_runtime::env::ManualClock;
use millrace_job_runtime::error::Result;
use millrace_job_runtime::operators::chain::{TaskEnvironment, build};
use millrace_job_runtime::operators::{Context, Output, Progress};
use millrace_job_runtime::schema::arrow_schema;
use millrace_planner::plan::{Node, Operator, ScanColumn};
use millrace_planner::types::DataType;
use millrace_planner::{PlanOptions, plan_script};
use std::sync::Arc;

/// 2024-02-09T15:04:05.678Z
const NOW: i64 = 1_707_491_045_678;

const COLUMNS: &str = "i INT, b BIGINT, d DOUBLE, f FLOAT, s STRING, t BOOLEAN, n INT, ns STRING, ti TINYINT, \
                       m DECIMAL(10, 2), bin BYTES, r ROW<a INT, b STRING, c BOOLEAN>, \
                       l ARRAY<DOUBLE>, mp MAP<STRING, DATE>, ms MULTISET<STRING>, \
                       deep ARRAY<ROW<k STRING, v ARRAY<TIMESTAMP_LTZ(3)>>>, nl ARRAY<INT>";

/// The values of columns that have parts, as JSON.
const NESTED: &str = r#"{"r": {"a": 1, "b": "foo"}, "l": [1, null, 2.5], "mp": {"x": "2024-02-09", "y": null},
    "ms": {"b": 2, "a": 1}, "deep": [{"k": "x", "v": ["2024-02-09 10:20:30Z"]}, null, {"v": []}], "nl": null}"#;

fn nested(name: &str, data_type: &DataType) -> ArrayRef {
    let columns = [(vec![name.to_owned()], data_type.clone())];
    let mut decoder = JsonDecoder::new(&columns, JsonDecodeOptions::default()).unwrap();
    assert_eq!(decoder.decode(Some(NESTED.as_bytes())), Ok(Decoded::Row));
    decoder.finish().remove(0)
}

fn column(name: &str, data_type: &DataType) -> ArrayRef {
    use arrow_array::*;
    match name {
        "i" => Arc::new(Int32Array::from(vec![7])),
        "b" => Arc::new(Int64Array::from(vec![i64::MAX])),
        "d" => Arc::new(Float64Array::from(vec![2.5])),
        "f" => Arc::new(Float32Array::from(vec![0.1])),
        "s" => Arc::new(StringArray::from(vec!["Hello Wörld"])),
        "t" => Arc::new(BooleanArray::from(vec![true])),
        "n" => Arc::new(Int32Array::from(vec![None])),
        "ns" => Arc::new(StringArray::from(vec![None::<&str>])),
        "ti" => Arc::new(Int8Array::from(vec![127])),
        "m" => Arc::new(Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap()),
        "bin" => Arc::new(BinaryArray::from(vec![&b"bytes"[..]])),
        _ => nested(name, data_type),
    }
}

#[derive(Default)]
struct Collected {
    values: Vec<String>,
}

impl Output for Collected {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        let texts = batch.rows.column(0).as_string::<i32>();
        self.values.push(if texts.is_null(0) { "NULL".to_owned() } else { texts.value(0).to_owned() });
        Ok(())
    }

    /// The cases say what went wrong; which row it was stands behind that.
    fn fail(&mut self, row: FailedRow) -> Result<()> {
        let (what, row) = row.message.split_once("; row: (").expect("a row without a source record is told");
        assert!(row.ends_with(')'), "{row}");
        self.values.push(format!("! {what}"));
        Ok(())
    }
}

/// The one row of the source, with the columns that the plan reads.
fn row(node: &Node) -> RecordBatch {
    let columns = match &node.operator {
        Operator::Scan(scan) => {
            scan.columns.iter().zip(&node.schema.columns).map(|(scanned, column_read)| match scanned {
                ScanColumn::Physical { path } => column(&path[0], &column_read.data_type),
                ScanColumn::Metadata { key } => panic!("no metadata {key} here"),
            })
        }
        other => panic!("the plan starts with {other:?}"),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(arrow_schema(&node.schema), columns.collect(), &options).unwrap()
}

fn evaluate(expression: &str, zone: &str) -> String {
    let sql = format!(
        "CREATE TABLE source ({COLUMNS}) WITH ('connector' = 'datagen');\n\
         CREATE TABLE target (v STRING) WITH ('connector' = 'print');\n\
         INSERT INTO target SELECT CAST({expression} AS STRING) FROM source;"
    );
    let plan = match plan_script(&sql, &PlanOptions { time_zone: zone.to_owned() }) {
        Ok(planned) => planned.plan,
        Err(error) => return format!("not planned: {error}"),
    };
    let mut batches = vec![Batch::new(row(&plan.nodes[0]))];
    let clock = ManualClock::at(NOW);
    let context = Context { clock: clock.as_ref(), progress: Progress::START };
    let environment = TaskEnvironment { task: 0, parallelism: 1, max_event_time_ahead: None, partial_bytes: 1 << 20 };
    let mut output = Collected::default();
    for node in &plan.nodes {
        match build(node, &plan, &environment, None) {
            Ok(Some(mut operator)) => operator.process(0, batches.remove(0), &context, &mut output).unwrap(),
            Ok(None) => {}
            Err(error) => return format!("not built: {error}"),
        }
    }
    output.values.pop().unwrap_or_else(|| "no value".to_owned())
}

fn check(file: &str) {
    let path = format!("tests/cases/expression/{file}.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut zone, mut wrong) = ("UTC", Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("zone ") {
            zone = name;
            continue;
        }
        let (expression, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("{path}:{}: no =>", number + 1));
        let expected = expected.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(expected);
        let actual = evaluate(expression.trim(), zone);
        if actual != expected {
            wrong.push(format!(
                "{path}:{}: {}\n  expected {expected}\n  actual   {actual}",
                number + 1,
                expression.trim()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn arithmetic_has_flinks_results() {
    check("arithmetic");
}

#[test]
fn logic_has_three_values_and_leaves_out_what_does_not_matter() {
    check("logic");
}

#[test]
fn casts_have_flinks_forms() {
    check("cast");
}

#[test]
fn strings_count_characters_from_one() {
    check("string");
}

#[test]
fn dates_and_times_follow_the_session_time_zone() {
    check("temporal");
}
