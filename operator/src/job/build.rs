//! The objects that a job consists of, described: nothing here asks or writes anything, so that what a job gets can be read
//! off, and tested. All of them are owned by the StreamJob, and go with it.

use crate::cluster::{Child, Kind};
use crate::names::{self, JOB_KEY, REVISION_LABEL, SPEC_KEY, TOKEN_KEY, WORKER_PORT};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Resource, ResourceExt};
use millrace_crds::StreamJob;
use millrace_crds::savepoint::{Savepoint, SavepointSpec};
use millrace_crds::status::Revision;
use millrace_crds::stream_job::{DeletionPolicy, StreamJobSpec};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Of user and group in the pods; the image has the same.
const USER: i64 = 65532;
/// After SIGTERM a worker commits once more; a commit takes longer than this only if Kafka is not there.
const GRACE_SECONDS: i64 = 30;

const STATE: &str = "/var/lib/millrace";
const JOB: &str = "/etc/millrace/job";
const SECRETS: &str = "/etc/millrace/secrets";
const TOKEN: &str = "/etc/millrace/token";
/// Where a worker notes that it has stopped: as long as its pod, and no longer.
const STOPPED: &str = "/tmp/stopped";

/// Everything but configuration and Secrets, the StatefulSet last. `secrets`: those that the job names. `standby`: for how long
/// workers wait to be asked before they take tasks over.
pub fn children(
    job: &StreamJob,
    revision: &Revision,
    spec: &StreamJobSpec,
    secrets: &BTreeSet<String>,
    standby: Option<Duration>,
) -> Vec<Child> {
    let name = job.name_any();
    let mut set = stateful_set(job, revision, spec, secrets);
    if let (Some(standby), Some(env)) =
        (standby, set["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut())
    {
        env.push(json!({"name": "MILLRACE_STANDBY", "value": standby.as_secs().max(1).to_string()}));
    }
    vec![
        child(job, Kind::ServiceAccount, &name, json!({"automountServiceAccountToken": false})),
        child(job, Kind::Service, &names::service(&name), service(&name)),
        child(job, Kind::NetworkPolicy, &name, network_policy(&name)),
        child(job, Kind::PodDisruptionBudget, &name, disruption_budget(&name)),
        child(job, Kind::StatefulSet, &name, set),
    ]
}

fn child(job: &StreamJob, kind: Kind, name: &str, mut object: Value) -> Child {
    let (version, kind_name) = match kind {
        Kind::ServiceAccount => ("v1", "ServiceAccount"),
        Kind::Service => ("v1", "Service"),
        Kind::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
        Kind::PodDisruptionBudget => ("policy/v1", "PodDisruptionBudget"),
        Kind::StatefulSet => ("apps/v1", "StatefulSet"),
    };
    object["apiVersion"] = version.into();
    object["kind"] = kind_name.into();
    object["metadata"] = metadata(job, name);
    Child { kind, name: name.to_owned(), object }
}

fn metadata(job: &StreamJob, name: &str) -> Value {
    let mut labels = names::selector(&job.name_any());
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "millrace-operator".to_owned());
    json!({
        "name": name,
        "namespace": job.namespace(),
        "labels": labels,
        "ownerReferences": [job.controller_owner_ref(&())],
    })
}

fn service(job: &str) -> Value {
    json!({"spec": {
        "clusterIP": "None",
        // Workers are reached while they restore, too.
        "publishNotReadyAddresses": true,
        "selector": names::selector(job),
        "ports": [{"name": "http", "port": WORKER_PORT, "targetPort": "http"}],
    }})
}

/// In: status and metrics, and requests, which need the token. Out: anywhere but to where clouds hand out credentials.
fn network_policy(job: &str) -> Value {
    json!({"spec": {
        "podSelector": {"matchLabels": names::selector(job)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
        "egress": [{"to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "100.100.100.200/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128"]}},
        ]}],
    }})
}

fn disruption_budget(job: &str) -> Value {
    json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": names::selector(job)}}})
}

fn stateful_set(job: &StreamJob, revision: &Revision, spec: &StreamJobSpec, secrets: &BTreeSet<String>) -> Value {
    let name = job.name_any();
    let retained = match spec.deletion_policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    };
    let mut set = json!({"spec": {
        "replicas": revision.replicas,
        "serviceName": names::service(&name),
        "selector": {"matchLabels": names::selector(&name)},
        "podManagementPolicy": "Parallel",
        // All pods change together, which the operator does: those of two revisions can't work side by side.
        "updateStrategy": {"type": "OnDelete"},
        // What a pod that is scaled away has on its volume is outdated by the time it comes back; where all of them are, the
        // volumes stay (`Cluster::scale_to_zero`): making new ones takes most of the time of an upgrade.
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": retained},
        "template": pod_template(&name, revision, spec, secrets),
    }});
    if let Some(volume) = spec.checkpoint.storage.as_ref().and_then(|storage| storage.volume.as_ref()) {
        set["spec"]["volumeClaimTemplates"] = json!([{
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": names::VOLUME},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": volume.size.to_string()}},
                "storageClassName": volume.class,
            },
        }]);
        if volume.class.is_none()
            && let Some(claim) = set["spec"]["volumeClaimTemplates"][0]["spec"].as_object_mut()
        {
            claim.remove("storageClassName");
        }
    }
    set
}

fn pod_template(name: &str, revision: &Revision, spec: &StreamJobSpec, secrets: &BTreeSet<String>) -> Value {
    let pod = spec.pod.clone().unwrap_or_default();
    let mut labels: BTreeMap<String, String> = pod.labels.clone();
    labels.extend(names::selector(name));
    labels.insert(REVISION_LABEL.to_owned(), names::revision(revision.incarnation, revision.generation));
    let mut annotations = BTreeMap::from([
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), WORKER_PORT.to_string()),
    ]);
    annotations.extend(pod.annotations.clone());
    let mut template = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(revision, spec, secrets)],
        "volumes": volumes(name, revision, spec, secrets),
    });
    let mut set = |key: &str, value: Value| {
        if !matches!(&value, Value::Null) && value != json!([]) && value != json!({}) {
            template[key] = value;
        }
    };
    set("imagePullSecrets", json!(pod.image_pull_secrets));
    set("nodeSelector", json!(pod.node_selector));
    set("affinity", json!(pod.affinity));
    set("tolerations", json!(pod.tolerations));
    set("topologySpreadConstraints", json!(pod.topology_spread_constraints));
    set("priorityClassName", json!(pod.priority_class_name));
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": template})
}

fn container(revision: &Revision, spec: &StreamJobSpec, secrets: &BTreeSet<String>) -> Value {
    let pod = spec.pod.clone().unwrap_or_default();
    let mut container = json!({
        "name": "worker",
        "image": pod.image,
        "args": [
            "worker", format!("{JOB}/{JOB_KEY}"),
            "--generation", revision.generation.to_string(),
            "--replicas", revision.replicas.to_string(),
            "--ordinal", "$(MILLRACE_ORDINAL)",
            "--state-dir", STATE,
            "--secrets", SECRETS,
            "--token-file", format!("{TOKEN}/{TOKEN_KEY}"),
            "--listen", format!("0.0.0.0:{WORKER_PORT}"),
            "--log-format", "json",
            // A container that ends is started again, and would go on after a savepoint that it has stopped with.
            "--linger",
        ],
        "env": [
            // Not an argument: an older image, which a job may name, would not start with it.
            {"name": "MILLRACE_STOPPED_FILE", "value": STOPPED},
            {"name": "MILLRACE_ORDINAL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}},
        ],
        "ports": [{"name": "http", "containerPort": WORKER_PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 2},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"}, "initialDelaySeconds": 10, "periodSeconds": 10,
            "timeoutSeconds": 5, "failureThreshold": 6,
        },
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": names::VOLUME, "mountPath": STATE},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "job", "mountPath": JOB, "readOnly": true},
            {"name": "token", "mountPath": TOKEN, "readOnly": true},
        ],
    });
    if let Some(mounts) = container["volumeMounts"].as_array_mut() {
        mounts.extend(secrets.iter().enumerate().map(|(at, secret)| {
            json!({"name": format!("secret-{at}"), "mountPath": format!("{SECRETS}/{secret}"), "readOnly": true})
        }));
    }
    if let Some(resources) = &spec.resources {
        container["resources"] = json!(resources);
    }
    if let Some(policy) = pod.image_pull_policy {
        container["imagePullPolicy"] = policy.name().into();
    }
    container
}

fn volumes(name: &str, revision: &Revision, spec: &StreamJobSpec, secrets: &BTreeSet<String>) -> Value {
    let mut volumes = vec![
        json!({"name": "tmp", "emptyDir": {}}),
        json!({"name": "job", "configMap": {
            "name": names::config_map(name, revision.incarnation, revision.generation),
            "items": [{"key": JOB_KEY, "path": JOB_KEY}],
        }}),
        json!({"name": "token", "secret": {"secretName": names::token(name), "defaultMode": 0o440}}),
    ];
    volumes.extend(secrets.iter().enumerate().map(
        |(at, secret)| json!({"name": format!("secret-{at}"), "secret": {"secretName": secret, "defaultMode": 0o440}}),
    ));
    if spec.checkpoint.storage.as_ref().is_none_or(|storage| storage.volume.is_none()) {
        volumes.push(json!({"name": names::VOLUME, "emptyDir": {}}));
    }
    volumes.into()
}

/// What the workers of a revision are started with, and what the revision was made of. It does not change.
pub fn config_map(job: &StreamJob, revision: &Revision, file: String, spec: &StreamJobSpec) -> ConfigMap {
    let name = names::config_map(&job.name_any(), revision.incarnation, revision.generation);
    let spec = serde_json::to_string(spec).expect("a spec is plain data");
    let mut metadata = metadata(job, &name);
    metadata["labels"][REVISION_LABEL] = names::revision(revision.incarnation, revision.generation).into();
    let object = json!({"metadata": metadata, "immutable": true, "data": {JOB_KEY: file, SPEC_KEY: spec}});
    serde_json::from_value(object).expect("it is a ConfigMap")
}

/// A token that nobody knows yet.
pub fn token_secret(job: &StreamJob) -> Secret {
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let object = json!({"metadata": metadata(job, &names::token(&job.name_any())), "stringData": {TOKEN_KEY: token}});
    serde_json::from_value(object).expect("it is a Secret")
}

/// A savepoint that a job's schedule asks for.
pub fn scheduled_savepoint(job: &StreamJob, at: i64) -> Savepoint {
    let spec = SavepointSpec {
        job: job.name_any(),
        timeout: millrace_crds::quantity::Duration::from_secs(300),
        deletion_policy: DeletionPolicy::Delete,
    };
    let mut savepoint = Savepoint::new(&format!("{}-{at}", job.name_any()), spec);
    savepoint.metadata.namespace = job.namespace();
    savepoint.labels_mut().insert(names::SCHEDULED_LABEL.to_owned(), job.name_any());
    savepoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_say_of_pods_is_in_their_template() {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}});
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        let pod = json!({
            "labels": {"team": "risk"}, "annotations": {"note": "x"}, "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "spot", "operator": "Exists"}], "affinity": affinity.clone(),
            "priorityClassName": "high", "imagePullSecrets": [{"name": "registry"}],
        });
        let spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}, "sql": "", "pod": pod.clone()});
        let spec: StreamJobSpec = serde_json::from_value(spec).expect("a spec");
        let built = pod_template("clicks", &Revision::default(), &spec, &BTreeSet::new());
        assert_eq!(built["metadata"]["labels"]["team"], "risk");
        assert_eq!(built["metadata"]["annotations"]["note"], "x");
        for field in ["nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"] {
            assert_eq!(built["spec"][field], pod[field], "{field}");
        }
        let plain =
            pod_template("clicks", &Revision::default(), &StreamJobSpec { pod: None, ..spec }, &BTreeSet::new());
        assert_eq!(plain["spec"]["affinity"], Value::Null, "what nobody has set is left to others");
    }
}
