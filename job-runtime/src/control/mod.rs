//! What a worker tells by HTTP, and what it can be told: metrics for Prometheus, status for people and tools, probes
//! for Kubernetes, and requests to drain, to take tasks over and to take part in a savepoint. Paths below `/api` carry the version of
//! their form, which `openapi.json` describes.

mod access;
mod problem;
mod savepoints;
mod stop;
mod take_over;
#[cfg(test)]
pub(crate) mod tests;

pub use access::Access;
pub use stop::StopRequest;
pub use take_over::TakeOver;

use self::problem::Problem;
use crate::env::Clock;
use crate::job::Job;
use crate::metrics::{Metrics, Phase, Status};
use crate::savepoint::pause::Pause;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What `Metrics::text` writes.
const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The parts of a savepoint of a thousand tasks are a few megabytes.
const MOST_BODY_BYTES: usize = 64 << 20;

/// A worker as HTTP sees it.
pub struct WorkerControl {
    pub job: Job,
    pub metrics: Arc<Metrics>,
    pub pause: Arc<Pause>,
    pub stop: Arc<StopRequest>,
    pub take_over: TakeOver,
    pub clock: Arc<dyn Clock>,
}

type Worker = Arc<WorkerControl>;

/// Answers requests about a worker until `stop` is ready.
pub async fn serve(
    listener: TcpListener,
    worker: Worker,
    access: Access,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = routes(worker, access).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

fn routes(worker: Worker, access: Access) -> Router {
    let requests = Router::new()
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/take-over", post(take_over))
        .route("/api/v1/savepoints/{id}/pause", post(savepoints::pause))
        .route("/api/v1/savepoints/{id}/hold", post(savepoints::hold))
        .route("/api/v1/savepoints/{id}/write", post(savepoints::write))
        .route("/api/v1/savepoints/{id}/publish", post(savepoints::publish))
        .route("/api/v1/savepoints/{id}/resume", post(savepoints::resume))
        .route("/api/v1/savepoints/{id}/abandon", post(savepoints::abandon))
        .route("/api/v1/savepoints/{id}/stop", post(savepoints::stop))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .route_layer(middleware::from_fn_with_state(Arc::new(access), access::check));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .merge(requests)
        .fallback(async || Problem::not_found("there is nothing here; /api/v1/openapi.json says what there is"))
        .with_state(worker)
}

async fn metrics(State(worker): State<Worker>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], worker.metrics.text()).into_response()
}

async fn status(State(worker): State<Worker>) -> Json<Status> {
    Json(Status { savepoint: worker.pause.machine().savepoint().cloned(), ..worker.metrics.status() })
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// Whether the process should go on living: a worker that restarts after a failure is alive.
async fn health(State(worker): State<Worker>) -> Response {
    match worker.metrics.phase() {
        Phase::Failed => unavailable("failed"),
        _ => "ok\n".into_response(),
    }
}

/// Whether it holds its tasks and their state.
async fn ready(State(worker): State<Worker>) -> Response {
    match worker.metrics.phase() {
        Phase::Running | Phase::Finished => "ok\n".into_response(),
        Phase::Restoring => unavailable("restoring"),
        Phase::StandingBy => unavailable("standing by"),
        Phase::Restarting => unavailable("restarting"),
        Phase::Stopped => unavailable("stopped"),
        Phase::StoodDown => unavailable("stood down"),
        Phase::Failed => unavailable("failed"),
    }
}

fn unavailable(phase: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{phase}\n")).into_response()
}

/// One more commit with a Release, and a checkpoint; then the process ends.
async fn drain(State(worker): State<Worker>) -> Result<StatusCode, Problem> {
    worker.stop.make_for_good()?;
    tracing::info!("asked to drain: stopping after one more commit");
    Ok(StatusCode::ACCEPTED)
}

/// Where it stands by, it takes its tasks; elsewhere that changes nothing.
async fn take_over(State(worker): State<Worker>) -> StatusCode {
    worker.take_over.ask();
    StatusCode::ACCEPTED
}
