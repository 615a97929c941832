//! Puts the operator together: client, election, watches, controllers, server.

use crate::cluster::KubernetesCluster;
use crate::job;
use crate::job::reconcile::Context;
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::savepoint;
use crate::server;
use crate::settings::Settings;
use crate::surroundings::RealSurroundings;
use futures_util::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("there is no cluster to work for: {0}. Run it in a pod, or with KUBECONFIG")]
    NoCluster(#[source] kube::Error),
    #[error("the cluster does not let the operator work: {0}. Install it with its chart, which grants what it needs")]
    Refused(#[source] kube::Error),
    #[error("could not listen on {0}: {1}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    #[error("could not make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error("signals can't be caught: {0}")]
    Signals(#[source] std::io::Error),
    #[error("another replica of the operator has taken over")]
    LeadershipLost,
}

/// Runs until a signal ends it, or another replica leads.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let surroundings = RealSurroundings::new()?;
    let client = Client::try_default().await.map_err(RunError::NoCluster)?;
    let metrics = Arc::new(Metrics::default());
    let ready = Arc::new(AtomicBool::new(false));
    let listener =
        TcpListener::bind(settings.listen).await.map_err(|error| RunError::Listen(settings.listen, error))?;
    tokio::spawn(server::serve(listener, metrics.clone(), ready.clone()));
    let version = client.apiserver_version().await.map_err(RunError::NoCluster)?;
    tracing::info!(kubernetes = version.git_version, image = settings.image, "the operator is up");
    ready.store(true, Ordering::Release);

    let mut stop = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let Some(election) = settings.leader_election.clone() else {
        metrics.set_leading(true);
        tokio::select! {
            biased;
            _ = stop.recv() => {}
            _ = interrupt.recv() => {}
            () = reconcile(client, surroundings, settings, metrics) => {}
        }
        return Ok(());
    };
    let leadership = Leadership::new(client.clone(), &election);
    tokio::select! {
        biased;
        _ = stop.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        () = leadership.acquire() => {}
    }
    tracing::info!(identity = election.identity, "this replica leads");
    metrics.set_leading(true);
    let outcome = tokio::select! {
        biased;
        _ = stop.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = leadership.keep() => Err(RunError::LeadershipLost),
        () = reconcile(client, surroundings, settings, metrics) => Ok(()),
    };
    if outcome.is_ok() {
        leadership.release().await;
    }
    outcome
}

async fn reconcile(client: Client, surroundings: RealSurroundings, settings: Settings, metrics: Arc<Metrics>) {
    let namespaces: Vec<Option<String>> = match settings.namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    let watches: Vec<_> =
        namespaces.iter().map(|namespace| job::controller::Watches::new(&client, namespace.as_deref())).collect();
    let reporter = Reporter { controller: crate::names::FIELD_MANAGER.to_owned(), instance: None };
    let cluster = KubernetesCluster {
        client: client.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        jobs: watches.iter().map(|watches| watches.jobs()).collect(),
        sets: watches.iter().map(|watches| watches.sets.clone()).collect(),
        pods: watches.iter().map(|watches| watches.pods.clone()).collect(),
    };
    let context = Arc::new(Context::new(cluster, surroundings, settings, Arc::new(Timestamp::now)));
    let savepoints = namespaces
        .iter()
        .map(|namespace| savepoint::run(&client, namespace.as_deref(), context.clone(), metrics.clone()));
    let savepoints = join_all(savepoints);
    let jobs = join_all(watches.into_iter().map(|watches| watches.run(context.clone(), metrics.clone())));
    futures_util::future::join(jobs, savepoints).await;
}
