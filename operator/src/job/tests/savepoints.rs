//! `Savepoint` objects beside a job that runs: each gets its one copy, which goes with it, whatever goes wrong in between.

use super::world::Fault;
use super::{Bench, NAMESPACE, is_settled, sql, with_a_fault_at_any_write};
use kube::ResourceExt;
use millrace_crds::Savepoint;
use millrace_crds::savepoint::{SavepointPhase, SavepointSpec};
use millrace_crds::stream_job::{self, DeletionPolicy, RestoreFrom, SavepointSchedule};
use std::collections::BTreeMap;

const RETAINED: usize = 2;

fn savepoint(name: &str, job: &str, deletion_policy: DeletionPolicy) -> Savepoint {
    let timeout = millrace_crds::quantity::Duration::from_secs(60);
    let mut object = Savepoint::new(name, SavepointSpec { job: job.to_owned(), timeout, deletion_policy });
    object.metadata.namespace = Some(NAMESPACE.to_owned());
    object
}

/// What the objects say of themselves: where their copies are, by UID.
fn locations(bench: &Bench) -> BTreeMap<String, Option<String>> {
    let objects = bench.world.lock().savepoints.objects();
    let location = |object: &Savepoint| object.status.as_ref().and_then(|status| status.location.clone());
    objects.iter().map(|object| (object.metadata.uid.clone().expect("it has one"), location(object))).collect()
}

fn life_of_savepoints(bench: &mut Bench, case: &str) {
    let ask = |bench: &Bench, name: &str, job: &str, policy| {
        bench.world.lock().create_savepoint(savepoint(name, job, policy));
    };
    // One that is asked for before the job runs waits for it.
    ask(bench, "early", super::NAME, DeletionPolicy::Delete);
    bench.until(&format!("the first start{case}"), |world| is_settled(world, 4));
    ask(bench, "kept", super::NAME, DeletionPolicy::Retain);
    ask(bench, "lost", "no-such-job", DeletionPolicy::Delete);
    bench.until(&format!("two are complete{case}"), |world| world.savepoints.completed() == ["early", "kept"]);
    let failed = |world: &super::World| world.savepoints.status("lost").phase == Some(SavepointPhase::Failed);
    bench.until(&format!("one can't be{case}"), failed);

    // An upgrade in between changes where savepoints go.
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.until(&format!("other statements{case}"), |world| {
        is_settled(world, 4) && world.revision().is_some_and(|revision| !revision.starts_with("1."))
    });
    let interval = millrace_crds::quantity::Duration::from_secs(10);
    let schedule = SavepointSchedule { interval, retain: RETAINED as u32 };
    let by_schedule = stream_job::SavepointSpec { storage: None, schedule: Some(schedule) };
    bench.world.lock().edit(|job| job.spec.savepoint = Some(by_schedule));
    bench.until(&format!("five by schedule, of which the last are retained{case}"), |world| {
        let all = world.savepoints.objects();
        let ended = all.iter().filter_map(|object| object.status.as_ref()?.completed_at.as_ref()).count();
        world.savepoints.created >= 8 && ended == all.len() && world.savepoints.completed().len() - 2 == RETAINED
    });
    bench.world.lock().edit(|job| job.spec.savepoint = None);
    assert_sound(bench, case);

    let before = locations(bench);
    let names: Vec<String> = bench.world.lock().savepoints.objects().iter().map(ResourceExt::name_any).collect();
    names.iter().for_each(|name| bench.world.lock().delete_savepoint(name));
    bench.until(&format!("all are deleted{case}"), |world| world.savepoints.objects().is_empty());
    let world = bench.world.lock();
    for number in 1..=world.savepoints.created {
        let uid = format!("savepoint-{number}");
        let left = world.savepoints.copies_for(&uid);
        // The second one was to be kept.
        let kept = before.get(&uid).cloned().flatten().filter(|_| number == 2);
        assert_eq!(left, kept.as_deref().into_iter().collect::<Vec<_>>(), "{uid}{case}");
    }
    assert!(world.violations.is_empty(), "{case}: {:?}", world.violations);
}

/// Each that is complete has a copy that a job can start from.
fn assert_sound(bench: &Bench, case: &str) {
    let world = bench.world.lock();
    for object in world.savepoints.objects() {
        let status = object.status.unwrap_or_default();
        let is_there = status.location.as_ref().is_some_and(|location| world.savepoints.position(location).is_some());
        assert_eq!(is_there, status.phase == Some(SavepointPhase::Completed), "{:?}{case}", object.metadata.name);
    }
}

#[test]
fn a_savepoint_is_made_kept_and_deleted_as_its_object_says() {
    let mut bench = Bench::new();
    life_of_savepoints(&mut bench, "");
    let world = bench.world.lock();
    for number in 1..=world.savepoints.created {
        let copies = world.savepoints.copies_for(&format!("savepoint-{number}")).len();
        assert_eq!(copies, usize::from(number == 2), "nothing went wrong, and one more was made");
    }
}

#[test]
fn a_fault_at_any_write_makes_no_savepoint_that_is_nobodys() {
    with_a_fault_at_any_write(life_of_savepoints);
}

/// An operator that comes after one that ended looks for the copy first, and makes no second one.
#[test]
fn a_copy_that_is_complete_is_found_again() {
    let asked = |fault: Option<u64>| {
        let mut bench = Bench::new();
        bench.until("the first start", |world| is_settled(world, 4));
        let before = bench.world.lock().writes;
        bench.world.lock().fault = fault.map(|at| (before + at, Fault::Crash));
        bench.world.lock().create_savepoint(savepoint("one", super::NAME, DeletionPolicy::Delete));
        bench.until("it is complete", |world| world.savepoints.completed() == ["one"]);
        let world = bench.world.lock();
        let copies = world.savepoints.copies_for("savepoint-1");
        let complete = copies.iter().filter(|location| world.savepoints.position(location).is_some()).count();
        assert_eq!(complete, 1, "a crash at write {fault:?}");
        world.writes - before
    };
    let writes = asked(None);
    assert!(writes > 6, "only {writes} writes: too few to mean anything");
    for at in 1..=writes {
        asked(Some(at));
    }
}

/// The copy that a job has started from stays while it rests on it, whatever becomes of the object.
#[test]
fn a_copy_that_a_job_has_started_from_is_not_deleted_under_it() {
    let mut bench = Bench::new();
    let from = RestoreFrom { savepoint: Some("first".to_owned()), url: None };
    bench.world.lock().edit(|job| job.spec.restore_from = Some(from));
    bench.world.lock().adopt_savepoint(savepoint("first", super::NAME, DeletionPolicy::Delete), "kafka:first");
    bench.until("it runs", |world| is_settled(world, 4));
    assert_eq!(bench.world.lock().status().revision.and_then(|one| one.restored_from).as_deref(), Some("kafka:first"));
    bench.world.lock().delete_savepoint("first");
    bench.until("it is said", |world| world.savepoints.status("first").conditions.iter().any(|c| c.reason == "InUse"));
    // Pods anew, which may have lost everything.
    bench.world.lock().edit(|job| job.spec.restart_nonce = Some(1));
    bench.until("other pods", |world| is_settled(world, 4) && world.revision().as_deref() == Some("1.2"));
    assert!(bench.world.lock().savepoints.position("kafka:first").is_some());
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.until("the job rests on another", |world| is_settled(world, 4) && world.savepoints.objects().is_empty());
    assert_eq!(bench.world.lock().savepoints.position("kafka:first"), None);
    bench.sound();
}
