//! The cluster, as the caller's kubeconfig reaches it.

use super::args::Arguments;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ListParams;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use millrace_crds::{Savepoint, StreamJob};
use std::process::ExitCode;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("there is no cluster to talk to: {0}")]
    NoCluster(#[from] kube::config::KubeconfigError),
    #[error("{0}")]
    Cluster(#[from] kube::Error),
    #[error("could not run kubectl: {0}")]
    Kubectl(std::io::Error),
    #[error("{0}")]
    Said(String),
}

pub(crate) struct Access {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    context: Option<String>,
}

impl Access {
    pub(crate) async fn new(arguments: &Arguments) -> Result<Self, PluginError> {
        let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_kubeconfig(&options).await?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config)?, namespace, context: arguments.context.clone() })
    }

    pub(crate) fn jobs(&self) -> Api<StreamJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn savepoints(&self) -> Api<Savepoint> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn job(&self, name: &str) -> Result<StreamJob, PluginError> {
        let found = self.jobs().get_opt(name).await?;
        found.ok_or_else(|| {
            PluginError::Said(format!("there is no StreamJob {name} in the namespace {}", self.namespace))
        })
    }

    pub(crate) async fn pods(&self, job: &str) -> Result<Vec<Pod>, PluginError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = millrace_operator::names::selector_text(job);
        Ok(api.list(&ListParams::default().labels(&selector)).await?.items)
    }

    /// What a worker's status says, through the API server; None where it does not answer.
    pub(crate) async fn worker_status(&self, pod: &str) -> Option<serde_json::Value> {
        let port = millrace_operator::names::WORKER_PORT;
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy/api/v1/status", self.namespace);
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        self.client.request(request).await.ok()
    }

    /// kubectl has everything that showing logs takes.
    pub(crate) fn kubectl_logs(&self, job: &str, follow: bool, tail: i64) -> Result<ExitCode, PluginError> {
        let mut command = std::process::Command::new("kubectl");
        command.args(["logs", "-n", &self.namespace, "--prefix", "--max-log-requests", "1024"]);
        command.args(["-l", &millrace_operator::names::selector_text(job), "--tail", &tail.to_string()]);
        command.args(self.context.iter().flat_map(|context| ["--context", context.as_str()]));
        command.args(follow.then_some("--follow"));
        let status = command.status().map_err(PluginError::Kubectl)?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
