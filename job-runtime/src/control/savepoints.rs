//! A worker's part in a savepoint, step by step as whoever makes it asks: stand still, hold the tasks, go on, write
//! what is held, publish what all have written; or stop.

use super::Worker;
use super::problem::Problem;
use crate::savepoint::manifest::Manifest;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use millrace_protocol::savepoint::{TaskPart, WorkerCut, WorkerPart};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot::error::RecvError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    location: String,
    tasks: Vec<TaskPart>,
}

#[derive(Serialize)]
pub(super) struct Published {
    /// What a job restores from.
    location: String,
}

pub(super) async fn pause(State(worker): State<Worker>, Path(id): Path<String>) -> Result<Json<WorkerCut>, Problem> {
    checked(&id)?;
    Ok(Json(worker.pause.machine().ask(&id, worker.clock.monotonic())?))
}

pub(super) async fn hold(State(worker): State<Worker>, Path(id): Path<String>) -> Result<Json<WorkerCut>, Problem> {
    checked(&id)?;
    let answer = worker.pause.hold(id)?;
    Ok(Json(answer.await.map_err(gone)??))
}

pub(super) async fn write(
    State(worker): State<Worker>,
    Path(id): Path<String>,
    body: Result<Json<Write>, JsonRejection>,
) -> Result<Json<WorkerPart>, Problem> {
    checked(&id)?;
    let Json(Write { location }) = body.map_err(unreadable)?;
    let answer = worker.pause.write(&id, location)?;
    Ok(Json(answer.await.map_err(gone)??))
}

pub(super) async fn publish(
    State(worker): State<Worker>,
    Path(id): Path<String>,
    body: Result<Json<Publish>, JsonRejection>,
) -> Result<Json<Published>, Problem> {
    checked(&id)?;
    let Json(Publish { location, tasks }) = body.map_err(unreadable)?;
    let parallelism = worker.pause.machine().parallelism()?;
    let published = tokio::task::spawn_blocking(move || {
        let manifest = Manifest::new(&worker.job, parallelism, &id, worker.clock.now_millis(), tasks)?;
        Ok(Published { location: manifest.publish(&location, &worker.job.kafka)? })
    });
    let published: crate::error::Result<Published> =
        published.await.map_err(|panic| Problem::unavailable(format!("publishing ended in a panic: {panic}")))?;
    Ok(Json(published?))
}

pub(super) async fn resume(State(worker): State<Worker>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    checked(&id)?;
    worker.pause.machine().resume(&id);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn abandon(State(worker): State<Worker>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    checked(&id)?;
    worker.pause.machine().abandon(&id);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn stop(State(worker): State<Worker>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    checked(&id)?;
    worker.pause.machine().keep(&id)?;
    let go_on = |_: &_| worker.pause.machine().keep_no_longer(&id, worker.clock.monotonic());
    worker.stop.make_for_good().inspect_err(go_on)?;
    Ok(StatusCode::ACCEPTED)
}

fn gone(_: RecvError) -> Problem {
    Problem::unavailable("the worker has ended, started again or given the savepoint up: begin again")
}

/// It names a folder or a topic.
fn checked(id: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=64).contains(&id.len()) && id.chars().all(plain) && !id.starts_with('-') {
        return Ok(());
    }
    Err(Problem::bad_request("a savepoint's id has up to 64 lower-case letters, digits and hyphens"))
}

fn unreadable(rejection: JsonRejection) -> Problem {
    Problem::bad_request(rejection.body_text())
}
