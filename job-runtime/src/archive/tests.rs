//! Checkpoints in a directory: what comes back is what went there, whatever sequence of checkpoints, crashes and
//! workers that don't know yet that they are superseded there was; and what nobody needs is gone.

use super::task::{Published, TaskArchive};
use super::{Archive, CHECKPOINTS, FILES};
use crate::condition::Reason;
use crate::error::{ErrorKind, Result};
use crate::job::{ArchiveSettings, JobIdentity};
use crate::state::store::{StoreMemory, TaskStore};
use crate::state::{StateChanges, StateEntries};
use millrace_protocol::record::{Checkpoint, Commit};
use millrace_protocol::replay::Applied;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn identity() -> JobIdentity {
    JobIdentity { namespace: "ns".into(), name: "job".into(), uid: "uid".into(), incarnation: 1, generation: 3 }
}

fn archive_in(place: &Path) -> Archive {
    Archive::open(&ArchiveSettings::new(place.display().to_string()), &identity()).unwrap()
}

fn applied(log_offset: i64) -> Applied {
    let commit = Commit { claim: 0, sequence: log_offset as u64, positions: Vec::new() };
    Applied { log_offset, commit, generation: 1, transactional_id: "id".into() }
}

/// As the task log names it.
fn record(published: &Published) -> Checkpoint {
    let Published { manifest, sha256, bytes, applied, .. } = published.clone();
    Checkpoint { claim: 0, manifest, sha256, bytes, applied }
}

type Contents = BTreeMap<String, Vec<u8>>;

fn write(directory: &Path, contents: &Contents) {
    std::fs::create_dir_all(directory).unwrap();
    for (name, bytes) in contents {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

fn read(directory: &Path) -> Contents {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())).collect()
}

fn fetched(archive: &Archive, checkpoint: &Published) -> Result<Contents> {
    let target = tempfile::tempdir().unwrap();
    archive.fetch(0, &record(checkpoint), target.path())?;
    Ok(read(target.path()))
}

/// Paths of all objects.
fn objects(place: &Path) -> Vec<PathBuf> {
    let task = place.join("ns.job.uid/1/task-0");
    let list = |folder: &str| {
        let entries = std::fs::read_dir(task.join(folder)).into_iter().flatten();
        Vec::from_iter(entries.map(|entry| entry.unwrap().path()))
    };
    [list(FILES), list(CHECKPOINTS)].concat()
}

/// A worker: its claim, what it has published, and what it has still to hear of.
struct Writer {
    archive: TaskArchive,
    published: Option<Published>,
    committed: bool,
}

/// What happens, in the order in which it does. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    /// RocksDB writes a table with this content, and drops one.
    Table { content: u8, drop: u8 },
    /// The newest worker publishes, and commits the record if it comes to that.
    Publish { commits: bool },
    /// The newest worker hears of its commit, and collects.
    Collect,
    /// Another worker claims the task: with the volume that there was, or from one of the last two checkpoints.
    Claim { from: u8 },
    /// One that lost its claim collects for its last commit, if it hasn't yet.
    LateCollect { writer: u8 },
    /// One that lost its claim publishes what nobody will ever commit, of other tables.
    LatePublish { writer: u8, content: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8, any::<u8>()).prop_map(|(content, drop)| Step::Table { content, drop }),
        4 => prop::bool::weighted(0.8).prop_map(|commits| Step::Publish { commits }),
        3 => Just(Step::Collect),
        2 => (0..4u8).prop_map(|from| Step::Claim { from }),
        1 => any::<u8>().prop_map(|writer| Step::LateCollect { writer }),
        1 => (any::<u8>(), 0..6u8).prop_map(|(writer, content)| Step::LatePublish { writer, content }),
    ]
}

struct World {
    place: tempfile::TempDir,
    volume: tempfile::TempDir,
    tables: Contents,
    writers: Vec<Writer>,
    /// What the log names, and what each of them is.
    log: Vec<(Published, Contents)>,
    offset: i64,
    number: u32,
}

impl World {
    fn new() -> Self {
        let (place, volume) = (in_memory(), in_memory());
        let (tables, writers, log) = (Contents::new(), Vec::new(), Vec::new());
        let mut world = Self { place, volume, tables, writers, log, offset: 0, number: 0 };
        world.claim(0);
        world
    }

    fn archive(&self) -> Archive {
        archive_in(self.place.path())
    }

    fn claim(&mut self, from: u8) {
        self.offset += 1;
        if let Some((_, tables)) = self.log.iter().rev().nth(from.into()) {
            self.tables = tables.clone();
            // RocksDB writes another with each checkpoint.
            self.tables.remove("MANIFEST");
        }
        let archive = self.archive().task(0, self.offset, true);
        self.writers.push(Writer { archive, published: None, committed: false });
    }

    /// A checkpoint of RocksDB: the tables, and a file that is never the same.
    fn checkpoint(&mut self, tables: &Contents) -> (PathBuf, Contents) {
        self.number += 1;
        let mut contents = tables.clone();
        contents.insert("MANIFEST".into(), self.number.to_be_bytes().to_vec());
        let directory = self.volume.path().join(self.number.to_string());
        write(&directory, &contents);
        (directory, contents)
    }

    fn take(&mut self, step: &Step) {
        let superseded = self.writers.len() - 1;
        match *step {
            Step::Table { content, drop } => {
                self.number += 1;
                let dropped = self.tables.keys().nth(usize::from(drop) % (self.tables.len() + 1)).cloned();
                dropped.iter().for_each(|table| drop_table(&mut self.tables, table));
                self.tables.insert(format!("{}.sst", self.number), vec![content; 10]);
            }
            Step::Publish { commits } => {
                let (directory, contents) = self.checkpoint(&self.tables.clone());
                self.offset += 1;
                let writer = self.writers.last_mut().unwrap();
                if std::mem::take(&mut writer.committed) {
                    writer.archive.committed().unwrap();
                }
                let published = writer.archive.publish(&directory, &applied(self.offset)).unwrap();
                writer.committed = commits;
                writer.published = Some(published.clone());
                if commits {
                    self.log.push((published, contents));
                }
            }
            Step::Collect => collect(self.writers.last_mut().unwrap()),
            Step::Claim { from } => self.claim(from),
            Step::LateCollect { writer } if superseded > 0 => {
                collect(&mut self.writers[usize::from(writer) % superseded]);
            }
            Step::LatePublish { writer, content } if superseded > 0 => {
                let tables = Contents::from([("1.sst".to_owned(), vec![content; 10])]);
                let (directory, _) = self.checkpoint(&tables);
                let writer = &mut self.writers[usize::from(writer) % superseded];
                collect(writer);
                writer.archive.publish(&directory, &applied(1)).unwrap();
            }
            Step::LateCollect { .. } | Step::LatePublish { .. } => {}
        }
    }
}

/// A directory that need not wait for a disk, where there is one.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn drop_table(tables: &mut Contents, table: &str) {
    tables.remove(table);
}

fn collect(writer: &mut Writer) {
    if std::mem::take(&mut writer.committed) {
        writer.archive.committed().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_last_two_committed_checkpoints_can_be_fetched_whatever_happened(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            // Of the last two, since a new worker has the log cut to the second when it has committed two itself.
            for (published, contents) in world.log.iter().rev().take(2) {
                prop_assert_eq!(&fetched(&world.archive(), published).unwrap(), contents);
            }
        }
        // Two more, undisturbed: then nothing else is left.
        world.claim(0);
        for _ in 0..2 {
            world.take(&Step::Publish { commits: true });
            world.take(&Step::Collect);
        }
        let tables: std::collections::BTreeSet<_> = world.tables.values().collect();
        prop_assert_eq!(objects(world.place.path()).len(), tables.len() + 2 + 2);
    }
}

/// A checkpoint of some tables.
fn checkpoint(directory: &Path, tables: &[(&str, &str)]) -> PathBuf {
    let tables = tables.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec()));
    write(directory, &tables.collect());
    directory.to_owned()
}

#[test]
fn only_what_is_new_is_uploaded_also_by_another_worker() {
    let (place, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = archive_in(place.path());
    let first = checkpoint(&volume.path().join("1"), &[("1.sst", "one"), ("2.sst", "two"), ("3.sst", "two")]);
    let second = checkpoint(&volume.path().join("2"), &[("1.sst", "one"), ("4.sst", "four")]);
    let mut writer = archive.task(0, 5, true);
    let published = writer.publish(&first, &applied(1)).unwrap();
    assert_eq!((published.bytes, published.applied), (9, applied(1)));
    assert_eq!(writer.publish(&second, &applied(2)).unwrap().uploaded_bytes, 4);
    assert_eq!(archive.task(0, 6, true).publish(&second, &applied(3)).unwrap().uploaded_bytes, 0);
    // After damage nothing that is there counts.
    assert_eq!(archive.task(0, 7, false).publish(&second, &applied(3)).unwrap().uploaded_bytes, 7);
}

#[test]
fn what_is_damaged_missing_or_another_jobs_is_of_no_use() {
    let (place, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = archive_in(place.path());
    let directory = checkpoint(&volume.path().join("1"), &[("1.sst", "one")]);
    let published = archive.task(0, 5, true).publish(&directory, &applied(1)).unwrap();
    for object in objects(place.path()) {
        let whole = std::fs::read(&object).unwrap();
        let mut damaged = whole.clone();
        damaged[1] ^= 1;
        std::fs::write(&object, damaged).unwrap();
        let error = fetched(&archive, &published).unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailJob, "{error}");
        assert!(error.to_string().contains("damaged"), "{error}");
        std::fs::remove_file(&object).unwrap();
        let error = fetched(&archive, &published).unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailJob, "{error}");
        std::fs::write(&object, whole).unwrap();
    }
    let error = archive.fetch(1, &record(&published), volume.path()).unwrap_err();
    assert!(error.to_string().contains("it is of task 0 of job ns/job (uid, incarnation 1), not of task 1"), "{error}");
    assert_eq!(fetched(&archive, &published).unwrap(), read(&directory));
}

#[test]
fn a_volume_that_is_full_says_nothing_about_the_checkpoint() {
    let (place, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = archive_in(place.path());
    let directory = checkpoint(volume.path(), &[("1.sst", "one")]);
    let published = archive.task(0, 5, true).publish(&directory, &applied(1)).unwrap();
    let target = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", target.path().join("1.sst")).unwrap();
    let error = archive.fetch(0, &record(&published), target.path()).unwrap_err();
    assert_eq!(error.reason(), Reason::VolumeFull, "{error}");
}

#[test]
fn a_store_comes_back_from_its_checkpoint() {
    let (place, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (memory, archive) = (StoreMemory::new(8 << 20, 1), archive_in(place.path()));
    let mut writer = archive.task(0, 5, true);
    let mut store = TaskStore::open(volume.path(), "uid", 1, 0, &memory).unwrap();
    let mut uploaded = Vec::new();
    for round in 0..3u16 {
        let mut changes = StateChanges::default();
        for key in 0..1_000u16 {
            changes.put(7, 1, key % 50, &(round * 1_000 + key).to_be_bytes(), &[1; 100]);
        }
        store.apply([changes.as_bytes()], applied(round.into())).unwrap();
        store.checkpoint().unwrap();
        let linked = volume.path().join("linked");
        store.link_checkpoint(&linked).unwrap();
        let published = writer.publish(&linked, &applied(round.into())).unwrap();
        std::fs::remove_dir_all(&linked).unwrap();
        uploaded.push(published.uploaded_bytes);
        let target = tempfile::tempdir().unwrap();
        archive.fetch(0, &record(&published), &TaskStore::path_in(target.path(), 0)).unwrap();
        let fetched = TaskStore::open(target.path(), "uid", 1, 0, &memory).unwrap();
        assert_eq!(fetched.applied(), Some(&applied(round.into())));
        let mut keys = 0;
        fetched
            .entries(7)
            .for_each(&mut |_, _, _, value| {
                assert_eq!(value, [1; 100]);
                keys += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(keys, (usize::from(round) + 1) * 1_000);
    }
    assert!(uploaded[2] < uploaded[0] * 2, "tables go there once: {uploaded:?}");
}
