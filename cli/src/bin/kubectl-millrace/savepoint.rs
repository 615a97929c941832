//! Makes a savepoint: an object, and patience.

use super::args::MakeSavepoint;
use super::cluster::{Access, PluginError};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use millrace_crds::Savepoint;
use millrace_crds::quantity::Duration as Span;
use millrace_crds::savepoint::{SavepointPhase, SavepointSpec};
use millrace_crds::stream_job::DeletionPolicy;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn make(access: &Access, asked: &MakeSavepoint) -> Result<(), PluginError> {
    access.job(&asked.job).await?;
    let name = asked.name.clone().unwrap_or_else(|| format!("{}-{}", asked.job, Timestamp::now().as_second()));
    let timeout = Span::from_secs(asked.timeout);
    let spec = SavepointSpec { job: asked.job.clone(), timeout, deletion_policy: DeletionPolicy::Delete };
    access.savepoints().create(&PostParams::default(), &Savepoint::new(&name, spec)).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(asked.timeout);
    loop {
        let status = access.savepoints().get(&name).await?.status.unwrap_or_default();
        let message = status.conditions.first().map(|condition| condition.message.clone()).unwrap_or_default();
        match status.phase {
            Some(SavepointPhase::Completed) => {
                let location = status.location.unwrap_or_default();
                println!("{name}: {location}, {} bytes", status.bytes.unwrap_or(0));
                return Ok(());
            }
            Some(SavepointPhase::Failed) => return Err(PluginError::Said(format!("{name} was not made: {message}"))),
            _ if tokio::time::Instant::now() > deadline => {
                return Err(PluginError::Said(format!("{name} is not complete yet: {message}")));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
