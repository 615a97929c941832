//! The checks, each a sentence about Kafka that some line of the protocol stands on.

use super::{Check, Handle, LogUnderTest, Refusal, Topic};
use crate::log::Isolation::{ReadCommitted, ReadUncommitted};

pub const CHECKS: &[Check] = &[
    Check { name: "offsets follow each other, and a marker takes one", run: offsets_follow_each_other },
    Check { name: "nobody with read_committed sees a transaction under way", run: open_is_hidden },
    Check { name: "what was aborted is only ever seen uncommitted", run: aborted_is_hidden },
    Check { name: "a transaction is committed in all its partitions", run: commits_everywhere },
    Check { name: "a producer's transactions follow each other", run: one_after_another },
    Check { name: "a transaction without records leaves nothing", run: nothing_from_nothing },
    Check { name: "an open transaction hides what was committed behind it", run: open_hides_what_follows },
    Check { name: "only a transaction's own partitions wait for it", run: other_partitions_go_on },
    Check { name: "registering an id fences who had it", run: registering_fences },
    Check { name: "registering an id aborts what was under way", run: registering_aborts },
    Check { name: "who was fenced can register again and fences in turn", run: registering_undoes_a_fence },
    Check { name: "a transaction that lasts too long is aborted, and its producer fenced", run: timeouts_fence },
    Check { name: "reading below the start of a log is an error, not a jump", run: below_the_start },
    Check { name: "reading beyond the end of a log is an error, too", run: beyond_the_end },
    Check { name: "a deletion changes no offset", run: deletion_keeps_offsets },
    Check { name: "nothing is deleted that is not there", run: deletion_beyond_the_end },
    Check { name: "nothing can be ended that has not begun", run: no_end_without_beginning },
    Check { name: "a commit that is asked for again is answered again, and changes nothing", run: commit_again },
    Check { name: "what is committed can't be aborted any more", run: abort_after_commit },
    Check { name: "a late commit request ends a later transaction of the same producer", run: late_commit },
    Check { name: "a late abort request does so, too", run: late_abort },
    Check { name: "nothing is written into a transaction that a late request has ended", run: late_commit_closes },
    Check { name: "a new partition goes on with what a late commit has ended, as another one", run: late_commit_tears },
    Check { name: "a late commit request of an earlier registration does nothing", run: late_commit_is_fenced },
];

fn topic(log: &mut dyn LogUnderTest) -> Topic {
    log.topic(1)
}

fn open(log: &mut dyn LogUnderTest, id: u32) -> Handle {
    let producer = log.init(id).expect("an id can always be registered");
    log.begin(producer).expect("a transaction begins");
    producer
}

fn write(log: &mut dyn LogUnderTest, producer: Handle, to: Topic, value: &str) -> i64 {
    log.produce(producer, to, 0, value.as_bytes()).expect("a record is written")
}

fn committed(log: &mut dyn LogUnderTest, from: Topic) -> Vec<String> {
    values(log.fetch(from, 0, 0, ReadCommitted).expect("the log has its start"))
}

fn values(records: super::Records) -> Vec<String> {
    records.into_iter().map(|(_, value)| String::from_utf8(value).expect("text")).collect()
}

fn offsets_follow_each_other(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    assert_eq!([write(log, producer, topic, "a"), write(log, producer, topic, "b")], [0, 1]);
    log.commit(producer).expect("committed");
    assert_eq!(log.offsets(topic, 0).end, 3);
    log.begin(producer).expect("begun");
    assert_eq!(write(log, producer, topic, "c"), 3);
    log.commit(producer).expect("committed");
    assert_eq!(log.fetch(topic, 0, 1, ReadCommitted).map(|r| r.len()), Ok(2), "no reader sees the marker");
}

fn open_is_hidden(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    assert_eq!(committed(log, topic), [""; 0]);
    assert_eq!(values(log.fetch(topic, 0, 0, ReadUncommitted).expect("read")), ["a"]);
    let offsets = log.offsets(topic, 0);
    assert_eq!((offsets.last_stable, offsets.end), (0, 1));
    log.commit(producer).expect("committed");
    assert_eq!(committed(log, topic), ["a"]);
    let offsets = log.offsets(topic, 0);
    assert_eq!(offsets.last_stable, offsets.end);
}

fn aborted_is_hidden(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    log.abort(producer).expect("aborted");
    log.begin(producer).expect("begun");
    write(log, producer, topic, "b");
    log.commit(producer).expect("committed");
    assert_eq!(committed(log, topic), ["b"]);
    assert_eq!(values(log.fetch(topic, 0, 0, ReadUncommitted).expect("read")), ["a", "b"]);
}

fn commits_everywhere(log: &mut dyn LogUnderTest, id: u32) {
    let topic = log.topic(3);
    let producer = open(log, id);
    for partition in 0..3 {
        log.produce(producer, topic, partition, b"a").expect("written");
    }
    log.commit(producer).expect("committed");
    for partition in 0..3 {
        assert_eq!(log.fetch(topic, partition, 0, ReadCommitted).map(|r| r.len()), Ok(1));
    }
}

fn one_after_another(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    for value in ["a", "b", "c"] {
        write(log, producer, topic, value);
        log.commit(producer).expect("committed");
        log.begin(producer).expect("begun");
    }
    assert_eq!(committed(log, topic), ["a", "b", "c"]);
}

fn nothing_from_nothing(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    log.commit(producer).expect("committed");
    assert_eq!(log.offsets(topic, 0).end, 0);
    log.begin(producer).expect("begun");
    write(log, producer, topic, "a");
    log.commit(producer).expect("committed");
    assert_eq!(committed(log, topic), ["a"]);
}

fn open_hides_what_follows(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let (first, second) = (open(log, id), open(log, id + 1));
    write(log, first, topic, "a");
    write(log, second, topic, "b");
    log.commit(second).expect("committed");
    assert_eq!(committed(log, topic), [""; 0]);
    assert_eq!(log.offsets(topic, 0).last_stable, 0);
    log.abort(first).expect("aborted");
    assert_eq!(committed(log, topic), ["b"]);
}

fn other_partitions_go_on(log: &mut dyn LogUnderTest, id: u32) {
    let (one, other) = (topic(log), topic(log));
    let (first, second) = (open(log, id), open(log, id + 1));
    write(log, first, one, "a");
    write(log, second, other, "b");
    log.commit(second).expect("committed");
    assert_eq!(committed(log, other), ["b"]);
}

fn registering_fences(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let old = open(log, id);
    write(log, old, topic, "a");
    let new = open(log, id);
    let written = log.produce(old, topic, 0, b"b");
    assert!(written.is_err() || log.commit(old).is_err(), "whoever was fenced has committed");
    write(log, new, topic, "c");
    log.commit(new).expect("committed");
    assert_eq!(committed(log, topic), ["c"]);
}

fn registering_aborts(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let old = open(log, id);
    write(log, old, topic, "a");
    log.init(id).expect("registered");
    let offsets = log.offsets(topic, 0);
    assert_eq!(offsets.last_stable, offsets.end, "nothing waits for the old transaction any more");
    assert_eq!(committed(log, topic), [""; 0]);
}

/// So a producer may be replaced only by somebody who claims again.
fn registering_undoes_a_fence(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    open(log, id);
    let fencer = open(log, id);
    let again = open(log, id);
    write(log, again, topic, "a");
    log.commit(again).expect("nothing tells it that it was fenced");
    let written = log.produce(fencer, topic, 0, b"b");
    assert!(written.is_err() || log.commit(fencer).is_err());
    assert_eq!(committed(log, topic), ["a"]);
}

fn timeouts_fence(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    log.outlive_transactions();
    let offsets = log.offsets(topic, 0);
    assert_eq!(offsets.last_stable, offsets.end);
    assert!(log.end_late(producer, true).is_err(), "a transaction that timed out was committed by a late request");
    assert!(log.commit(producer).is_err(), "a transaction that timed out was committed");
    assert_eq!(committed(log, topic), [""; 0]);
    let again = open(log, id);
    write(log, again, topic, "b");
    log.commit(again).expect("whoever registers again goes on");
    assert_eq!(committed(log, topic), ["b"]);
}

fn three_transactions(log: &mut dyn LogUnderTest, id: u32) -> Topic {
    let topic = topic(log);
    let producer = open(log, id);
    for value in ["a", "b", "c"] {
        write(log, producer, topic, value);
        log.commit(producer).expect("committed");
        log.begin(producer).expect("begun");
    }
    topic
}

fn below_the_start(log: &mut dyn LogUnderTest, id: u32) {
    let topic = three_transactions(log, id);
    log.delete_records(topic, 0, 2).expect("deleted");
    for isolation in [ReadCommitted, ReadUncommitted] {
        assert_eq!(log.fetch(topic, 0, 0, isolation), Err(Refusal::OutOfRange));
        assert_eq!(log.fetch(topic, 0, 1, isolation), Err(Refusal::OutOfRange));
    }
}

fn beyond_the_end(log: &mut dyn LogUnderTest, id: u32) {
    let topic = three_transactions(log, id);
    let end = log.offsets(topic, 0).end;
    for isolation in [ReadCommitted, ReadUncommitted] {
        assert_eq!(log.fetch(topic, 0, end, isolation), Ok(Vec::new()));
        assert_eq!(log.fetch(topic, 0, end + 1, isolation), Err(Refusal::OutOfRange));
    }
}

fn deletion_keeps_offsets(log: &mut dyn LogUnderTest, id: u32) {
    let topic = three_transactions(log, id);
    let before = log.offsets(topic, 0);
    log.delete_records(topic, 0, 2).expect("deleted");
    let after = log.offsets(topic, 0);
    assert_eq!((after.start, after.end), (2, before.end));
    let left = log.fetch(topic, 0, 2, ReadCommitted).expect("read");
    assert_eq!(left, [(2, b"b".to_vec()), (4, b"c".to_vec())]);
    log.delete_records(topic, 0, 1).expect("what is gone can be deleted again");
    assert_eq!(log.offsets(topic, 0).start, 2);
}

fn deletion_beyond_the_end(log: &mut dyn LogUnderTest, id: u32) {
    let topic = three_transactions(log, id);
    assert!(log.delete_records(topic, 0, 100).is_err());
    assert_eq!(log.offsets(topic, 0).start, 0);
}

fn no_end_without_beginning(log: &mut dyn LogUnderTest, id: u32) {
    let producer = open(log, id);
    assert!(log.end_late(producer, true).is_err());
    assert!(log.end_late(producer, false).is_err());
}

fn commit_again(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    log.commit(producer).expect("committed");
    log.end_late(producer, true).expect("it is what has happened");
    assert_eq!(log.offsets(topic, 0).end, 2, "there is no second marker");
    assert_eq!(committed(log, topic), ["a"]);
}

fn abort_after_commit(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    log.commit(producer).expect("committed");
    assert!(log.end_late(producer, false).is_err());
    assert_eq!(committed(log, topic), ["a"]);
}

/// A producer in its second transaction, which has one record in one partition of two.
fn in_the_second(log: &mut dyn LogUnderTest, id: u32) -> (Topic, Handle) {
    let topic = log.topic(2);
    let producer = open(log, id);
    write(log, producer, topic, "a");
    log.commit(producer).expect("committed");
    log.begin(producer).expect("begun");
    write(log, producer, topic, "b");
    (topic, producer)
}

fn late_commit(log: &mut dyn LogUnderTest, id: u32) {
    let (topic, producer) = in_the_second(log, id);
    log.end_late(producer, true).expect("the broker can't tell the copies apart");
    assert_eq!(committed(log, topic), ["a", "b"], "half a transaction is committed");
    log.commit(producer).expect("the client can't tell, either");
    assert_eq!(log.offsets(topic, 0).end, 4, "there is no second marker");
}

fn late_abort(log: &mut dyn LogUnderTest, id: u32) {
    let (topic, producer) = in_the_second(log, id);
    log.end_late(producer, false).expect("the broker can't tell the copies apart");
    assert!(log.commit(producer).is_err(), "a commit of what was aborted seems to have worked");
    assert_eq!(committed(log, topic), ["a"]);
}

/// Brokers ask the coordinator (KIP-890, part 1), or the record would stand outside of any transaction.
fn late_commit_closes(log: &mut dyn LogUnderTest, id: u32) {
    let (topic, producer) = in_the_second(log, id);
    log.end_late(producer, true).expect("the broker can't tell the copies apart");
    assert!(log.produce(producer, topic, 0, b"c").is_err());
    let offsets = log.offsets(topic, 0);
    assert_eq!((offsets.last_stable, offsets.end), (4, 4));
}

/// So of one transaction, readers see a part before the rest, and the rest maybe never.
fn late_commit_tears(log: &mut dyn LogUnderTest, id: u32) {
    let (topic, producer) = in_the_second(log, id);
    log.end_late(producer, true).expect("the broker can't tell the copies apart");
    log.produce(producer, topic, 1, b"c").expect("to the broker it is another transaction");
    assert_eq!(log.offsets(topic, 1).last_stable, 0);
    assert_eq!(committed(log, topic), ["a", "b"]);
    log.commit(producer).expect("committed");
    assert_eq!(log.fetch(topic, 1, 0, ReadCommitted), Ok(vec![(0, b"c".to_vec())]));
}

fn late_commit_is_fenced(log: &mut dyn LogUnderTest, id: u32) {
    let topic = topic(log);
    let old = open(log, id);
    write(log, old, topic, "a");
    log.commit(old).expect("committed");
    let new = open(log, id);
    write(log, new, topic, "b");
    assert!(log.end_late(old, true).is_err());
    assert_eq!(committed(log, topic), ["a"]);
}
