//! What the chart brings along, held against what it is made from: the definitions, and the metrics that dashboards and
//! alerts ask for.

use crate::architecture::{expect_none, read, root};
use millrace_job_runtime::batch::FailureReason;
use millrace_job_runtime::condition::Reason;
use millrace_job_runtime::job::ErrorPolicy;
use millrace_job_runtime::metrics::{Metrics as WorkerMetrics, PartitionStatus};
use millrace_operator::metrics::Metrics as OperatorMetrics;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_charts_definitions_are_those_of_the_types() {
    let stale = ["streamjob.yaml", "savepoint.yaml"].into_iter().filter(|file| {
        read(&root().join("helm/millrace/files/crds").join(file)) != read(&root().join("crds").join(file))
    });
    expect_none(stale.map(str::to_owned).collect(), "copies in the chart are out of date: run helm/sync.sh");
}

/// A definition of more than this is a burden to API servers, and near what `kubectl apply` can take.
const MOST_DEFINITION_BYTES: usize = 100_000;

#[test]
fn a_definition_is_not_too_large() {
    for file in ["streamjob.yaml", "savepoint.yaml"] {
        let bytes = read(&root().join("crds").join(file)).len();
        assert!((1_000..MOST_DEFINITION_BYTES).contains(&bytes), "crds/{file} has {bytes} bytes");
    }
}

#[test]
fn dashboards_and_alerts_ask_only_for_metrics_that_there_are() {
    let there: BTreeSet<String> = exported(&of_a_worker()).into_iter().chain(exported(&of_the_operator())).collect();
    assert!(there.contains("millrace_commits_total"), "{there:?}");
    let mut missing = Vec::new();
    for file in ["dashboard.json", "alerts.yaml"] {
        let text = read(&root().join("helm/millrace/files").join(file));
        let asked = asked_for(&text);
        assert!(asked.len() > 5, "{file} asks for almost nothing: {asked:?}");
        missing.extend(asked.into_iter().filter(|name| !there.contains(name)).map(|name| format!("{file}: {name}")));
    }
    expect_none(missing, "metrics that nothing exports");
}

/// With something in every family: one that is empty is not exported.
fn of_a_worker() -> String {
    let metrics = WorkerMetrics::default();
    metrics.row_failed(FailureReason::Decode, ErrorPolicy::Drop);
    metrics.conditions.set_warning(Reason::LogNotKept, "topic", Some("message".to_owned()));
    metrics.set_partition("topic", 0, PartitionStatus { position: 1, lag: Some(1) });
    metrics.text()
}

fn of_the_operator() -> String {
    let metrics = OperatorMetrics::default();
    metrics.reconciled("StreamJob", Duration::from_secs(1), true);
    let status = serde_json::json!({
        "lag": 1, "lastCheckpoint": {"time": "2026-01-01T00:00:00Z"},
        "revision": {"incarnation": 1, "generation": 1, "replicas": 1, "parallelism": 1, "planHash": "", "settingsHash": ""},
    });
    metrics.job("namespace", "job", Some(&serde_json::from_value(status).expect("a status")));
    metrics.text()
}

/// Names of series, by the types that the text declares.
fn exported(text: &str) -> Vec<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let series = declared.flat_map(|(name, kind)| {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    });
    series.collect()
}

/// Words that begin with `millrace_`, but for those of labels' values.
fn asked_for(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("millrace_")).map(str::to_owned).collect()
}
