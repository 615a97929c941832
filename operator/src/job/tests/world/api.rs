//! The cluster's API as the operator calls it. Every write may fail.

use super::super::NAME;
use super::Shared;
use crate::cluster::{Child, Children, Cluster, ClusterError, Freshness, Kind, Notice, Result};
use crate::names;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use millrace_crds::savepoint::SavepointStatus;
use millrace_crds::status::StreamJobStatus;
use millrace_crds::{Savepoint, StreamJob};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Cluster for Shared {
    async fn job(&self, _: &str, name: &str, freshness: Freshness) -> Result<Option<StreamJob>> {
        let world = self.lock();
        if name != NAME {
            return Ok(None);
        }
        let cached = (freshness == Freshness::Cached).then(|| world.cached.clone()).flatten();
        Ok(cached.filter(|_| world.job.is_some()).or_else(|| world.job.clone()))
    }

    async fn write_status(&self, job: &StreamJob, status: &StreamJobStatus) -> Result<StreamJob> {
        self.write(|world| world.update(job, |current| current.status = Some(status.clone())))
    }

    async fn set_finalizer(&self, job: &StreamJob, present: bool) -> Result<StreamJob> {
        let finalizers = present.then(|| vec![names::FINALIZER.to_owned()]);
        self.write(|world| world.update(job, |current| current.metadata.finalizers = finalizers))
    }

    async fn children(&self, _: &str, job: &str, _: Freshness) -> Result<Children> {
        let world = self.lock();
        let set = world.set.as_ref().map(|set| {
            let (replicas, template) = (&set["spec"]["replicas"], &set["spec"]["template"]);
            let claims = &set["spec"]["volumeClaimTemplates"];
            let spec =
                json!({"replicas": replicas, "selector": {}, "template": template, "volumeClaimTemplates": claims});
            let metadata = json!({"name": job, "uid": world.set_uid.to_string()});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a set")
        });
        Ok(Children { stateful_set: set, pods: world.pods.iter().map(|pod| world.pod(pod, job)).collect() })
    }

    async fn apply(&self, _: &str, child: &Child) -> Result<()> {
        self.write(|world| {
            if child.kind == Kind::StatefulSet {
                let claims = |set: &Value| set["spec"]["volumeClaimTemplates"].clone();
                if world.set.as_ref().is_some_and(|set| claims(set) != claims(&child.object)) {
                    return Err(ClusterError::Refused("updates to volumeClaimTemplates are forbidden".to_owned()));
                }
                let wakes = child.object["spec"]["replicas"] != json!(0)
                    && world.set.as_ref().is_none_or(|set| set["spec"]["replicas"] == json!(0));
                if wakes && world.claims.any_goes() {
                    let violation = "a StatefulSet is to make pods while volumes of those before are on their way out";
                    world.violations.push(violation.to_owned());
                }
                world.set_uid += u64::from(world.set.is_none());
                world.set = Some(child.object.clone());
                world.follow_set();
            }
            Ok(())
        })
    }

    async fn scale_to_zero(&self, _: &str, _: &str, uid: &str) -> Result<()> {
        self.write(|world| {
            if uid != world.set_uid.to_string() {
                return Err(ClusterError::Conflict("another set".to_owned()));
            }
            if let Some(set) = &mut world.set {
                set["spec"]["replicas"] = 0.into();
                set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Retain".into();
            }
            world.follow_set();
            Ok(())
        })
    }

    async fn has_stale_claims(&self, _: &str, _: &str) -> Result<bool> {
        Ok(self.lock().claims.any_goes())
    }

    async fn delete_claims(&self, _: &str, _: &str, from: u32) -> Result<()> {
        self.write(|world| {
            world.claims.delete(from);
            Ok(())
        })
    }

    async fn delete_set(&self, _: &str, _: &str, uid: &str) -> Result<()> {
        self.write(|world| {
            if let Some(set) = world.set.take_if(|_| uid == world.set_uid.to_string())
                && set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
            {
                world.claims.delete(0);
            }
            Ok(())
        })
    }

    async fn delete_pods(&self, _: &str, pods: &[(String, String)]) -> Result<()> {
        self.write(|world| {
            for pod in &mut world.pods {
                if pods.iter().any(|(_, uid)| *uid == pod.uid.to_string()) {
                    pod.dying.get_or_insert(3);
                }
            }
            Ok(())
        })
    }

    async fn config_map(&self, _: &str, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        Ok(self.lock().config_maps.get(name).cloned())
    }

    async fn create_config_map(&self, _: &str, object: &ConfigMap) -> Result<()> {
        self.write(|world| {
            let data = object.data.clone().unwrap_or_default();
            world.config_maps.entry(object.name_any()).or_insert(data);
            Ok(())
        })
    }

    async fn keep_config_maps(&self, _: &str, _: &str, kept: &[String]) -> Result<()> {
        self.write(|world| {
            world.config_maps.retain(|name, _| kept.contains(name));
            Ok(())
        })
    }

    async fn secret(&self, _: &str, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        Ok(self.lock().secrets.get(name).cloned())
    }

    async fn create_secret(&self, _: &str, object: &Secret) -> Result<()> {
        self.write(|world| {
            let data = object.string_data.clone().unwrap_or_default();
            world.secrets.entry(object.name_any()).or_insert(data);
            Ok(())
        })
    }

    async fn list_jobs(&self, _: &str) -> Result<Vec<StreamJob>> {
        Ok(self.lock().job.iter().cloned().collect())
    }

    async fn savepoint(&self, _: &str, name: &str) -> Result<Option<Savepoint>> {
        Ok(self.lock().savepoints.object(name).cloned())
    }

    async fn savepoints_of_schedule(&self, _: &str, job: &str) -> Result<Vec<Savepoint>> {
        Ok(self.lock().savepoints.of_schedule(job))
    }

    async fn create_savepoint(&self, _: &str, object: &Savepoint) -> Result<()> {
        self.write(|world| {
            world.create_savepoint(object.clone());
            Ok(())
        })
    }

    async fn delete_savepoint(&self, _: &str, name: &str) -> Result<()> {
        self.write(|world| {
            world.delete_savepoint(name);
            Ok(())
        })
    }

    async fn write_savepoint_status(&self, savepoint: &Savepoint, status: &SavepointStatus) -> Result<Savepoint> {
        self.write(|world| world.savepoints.update(savepoint, |current| current.status = Some(status.clone())))
    }

    async fn set_savepoint_finalizer(&self, savepoint: &Savepoint, present: bool) -> Result<Savepoint> {
        self.write(|world| {
            let finalizers = present.then(|| vec![names::FINALIZER.to_owned()]);
            world.savepoints.update(savepoint, |current| current.metadata.finalizers = finalizers)
        })
    }

    async fn tell(&self, _: &StreamJob, _: Notice) {}
}
