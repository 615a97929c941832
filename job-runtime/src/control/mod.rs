//! What a worker tells by HTTP: metrics for Prometheus, status for people and tools, probes for Kubernetes.
//! It only reads; what is to be done with a job is said elsewhere. Paths below `/api` carry the version of
//! their form.

use crate::metrics::{Metrics, Phase, Status};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::serve::Listener;
use std::future::Future;
use std::sync::Arc;

/// What `Metrics::text` writes.
const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers requests about a worker until `stop` is ready.
pub async fn serve<L>(
    listener: L,
    worker: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    axum::serve(listener, routes(worker)).with_graceful_shutdown(stop).await
}

fn routes(worker: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .with_state(worker)
}

async fn metrics(State(worker): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], worker.text()).into_response()
}

async fn status(State(worker): State<Arc<Metrics>>) -> Json<Status> {
    Json(worker.status())
}

/// Whether the process should go on living: a worker that restarts after a failure is alive.
async fn health(State(worker): State<Arc<Metrics>>) -> Response {
    match worker.phase() {
        Phase::Failed => unavailable("failed"),
        _ => "ok\n".into_response(),
    }
}

/// Whether it holds its tasks and their state.
async fn ready(State(worker): State<Arc<Metrics>>) -> Response {
    match worker.phase() {
        Phase::Running | Phase::Finished => "ok\n".into_response(),
        Phase::Restoring => unavailable("restoring"),
        Phase::Restarting => unavailable("restarting"),
        Phase::Stopped => unavailable("stopped"),
        Phase::StoodDown => unavailable("stood down"),
        Phase::Failed => unavailable("failed"),
    }
}

fn unavailable(phase: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{phase}\n")).into_response()
}

#[cfg(test)]
mod tests;
