//! Savepoints as files: what the stores of any number of tasks had is what the stores of any other number get, each
//! its share; what is damaged or incomplete is refused; and what becomes of state under another plan.

use super::compare::{Change, Comparison};
use super::manifest::{MANIFEST, Manifest};
use super::pause::CommittedTask;
use super::restore::Savepoint;
use super::write::{WriteTasks, write_tasks};
use crate::control::tests::job;
use crate::job::Job;
use crate::state::store::{StoreMemory, TaskStore};
use crate::state::{StateChanges, StateEntries};
use crate::storage::Storage;
use millrace_planner::plan::{Operator, Plan};
use millrace_planner::{PlanOptions, plan_script};
use millrace_protocol::record::{Commit, SourcePosition};
use millrace_protocol::replay::Applied;
use millrace_protocol::savepoint::TaskCut;
use std::collections::BTreeMap;
use std::path::Path;

fn plan(query: &str) -> Plan {
    let sql = format!(
        "CREATE TABLE events (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)\n\
         WITH ('connector' = 'datagen');\n\
         CREATE TABLE counts (k STRING, n BIGINT) WITH ('connector' = 'print');\n\
         INSERT INTO counts {query};"
    );
    plan_script(&sql, &PlanOptions::default()).expect("a valid query").plan
}

fn counts(size: u32, aggregate: &str) -> Plan {
    plan(&format!(
        "SELECT k, {aggregate} FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '{size}' SECOND))\n\
         GROUP BY k, window_start, window_end"
    ))
}

fn operator(plan: &Plan, wanted: impl Fn(&Operator) -> bool) -> u32 {
    plan.nodes.iter().find(|node| wanted(&node.operator)).expect("the plan has one").operator_id
}

fn watermark(plan: &Plan) -> u32 {
    operator(plan, |o| matches!(o, Operator::Watermark(_)))
}

/// A job of `parallelism` tasks whose watermarks of `partitions` partitions are in the stores of a directory.
struct Saved {
    job: Job,
    parallelism: u32,
    directory: tempfile::TempDir,
}

const PARTITIONS: i32 = 11;

impl Saved {
    fn new(parallelism: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let job = Job { plan: counts(1, "COUNT(*)"), state_directory: directory.path().join("state"), ..job() };
        let saved = Self { job, parallelism, directory };
        let mut stores = BTreeMap::new();
        let mut tasks = Vec::new();
        for task in 0..parallelism {
            let mut store = open(&saved.job.state_directory, task);
            store.apply([saved.changes(task).as_bytes()], saved.applied(task)).unwrap();
            stores.insert(task, store);
            let cut = TaskCut { task, sequence: 1, ..TaskCut::default() };
            tasks.push(CommittedTask { cut, commit: saved.applied(task).commit });
        }
        let sources: BTreeMap<u32, _> = stores.iter().map(|(&task, store)| (task, store.image_source())).collect();
        let snapshots = sources.iter().map(|(&task, source)| (task, source.snapshot())).collect();
        let (savepoint, location) = ("s".to_owned(), saved.location());
        let request = WriteTasks { job: &saved.job, savepoint, location, tasks, wanted: &|| true };
        let written = write_tasks(&request, &snapshots).unwrap();
        saved.publish(Manifest::new(&saved.job, parallelism, "s", 1_000, written).unwrap()).unwrap();
        saved
    }

    fn publish(&self, manifest: Manifest) -> crate::error::Result<String> {
        manifest.publish(&self.location(), &self.job.kafka)
    }

    fn open(&self) -> crate::error::Result<Savepoint> {
        Savepoint::open(&self.folder(), &self.job.kafka, &self.job.plan)
    }

    fn location(&self) -> String {
        self.directory.path().join("savepoints").display().to_string()
    }

    fn folder(&self) -> String {
        format!("{}/s", self.location())
    }

    fn partitions(&self, task: u32) -> impl Iterator<Item = i32> {
        let parallelism = self.parallelism;
        (0..PARTITIONS).filter(move |partition| *partition as u32 % parallelism == task)
    }

    /// Its watermarks, and what it has sent, which is nobody's later on.
    fn changes(&self, task: u32) -> StateChanges {
        let mut changes = StateChanges::default();
        for partition in self.partitions(task) {
            let (key, value) = entry(partition);
            changes.put(watermark(&self.job.plan), 1, partition as u16, &key, &value);
        }
        let exchange = operator(&self.job.plan, |o| matches!(o, Operator::Exchange(_)));
        changes.put(exchange, 1, 0, &9u32.to_be_bytes(), &[&[1u8][..], &7u64.to_le_bytes()].concat());
        changes
    }

    fn applied(&self, task: u32) -> Applied {
        let scan = operator(&self.job.plan, |o| matches!(o, Operator::Scan(_)));
        let position = |partition| SourcePosition {
            operator: scan,
            topic: "events".into(),
            topic_id: String::new(),
            partition,
            offset: i64::from(partition) * 10,
            end: None,
        };
        let commit = Commit { claim: 0, sequence: 1, positions: self.partitions(task).map(position).collect() };
        Applied { log_offset: 5, commit, generation: 1, transactional_id: "id".into() }
    }
}

fn open(directory: &Path, task: u32) -> TaskStore {
    TaskStore::open(directory, "uid", 1, task, &StoreMemory::new(8 << 20, 1)).unwrap()
}

fn entry(partition: i32) -> (Vec<u8>, Vec<u8>) {
    let key = [b"events", &partition.to_be_bytes()[..]].concat();
    (key, [&[1u8][..], &(i64::from(partition) * 1_000).to_le_bytes()].concat())
}

#[test]
fn every_entry_and_position_goes_to_the_one_task_that_has_its_partition() {
    for (before, after) in [(1, 1), (1, 4), (4, 1), (3, 5), (4, 8), (8, 3)] {
        let saved = Saved::new(before);
        let savepoint = saved.open().unwrap();
        assert!(savepoint.comparison().operators.iter().all(|change| change.change == Change::Kept));
        let directory = tempfile::tempdir().unwrap();
        let (mut partitions, mut offsets) = (BTreeMap::new(), BTreeMap::new());
        for task in 0..after {
            let mut store = open(directory.path(), task);
            savepoint.load(BTreeMap::from([(task, &mut store)]), after).unwrap();
            for node in &saved.job.plan.nodes {
                let mut visit = |table: u8, group: u16, key: &[u8], value: &[u8]| {
                    assert_eq!((node.operator_id, table), (watermark(&saved.job.plan), 1), "links are left behind");
                    let partition = i32::from(group);
                    assert_eq!((key.to_vec(), value.to_vec()), entry(partition));
                    assert_eq!(partitions.insert(partition, task), None);
                    Ok(())
                };
                store.entries(node.operator_id).for_each(&mut visit).unwrap();
            }
            for position in savepoint.positions(task, after) {
                assert_eq!(position.offset, i64::from(position.partition) * 10);
                assert_eq!(offsets.insert(position.partition, task), None);
            }
        }
        let expected: BTreeMap<i32, u32> = (0..PARTITIONS).map(|p| (p, p as u32 % after)).collect();
        assert_eq!((partitions, offsets), (expected.clone(), expected), "{before} tasks, then {after}");
    }
}

#[test]
fn a_savepoint_without_its_manifest_or_with_a_damaged_file_is_refused() {
    let saved = Saved::new(2);
    let path = Path::new(&saved.folder()).join("task-0");
    let file = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let file =
        file.into_iter().find(|file| file.to_string_lossy().contains("partitions")).expect("a file of watermarks");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let savepoint = saved.open().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), 0);
    let error = savepoint.load(BTreeMap::from([(0, &mut store)]), 2).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");

    let manifest = Path::new(&saved.folder()).join(MANIFEST);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = saved.open().err().expect("another format");
    assert!(error.to_string().contains("use the version that wrote it"), "{error}");
    std::fs::remove_file(&manifest).unwrap();
    let error = saved.open().err().expect("no manifest");
    assert!(error.to_string().contains("not completed"), "{error}");
}

#[test]
fn a_savepoint_is_deleted_complete_or_not_and_nothing_else_is() {
    for complete in [true, false] {
        let saved = Saved::new(2);
        let folder = Path::new(&saved.folder()).to_owned();
        let storage = Storage::existing(&saved.folder(), None).unwrap();
        if !complete {
            std::fs::remove_file(folder.join(MANIFEST)).unwrap();
            std::fs::write(folder.join("mine"), "of somebody").unwrap();
            let error = Manifest::delete(&storage).unwrap_err();
            assert!(error.to_string().contains("is no savepoint: it has mine"), "{error}");
            std::fs::remove_file(folder.join("mine")).unwrap();
        }
        assert!(Manifest::delete(&storage).unwrap());
        assert!(!folder.exists(), "complete: {complete}");
        assert!(Storage::find(&saved.folder(), None).unwrap().is_none());
        assert!(
            !Manifest::delete(&Storage::open(&saved.folder(), None).unwrap()).unwrap(),
            "there is nothing any more"
        );
    }
}

#[test]
fn tasks_that_do_not_belong_together_are_not_published() {
    let saved = Saved::new(2);
    let storage = Storage::existing(&saved.folder(), None).unwrap();
    let mut tasks = Manifest::read(&storage).unwrap().tasks;
    let sent = BTreeMap::from([(7, BTreeMap::from([(1, 3)]))]);
    tasks[0].cut.sent = sent;
    assert!(Manifest::new(&saved.job, 2, "s", 0, tasks.clone()).is_err(), "three records are under way");
    tasks[0].cut.sent.clear();
    assert!(Manifest::new(&saved.job, 2, "s", 0, tasks[..1].to_vec()).is_err(), "a task is missing");
    tasks[0].files[0].bytes += 1;
    let error = saved.publish(Manifest::new(&saved.job, 2, "s", 0, tasks).unwrap()).unwrap_err();
    assert!(error.to_string().contains("need the same storage"), "{error}");
}

#[test]
fn what_becomes_of_each_operators_state_is_told() {
    let saved = Saved::new(1);
    let storage = Storage::existing(&saved.folder(), None).unwrap();
    let manifest = Manifest::read(&storage).unwrap();
    let changes = |comparison: &Comparison| -> Vec<(String, &'static str)> {
        let change = |change: &Change| match change {
            Change::Kept => "kept",
            Change::Rebuilt => "rebuilt",
            Change::Dropped => "dropped",
            Change::Incompatible { .. } => "incompatible",
        };
        comparison.operators.iter().map(|o| (o.name.clone(), change(&o.change))).collect()
    };
    let of = |name: &str, change| (name.to_owned(), change);
    let scan = "Scan of default_catalog.default_database.events";
    let same = manifest.compare(&saved.job.plan).unwrap();
    let kept = [of(scan, "kept"), of("Watermark", "kept"), of("GlobalWindowAggregate", "kept")];
    assert_eq!(changes(&same), kept);
    same.permit(false, "--option").unwrap();

    let wider = manifest.compare(&counts(60, "COUNT(*)")).unwrap();
    let lost = [
        of(scan, "kept"),
        of("Watermark", "kept"),
        of("GlobalWindowAggregate", "rebuilt"),
        of("GlobalWindowAggregate", "dropped"),
    ];
    assert_eq!(changes(&wider), lost);
    assert!(wider.permit(false, "--option").unwrap_err().to_string().contains("say so with --option"));
    wider.permit(true, "--option").unwrap();

    let mut other = manifest.clone();
    let aggregate = other.operators.iter_mut().find(|o| o.name == "GlobalWindowAggregate").unwrap();
    aggregate.tables[0].layout = "key 1 (BIGINT)".to_owned();
    let incompatible = other.compare(&saved.job.plan).unwrap();
    assert!(incompatible.to_string().contains("incompatible (groups was key 1 (BIGINT), would be"), "{incompatible}");
    assert!(incompatible.permit(true, "--option").unwrap_err().to_string().contains("can't go on"));
}
