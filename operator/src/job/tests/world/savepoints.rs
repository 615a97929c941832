//! Savepoints: the objects that ask for them, and the copies themselves, which know nothing of those.

use super::World;
use crate::cluster::{ClusterError, Result};
use crate::names::{FINALIZER, SCHEDULED_LABEL};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use millrace_crds::Savepoint;
use millrace_crds::savepoint::{SavepointPhase, SavepointStatus};
use std::collections::BTreeMap;

#[derive(Default)]
pub(in super::super) struct Savepoints {
    objects: BTreeMap<String, Savepoint>,
    version: u64,
    /// Of objects, so far.
    pub(in super::super) created: u64,
    /// By their place. None: some of it is written.
    copies: BTreeMap<String, Option<u64>>,
}

impl Savepoints {
    pub(super) fn object(&self, name: &str) -> Option<&Savepoint> {
        self.objects.get(name)
    }

    pub(super) fn of_schedule(&self, job: &str) -> Vec<Savepoint> {
        let is_of = |object: &&Savepoint| object.labels().get(SCHEDULED_LABEL).is_some_and(|of| of == job);
        self.objects.values().filter(is_of).cloned().collect()
    }

    pub(in super::super) fn objects(&self) -> Vec<Savepoint> {
        self.objects.values().cloned().collect()
    }

    pub(in super::super) fn status(&self, name: &str) -> SavepointStatus {
        self.objects.get(name).and_then(|object| object.status.clone()).unwrap_or_default()
    }

    /// The names of those that are complete.
    pub(in super::super) fn completed(&self) -> Vec<String> {
        let is_complete = |name: &&String| self.status(name).phase == Some(SavepointPhase::Completed);
        self.objects.keys().filter(is_complete).cloned().collect()
    }

    /// Changes an object that nobody has changed since; it goes with its last finalizer.
    pub(super) fn update(&mut self, seen: &Savepoint, change: impl FnOnce(&mut Savepoint)) -> Result<Savepoint> {
        let name = seen.name_any();
        let current = self.objects.get_mut(&name).ok_or_else(|| ClusterError::Conflict("gone".to_owned()))?;
        if current.metadata.resource_version != seen.metadata.resource_version {
            return Err(ClusterError::Conflict("another version".to_owned()));
        }
        change(current);
        self.version += 1;
        current.metadata.resource_version = Some(self.version.to_string());
        let current = current.clone();
        if current.metadata.deletion_timestamp.is_some() && current.finalizers().is_empty() {
            self.objects.remove(&name);
        }
        Ok(current)
    }

    /// Workers begin to write a copy.
    pub(super) fn begin(&mut self, location: &str) {
        self.copies.entry(location.to_owned()).or_default();
    }

    pub(super) fn complete(&mut self, location: &str, position: u64) {
        self.copies.insert(location.to_owned(), Some(position));
    }

    pub(super) fn remove(&mut self, location: &str) {
        self.copies.remove(location);
    }

    /// Where a job goes on from a complete copy.
    pub(in super::super) fn position(&self, location: &str) -> Option<u64> {
        self.copies.get(location).copied().flatten()
    }

    /// Complete ones and others.
    pub(in super::super) fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Places in which something is that was made for an object of this UID.
    pub(in super::super) fn copies_for(&self, uid: &str) -> Vec<&str> {
        let named = format!(".{uid}-");
        self.copies.keys().map(String::as_str).filter(|location| location.contains(&named)).collect()
    }
}

impl World {
    /// Somebody asks for a savepoint.
    pub(in super::super) fn create_savepoint(&mut self, mut object: Savepoint) {
        let name = object.name_any();
        if self.savepoints.objects.contains_key(&name) {
            return;
        }
        let all = &mut self.savepoints;
        (all.created, all.version) = (all.created + 1, all.version + 1);
        object.metadata.uid = Some(format!("savepoint-{}", all.created));
        object.metadata.resource_version = Some(all.version.to_string());
        object.metadata.generation = Some(1);
        object.metadata.creation_timestamp = Some(Time(self.now));
        all.objects.insert(name, object);
    }

    /// One that was made before, for a job that is gone.
    pub(in super::super) fn adopt_savepoint(&mut self, mut object: Savepoint, location: &str) {
        object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        object.status = Some(SavepointStatus {
            phase: Some(SavepointPhase::Completed),
            location: Some(location.to_owned()),
            ..SavepointStatus::default()
        });
        self.create_savepoint(object);
        self.savepoints.complete(location, 7);
    }

    /// Somebody deletes one; it stays while it has a finalizer.
    pub(in super::super) fn delete_savepoint(&mut self, name: &str) {
        let now = self.now;
        if let Some(object) = self.savepoints.objects.get(name).cloned() {
            let deleted = |object: &mut Savepoint| {
                object.metadata.deletion_timestamp.get_or_insert(Time(now));
            };
            self.savepoints.update(&object, deleted).expect("it is as it was");
        }
    }
}
