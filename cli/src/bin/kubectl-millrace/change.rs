//! Changes of a job that are one field of its object.

use super::cluster::{Access, PluginError};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

pub(crate) async fn suspend(access: &Access, job: &str, suspend: bool) -> Result<(), PluginError> {
    let state = if suspend { "Suspended" } else { "Running" };
    patch(access, job, json!({"desiredState": state})).await?;
    let what = if suspend { "stops with a savepoint" } else { "runs again" };
    println!("{job} {what}; kubectl millrace status {job} shows how far it is");
    Ok(())
}

pub(crate) async fn restart(access: &Access, job: &str) -> Result<(), PluginError> {
    let nonce = access.job(job).await?.spec.restart_nonce.unwrap_or(0) + 1;
    patch(access, job, json!({"restartNonce": nonce})).await?;
    println!("{job} starts anew with the state that it has; kubectl millrace status {job} shows how far it is");
    Ok(())
}

async fn patch(access: &Access, job: &str, spec: Value) -> Result<(), PluginError> {
    // For the message where there is none.
    access.job(job).await?;
    access.jobs().patch(job, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
    Ok(())
}
