//! `check` and `plan`: what is valid, and where it isn't.

use crate::command::{example, millrace, write};

#[test]
fn the_examples_are_valid_and_have_a_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["actions-per-minute.yaml", "event-time.yaml"] {
        let checked = millrace(folder.path(), &["check", &example(name)]);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(checked.stdout.contains("valid: 1 source, 1 sink, 1 exchange"), "{}", checked.stdout);
        let planned = millrace(folder.path(), &["plan", &example(name)]);
        assert_eq!(planned.code, Some(0), "{}", planned.stderr);
        assert!(planned.stdout.contains("GlobalWindowAggregate"), "{}", planned.stdout);
        let planned = millrace(folder.path(), &["plan", "--json", &example(name)]);
        let plan: serde_json::Value = serde_json::from_str(&planned.stdout).expect("JSON");
        assert!(plan["nodes"].as_array().is_some_and(|nodes| nodes.len() > 3), "{plan}");
    }
}

#[test]
fn a_mistake_in_a_manifests_sql_is_shown_in_the_manifest() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = std::fs::read_to_string(example("actions-per-minute.yaml")).expect("the example");
    let line = manifest.lines().position(|line| line.contains("SELECT `action`")).expect("the query") + 1;
    let file = write(folder.path(), "job.yaml", &manifest.replace("SELECT `action`", "SELECT actoin"));
    let checked = millrace(folder.path(), &["check", &file]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains(&format!("--> {file}:{line}:12\n")), "{}", checked.stderr);
    assert!(checked.stderr.contains("|     SELECT actoin, window_start"), "{}", checked.stderr);
    assert!(checked.stderr.contains("|            ^^^^^^\n"), "{}", checked.stderr);
}

#[test]
fn a_misspelt_field_of_a_manifest_is_shown_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = std::fs::read_to_string(example("actions-per-minute.yaml")).expect("the example");
    let file = write(folder.path(), "job.yaml", &manifest.replace("commitInterval", "commitIntervall"));
    let checked = millrace(folder.path(), &["check", &file]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains("spec.commitIntervall: unknown field"), "{}", checked.stderr);
    assert!(checked.stderr.contains("did you mean commitInterval?"), "{}", checked.stderr);
}

#[test]
fn sql_in_a_config_map_of_the_same_file_is_found_and_its_mistakes_are_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let job = "apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: job}\nspec:\n  \
               kafka: {bootstrapServers: k:9092}\n  configMapRef: {name: queries, key: job.sql}\n";
    let alone = write(folder.path(), "alone.yaml", job);
    let checked = millrace(folder.path(), &["check", &alone]);
    assert!(checked.stderr.contains("the key job.sql of ConfigMap queries is not in this file"), "{}", checked.stderr);
    let both = format!(
        "{job}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: queries}}\ndata:\n  job.sql: |\n    SELEKT 1;\n"
    );
    let checked = millrace(folder.path(), &["check", &write(folder.path(), "both.yaml", &both)]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains("both.yaml (its SQL):1:1\n"), "{}", checked.stderr);
}

#[test]
fn a_plain_sql_file_is_checked_by_its_own_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = "CREATE TABLE s (x INT) WITH ('connector' = 'datagen');\nINSERT INTO nowhere SELECT x FROM s;\n";
    let file = write(folder.path(), "job.sql", sql);
    let checked = millrace(folder.path(), &["check", &file]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains(&format!("--> {file}:2:13\n")), "{}", checked.stderr);
}
