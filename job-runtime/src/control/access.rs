//! Who may tell a worker to do something. Looking is free; a request that changes anything needs the job's token, or,
//! where there is none, has to come from the same machine.

use super::problem::Problem;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;

pub enum Access {
    /// A token's SHA-256: comparing those tells nothing about how much of a guess was right.
    Token([u8; 32]),
    Loopback,
}

impl Access {
    pub fn token(token: &str) -> Self {
        Self::Token(Sha256::digest(token.trim().as_bytes()).into())
    }

    fn permits(&self, from: SocketAddr, bearer: Option<&str>) -> Result<(), Problem> {
        match (self, bearer) {
            (Self::Loopback, _) if from.ip().is_loopback() => Ok(()),
            (Self::Loopback, _) => Err(Problem::forbidden(
                "this worker has no token, so it takes requests from its own machine only: start it with --token-file",
            )),
            (Self::Token(expected), Some(token)) if Sha256::digest(token.trim().as_bytes())[..] == *expected => Ok(()),
            (Self::Token(_), Some(_)) => Err(Problem::unauthorized("the token is another than the worker's")),
            (Self::Token(_), None) => {
                Err(Problem::unauthorized("this request needs the worker's token: Authorization: Bearer <token>"))
            }
        }
    }
}

pub(super) async fn check(
    State(access): State<Arc<Access>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
    match access.permits(from, bearer) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_only_the_same_machine_may_ask() {
        assert!(Access::Loopback.permits("127.0.0.1:1".parse().unwrap(), None).is_ok());
        assert!(Access::Loopback.permits("[::1]:1".parse().unwrap(), None).is_ok());
        assert!(Access::Loopback.permits("10.0.0.1:1".parse().unwrap(), Some("x")).is_err());
    }

    #[test]
    fn with_a_token_nobody_may_without_it() {
        let (access, here) = (Access::token("secret\n"), "127.0.0.1:1".parse().unwrap());
        assert!(access.permits(here, Some("secret")).is_ok());
        assert!(access.permits(here, Some("secre")).is_err());
        assert!(access.permits(here, None).is_err());
    }
}
