//! The store against a map, over checkpoints; who may open it.

use super::*;
use crate::state::StateChanges;
use crate::state::spill::{StateReader, whole_key};
use millrace_protocol::record::Commit;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn applied(sequence: u64) -> Applied {
    Applied {
        log_offset: sequence as i64 * 10,
        commit: Commit { claim: 0, sequence, positions: Vec::new() },
        generation: 1,
        transactional_id: "id".into(),
    }
}

fn contents(store: &TaskStore, operator: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    store
        .entries(operator)
        .for_each(&mut |table, group, key, value| {
            assert_eq!((table, group), (1, 3));
            all.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    all
}

#[test]
fn the_last_change_of_a_key_counts_and_operators_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    let mut first = StateChanges::default();
    first.put(7, 1, 3, b"a", b"1");
    first.put(7, 1, 3, b"b", b"");
    first.put(8, 1, 3, b"a", b"other");
    let mut second = StateChanges::default();
    second.delete(7, 1, 3, b"a");
    second.put(7, 1, 3, b"c", b"3");
    store.apply([first.as_bytes(), second.as_bytes()], applied(2)).unwrap();
    assert_eq!(contents(&store, 7), [(b"b".to_vec(), b"".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
    assert_eq!(contents(&store, 8), [(b"a".to_vec(), b"other".to_vec())]);
}

#[test]
fn a_checkpoint_survives_and_names_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let mut changes = StateChanges::default();
    changes.put(7, 1, 3, b"a", b"1");
    {
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        assert_eq!(store.applied(), None);
        store.apply([changes.as_bytes()], applied(5)).unwrap();
        store.checkpoint().unwrap();
    }
    let store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    assert_eq!(store.applied(), Some(&applied(5)));
    assert_eq!(contents(&store, 7), [(b"a".to_vec(), b"1".to_vec())]);
}

#[test]
fn a_volume_in_use_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let first = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    let error = TaskStore::open(directory.path(), "uid", 1, 0, &memory).err().expect("it is in use");
    assert_eq!(error.kind, ErrorKind::Retry, "{error}");
    drop(first);
    TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
}

#[test]
fn a_store_that_cannot_be_locked_is_not_taken_for_one_in_use() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("task-0/LOCK")).unwrap();
    let error = TaskStore::open(directory.path(), "uid", 1, 0, &StoreMemory::new(8 << 20, 1)).err().expect("no lock");
    assert_eq!(error.kind, ErrorKind::FailJob, "{error}");
    assert!(!error.to_string().contains("another process"), "{error}");
}

#[test]
fn a_volume_of_another_job_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap().checkpoint().unwrap();
    let error = TaskStore::open(directory.path(), "other", 1, 0, &memory).err().expect("a foreign volume");
    assert!(error.to_string().contains("give this job a directory of its own"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, Vec<u8>, u8),
    Delete(u16, Vec<u8>),
    DeletePrefix(u16, Vec<u8>),
    Commit,
    Write,
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few keys, many of them prefixes of others, and bytes that have no successor.
    let key = || prop::collection::vec(prop::sample::select(vec![0u8, 1, 254, 255]), 0..4);
    let group = || prop::sample::select(vec![0u16, 255, 256, u16::MAX]);
    let step = prop_oneof![
        6 => (group(), key(), any::<u8>()).prop_map(|(group, key, value)| Step::Put(group, key, value)),
        2 => (group(), key()).prop_map(|(group, key)| Step::Delete(group, key)),
        2 => (group(), key()).prop_map(|(group, prefix)| Step::DeletePrefix(group, prefix)),
        2 => Just(Step::Commit),
        1 => Just(Step::Write),
        1 => Just(Step::Checkpoint),
    ];
    prop::collection::vec(step, 0..80)
}

/// What an operator has, by key group and key.
fn entries(store: &TaskStore, operator: u32) -> BTreeMap<(u16, Vec<u8>), Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut visit = |_: u8, group: u16, key: &[u8], value: &[u8]| {
        found.insert((group, key.to_vec()), value.to_vec());
        Ok(())
    };
    store.entries(operator).for_each(&mut visit).unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_put_together_the_store_has_what_the_changes_say_in_their_order(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let memory = StoreMemory::new(8 << 20, 1);
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        let mut model: BTreeMap<(u16, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let (mut changes, mut commits, mut sequence) = (StateChanges::default(), Vec::new(), 0);
        // A neighbour on either side, which no change of operator 7 may touch.
        let neighbours = [6, 8];
        for operator in neighbours {
            changes.put(operator, 1, 0, b"", b"mine");
        }
        for step in steps.into_iter().chain([Step::Commit, Step::Write]) {
            match step {
                Step::Put(group, key, value) => {
                    changes.put(7, 1, group, &key, &[value]);
                    model.insert((group, key), vec![value]);
                }
                Step::Delete(group, key) => {
                    changes.delete(7, 1, group, &key);
                    model.remove(&(group, key));
                }
                Step::DeletePrefix(group, prefix) => {
                    changes.delete_prefix(7, 1, group, &prefix);
                    model.retain(|(of, key), _| *of != group || !key.starts_with(&prefix));
                }
                Step::Commit => commits.push(std::mem::take(&mut changes)),
                Step::Write => {
                    sequence += 1;
                    let written = std::mem::take(&mut commits);
                    store.apply(written.iter().map(StateChanges::as_bytes), applied(sequence)).unwrap();
                    if changes.is_empty() {
                        prop_assert_eq!(&entries(&store, 7), &model);
                    }
                }
                Step::Checkpoint => store.checkpoint().unwrap(),
            }
        }
        prop_assert_eq!(entries(&store, 7), model);
        for operator in neighbours {
            prop_assert_eq!(entries(&store, operator).len(), 1);
        }
    }
}

#[test]
fn the_size_of_the_state_shrinks_when_what_was_deleted_is_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    let mut changes = StateChanges::default();
    for i in 0..10_000u32 {
        // Nothing in it compresses well.
        let value: Vec<u8> = (0..8).flat_map(|j| crate::key::hash(&(i * 8 + j).to_be_bytes()).to_be_bytes()).collect();
        changes.put(7, 1, 3, &i.to_be_bytes(), &value);
    }
    store.apply([changes.as_bytes()], applied(1)).unwrap();
    store.checkpoint().unwrap();
    assert!(store.size_bytes().unwrap() > 640_000, "{}", store.size_bytes().unwrap());
    assert!(memory.used_bytes() < 8 << 20, "{}", memory.used_bytes());
    let mut changes = StateChanges::default();
    changes.delete_prefix(7, 1, 3, b"");
    store.apply([changes.as_bytes()], applied(2)).unwrap();
    store.checkpoint().unwrap();
    store.compact();
    assert!(store.size_bytes().unwrap() < 10_000, "{}", store.size_bytes().unwrap());
}

#[test]
fn what_an_earlier_incarnation_has_left_makes_room_and_a_later_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let mut changes = StateChanges::default();
    changes.put(7, 1, 3, b"a", b"1");
    TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap().apply([changes.as_bytes()], applied(5)).unwrap();
    let store = TaskStore::open(directory.path(), "uid", 2, 0, &memory).unwrap();
    assert_eq!((store.applied(), contents(&store, 7)), (None, Vec::new()));
    drop(store);
    assert!(TaskStore::open(directory.path(), "uid", 1, 0, &memory).is_err());
}

/// Whole keys of operator 7, of which the tests ask for any.
fn whole(group: u16, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    whole_key(7, 1, group, key, &mut whole);
    whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reader_finds_what_was_applied_last_in_memtables_and_in_files(
        commits in prop::collection::vec((prop::collection::vec((0u16..4, 0u8..30, prop::option::of(any::<u8>())), 0..40), any::<bool>()), 1..6),
        asked in prop::collection::btree_set((0u16..4, 0u8..40), 0..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &StoreMemory::new(8 << 20, 1)).unwrap();
        let reader = store.reader();
        let mut expected = BTreeMap::new();
        for (sequence, (puts, is_checkpoint)) in (1..).zip(&commits) {
            let mut changes = StateChanges::default();
            for &(group, key, value) in puts {
                match value {
                    Some(value) => changes.put(7, 1, group, &[key], &[value]),
                    None => changes.delete(7, 1, group, &[key]),
                }
                match value {
                    Some(value) => expected.insert(whole(group, &[key]), vec![value]),
                    None => expected.remove(&whole(group, &[key])),
                };
            }
            store.apply_ahead([changes.as_bytes()], sequence).unwrap();
            if *is_checkpoint {
                store.checkpoint().unwrap();
            }
        }
        let keys: Vec<Vec<u8>> = asked.iter().map(|&(group, key)| whole(group, &[key])).collect();
        let mut found = BTreeMap::new();
        let sorted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        reader.get_many(&sorted, &mut |place, value| {
            found.insert(keys[place].clone(), value.to_vec());
            Ok(())
        }).unwrap();
        let mut wanted = expected.clone();
        wanted.retain(|key, _| keys.contains(key));
        prop_assert_eq!(found, wanted);
        for group in 0..4 {
            let mut scanned = Vec::new();
            let prefix = whole(group, &[]);
            reader.scan(&prefix, &whole(group, &[10]), &mut |key, value| {
                scanned.push((key.to_vec(), value.to_vec()));
                Ok(scanned.len() < 5)
            }).unwrap();
            let of_group = expected.iter().filter(|(key, _)| key.starts_with(&prefix) && **key >= whole(group, &[10]));
            let wanted: Vec<_> = of_group.map(|(key, value)| (key.clone(), value.clone())).take(5).collect();
            prop_assert_eq!(scanned, wanted);
        }
    }
}

#[test]
fn what_was_applied_ahead_is_not_said_to_be_there_and_may_be_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let commit = |puts: &[(&[u8], &[u8])]| {
        let mut changes = StateChanges::default();
        puts.iter().for_each(|(key, value)| changes.put(7, 1, 3, key, value));
        changes
    };
    let mut second = commit(&[(b"a", b"2")]);
    second.delete_prefix(7, 1, 3, b"b");
    let third = commit(&[(b"b1", b"3")]);
    {
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        store.apply([commit(&[(b"a", b"1"), (b"b1", b"1"), (b"b2", b"1")]).as_bytes()], applied(1)).unwrap();
        store.apply_ahead([second.as_bytes(), third.as_bytes()], 3).unwrap();
        // RocksDB may write its memory to a file at any time.
        store.checkpoint().unwrap();
    }
    let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    assert_eq!(store.applied(), Some(&applied(1)));
    let expected = [(b"a".to_vec(), b"2".to_vec()), (b"b1".to_vec(), b"3".to_vec())];
    assert_eq!(contents(&store, 7), expected);
    store.apply([second.as_bytes()], applied(2)).unwrap();
    store.apply([third.as_bytes()], applied(3)).unwrap();
    assert_eq!(contents(&store, 7), expected);
}

/// Lets whatever RocksDB writes next into a store end in a full disk.
fn fill_up(store: &TaskStore) -> Vec<PathBuf> {
    let numbers = (1..200).map(|number| store.path.join(format!("{number:06}.sst")));
    let next: Vec<PathBuf> = numbers.filter(|path| !path.exists()).collect();
    next.iter().for_each(|path| std::os::unix::fs::symlink("/dev/full", path).unwrap());
    next
}

#[test]
fn a_checkpoint_on_a_full_volume_fails_by_that_name_and_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory::new(8 << 20, 1);
    let mut changes = StateChanges::default();
    changes.put(7, 1, 3, b"a", b"1");
    let full = {
        let mut store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
        store.apply([changes.as_bytes()], applied(1)).unwrap();
        store.checkpoint().unwrap();
        let full = fill_up(&store);
        changes.put(7, 1, 3, b"b", b"2");
        store.apply([changes.as_bytes()], applied(2)).unwrap();
        let error = store.checkpoint().unwrap_err();
        assert_eq!((error.kind, error.reason()), (ErrorKind::FailJob, Reason::VolumeFull), "{error}");
        let (path, text) = (directory.path().display().to_string(), error.to_string());
        assert!(text.contains(&path) && text.contains("bytes free") && text.contains("Nothing is lost"), "{error}");
        full
    };
    // Those that RocksDB has tried are gone with its attempt.
    full.iter().filter(|path| path.is_symlink()).for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(!crate::state::corruption::is_marked(&TaskStore::path_in(directory.path(), 0)), "nothing is corrupt");
    let store = TaskStore::open(directory.path(), "uid", 1, 0, &memory).unwrap();
    assert_eq!(store.applied(), Some(&applied(1)), "as of the last checkpoint");
    assert_eq!(contents(&store, 7), [(b"a".to_vec(), b"1".to_vec())]);
}
