//! Manifests as people write them, right and wrong.

use super::*;
use crate::quantity::Duration;
use crate::stream_job::{DesiredState, ErrorPolicy, UpgradeMode};

const ACTIONS: &str = r#"apiVersion: millrace.dev/v1alpha1
kind: StreamJob
metadata: {name: actions-per-minute}
spec:
  replicas: 4                      # default: parallelism
  kafka: {bootstrapServers: "kafka:9092"}
  commitInterval: 500ms
  checkpoint: {interval: 10s, storage: {volume: {size: 10Gi}}}
  savepoint: {storage: {objectStore: {url: "s3://bucket/jobs"}}}
  errors: {decode: DeadLetter, evaluate: DeadLetter, late: Drop}
  deadLetterTopic: actions-dead
  state: {ttl: 7d, sizeLimit: 20Gi}
  sql: |
    CREATE TABLE a (x INT);

    INSERT INTO b SELECT x FROM a;
"#;

fn spec(lines: &str) -> String {
    format!("apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata:\n  name: job\nspec:\n{lines}")
}

fn problem(yaml: &str) -> String {
    read(yaml).expect_err("a manifest with a mistake").to_string()
}

#[test]
fn the_manifest_of_the_design_is_read_with_its_types() {
    let job = read(ACTIONS).expect("the design's own manifest");
    assert_eq!(job.metadata.name.as_deref(), Some("actions-per-minute"));
    assert_eq!(job.spec.commit_interval, Duration::from_millis(500));
    assert_eq!(job.spec.state.ttl, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(job.spec.error_policies().late, ErrorPolicy::Drop);
    assert_eq!(job.spec.error_policies().decode, ErrorPolicy::DeadLetter);
}

#[test]
fn what_is_not_written_has_its_default() {
    let job = read(&spec("  kafka: {bootstrapServers: k:1}\n  sql: SELECT 1\n")).expect("the least there can be");
    assert_eq!(job.spec.commit_interval, Duration::from_millis(500));
    assert_eq!(job.spec.checkpoint.interval, Duration::from_secs(10));
    assert_eq!(job.spec.desired_state, DesiredState::Running);
    assert_eq!(job.spec.upgrade.mode, UpgradeMode::Savepoint);
    assert_eq!(job.spec.limits.event_time_ahead, Duration::from_secs(86_400));
    assert_eq!(job.spec.error_policies().decode, ErrorPolicy::Fail);
    assert_eq!(job.spec.error_policies().late, ErrorPolicy::Drop);
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_field_that_was_meant() {
    let found = problem(&spec("  kafka:\n    bootstrapServer: k:1\n  sql: SELECT 1\n"));
    assert_eq!(
        found,
        "line 7, column 5: spec.kafka.bootstrapServer: unknown field (did you mean bootstrapServers?)\n\
         line 7, column 5: spec.kafka: the field bootstrapServers is missing"
    );
    let found = problem(&spec("  kafka: {bootstrapServers: k:1}\n  sql: SELECT 1\n  restart: 1\n"));
    assert!(found.starts_with("line 8, column 3: spec.restart: unknown field (the fields here are "), "{found}");
    let found = problem(&ACTIONS.replace("{name: ", "{nmae: "));
    assert!(found.contains("metadata.nmae: unknown field (did you mean name?)"), "{found}");
}

#[test]
fn values_that_do_not_fit_say_what_was_expected() {
    let found = problem(&ACTIONS.replace("500ms", "500"));
    assert_eq!(
        found,
        "line 7, column 19: spec.commitInterval: expected a duration such as 500ms, 10s or 7d; found the number 500"
    );
    let found = problem(&ACTIONS.replace("late: Drop", "late: drop"));
    assert_eq!(
        found,
        "line 10, column 60: spec.errors.late: expected one of DeadLetter, Drop, Fail; found the text \"drop\" (did you mean Drop?)"
    );
    let found = problem(&ACTIONS.replace("replicas: 4", "replicas: 0"));
    assert_eq!(found, "line 5, column 13: spec.replicas: 0 is not from 1 to 1024");
    let found = problem(&ACTIONS.replace("10Gi", "10GB"));
    assert!(found.contains("spec.checkpoint.storage.volume.size: \"10GB\" is not a size"), "{found}");
}

#[test]
fn rules_between_fields_hold_for_files_too() {
    assert!(problem(&ACTIONS.replace("  deadLetterTopic: actions-dead\n", "")).contains("needs a deadLetterTopic"));
    assert!(problem(&ACTIONS.replace("500ms", "20ms")).contains("commitInterval is from 50ms to 10s"));
    assert!(problem(&format!("{ACTIONS}  image: x\n")).contains("exactly one of sql, configMapRef and image"));
    assert!(
        problem(&spec("  kafka: {bootstrapServers: k:1}\n")).contains("exactly one of sql, configMapRef and image")
    );
}

#[test]
fn text_that_is_not_yaml_is_refused_with_its_position() {
    let error = read("apiVersion: millrace.dev/v1alpha1\nkind: [StreamJob\n").expect_err("an open bracket");
    assert!(error.problems[0].message.starts_with("not valid YAML: "), "{error}");
    assert!(error.problems[0].position.is_some(), "{error}");
    assert!(problem("kind: StreamJob\nkind: StreamJob\n").contains("duplicate"), "{}", problem("kind: a\nkind: b\n"));
}

#[test]
fn a_manifest_has_exactly_one_stream_job_among_other_objects() {
    let config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: queries}\ndata:\n  job.sql: SELECT 1\n---\n";
    assert!(read(&format!("{config}{ACTIONS}")).is_ok());
    assert_eq!(config_map_value(config, "queries", "job.sql").as_deref(), Some("SELECT 1"));
    let found = problem(&format!("{ACTIONS}---\n{ACTIONS}"));
    assert!(found.starts_with("line 19, column 1: kind: this is a second StreamJob"), "{found}");
    assert!(problem(config).contains("no StreamJob, only ConfigMap"));
    assert!(problem("").contains("the file is empty"));
    assert!(problem("a: 1").contains("has no `kind`"));
    assert!(problem(&ACTIONS.replace("v1alpha1", "v2")).contains("reads millrace.dev/v1alpha1, not millrace.dev/v2"));
}

#[test]
fn positions_in_the_sql_are_positions_in_the_file() {
    let text = embedded_text(ACTIONS, &["spec", "sql"]).expect("a block scalar");
    assert_eq!(text.position(1, 1), Some(Position { line: 14, column: 5 }));
    assert_eq!(text.position(3, 13), Some(Position { line: 16, column: 17 }));
    for (sql, first) in [("SELECT 1", 8), ("\"SELECT 1\"", 9), ("'SELECT 1'", 9)] {
        let yaml = spec(&format!("  kafka: {{bootstrapServers: k}}\n  sql: {sql}\n"));
        let text = embedded_text(&yaml, &["spec", "sql"]).expect("one line");
        assert_eq!(text.position(1, 1), Some(Position { line: 7, column: first }), "{sql}");
    }
    let folded = spec("  sql: >\n    SELECT\n    1\n");
    assert_eq!(embedded_text(&folded, &["spec", "sql"]).and_then(|t| t.position(2, 1)), None);
}

#[test]
fn the_definitions_in_the_repository_are_those_the_types_make() {
    for (file, generated) in crate::generated().expect("the definitions as YAML") {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        assert!(text == generated, "crds/{file} is out of date: run `cargo run -p millrace-crds --bin generate-crds`");
        // A third of what one etcd object may take, so that it is never the definition that does not fit.
        assert!(generated.len() < 100_000, "{file} has {} bytes", generated.len());
    }
}
