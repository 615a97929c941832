//! Whether topics have as many replicas in sync as they need to be written to. A producer doesn't tell: it asks again
//! and again, until its transaction is too old.

use super::admin::AdminClient;
use crate::condition::{Condition, Reason};
use crate::error::{ErrorKind, Result};

const MIN_IN_SYNC: &str = "min.insync.replicas";

/// What keeps a topic from being written to, for want of replicas; None where nothing does.
pub fn shortage(admin: &AdminClient, topic: &str) -> Result<Option<String>> {
    let Some(description) = admin.describe(topic)? else { return Ok(None) };
    // Who may not read the settings still sees that nobody is in sync.
    let settings = admin.config(topic).unwrap_or_default();
    let needed = settings.get(MIN_IN_SYNC).and_then(|value| value.parse().ok()).unwrap_or(1);
    let counted = description.partitions.iter().zip(&description.in_sync);
    let short: Vec<(i32, usize)> = counted.map(|(p, n)| (*p, *n)).filter(|(_, count)| *count < needed).collect();
    let Some(least) = short.iter().map(|(_, count)| *count).min() else { return Ok(None) };
    let partitions: Vec<i32> = short.iter().map(|(partition, _)| *partition).collect();
    Ok(Some(format!(
        "topic {topic} can't be written to: partitions {partitions:?} have {least} replicas in sync, and {MIN_IN_SYNC} wants \
         {needed}. Bring back the brokers that have the others; the job waits, and goes on by itself with nothing lost"
    )))
}

/// The first of some topics that can't be written to. One that may not be looked at is passed over; where nobody
/// answers, nothing is known.
pub fn first_shortage(admin: &AdminClient, topics: &[String]) -> Option<Condition> {
    for topic in topics {
        match shortage(admin, topic) {
            Ok(Some(message)) => return Some(Condition::new(Reason::NotEnoughReplicas, message)),
            Err(error) if error.kind == ErrorKind::Retry => return None,
            Ok(None) | Err(_) => {}
        }
    }
    None
}
