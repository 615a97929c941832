//! What the operator tells by HTTP: metrics and probes. It takes no requests.

use crate::metrics::Metrics;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;

const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until the process ends. `ready`: whether the cluster has answered.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, ready: Arc<AtomicBool>) -> std::io::Result<()> {
    let text = move || async move { ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics.text()) };
    let is_ready = move || async move {
        match ready.load(Ordering::Acquire) {
            true => "ok\n".into_response(),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the cluster has not answered yet\n").into_response(),
        }
    };
    let routes = Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(is_ready));
    axum::serve(listener, routes).await
}
