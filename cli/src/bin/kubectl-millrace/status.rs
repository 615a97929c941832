//! How jobs are, at a glance.

use super::cluster::{Access, PluginError};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use millrace_crds::StreamJob;
use serde_json::Value;

pub(crate) async fn show(access: &Access, job: Option<&str>) -> Result<(), PluginError> {
    match job {
        Some(name) => {
            let job = access.job(name).await?;
            let mut workers = Vec::new();
            for pod in access.pods(name).await? {
                let status = access.worker_status(&pod.name_any()).await;
                workers.push((pod.name_any(), status));
            }
            print!("{}", one(&job, &workers, Timestamp::now()));
        }
        None => {
            let jobs = access.jobs().list(&ListParams::default()).await?.items;
            if jobs.is_empty() {
                println!("there are no StreamJobs in the namespace {}", access.namespace);
            }
            for job in &jobs {
                println!("{}", line(job));
            }
        }
    }
    Ok(())
}

fn line(job: &StreamJob) -> String {
    let status = job.status.clone().unwrap_or_default();
    let phase = status.phase.map_or("Pending".to_owned(), |phase| format!("{phase:?}"));
    let lag = status.lag.map_or("unknown".to_owned(), |lag| lag.to_string());
    let pods = status.revision.as_ref().map_or(0, |revision| revision.replicas);
    format!("{}: {phase}, {} of {pods} pods ready, lag {lag}", job.name_any(), status.ready_replicas)
}

fn one(job: &StreamJob, workers: &[(String, Option<Value>)], now: Timestamp) -> String {
    let status = job.status.clone().unwrap_or_default();
    let mut text = format!("{}\n", line(job));
    let mut say = |what: &str, value: String| text.push_str(&format!("  {what:<12} {value}\n"));
    if let Some(revision) = &status.revision {
        let from = revision.restored_from.as_ref().map_or(String::new(), |from| format!(", restored from {from}"));
        let tasks = revision.parallelism;
        say("revision", format!("{}.{}, {tasks} tasks{from}", revision.incarnation, revision.generation));
    }
    if let Some(operation) = &status.operation {
        let since = ago(operation.started_at.0, now);
        let message = operation.message.as_ref().map_or(String::new(), |message| format!(": {message}"));
        say("operation", format!("{:?}, {:?}, for {since}{message}", operation.kind, operation.step));
    }
    if let Some(checkpoint) = &status.last_checkpoint {
        say("checkpoint", format!("{} ago", ago(checkpoint.time.0, now)));
    }
    if let Some(savepoint) = &status.last_savepoint {
        let url = savepoint.url.clone().unwrap_or_default();
        say("savepoint", format!("{} ago, {url}", ago(savepoint.time.0, now)));
    }
    for (pod, status) in workers {
        let Some(status) = status else {
            say("pod", format!("{pod}: does not answer"));
            continue;
        };
        let number = |field: &str| status[field].as_i64();
        let lag = number("lag").map_or("unknown".to_owned(), |lag| lag.to_string());
        let watermark = number("watermark")
            .and_then(|millis| Timestamp::from_millisecond(millis).ok())
            .map_or("none".to_owned(), |time| time.to_string());
        let tasks: Vec<String> = status["tasks"]
            .as_array()
            .map(|tasks| tasks.iter().filter_map(|task| task["task"].as_u64()).map(|task| task.to_string()).collect())
            .unwrap_or_default();
        let phase = status["phase"].as_str().unwrap_or("unknown");
        let commits = number("commits").unwrap_or(0);
        say(
            "pod",
            format!("{pod}: {phase}, tasks {}, lag {lag}, watermark {watermark}, {commits} commits", tasks.join(" ")),
        );
        for list in [&status["warnings"], &Value::Array(vec![status["problem"].clone()])] {
            for problem in list.as_array().into_iter().flatten().filter(|problem| !problem.is_null()) {
                let part = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
                say("", format!("{}: {}", part("reason"), part("message")));
            }
        }
    }
    for condition in &status.conditions {
        let good = match condition.type_.as_str() {
            "Ready" | "SpecValid" | "CheckpointsHealthy" => "True",
            _ => "False",
        };
        if condition.status != good {
            say(
                "condition",
                format!("{}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message),
            );
        }
    }
    text
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_against_a_job_is_shown_and_what_is_well_is_not() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let job: StreamJob = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob", "metadata": {"name": "actions"},
            "spec": {"kafka": {"bootstrapServers": "k:9092"}, "sql": "-"},
            "status": {
                "phase": "Running", "replicas": 2, "readyReplicas": 1, "lag": 7,
                "revision": {"incarnation": 2, "generation": 1, "replicas": 2, "parallelism": 4, "planHash": "a",
                             "settingsHash": "b", "restoredFrom": "kafka:x"},
                "conditions": [condition("Ready", "False"), condition("Stalled", "False"), condition("SpecValid", "True")],
            },
        }))
        .expect("a job");
        let worker = json!({"phase": "Running", "lag": 7, "watermark": 1_000, "commits": 3, "tasks": [{"task": 0}, {"task": 2}],
                            "problem": null, "warnings": [{"reason": "LogNotKept", "message": "set it back"}]});
        let workers = [("actions-0".to_owned(), Some(worker)), ("actions-1".to_owned(), None)];
        let text = one(&job, &workers, Timestamp::from_second(0).expect("a time"));
        for expected in [
            "actions: Running, 1 of 2 pods ready, lag 7",
            "2.1, 4 tasks, restored from kafka:x",
            "actions-0: Running, tasks 0 2, lag 7, watermark 1970-01-01T00:00:01Z, 3 commits",
            "actions-1: does not answer",
            "LogNotKept: set it back",
            "Ready=False R: why",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert!(!text.contains("Stalled") && !text.contains("SpecValid"), "{text}");
    }
}
