//! What the operator meets outside the cluster: Kafka, savepoints, and workers by HTTP.

use super::{Incarnation, Shared};
use crate::surroundings::{JobRequest, Outcome, Place, ReadSecrets, SavepointSize, Surroundings, Trouble, worker_url};
use crate::worker_status::WorkerStatus;
use millrace_crds::stream_job::KafkaSpec;
use millrace_job_runtime::job::JobIdentity;
use millrace_launch::job_file::JobFile;
use millrace_launch::savepoint::Request;
use millrace_launch::settings;
use millrace_planner::plan::Plan;

impl Surroundings for Shared {
    async fn parallelism(&self, request: JobRequest) -> Outcome<u32> {
        let world = self.lock();
        if let Some((secret, key, password)) = &world.password
            && request.secrets.0.get(secret).and_then(|entries| entries.get(key)) != Some(password)
        {
            return Err(Trouble::Invalid("Kafka does not let the job in".to_owned()));
        }
        let asked = request.spec.parallelism.and_then(|tasks| u32::try_from(tasks).ok());
        Ok(asked.unwrap_or(world.partitions))
    }

    async fn create(&self, request: JobRequest) -> Outcome<String> {
        let mut world = self.lock();
        let restored = match &request.restore_from {
            Some(location) => match world.savepoints.position(location) {
                Some(position) => Some(position),
                None => return Err(Trouble::Invalid(format!("there is no savepoint {location}"))),
            },
            None => None,
        };
        let incarnation = request.identity.incarnation;
        let identity = request.identity.clone();
        let made = Incarnation { identity, position: 0, restored, generation: 0, ended: false, begun: false };
        world.incarnations.entry(incarnation).or_insert(made);
        let parallelism = request.spec.parallelism.and_then(|tasks| u32::try_from(tasks).ok());
        let around = settings::Surroundings {
            identity: request.identity,
            kafka: settings::plain_kafka("kafka:9092".to_owned()),
            archive: None,
            state_directory: Default::default(),
            threads: None,
            makes_topics: false,
            restore_from: request.restore_from,
        };
        let mut job = settings::job(Some(&request.spec), request.plan, around);
        job.parallelism = parallelism;
        Ok(JobFile::new(job, request.spec.kafka).to_text().expect("plain data"))
    }

    async fn has_committed(&self, file: String, _: ReadSecrets) -> Outcome<bool> {
        let incarnation = JobFile::from_text(&file).expect("a file of ours").written().identity.incarnation;
        Ok(self.lock().incarnations.get(&incarnation).is_some_and(|own| own.position > 0))
    }

    async fn make_savepoint(&self, request: Request) -> Outcome<String> {
        let mut world = self.lock();
        if world.crashed {
            return Err(Trouble::Passing("this operator has ended".to_owned()));
        }
        let made = world.save(&request);
        if made.is_err() && !world.crashed {
            world.abandon(&request.id);
        }
        made
    }

    async fn permits(&self, _: Place, _: Plan, _: bool) -> Outcome<String> {
        match self.lock().incompatible {
            true => Err(Trouble::Invalid("the plan can't go on from this savepoint".to_owned())),
            false => Ok(String::new()),
        }
    }

    async fn savepoint_size(&self, place: Place) -> Outcome<SavepointSize> {
        match self.lock().savepoints.position(&place.location) {
            Some(bytes) => Ok(SavepointSize { bytes, parallelism: 4 }),
            None => Err(Trouble::Invalid(format!("there is no savepoint at {}", place.location))),
        }
    }

    async fn delete_savepoint(&self, place: Place) -> Outcome<()> {
        let mut world = self.lock();
        if world.crashed {
            return Err(Trouble::Passing("this operator has ended".to_owned()));
        }
        world.request(|world| world.savepoints.remove(&place.location))
    }

    async fn delete_topics(&self, _: JobIdentity, _: KafkaSpec, _: ReadSecrets) -> Outcome<()> {
        let mut world = self.lock();
        if !world.pods.is_empty() {
            world.violations.push("topics are deleted under running pods".to_owned());
        }
        world.incarnations.clear();
        Ok(())
    }

    async fn take_over(&self, workers: Vec<String>, _: String) -> Outcome<()> {
        let mut world = self.lock();
        if world.crashed {
            return Err(Trouble::Passing("this operator has ended".to_owned()));
        }
        for worker in workers {
            world.request(|world| {
                let asked = world.pods.iter_mut().find(|pod| worker_url(&format!("uid-{}", pod.uid)) == worker);
                asked.expect("a pod that stands by").waits = false;
            })?;
        }
        Ok(())
    }

    async fn statuses(&self, addresses: Vec<Option<String>>) -> Vec<Option<WorkerStatus>> {
        let world = self.lock();
        let status = |address: Option<String>| {
            let uid: u64 = address?.strip_prefix("uid-")?.parse().ok()?;
            let pod = world.pods.iter().find(|pod| pod.uid == uid && pod.image != "broken")?;
            let phase = match (world.is_running(pod), pod.stopped) {
                (_, true) => "Stopped",
                (true, _) => "Running",
                _ if pod.stands_by => "StandingBy",
                _ => "Restoring",
            };
            Some(WorkerStatus {
                phase: phase.to_owned(),
                commits: pod.commits,
                checkpoints: pod.commits,
                ..WorkerStatus::default()
            })
        };
        addresses.into_iter().map(status).collect()
    }
}
