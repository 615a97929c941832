//! Where a savepoint is that a command names, and on which Kafka if it is in a topic.

use crate::args::SavepointPlace;
use crate::input;
use crate::report::Failure;
use millrace_job_runtime::job::Kafka;
use millrace_job_runtime::storage::{KAFKA_SCHEME, Storage};
use millrace_launch::secrets::SecretDirectory;
use millrace_launch::settings;

pub(super) fn open(place: &SavepointPlace) -> Result<Storage, Failure> {
    Ok(Storage::existing(&place.location, kafka(place)?.as_ref())?)
}

fn kafka(place: &SavepointPlace) -> Result<Option<Kafka>, Failure> {
    if let Some(address) = &place.kafka {
        return Ok(Some(settings::plain_kafka(address.clone())));
    }
    if let Some(file) = &place.kafka_of {
        let manifest = input::read(file)?.manifest.ok_or_else(|| {
            Failure::user(format!("{} names no Kafka: give a StreamJob manifest, or --kafka", file.display()))
        })?;
        return Ok(Some(settings::kafka(&manifest.spec.kafka, &SecretDirectory(place.secrets.clone()))?));
    }
    if place.location.starts_with(KAFKA_SCHEME) {
        let location = &place.location;
        return Err(Failure::user(format!(
            "{location} is a topic: say on which Kafka, with --kafka, or with --kafka-of a job that uses it"
        )));
    }
    Ok(None)
}
