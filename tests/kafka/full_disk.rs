//! Volumes that refuse what a worker writes: full ones, and ones that may not be written to. The worker stops under
//! that name, whatever it was doing; when the volume takes writes again it goes on from it, and nothing was lost.

use super::events::{NEVER_IDLE, counts_per_second};
use super::harness::process::Ended;
use super::harness::{Job, Kafka, Mount};
use super::images::create;
use super::volumes::Fed;

/// Far more than a worker of these tests takes.
const MEBIBYTES: u32 = 64;

fn assert_full(fed: &Fed<'_>, ended: &Ended) {
    ended.assert_code(1);
    let left = fed.workers.reason("volume");
    assert_eq!(left["reason"], "VolumeFull", "{left}\n{}", ended.log);
    let message = left["message"].as_str().expect("a message");
    assert!(message.contains("/volume") && message.contains("bytes free"), "{message}");
    assert!(!ended.log.contains("corrupt"), "{}", ended.log);
}

#[test]
fn a_worker_whose_volume_fills_up_stops_by_that_name_and_goes_on_when_there_is_room() {
    let Some(kafka) = Kafka::apache("full") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 23);
    let mount = Mount::new(&fed.workers.volume("volume"), MEBIBYTES);

    let running = fed.workers.start_on(&mount, "volume", 1);
    fed.feed_until_checkpoints(&running, 2);
    mount.fill();
    let ended = fed.feed_until_end(running);
    assert_full(&fed, &ended);
    // Also one that starts while there is no room: what the first has left unfinished has made some.
    mount.fill();
    let ended = fed.workers.start_on(&mount, "volume", 1).wait();
    assert_full(&fed, &ended);

    mount.make_room();
    let worker = fed.workers.start_on(&mount, "volume", 1);
    let (restore, _) = fed.finish_with(worker, "windows over a full volume");
    assert_eq!(restore["tasksFromVolume"], 2, "{restore}");
}

#[test]
fn a_worker_on_a_write_protected_volume_stops_by_that_name_and_leaves_the_volume_as_it_is() {
    let Some(kafka) = Kafka::apache("read-only") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let mut fed = Fed::new(&kafka, create(&job), &from, &to, 29);
    let mount = Mount::new(&fed.workers.volume("volume"), MEBIBYTES);

    let running = fed.workers.start_on(&mount, "volume", 1);
    fed.feed_until_checkpoints(&running, 2);
    running.stop().assert_code(0);
    mount.write_protect(true);
    let ended = fed.workers.start_on(&mount, "volume", 1).wait();
    ended.assert_code(1);
    let left = fed.workers.reason("volume");
    assert_eq!(left["reason"], "VolumeReadOnly", "{left}\n{}", ended.log);

    mount.write_protect(false);
    let worker = fed.workers.start_on(&mount, "volume", 1);
    let (restore, _) = fed.finish_with(worker, "windows over a write-protected volume");
    assert_eq!(restore["tasksFromVolume"], 2, "{restore}");
}
