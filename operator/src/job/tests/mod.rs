//! The whole reconciliation against a model of the cluster: what users do to a job, undisturbed, and again with a fault at
//! every single write.

mod savepoints;
mod world;

use super::reconcile::Context;
use crate::settings::Settings;
use millrace_crds::StreamJob;
use millrace_crds::status::Phase;
use millrace_crds::stream_job::{CheckpointStorage, DeletionPolicy, DesiredState, KafkaTls, RestoreFrom, UpgradeMode};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use world::{FAULTS, LATE, Shared, World};

const NAMESPACE: &str = "shop";
const NAME: &str = "actions";

fn sql(aggregate: &str) -> String {
    format!(
        "CREATE TABLE s (u STRING, pt AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json',
           'properties.group.id' = 'g', 'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE t (u STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         INSERT INTO t SELECT u, {aggregate} FROM TABLE(TUMBLE(TABLE s, DESCRIPTOR(pt), INTERVAL '1' MINUTE))
           GROUP BY u, window_start, window_end;"
    )
}

fn job() -> StreamJob {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "0c6a", "generation": 1},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "sql": sql("COUNT(*)"), "upgrade": {"stableWithin": "20s"},
                 "checkpoint": {"storage": {"volume": {"size": "10Gi"}}}},
    }))
    .expect("a job")
}

fn volume(size: &str) -> CheckpointStorage {
    serde_json::from_value(json!({"volume": {"size": size}})).expect("a volume")
}

/// The job runs as it is wanted, on so many pods, and nothing is under way.
fn is_settled(world: &World, pods: u32) -> bool {
    let status = world.status();
    status.operation.is_none()
        && status.phase == Some(Phase::Running)
        && status.stable == status.revision
        && status.observed_generation == world.job.as_ref().and_then(|job| job.metadata.generation)
        && world.revision().is_some_and(|revision| world.pods() == vec![revision; pods as usize])
}

/// A world with an operator in it.
struct Bench {
    world: Shared,
    operator: Context<Shared, Shared>,
}

fn operator(world: &Shared) -> Context<Shared, Shared> {
    let settings = Settings {
        namespaces: Vec::new(),
        image: "millrace:1".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        leader_election: None,
        status_interval: Duration::from_secs(5),
        topics_interval: Duration::from_secs(5),
    };
    let clock = world.clone();
    Context::new(world.clone(), world.clone(), settings, Arc::new(move || clock.lock().now))
}

impl Bench {
    fn new() -> Self {
        let world = Shared::new(job());
        Self { operator: operator(&world), world }
    }

    /// The operator looks once, and half a second passes.
    fn round(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _ = runtime.block_on(self.operator.reconcile(NAMESPACE, NAME));
        let savepoints = self.world.lock().savepoints.objects();
        for savepoint in savepoints {
            let _ = runtime.block_on(crate::savepoint::reconcile(&self.operator, &savepoint));
        }
        let mut world = self.world.lock();
        if world.crashed {
            world.crashed = false;
            drop(world);
            self.operator = operator(&self.world);
            world = self.world.lock();
        }
        world.tick();
    }

    fn until(&mut self, what: &str, met: impl Fn(&World) -> bool) {
        for _ in 0..600 {
            if met(&self.world.lock()) {
                return;
            }
            self.round();
        }
        let world = self.world.lock();
        let savepoints = world.savepoints.objects();
        panic!("never came true: {what}; pods {:?}, {savepoints:#?}, status {:#?}", world.pods(), world.status());
    }

    fn settle(&mut self, what: &str, revision: &str, pods: u32) {
        self.until(what, |world| is_settled(world, pods) && world.revision().as_deref() == Some(revision));
    }

    fn sound(&self) {
        let world = self.world.lock();
        assert!(world.violations.is_empty(), "{:?}", world.violations);
    }
}

/// What users do, one after the other; each ends in a state that is waited for. Returns the revisions.
fn life(bench: &mut Bench, case: &str) -> Vec<String> {
    let mut revisions = Vec::new();
    let mut settles = |bench: &mut Bench, step: &str, pods: u32| {
        // Its volumes, too, are those of its pods and no others; and of copies there are the last, and what it started from.
        let volumes: Vec<u32> = (0..pods).collect();
        bench.until(&format!("{step}{case}"), |world| {
            is_settled(world, pods) && world.volumes() == volumes && world.savepoints.copies() <= 2
        });
        revisions.extend(bench.world.lock().revision());
    };
    settles(bench, "the first start", 4);
    bench.world.lock().edit(|job| job.spec.replicas = Some(2));
    settles(bench, "two pods", 2);
    let before = bench.world.lock().position();
    bench.world.lock().edit(|job| (job.spec.sql, job.spec.replicas) = (Some(sql("ABS(COUNT(*))")), Some(1)));
    settles(bench, "other statements", 1);
    assert!(bench.world.lock().position() >= before, "it has gone back{case}");
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Suspended);
    let suspended = |world: &World| world.status().phase == Some(Phase::Suspended) && world.pods().is_empty();
    bench.until(&format!("suspended{case}"), suspended);
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Running);
    settles(bench, "resumed", 1);
    bench.world.lock().edit(|job| job.spec.replicas = Some(3));
    settles(bench, "three pods", 3);
    bench.world.lock().edit(|job| (job.spec.checkpoint.storage, job.spec.replicas) = (Some(volume("20Gi")), Some(1)));
    settles(bench, "larger volumes", 1);
    assert_eq!(bench.world.lock().volume_size().as_deref(), Some("20Gi"), "{case}");
    bench.world.lock().partitions = 6;
    bench.world.lock().edit(|job| job.spec.replicas = None);
    settles(bench, "six tasks", 6);
    assert_eq!(bench.world.lock().status().partitions, Some(6), "{case}");
    bench.world.lock().delete();
    bench.until(&format!("deleted{case}"), |world| world.job.is_none());
    let world = bench.world.lock();
    assert!(!world.has_topics(), "{case}");
    assert!(world.savepoints.copies() <= 1, "{case}: {} are left", world.savepoints.copies());
    assert!(world.violations.is_empty(), "{case}: {:?}", world.violations);
    revisions
}

#[test]
fn a_job_lives_through_what_users_do_to_it() {
    assert_eq!(life(&mut Bench::new(), ""), ["1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "3.1"]);
}

/// Every write of that life, once with each fault: it converges all the same, and nothing is lost or doubled. Revisions may be
/// one further where an attempt was given up.
#[test]
fn a_fault_at_any_write_delays_and_harms_nothing() {
    with_a_fault_at_any_write(|bench, case| drop(life(bench, case)));
}

/// Lives a life undisturbed, and again for each fault at each of its writes.
fn with_a_fault_at_any_write(life: impl Fn(&mut Bench, &str) + Copy + Send) {
    let mut bench = Bench::new();
    life(&mut bench, "");
    let writes = bench.world.lock().writes;
    assert!(writes > 50, "only {writes} writes: too few to mean anything");
    std::thread::scope(|threads| {
        for fault in FAULTS {
            threads.spawn(move || {
                for at in 1..=writes {
                    let mut bench = Bench::new();
                    bench.world.lock().fault = Some((at, fault));
                    life(&mut bench, &format!(" with {fault:?} at write {at}"));
                }
            });
        }
    });
}

/// A job whose pods are gone because it is to get other volumes. Its own would survive it.
fn taken_down() -> Bench {
    let mut bench = Bench::new();
    bench.world.lock().edit(|job| job.spec.deletion_policy = DeletionPolicy::Retain);
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.checkpoint.storage = Some(volume("20Gi")));
    bench.until("it is taken down", |world| world.pods().is_empty());
    bench
}

#[test]
fn statements_that_change_while_the_volumes_do_go_on_from_what_there_is() {
    let mut bench = taken_down();
    let before = bench.world.lock().position();
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.settle("other statements, by a savepoint", "2.1", 4);
    assert!(bench.world.lock().position() >= before, "it has gone back");
    assert_eq!(bench.world.lock().volume_size().as_deref(), Some("20Gi"));
    bench.sound();
}

#[test]
fn an_object_store_that_has_the_state_is_not_left_together_with_the_volumes() {
    let storage = |size: &str, url: &str| -> CheckpointStorage {
        serde_json::from_value(json!({"volume": {"size": size}, "objectStore": {"url": url}})).expect("a storage")
    };
    let mut bench = Bench::new();
    bench.world.lock().edit(|job| job.spec.checkpoint.storage = Some(storage("10Gi", "s3://first")));
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.checkpoint.storage = Some(storage("20Gi", "s3://second")));
    bench.until("it is refused", |world| {
        let stalled = world.status().conditions.into_iter().find(|condition| condition.type_ == "Stalled");
        stalled.is_some_and(|stalled| stalled.status == "True" && stalled.reason == "StateOutOfReach")
    });
    assert_eq!(bench.world.lock().pods(), vec!["1.1".to_owned(); 4], "what runs runs on");
    bench.world.lock().edit(|job| job.spec.checkpoint.storage = Some(storage("10Gi", "s3://second")));
    bench.settle("another object store", "1.2", 4);
    bench.world.lock().edit(|job| job.spec.checkpoint.storage = Some(storage("20Gi", "s3://second")));
    bench.settle("larger volumes", "1.3", 4);
    assert_eq!(bench.world.lock().volume_size().as_deref(), Some("20Gi"));
    bench.sound();
}

#[test]
fn a_job_can_be_suspended_while_its_volumes_change() {
    let mut bench = taken_down();
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Suspended);
    bench.until("suspended, with a savepoint", |world| {
        let status = world.status();
        status.phase == Some(Phase::Suspended) && status.suspended_with.is_some() && world.pods().is_empty()
    });
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Running);
    bench.until("it runs", |world| world.status().operation.is_none() && world.pods().len() == 4);
    bench.sound();
}

#[test]
fn statements_that_can_not_be_gone_on_with_can_be_put_back() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.pod.get_or_insert_default().image = Some("broken".to_owned()));
    bench.until("the broken image", |world| world.image().as_deref() == Some("broken"));
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.until("no savepoint can be made", |world| world.status().refused.is_some());
    bench.world.lock().edit(|job| {
        job.spec.sql = Some(sql("COUNT(*)"));
        job.spec.pod.get_or_insert_default().image = Some("millrace:2".to_owned());
    });
    bench.until("it runs", |world| {
        let status = world.status();
        status.operation.is_none()
            && status.phase == Some(Phase::Running)
            && status.stable == status.revision
            && world.image().as_deref() == Some("millrace:2")
    });
    bench.sound();
}

#[test]
fn pods_go_on_until_all_in_new_places_stand_by() {
    let mut bench = Bench::new();
    bench.world.lock().edit(|job| job.spec.replicas = Some(1));
    bench.settle("the first start", "1.1", 1);
    bench.world.lock().late = Some(2);
    bench.world.lock().edit(|job| job.spec.replicas = Some(3));
    bench.until("one stands by", |world| world.standing_by() == 1);
    let uids = bench.world.lock().uids();
    let before = bench.world.lock().position();
    bench.until("the other one does, too", |world| world.standing_by() == 2);
    assert_eq!(bench.world.lock().pods(), ["1.1", "1.2", "1.2"], "nobody waits for the late one");
    let went_on = bench.world.lock().position() - before;
    assert!(went_on >= u64::from(LATE) / 2, "the first pod went on by {went_on} only");
    bench.round();
    assert_eq!(bench.world.lock().pods(), ["1.2", "1.2"], "now there is nothing to wait for");
    bench.settle("three pods", "1.2", 3);
    assert_eq!(bench.world.lock().uids()[..2], uids[1..], "the new pods were started once");
    bench.sound();
}

#[test]
fn pods_go_on_beside_new_ones_that_do_not_start_and_make_room_in_the_end() {
    let mut bench = Bench::new();
    bench.world.lock().edit(|job| job.spec.replicas = Some(2));
    bench.settle("the first start", "1.1", 2);
    bench.world.lock().edit(|job| {
        job.spec.replicas = Some(3);
        job.spec.pod.get_or_insert_default().image = Some("broken".to_owned());
    });
    bench.until("a pod beside them", |world| world.pods() == ["1.1", "1.1", "1.2"]);
    let since = bench.world.lock().now;
    let position = bench.world.lock().position();
    bench.until("they have made room", |world| !world.pods().contains(&"1.1".to_owned()));
    let now = bench.world.lock().now;
    let went_on = bench.world.lock().position() - position;
    let halves = now.duration_since(since).as_millis() / 500;
    assert!((18..=26).contains(&halves), "they did after {} s, of 20", halves / 2);
    assert!(went_on >= 2 * 18, "they went on by {went_on} only");
    bench.settle("the old image", "1.3", 2);
    bench.sound();
}

#[test]
fn an_image_that_does_not_run_is_rolled_back_and_not_tried_again() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.pod.get_or_insert_default().image = Some("broken".to_owned()));
    bench.until("the broken image", |world| world.image().as_deref() == Some("broken"));
    bench.until("rolled back", |world| {
        world.status().operation.is_none() && world.image().as_deref() == Some("millrace:1")
    });
    bench.settle("the old one", "1.3", 4);
    for _ in 0..100 {
        bench.round();
    }
    let status = bench.world.lock().status();
    assert!(status.conditions.iter().any(|c| c.type_ == "RolledBack" && c.status == "True"), "{status:?}");
    assert_eq!(bench.world.lock().image().as_deref(), Some("millrace:1"));
    bench.world.lock().edit(|job| job.spec.pod.get_or_insert_default().image = Some("millrace:2".to_owned()));
    bench.settle("a third image", "1.4", 4);
    bench.sound();
}

#[test]
fn statements_that_do_not_come_to_run_are_rolled_back_with_the_state_that_they_were_given() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| {
        job.spec.sql = Some(sql("ABS(COUNT(*))"));
        job.spec.pod.get_or_insert_default().image = Some("broken".to_owned());
    });
    bench.until("the new incarnation", |world| {
        world.status().revision.is_some_and(|revision| revision.incarnation == 2)
    });
    bench.settle("the old statements, in an incarnation of their own", "3.1", 4);
    bench.sound();
}

#[test]
fn a_status_that_is_lost_is_found_again_and_nothing_begins_anew() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.settle("other statements", "2.1", 4);
    let before = bench.world.lock().status();
    let pods = bench.world.lock().uids();
    bench.world.lock().edit(|job| job.status = None);
    bench.until("it is found", |world| world.status().revision.is_some());
    for _ in 0..50 {
        bench.round();
    }
    assert_eq!(bench.world.lock().status().revision, before.revision);
    assert_eq!(bench.world.lock().uids(), pods, "pods were replaced");
    bench.sound();
}

#[test]
fn an_upgrade_that_would_lose_state_is_refused_while_the_job_runs_on() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    let other = "CREATE TABLE s (u STRING) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json',
           'properties.group.id' = 'g', 'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE t (u STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         INSERT INTO t SELECT u FROM s;";
    bench.world.lock().edit(|job| job.spec.sql = Some(other.to_owned()));
    bench.until("the refusal", |world| {
        world.status().conditions.iter().any(|c| c.type_ == "UpgradeRefused" && c.status == "True")
    });
    bench.settle("it runs on", "1.1", 4);
    bench.world.lock().stateless = true;
    bench.world.lock().edit(|job| job.spec.upgrade.mode = UpgradeMode::Stateless);
    bench.settle("without its state, as asked for", "2.1", 4);
    bench.sound();
}

#[test]
fn a_mistake_in_the_first_version_can_be_corrected() {
    let mut bench = Bench::new();
    bench.world.lock().edit(|job| job.spec.pod.get_or_insert_default().image = Some("broken".to_owned()));
    bench.until("given up", |world| world.status().phase == Some(Phase::Failed));
    bench.world.lock().edit(|job| {
        job.spec.pod.get_or_insert_default().image = None;
        job.spec.sql = Some(sql("ABS(COUNT(*))"));
    });
    bench.until("it runs", |world| world.status().phase == Some(Phase::Running) && world.status().operation.is_none());
    bench.sound();
}

#[test]
fn a_job_does_not_start_from_a_savepoint_that_its_plan_can_not_read() {
    let mut bench = Bench::new();
    bench.world.lock().incompatible = true;
    let from = RestoreFrom { savepoint: None, url: Some("kafka:other".to_owned()) };
    bench.world.lock().edit(|job| job.spec.restore_from = Some(from));
    bench.until("it is said", |world| {
        let said = |kind: &str| world.status().conditions.into_iter().find(|c| c.type_ == kind && c.status == "True");
        said("Stalled").is_some_and(|stalled| stalled.message.contains("can't go on from this savepoint"))
    });
    for _ in 0..20 {
        bench.round();
    }
    assert_eq!(bench.world.lock().pods(), Vec::<String>::new());
    assert!(!bench.world.lock().has_topics());
}

#[test]
fn a_savepoint_that_is_never_made_stops_an_upgrade_and_not_the_job() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().savepoints_fail = true;
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.until("given up", |world| world.status().refused.is_some());
    bench.settle("it runs on", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Suspended);
    bench.until("suspended without one", |world| world.status().phase == Some(Phase::Suspended));
    bench.sound();
}

#[test]
fn a_mistake_in_the_object_is_said_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.sql = Some("SELECT;".to_owned()));
    bench.until("it is said", |world| {
        let status = world.status();
        status
            .conditions
            .iter()
            .any(|c| c.type_ == "SpecValid" && c.status == "False" && c.message.contains("spec.sql"))
    });
    assert_eq!(bench.world.lock().pods(), vec!["1.1".to_owned(); 4]);
    bench.world.lock().edit(|job| job.spec.kafka.bootstrap_servers = "169.254.169.254:80".to_owned());
    bench.until("the host is refused", |world| {
        let status = world.status();
        status.conditions.iter().any(|c| c.type_ == "SpecValid" && c.message.contains("bootstrapServers"))
    });
    bench.sound();
}

/// An earlier savepoint is not where it stopped.
#[test]
fn a_job_suspended_without_a_savepoint_has_to_resume_before_its_statements_change() {
    let mut bench = Bench::new();
    bench.settle("the first start", "1.1", 4);
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.settle("other statements, by a savepoint", "2.1", 4);
    bench.world.lock().savepoints_fail = true;
    bench.world.lock().edit(|job| job.spec.desired_state = DesiredState::Suspended);
    bench.until("suspended", |world| world.status().phase == Some(Phase::Suspended) && world.pods().is_empty());
    bench.world.lock().edit(|job| {
        job.spec.sql = Some(sql("COUNT(*)"));
        job.spec.desired_state = DesiredState::Running;
    });
    bench.until("it is said", |world| world.status().conditions.iter().any(|c| c.reason == "NoSavepoint"));
    bench.world.lock().savepoints_fail = false;
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("ABS(COUNT(*))")));
    bench.settle("resumed as it was", "2.2", 4);
    bench.world.lock().edit(|job| job.spec.sql = Some(sql("COUNT(*)")));
    bench.settle("changed", "3.1", 4);
    bench.sound();
}

#[test]
fn a_corrected_secret_lets_a_job_start_and_a_changed_one_is_seen() {
    let mut bench = Bench::new();
    let put = |bench: &Bench, value: &str| {
        let entries = [("ca.crt".to_owned(), value.to_owned())].into();
        bench.world.lock().secrets.insert("authority".to_owned(), entries);
    };
    let wants = |bench: &Bench, value: &str| {
        bench.world.lock().password = Some(("authority".to_owned(), "ca.crt".to_owned(), value.to_owned()));
    };
    let tls = json!({"caSecretRef": {"name": "authority", "key": "ca.crt"}});
    let tls: KafkaTls = serde_json::from_value(tls).expect("settings");
    bench.world.lock().edit(|job| job.spec.kafka.tls = Some(tls));
    put(&bench, "of a stranger");
    wants(&bench, "ours");
    let is_refused = |world: &World| world.status().conditions.iter().any(|c| c.reason == "TopicsUnavailable");
    bench.until("it is said", is_refused);
    put(&bench, "ours");
    bench.until("it runs within a minute", |world| is_settled(world, 4));
    assert!(bench.world.lock().now.as_second() < 1_800_000_060, "only at {}", bench.world.lock().now);
    // Another one while it runs.
    wants(&bench, "ours, renewed");
    bench.until("it is said", is_refused);
    put(&bench, "ours, renewed");
    let told_at = bench.world.lock().now.as_second();
    bench.until("it is seen", |world| !is_refused(world));
    assert!(bench.world.lock().now.as_second() < told_at + 60, "only at {}", bench.world.lock().now);
    bench.sound();
}
