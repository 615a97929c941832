//! The operator's own metrics, and what it knows of each job, for Prometheus.

use millrace_crds::status::StreamJobStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    namespace: String,
    job: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    namespace: String,
    job: String,
    phase: String,
}

pub struct Metrics {
    registry: Registry,
    reconcile_duration: Family<Kind, Histogram>,
    reconcile_errors: Family<Kind, Counter>,
    leading: Gauge,
    phase: Family<PhaseLabels, Gauge>,
    replicas: Family<JobLabels, Gauge>,
    ready_replicas: Family<JobLabels, Gauge>,
    lag: Family<JobLabels, Gauge>,
    last_checkpoint: Family<JobLabels, Gauge>,
    stalled: Family<JobLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("millrace_operator"),
            reconcile_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 2.0, 16))),
            reconcile_errors: Family::default(),
            leading: Gauge::default(),
            phase: Family::default(),
            replicas: Family::default(),
            ready_replicas: Family::default(),
            lag: Family::default(),
            last_checkpoint: Family::default(),
            stalled: Family::default(),
        };
        let registry = &mut metrics.registry;
        let help = "Reconciliations, savepoints included";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, metrics.reconcile_duration.clone());
        registry.register("reconcile_errors", "Reconciliations that failed", metrics.reconcile_errors.clone());
        registry.register("leading", "Whether this replica reconciles", metrics.leading.clone());
        registry.register("job_phase", "1 for the phase that a job is in", metrics.phase.clone());
        registry.register("job_replicas", "Pods that a job should have", metrics.replicas.clone());
        registry.register("job_ready_replicas", "Pods that hold their tasks", metrics.ready_replicas.clone());
        registry.register("job_lag_records", "Records of the sources not yet read", metrics.lag.clone());
        let help = "When the oldest of the last checkpoints of a job's pods was made";
        let name = "job_last_checkpoint_timestamp";
        registry.register_with_unit(name, help, Unit::Seconds, metrics.last_checkpoint.clone());
        registry.register("job_stalled", "Whether a person has to look", metrics.stalled.clone());
        metrics
    }
}

impl Metrics {
    pub fn reconciled(&self, kind: &'static str, took: Duration, failed: bool) {
        self.reconcile_duration.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
        if failed {
            self.reconcile_errors.get_or_create(&Kind { kind }).inc();
        }
    }

    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// What its status says of a job; None: it is gone.
    pub fn job(&self, namespace: &str, job: &str, status: Option<&StreamJobStatus>) {
        let labels = JobLabels { namespace: namespace.to_owned(), job: job.to_owned() };
        for phase in
            ["Pending", "Deploying", "Running", "Savepointing", "Stopping", "Suspended", "RollingBack", "Failed"]
        {
            let of_phase =
                PhaseLabels { namespace: namespace.to_owned(), job: job.to_owned(), phase: phase.to_owned() };
            match status {
                Some(status) => {
                    let here = status.phase.is_some_and(|now| format!("{now:?}") == phase);
                    self.phase.get_or_create(&of_phase).set(i64::from(here));
                }
                None => drop(self.phase.remove(&of_phase)),
            }
        }
        let checkpoint = status.and_then(|status| status.last_checkpoint.as_ref()).map(|copy| copy.time.0.as_second());
        let stalled = status.map(|status| status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"));
        let figures = [
            (&self.replicas, status.map(|s| s.revision.as_ref().map_or(0, |revision| i64::from(revision.replicas)))),
            (&self.ready_replicas, status.map(|status| i64::from(status.ready_replicas))),
            (&self.lag, status.and_then(|status| status.lag)),
            (&self.last_checkpoint, checkpoint),
            (&self.stalled, stalled.map(i64::from)),
        ];
        for (family, value) in figures {
            match value {
                Some(value) => drop(family.get_or_create(&labels).set(value)),
                None => drop(family.remove(&labels)),
            }
        }
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}
