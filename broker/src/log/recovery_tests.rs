//! Property tests of a partition against a model: whatever was appended, whatever is torn off the
//! end, readers see exactly the whole batches that are left.

use std::path::Path;

use proptest::prelude::*;

use super::batch::BatchHeader;
use super::batch::Marker;
use super::batch::testing::{Spec, batch};
use super::{Isolation, Partition, Retention};

/// Small, so that a test's log has several segments.
const SEGMENT_BYTES: u64 = 700;

fn append(partition: &Partition, spec: Spec) -> i64 {
    let bytes = batch(spec);
    let header = BatchHeader::parse_whole(&bytes).expect("a valid batch");
    partition.append(&bytes, &header, SEGMENT_BYTES).expect("appended")
}

/// Base and last offset of every batch that a reader finds from `from` on.
fn offsets_from(partition: &Partition, from: i64, max_bytes: usize) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    let mut at = from;
    loop {
        let read = partition.read(at, max_bytes, Isolation::ReadUncommitted).expect("in range");
        let mut rest = &read.bytes[..];
        if rest.is_empty() {
            return found;
        }
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).expect("whole batches");
            let (this, after) = rest.split_at(header.size);
            BatchHeader::parse_whole(this).expect("whole and valid batches");
            found.push((header.base_offset, header.last_offset()));
            rest = after;
        }
        at = found.last().expect("it read something").1 + 1;
    }
}

fn last_segment(dir: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
    files.max().expect("a log has a segment")
}

/// Where each batch of a segment ends.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Ok(header) = BatchHeader::parse(&bytes[at..]) {
        at += header.size;
        ends.push(at);
    }
    ends
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let spec = (1..5i32, 0..300usize).prop_map(|(records, payload)| Spec { records, payload, ..Spec::default() });
    prop::collection::vec(spec, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_log_torn_at_any_byte_keeps_every_whole_batch_and_serves_nothing_else(
        specs in specs(),
        tear in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..100),
        max_bytes in 1..2_000usize,
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let partition = Partition::open(dir.path(), 0).expect("a new log");
        for spec in &specs {
            append(&partition, *spec);
        }
        let all = offsets_from(&partition, 0, max_bytes);
        prop_assert_eq!(all.len(), specs.len());
        drop(partition);

        let file = last_segment(dir.path());
        let mut bytes = std::fs::read(&file).expect("readable");
        let ends = ends(&bytes);
        let cut = tear.index(bytes.len() + 1);
        let kept = all.len() - ends.len() + ends.iter().filter(|end| **end <= cut).count();
        bytes.truncate(cut);
        bytes.extend(&garbage);
        std::fs::write(&file, &bytes).expect("writable");

        let partition = Partition::open(dir.path(), 0).expect("it recovers");
        prop_assert_eq!(offsets_from(&partition, 0, max_bytes), &all[..kept]);
        // It goes on where it was cut, and that survives too.
        let next = append(&partition, Spec::default());
        let expected = all[..kept].last().map_or(0, |last| last.1 + 1);
        prop_assert_eq!(next, expected);
        drop(partition);
        let partition = Partition::open(dir.path(), 0).expect("it opens");
        prop_assert_eq!(offsets_from(&partition, 0, max_bytes).len(), kept + 1);
    }

    #[test]
    fn a_read_from_any_offset_begins_with_the_batch_that_holds_it(
        specs in specs(),
        wanted in any::<prop::sample::Index>(),
        max_bytes in 1..2_000usize,
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let partition = Partition::open(dir.path(), 0).expect("a new log");
        for spec in &specs {
            append(&partition, *spec);
        }
        let offset = wanted.index(partition.offsets().end as usize) as i64;
        let found = offsets_from(&partition, offset, max_bytes);
        prop_assert!(found[0].0 <= offset && offset <= found[0].1);
        prop_assert_eq!(found.last().expect("not empty").1 + 1, partition.offsets().end);
    }

    #[test]
    fn deleting_up_to_any_offset_leaves_the_rest_also_after_a_restart(
        specs in specs(),
        wanted in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let partition = Partition::open(dir.path(), 0).expect("a new log");
        for spec in &specs {
            append(&partition, *spec);
        }
        let end = partition.offsets().end;
        let before = wanted.index(end as usize + 1) as i64;
        partition.delete_before(before).expect("deletable");
        drop(partition);
        let partition = Partition::open(dir.path(), before).expect("it opens");
        prop_assert_eq!((partition.offsets().start, partition.offsets().end), (before, end));
        let last = offsets_from(&partition, before, 100).last().map(|last| last.1 + 1);
        prop_assert_eq!(last.unwrap_or(end), end);
    }
}

#[test]
fn open_and_aborted_transactions_are_known_again_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let partition = Partition::open(dir.path(), 0).expect("a new log");
    let of = |producer: i64, sequence| Spec {
        producer: Some((producer, 0, sequence)),
        transactional: true,
        ..Spec::default()
    };
    append(&partition, of(1, 0));
    append(&partition, of(2, 0));
    partition.append_marker((1, 0), Marker::Abort, 0, SEGMENT_BYTES).expect("appended");
    append(&partition, of(2, 1));
    let before = partition.read(0, 10_000, Isolation::ReadCommitted).expect("in range");
    drop(partition);
    let partition = Partition::open(dir.path(), 0).expect("it opens");
    let after = partition.read(0, 10_000, Isolation::ReadCommitted).expect("in range");
    assert_eq!((before.offsets, before.aborted), (after.offsets, after.aborted));
    assert_eq!(before.offsets.last_stable, 1);
    assert_eq!(partition.open_transactions(), [(2, 0)]);
}

#[test]
fn retention_lets_whole_segments_go_by_age_and_by_size_and_never_an_open_transaction() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let partition = Partition::open(dir.path(), 0).expect("a new log");
    for n in 0..20 {
        append(&partition, Spec { timestamp: n * 1000, payload: 300, ..Spec::default() });
    }
    // One batch to a segment, and a little more than 350 bytes each.
    let by_age = Retention { bytes: None, before: Some(5_000) };
    assert_eq!(partition.expired_before(by_age), 5);
    let by_size = Retention { bytes: Some(1_500), before: None };
    let cut = partition.expired_before(by_size);
    assert!((14..=16).contains(&cut), "{cut}");
    let everything = Retention { bytes: None, before: Some(i64::MAX) };
    assert_eq!(partition.expired_before(everything), 20);
    let open = Spec { producer: Some((1, 0, 0)), transactional: true, payload: 400, ..Spec::default() };
    append(&partition, open);
    assert_eq!(partition.expired_before(everything), 20);
    partition.delete_before(20).expect("deletable");
    assert_eq!(partition.offsets().start, 20);
}

#[test]
fn a_timestamp_is_found_across_segments_and_not_before_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let partition = Partition::open(dir.path(), 0).expect("a new log");
    for n in 0..20 {
        append(&partition, Spec { timestamp: n * 1000, records: 2, payload: 200, ..Spec::default() });
    }
    for n in 0..20 {
        let found = partition.find_timestamp(n * 1000 + 1).expect("readable");
        assert_eq!(found, Some((n * 2 + 1, n * 1000 + 1)));
    }
    partition.delete_before(10).expect("deletable");
    assert_eq!(partition.find_timestamp(0).expect("readable"), Some((10, 5_000)));
    assert_eq!(partition.find_timestamp(19_002).expect("readable"), None);
}
