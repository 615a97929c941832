//! The paths as a client of HTTP sees them, over a real socket.

use super::*;
use crate::condition::Reason;
use crate::env::ManualClock;
use crate::error::Error;
use crate::job::{ErrorPolicies, ErrorPolicy, JobIdentity, Kafka, MemoryLimits};
use millrace_planner::plan::{PLAN_VERSION, Plan};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server of a worker that is none, until this is dropped.
struct Served {
    worker: Worker,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn start(access: Access) -> Self {
        let (metrics, pause, stop) = Default::default();
        let (job, clock, take_over) = (job(), ManualClock::at(1_000), TakeOver::awaited(Duration::from_secs(60)));
        let worker = Arc::new(WorkerControl { job, metrics, pause, stop, take_over, clock });
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(serve(listener, worker.clone(), access, std::future::pending()));
        Self { worker, address, _runtime: runtime }
    }

    /// The answer: the status line's code, all headers, the body.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        (code, head.to_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "", "")
    }

    fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        let (code, _, body) = self.ask("POST", path, "Content-Type: application/json\r\n", body);
        (code, serde_json::from_str(&body).unwrap_or_default())
    }
}

/// A job that does nothing.
pub(crate) fn job() -> Job {
    let drop = ErrorPolicy::Drop;
    Job {
        identity: JobIdentity {
            namespace: "default".into(),
            name: "job".into(),
            uid: "uid".into(),
            incarnation: 1,
            generation: 1,
        },
        plan: Plan { version: PLAN_VERSION, nodes: Vec::new(), time_zone: "UTC".into() },
        kafka: Kafka { bootstrap_servers: "nowhere:1".into(), options: Default::default(), replication: 1 },
        replicas: 1,
        ordinal: 0,
        makes_topics: false,
        state_directory: "nowhere".into(),
        commit_interval: Duration::from_millis(500),
        checkpoint_interval: Duration::from_secs(10),
        restore_from: None,
        images: Default::default(),
        archive: None,
        errors: ErrorPolicies { decode: drop, evaluate: drop, late: drop },
        dead_letter_topic: None,
        max_event_time_ahead: None,
        parallelism: None,
        threads: None,
        memory: MemoryLimits::default(),
        state_size_limit: None,
        topic_check_interval: Job::default_topic_check_interval(),
        transaction_timeout: Job::default_transaction_timeout(),
    }
}

#[test]
fn a_worker_answers_probes_by_its_phase_and_tells_status_and_metrics() {
    let served = Served::start(Access::Loopback);
    assert_eq!(served.get("/readyz").0, 503);
    assert_eq!(served.get("/healthz").0, 200);
    served.worker.metrics.set_phase(Phase::Running);
    assert_eq!(served.get("/readyz").0, 200);
    served.worker.metrics.set_phase(Phase::Failed);
    assert_eq!(served.get("/healthz").0, 503);

    let (code, head, body) = served.get("/api/v1/status");
    assert_eq!(code, 200, "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status["commits"], 0, "{status}");
    let (code, head, body) = served.get("/metrics");
    assert_eq!(code, 200, "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let (code, head, body) = served.get("/nothing");
    assert!(code == 404 && head.contains("application/problem+json") && body.contains("openapi.json"), "{body}");
}

#[test]
fn what_changes_something_needs_the_token() {
    let served = Served::start(Access::token("secret"));
    assert_eq!(served.get("/api/v1/status").0, 200, "looking is free");
    for path in ["/api/v1/drain", "/api/v1/take-over", "/api/v1/savepoints/s/pause", "/api/v1/savepoints/s/stop"] {
        assert_eq!(served.ask("POST", path, "", "").0, 401, "{path}");
        assert_eq!(served.ask("POST", path, "Authorization: Bearer guess\r\n", "").0, 401, "{path}");
    }
    assert!(!served.worker.stop.is_made());
    assert_eq!(served.ask("POST", "/api/v1/drain", "Authorization: Bearer secret\r\n", "").0, 202);
    assert!(served.worker.stop.is_made());
    assert!(served.worker.take_over.is_awaited(Duration::ZERO));
    assert_eq!(served.ask("POST", "/api/v1/take-over", "Authorization: Bearer secret\r\n", "").0, 202);
    assert!(!served.worker.take_over.is_awaited(Duration::ZERO));
}

#[test]
fn a_savepoint_goes_step_by_step() {
    let served = Served::start(Access::Loopback);
    let step = |step: &str, body: &str| served.post(&format!("/api/v1/savepoints/s-1/{step}"), body);
    assert_eq!(step("pause", "").0, 503, "it does not run");
    served.worker.pause.machine().begin("start", 1, 1);
    let (code, cut) = step("pause", "");
    assert_eq!((code, &cut["paused"], &cut["attempt"]), (200, &false.into(), &"start".into()));
    let status: serde_json::Value = serde_json::from_str(&served.get("/api/v1/status").2).expect("JSON");
    assert_eq!(status["savepoint"], "s-1");
    let (code, problem) = step("hold", "");
    assert_eq!((code, &problem["status"]), (409, &409.into()), "{problem}");
    let (code, problem) = step("write", r#"{"location": "here"}"#);
    assert_eq!((code, &problem["status"]), (409, &409.into()), "{problem}");
    assert_eq!(step("stop", "").0, 409);
    assert_eq!(served.post("/api/v1/savepoints/other/pause", "").0, 409);
    served.worker.pause.machine().committed(Some(Vec::new()));
    assert_eq!(step("pause", "").1["paused"], true);
    assert_eq!(step("resume", "").0, 204);
    assert_eq!(step("resume", "").0, 204, "it goes on already");
    assert_eq!(step("pause", "").1["paused"], false, "and does not stop again for the same");
    assert_eq!(step("abandon", "").0, 204);
    let next = |step: &str| served.post(&format!("/api/v1/savepoints/s-2/{step}"), "");
    assert_eq!(next("pause").0, 200);
    served.worker.pause.machine().committed(Some(Vec::new()));
    assert_eq!(next("stop").0, 409, "it has written nothing");
    let _held = served.worker.pause.hold("s-2".into()).expect("it stands still");
    let _written = served.worker.pause.write(&"s-2".into(), "here".into()).expect("it holds its tasks");
    assert_eq!(next("stop").0, 202);
    assert_eq!(next("resume").0, 204);
    assert_eq!(next("pause").1["paused"], true, "it stops, whoever wants it to go on");
}

#[test]
fn a_bad_request_says_what_is_wrong() {
    let served = Served::start(Access::Loopback);
    for (path, body, expected) in [
        ("/api/v1/savepoints/UP/pause", "", "lower-case"),
        ("/api/v1/savepoints/s/write", "{}", "missing field `location`"),
        ("/api/v1/savepoints/s/write", r#"{"location": "x", "more": 1}"#, "unknown field `more`"),
        ("/api/v1/savepoints/s/publish", "not JSON", "expected"),
    ] {
        let (code, problem) = served.post(path, body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(code == 400 && detail.contains(expected), "{path} {body}: {code} {problem}");
    }
    let nowhere = r#"{"location": "s3://", "tasks": []}"#;
    assert_eq!(served.post("/api/v1/savepoints/s/publish", nowhere).0, 503, "it does not run");
    served.worker.pause.machine().begin("start", 1, 1);
    let (code, problem) = served.post("/api/v1/savepoints/s/publish", nowhere);
    assert_eq!(code, 422, "{problem}");
}

#[test]
fn the_description_has_every_path_and_every_path_is_there() {
    let served = Served::start(Access::Loopback);
    let (code, _, body) = served.get("/api/v1/openapi.json");
    assert_eq!(code, 200);
    let description: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let (code, ..) = served.ask(&method.to_uppercase(), &path.replace("{id}", "s"), "", "");
            assert!(code != 404 && code != 405, "{method} {path}: {code}");
        }
    }
    let source = include_str!("mod.rs");
    let routes = source.matches(".route(\"").count();
    assert_eq!(routes, paths.len(), "a route is not described");
}

#[test]
fn the_status_says_why_a_worker_does_not_run_and_what_stands_against_one_that_does() {
    let served = Served::start(Access::Loopback);
    let status = || serde_json::from_str::<serde_json::Value>(&served.get("/api/v1/status").2).expect("JSON");
    let metrics = &served.worker.metrics;
    let error = Error::restart_worker("the disk is full").because(Reason::VolumeFull);
    metrics.set_ill(Phase::Restarting, &error);
    metrics.set_phase(Phase::Restoring);
    let problem = serde_json::json!({"reason": "VolumeFull", "message": "the disk is full"});
    assert_eq!(status()["problem"], problem, "it stands until the worker runs again");
    metrics.conditions.set_warning(Reason::LogNotKept, "topic", Some("set it back".into()));
    metrics.set_well(Phase::Running);
    let text = served.get("/metrics").2;
    assert!(text.contains("millrace_condition{reason=\"VolumeFull\"} 0\n"), "{text}");
    assert!(text.contains("millrace_condition{reason=\"LogNotKept\"} 1\n"), "{text}");
    assert_eq!(status()["problem"], serde_json::Value::Null);
    assert_eq!(status()["warnings"], serde_json::json!([{"reason": "LogNotKept", "message": "set it back"}]));
}
