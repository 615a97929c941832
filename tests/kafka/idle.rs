//! A partition that is silent: it holds windows back only for as long as the table says.

use super::events::{Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka, Millrace, Producer, Random, SavepointByHand, Workers};
use std::time::Duration;

fn events() -> Vec<Event> {
    (0..500).map(|n| Event::new(n, "k", 1, n as i64 * 10)).collect()
}

/// Writes to partition 0; the last of it closes all windows before, as far as this partition goes.
fn send_to_first(producer: &Producer, topic: &str, events: &[Event]) {
    events.iter().chain([&Event::sentinel(3_600_000)]).for_each(|event| producer.send(topic, 0, None, &event.json()));
    producer.flush();
}

#[test]
fn windows_close_although_a_partition_is_silent() {
    let Some(kafka) = Kafka::apache("idle") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 1));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, ", 'scan.watermark.idle-timeout' = '1 s'"));
    let events = events();
    send_to_first(&kafka.producer(), &from, &events);
    let millrace = job.start();
    let windows = Windows::tumbling(1_000).of(&events);
    await_records(&kafka, &millrace, &to, windows.rows().len());
    millrace.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "the windows of the partition that speaks");
}

#[test]
fn windows_wait_for_a_silent_partition_where_none_is_ever_idle() {
    let Some(kafka) = Kafka::apache("not-idle") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 1));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let (producer, mut events) = (kafka.producer(), events());
    send_to_first(&producer, &from, &events);
    let millrace = job.start();
    let read = events.len() as u64 + 1;
    millrace.until_status("all to be read", |status| (status["sourceRecords"] == read).then_some(()));
    // Time for the windows to fire, if anything made them.
    millrace.until_next_commits(3);
    assert!(kafka.read(&to).is_empty(), "windows fired before the other partition spoke");

    let late_riser = Event::new(501, "k", 1, 100);
    [&late_riser, &Event::sentinel(3_600_000)].iter().for_each(|event| producer.send(&from, 1, None, &event.json()));
    producer.flush();
    events.push(late_riser);
    let windows = Windows::tumbling(1_000).of(&events);
    await_records(&kafka, &millrace, &to, windows.rows().len());
    millrace.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "the windows of both partitions");
}

/// Two workers stand still for longer than the idle timeout, while events come. One goes on first and reads all that
/// came; the other must not call its partition silent before it has looked.
#[test]
fn a_worker_that_stood_still_does_not_take_its_partition_for_a_silent_one() {
    let Some(kafka) = Kafka::apache("stood-still") else { return };
    let mut random = Random::seeded("a worker that stood still");
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 1));
    let sql = counts_per_second(&from, &to, ", 'scan.watermark.idle-timeout' = '1 s'");
    let job = Job::new(&kafka, "job", &sql).parallelism(2).commit_interval("100ms");
    let workers = Workers::create(&job);
    let running = workers.start_all(1, 2);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, random.next()), Windows::tumbling(1_000));
    let read = |worker: &Millrace, records: u64| {
        worker.until_status("all to be read", |status| (status["sourceRecords"] == records).then_some(()));
    };
    feed.send(10_000, |event| windows.add(event));
    running.iter().for_each(|worker| read(worker, 5_000));
    // They have found the ends of their partitions by then.
    running.iter().for_each(|worker| worker.until_next_commits(5));

    let by_hand = SavepointByHand::new(&running, "stand-still");
    by_hand.pause(2);
    feed.send(200_000, |event| windows.add(event));
    running[0].pause(Duration::from_secs(2));
    by_hand.ask_again();
    running[1].signal("STOP");
    SavepointByHand::new(&running[..1], "stand-still").abandon();
    read(&running[0], 105_000);
    running[0].until_next_commits(2);
    running[1].signal("CONT");
    by_hand.abandon();
    read(&running[1], 105_000);
    feed.send_sentinels();
    await_records(&kafka, &running[0], &to, windows.rows().len());
    running.into_iter().for_each(|worker| worker.stop().assert_code(0));
    assert_windows(&windows, &kafka.read(&to), "the windows of both partitions");
}
