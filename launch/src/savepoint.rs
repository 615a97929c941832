//! Makes a savepoint: performs over HTTP what the protocol's machine asks for.

use millrace_job_runtime::env::Clock;
use millrace_job_runtime::error::{Error, Result};
use millrace_job_runtime::storage::choose_cryptography;
use millrace_protocol::savepoint::{Effect, Event, SavepointMachine, TaskPart};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How often the workers are asked how far they are.
const TICK: Duration = Duration::from_millis(200);
/// How long the manifest may take. A job that is to stop stands still until it is there.
const PUBLISHING: Duration = Duration::from_secs(60);
/// How long a worker may take to hear that it goes on or stops. One that does not hear it goes on by itself.
const HEARING: Duration = Duration::from_secs(10);

/// What a savepoint is made of, and how.
pub struct Request {
    /// All workers of the job, as their status is served: `http://host:port`.
    pub workers: Vec<String>,
    /// What they take requests with.
    pub token: Option<String>,
    /// Up to 64 lower-case letters, digits and hyphens. Asking again with the same one is no second savepoint.
    pub id: String,
    /// One that was begun before and that nobody waits for any more: workers that stand still for it let go of it.
    pub replaces: Option<String>,
    /// `s3://bucket/prefix`, a directory that all workers see, or `kafka:` for a topic of its own.
    pub to: String,
    /// Nothing is processed after it.
    pub stop: bool,
    pub timeout: Duration,
}

/// Makes a savepoint and returns where it is.
///
/// # Errors
/// `Retry` where none was made that may be used, and the job goes on; `FailJob` where one is complete, and a worker would
/// not stop with it.
pub async fn make(request: Request, clock: &dyn Clock) -> Result<String> {
    choose_cryptography();
    let client = reqwest::Client::builder()
        .build()
        .map_err(|error| Error::fail_job("could not make an HTTP client").caused_by(error))?;
    let urls = request.workers.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
    let workers = Workers { client, urls, token: request.token, id: request.id, location: request.to };
    if let Some(earlier) = &request.replaces {
        let all = 0..workers.urls.len();
        futures_util::future::join_all(all.map(|worker| workers.tell(worker, earlier, "abandon"))).await;
    }
    drive(Arc::new(workers), request.stop, request.timeout, clock).await
}

/// The workers of the job, and what they are asked for.
struct Workers {
    client: reqwest::Client,
    urls: Vec<String>,
    token: Option<String>,
    id: String,
    location: String,
}

/// What comes back.
enum Answer {
    Event(Event),
    Published(String),
    /// A worker was told to go on, or to let go of what it holds. One that has not heard it does so by itself.
    Heard,
    /// A worker stops as it was told, or doesn't.
    Stopping(Result<(), String>),
}

async fn drive(workers: Arc<Workers>, stop: bool, timeout: Duration, clock: &dyn Clock) -> Result<String> {
    let deadline = clock.monotonic() + timeout;
    let (mut machine, effects) = SavepointMachine::new(workers.urls.len(), stop, deadline);
    let (sender, mut answers) = unbounded_channel();
    let mut effects = VecDeque::from(effects);
    let mut location = String::new();
    let mut ticks = tokio::time::interval(TICK);
    // Requests that are waited for before the end.
    let mut telling = 0;
    loop {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Done => {
                    let heard = all_heard(&mut answers, telling).await;
                    return if stop { stopped(heard, location) } else { Ok(location) };
                }
                Effect::Abandoned { why } => {
                    let _ = all_heard(&mut answers, telling).await;
                    return Err(Error::retry(format!(
                        "no savepoint was made that may be used, and the job goes on: {why}"
                    )));
                }
                effect => {
                    telling += usize::from(is_told(&effect));
                    tokio::spawn(perform(workers.clone(), effect, sender.clone()));
                }
            }
        }
        let event = tokio::select! {
            biased;
            Some(answer) = answers.recv() => match answer {
                Answer::Event(event) => event,
                Answer::Published(published) => {
                    location = published;
                    Event::Published
                }
                Answer::Heard | Answer::Stopping(_) => {
                    telling -= 1;
                    continue;
                }
            },
            _ = ticks.tick() => Event::Tick,
        };
        effects.extend(machine.step(event, clock.monotonic()));
    }
}

/// Whether an effect tells a worker what to do next, rather than asking it for something.
fn is_told(effect: &Effect) -> bool {
    matches!(effect, Effect::Resume { .. } | Effect::Abandon { .. } | Effect::Stop { .. })
}

/// Waits until so many requests to go on or to stop are answered; the first worker that would not stop is an error.
async fn all_heard(answers: &mut UnboundedReceiver<Answer>, mut telling: usize) -> Result<(), String> {
    let mut outcome = Ok(());
    while telling > 0
        && let Some(answer) = answers.recv().await
    {
        match answer {
            Answer::Heard => telling -= 1,
            Answer::Stopping(told) => {
                telling -= 1;
                outcome = outcome.and(told);
            }
            Answer::Event(_) | Answer::Published(_) => {}
        }
    }
    outcome
}

/// A worker that has gone on in between has written results that the savepoint knows nothing of.
fn stopped(heard: Result<(), String>, location: String) -> Result<String> {
    heard.map(|()| location.clone()).map_err(|why| {
        Error::fail_job(format!(
            "the savepoint {location} is complete, but a worker went on after it ({why}): a job that starts from it would \
             write results again. Make another one"
        ))
    })
}

async fn perform(workers: Arc<Workers>, effect: Effect, answers: UnboundedSender<Answer>) {
    let failed = |worker, why| Answer::Event(Event::Failed { worker, why });
    let answer = match effect {
        Effect::Ask { worker } => match workers.post(worker, "pause", None::<&()>).await {
            Ok(cut) => Answer::Event(Event::Told { worker, cut }),
            Err(why) => Answer::Event(Event::NotTold { worker, why }),
        },
        Effect::Hold { worker } => match workers.post(worker, "hold", None::<&()>).await {
            Ok(cut) => Answer::Event(Event::Held { worker, cut }),
            Err(why) => failed(worker, why),
        },
        Effect::Write { worker } => {
            let body = serde_json::json!({ "location": workers.location });
            match workers.post(worker, "write", Some(&body)).await {
                Ok(part) => Answer::Event(Event::Written { worker, part }),
                Err(why) => failed(worker, why),
            }
        }
        Effect::Publish { parts } => match workers.publish(parts).await {
            Ok(location) => Answer::Published(location),
            Err(why) => Answer::Event(Event::PublishFailed { why }),
        },
        Effect::Resume { worker } => {
            let _ = workers.tell(worker, &workers.id, "resume").await;
            Answer::Heard
        }
        Effect::Abandon { worker } => {
            let _ = workers.tell(worker, &workers.id, "abandon").await;
            Answer::Heard
        }
        Effect::Stop { worker } => Answer::Stopping(workers.tell(worker, &workers.id, "stop").await),
        Effect::Done | Effect::Abandoned { .. } => return,
    };
    // Nobody listens any more where it has been decided.
    let _ = answers.send(answer);
}

impl Workers {
    /// Any worker can publish; they all see the same storage.
    async fn publish(&self, tasks: Vec<TaskPart>) -> Result<String, String> {
        let body = serde_json::json!({ "location": self.location, "tasks": tasks });
        let published = tokio::time::timeout(PUBLISHING, self.post(0, "publish", Some(&body))).await;
        let published: serde_json::Value = published
            .map_err(|_| format!("{} has not published it within {} s", self.urls[0], PUBLISHING.as_secs()))??;
        published["location"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("an answer without location: {published}"))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        worker: usize,
        action: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, String> {
        let response = self.send(worker, &self.id, action, body).await?;
        response.json().await.map_err(|error| format!("{}: {error}", self.urls[worker]))
    }

    async fn tell(&self, worker: usize, savepoint: &str, action: &str) -> Result<(), String> {
        let told = tokio::time::timeout(HEARING, self.send(worker, savepoint, action, None::<&()>)).await;
        told.map_err(|_| format!("{} does not answer", self.urls[worker]))?.map(|_| ())
    }

    async fn send(
        &self,
        worker: usize,
        savepoint: &str,
        action: &str,
        body: Option<&impl Serialize>,
    ) -> Result<reqwest::Response, String> {
        let url = &self.urls[worker];
        let mut request = self.client.post(format!("{url}/api/v1/savepoints/{savepoint}/{action}"));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| format!("{url} did not answer: {error}"))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: serde_json::Value = response.json().await.unwrap_or_default();
        Err(format!("{url}: {}", problem["detail"].as_str().unwrap_or(status.as_str())))
    }
}
