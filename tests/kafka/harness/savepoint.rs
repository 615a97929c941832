//! A savepoint made step by step, by requests to the workers: by somebody who may leave it at any step.

use super::Millrace;
use millrace_protocol::savepoint::{TaskCut, WorkerCut, check};
use serde_json::{Value, json};

pub(crate) struct SavepointByHand<'a> {
    workers: Vec<&'a Millrace>,
    id: String,
}

impl<'a> SavepointByHand<'a> {
    pub(crate) fn new(workers: impl IntoIterator<Item = &'a Millrace>, id: &str) -> Self {
        Self { workers: workers.into_iter().collect(), id: id.to_owned() }
    }

    /// Has all workers stand still with nothing under way between them.
    pub(crate) fn pause(&self, parallelism: u32) {
        self.workers[0].until("the workers to stand still", || {
            let cuts = self.workers.iter().map(|worker| self.cut(worker));
            let cuts: Vec<WorkerCut> = cuts.collect::<Option<_>>()?;
            let tasks: Vec<&TaskCut> = cuts.iter().flat_map(|cut| &cut.tasks).collect();
            (cuts.iter().all(|cut| cut.paused) && check(parallelism, &tasks).is_ok()).then_some(())
        });
    }

    /// Asks all workers once more, so that they do not go on by themselves.
    pub(crate) fn ask_again(&self) {
        self.all("pause", &Value::Null);
    }

    /// Has all workers hold their tasks.
    pub(crate) fn hold(&self) {
        self.all("hold", &Value::Null);
    }

    /// Has all workers write what they hold; what they have written.
    pub(crate) fn write(&self, location: &str) -> Vec<Value> {
        let written = self.all("write", &json!({ "location": location })).into_iter();
        written.flat_map(|part| part["tasks"].as_array().expect("tasks").clone()).collect()
    }

    /// Where the savepoint is then.
    pub(crate) fn publish(&self, location: &str, tasks: &[Value]) -> String {
        let body = json!({ "location": location, "tasks": tasks });
        let published = self.ask(self.workers[0], "publish", &body);
        published["location"].as_str().expect("a location").to_owned()
    }

    pub(crate) fn resume(&self) {
        self.all("resume", &Value::Null);
    }

    /// Has all workers let go of it. One that has ended meanwhile does not answer.
    pub(crate) fn abandon(&self) {
        for worker in &self.workers {
            let _ = worker.post_json(&self.path("abandon"), "");
        }
    }

    /// Has one worker stop.
    pub(crate) fn stop(&self, worker: usize) {
        self.ask(self.workers[worker], "stop", &Value::Null);
    }

    /// How far a worker is; None while it does not run, as one that starts again.
    fn cut(&self, worker: &Millrace) -> Option<WorkerCut> {
        let (code, answer) = worker.post_json(&self.path("pause"), "")?;
        assert!(code == 200 || code == 503, "pause: {code} {answer}");
        (code == 200).then(|| serde_json::from_str(&answer).expect("a cut"))
    }

    fn all(&self, step: &str, body: &Value) -> Vec<Value> {
        self.workers.iter().map(|worker| self.ask(worker, step, body)).collect()
    }

    /// What a worker answers to a step.
    fn ask(&self, worker: &Millrace, step: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (code, answer) = worker.post_json(&self.path(step), &body).expect("an answer");
        assert!((200..300).contains(&code), "{step}: {code} {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn path(&self, step: &str) -> String {
        format!("/api/v1/savepoints/{}/{step}", self.id)
    }
}
