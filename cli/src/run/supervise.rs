//! Looks after a running worker: signals stop it, HTTP tells about it, the terminal shows its progress.

use super::progress::Display;
use millrace_job_runtime::control::{self, Access};
use millrace_job_runtime::env::Clock;
use millrace_job_runtime::error::{Error, ErrorKind, Result};
use millrace_job_runtime::worker::{Outcome, WorkerHandle};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Where status is served unless said otherwise: Flink's users know the port.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// What a shell reports for a process that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// How often it is looked whether the job has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for the end of the job, whatever ends it. `linger`: after an end in order that no signal has asked for, until
/// one does.
pub(super) async fn supervise(
    worker: WorkerHandle,
    listen: Option<SocketAddr>,
    access: Access,
    mut display: Display,
    clock: Arc<dyn Clock>,
    linger: bool,
) -> Result<()> {
    let listener = match bind(listen).await {
        Ok(listener) => listener,
        Err(error) => {
            worker.request_stop();
            wait(worker).await?;
            return Err(error);
        }
    };
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(control::serve(listener, worker.control().clone(), access, async {
        let _ = stopped.await;
    }));
    let mut signals = Signals::new();
    let signalled = watch(&worker, &mut signals, &mut display, clock.as_ref()).await;
    let metrics = worker.control().metrics.clone();
    let outcome = wait(worker).await;
    if linger && !signalled && outcome.is_ok() {
        tracing::info!("done; waiting for a signal to end");
        signals.next().await;
    }
    display.finish(&metrics.status(), clock.monotonic(), clock.now_millis());
    let _ = stop_serving.send(());
    if let Ok(Err(error)) = server.await {
        tracing::warn!(%error, "status was not served to the end");
    }
    match outcome? {
        Outcome::Finished => tracing::info!("the input has ended and all results are committed"),
        Outcome::Stopped => tracing::info!("stopped after a commit; the next run goes on from there"),
    }
    Ok(())
}

/// Shows progress and passes signals on while the worker runs. Returns whether there was one.
async fn watch(worker: &WorkerHandle, signals: &mut Signals, display: &mut Display, clock: &dyn Clock) -> bool {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut shows = tokio::time::interval(display.interval());
    shows.reset();
    let mut asked = false;
    while worker.is_running() {
        tokio::select! {
            biased;
            () = signals.next() => {
                if asked {
                    std::process::exit(EXIT_INTERRUPTED);
                }
                asked = true;
                tracing::info!("stopping after one more commit; a second signal ends the process at once");
                worker.request_stop();
            }
            _ = shows.tick() => display.show(&worker.status(), clock.monotonic(), clock.now_millis()),
            _ = looks.tick() => {}
        }
    }
    asked
}

async fn wait(worker: WorkerHandle) -> Result<Outcome> {
    let waited = tokio::task::spawn_blocking(move || worker.wait()).await;
    waited.unwrap_or_else(|panic| Err(Error::fail_job(format!("waiting for the worker ended in a panic: {panic}"))))
}

async fn bind(listen: Option<SocketAddr>) -> Result<TcpListener> {
    let bound = match listen {
        Some(address) => TcpListener::bind(address).await.map_err(|error| (address, error)),
        None => match TcpListener::bind(DEFAULT_LISTEN).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| (DEFAULT_LISTEN, error)),
        },
    };
    let listener = bound.map_err(|(address, error)| {
        let message = format!("could not listen on {address} for status and metrics; choose another with --listen");
        Error::new(ErrorKind::UserFault, message).caused_by(error)
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("status at http://{address}/api/v1/status, metrics at http://{address}/metrics");
    }
    Ok(listener)
}

/// SIGINT and SIGTERM: the first asks for an orderly end, the second doesn't ask.
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        let catch = |kind| {
            let caught = signal(kind);
            caught
                .inspect_err(
                    |error| tracing::warn!(%error, "a signal can't be caught: it ends the job without an orderly stop"),
                )
                .ok()
        };
        Self { interrupt: catch(SignalKind::interrupt()), terminate: catch(SignalKind::terminate()) }
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            () = receive(&mut self.interrupt) => {}
            () = receive(&mut self.terminate) => {}
        }
    }
}

async fn receive(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
