//! `run`: what a job needs before it starts, how it ends, and what it leaves behind.

use crate::command::{Running, free_port, millrace, write};

const COUNT_TO_THREE: &str = "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '3',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3');
CREATE TABLE printed (n INT) WITH ('connector' = 'print');
INSERT INTO printed SELECT n FROM numbers;
";

fn manifest(sql: &str) -> String {
    let sql = sql.replace('\n', "\n    ");
    format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata: {{name: job}}\nspec:\n  \
         kafka: {{bootstrapServers: k:9092}}\n  sql: |\n    {sql}\n"
    )
}

#[test]
fn a_bounded_run_prints_its_rows_ends_with_zero_and_can_be_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "count.sql", COUNT_TO_THREE);
    let broker = format!("127.0.0.1:{}", free_port());
    for _ in 0..2 {
        let ran = millrace(folder.path(), &["run", "--bounded", "--sql", &file, "--broker-listen", &broker]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut rows: Vec<&str> = ran.stdout.lines().map(|line| line.rsplit("> ").next().unwrap_or(line)).collect();
        rows.sort_unstable();
        assert_eq!(rows, ["+I[1]", "+I[2]", "+I[3]"], "{}", ran.stdout);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".millrace")).expect("the broker's folder").collect();
    assert_eq!(left.len(), 1, "only the broker's data stays: {left:?}");
    let topics = std::fs::read_dir(folder.path().join(".millrace/broker/topics")).expect("the broker's topics");
    let logs = topics.filter_map(Result::ok).filter(|topic| topic.file_name().to_string_lossy().ends_with(".log"));
    assert_eq!(logs.count(), 0, "the job's own topics are gone");
}

#[test]
fn a_bounded_run_refuses_sources_without_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = COUNT_TO_THREE.replace("'number-of-rows' = '3',", "").replace("sequence", "random");
    let sql = sql.replace(", 'fields.n.start' = '1', 'fields.n.end' = '3'", "");
    let file = write(folder.path(), "endless.sql", &sql);
    let ran = millrace(folder.path(), &["run", "--bounded", "--sql", &file]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("--bounded needs sources that end"), "{}", ran.stderr);
}

#[test]
fn a_topic_that_is_missing_on_somebody_elses_kafka_is_named_with_how_to_create_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let endless = COUNT_TO_THREE.replace("'number-of-rows' = '3',", "");
    let host = Running::start(folder.path(), &[&write(folder.path(), "job.yaml", &manifest(&endless))]);
    host.await_log("status at http://");
    let sql = "CREATE TABLE s (x INT) WITH ('connector' = 'kafka', 'topic' = 'not-there', 'format' = 'json',
      'scan.startup.mode' = 'earliest-offset');
    CREATE TABLE t (x INT) WITH ('connector' = 'blackhole');
    INSERT INTO t SELECT x FROM s;";
    let other = tempfile::tempdir().expect("a folder");
    let file = write(other.path(), "job.sql", sql);
    let ran = millrace(other.path(), &["run", "--bounded", "--sql", &file, "--kafka", &host.kafka]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("the topic not-there of table `s` does not exist"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--create --topic not-there --partitions 4"), "{}", ran.stderr);
    host.kill();
}

#[test]
fn state_of_another_plan_is_refused_until_it_is_discarded() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = format!("127.0.0.1:{}", free_port());
    let run = |sql: &str, more: &[&str]| {
        let file = write(folder.path(), "job.yaml", &manifest(sql));
        let arguments = [&["run", "--bounded", &file, "--broker-listen", &broker], more].concat();
        millrace(folder.path(), &arguments)
    };
    let first = run(COUNT_TO_THREE, &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let changed = COUNT_TO_THREE.replace("SELECT n FROM", "SELECT n + 1 FROM");
    let refused = run(&changed, &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--discard-state"), "{}", refused.stderr);
    let discarded = run(&changed, &["--discard-state"]);
    assert_eq!(discarded.code, Some(0), "{}", discarded.stderr);
    assert_eq!(discarded.stdout.lines().count(), 3, "{}", discarded.stdout);
}

#[test]
fn an_address_that_is_taken_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let file = write(folder.path(), "count.sql", COUNT_TO_THREE);
    let ran = millrace(folder.path(), &["run", "--bounded", "--sql", &file, "--broker-listen", &address]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("--broker-listen") && ran.stderr.contains("--kafka"), "{}", ran.stderr);
}
