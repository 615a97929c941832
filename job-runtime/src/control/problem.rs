//! What went wrong with a request, in the form of RFC 9457: what and why, and what to do.

use crate::condition::Reason;
use crate::error::{Error, ErrorKind};
use crate::savepoint::pause::Refusal;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    /// Where an error of the worker is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { status: status.as_u16(), title, detail: detail.into(), reason: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotRunning => Self::unavailable("the worker does not run: see its status"),
            Refusal::Busy { savepoint } => Self::new(
                StatusCode::CONFLICT,
                format!("the savepoint {savepoint} is being made: wait for it, or abandon it"),
            ),
            Refusal::NotPaused => Self::new(
                StatusCode::CONFLICT,
                "the worker does not stand still for this savepoint, or has gone on since: begin again",
            ),
            Refusal::NotStill => {
                Self::new(StatusCode::CONFLICT, "something still moves in the worker: ask again until it is paused")
            }
            Refusal::NotHeld => Self::new(
                StatusCode::CONFLICT,
                "the worker does not hold its tasks for this savepoint: ask it to first",
            ),
            Refusal::Twice => Self::new(
                StatusCode::CONFLICT,
                "the worker has been asked for that already: wait for the answer, or abandon the savepoint",
            ),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            ErrorKind::UserFault => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Retry | ErrorKind::RestartWorker => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::FailJob | ErrorKind::StandDown => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { reason: Some(error.reason()), ..Self::new(status, error.to_string()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("plain data always serialises");
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
