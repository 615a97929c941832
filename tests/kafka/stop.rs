//! Stopping in order and going on; what lag tools see; and that only committed records of upstream
//! producers count.

use super::events::{Event, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka, Millrace, Producer};

/// Two partitions with 60 events a second each, ten seconds from `second` on.
fn ten_seconds(second: i64) -> Vec<Event> {
    let event = |n: i64| Event::new((second * 60 + n) as u64, &format!("k{}", n % 7), n, second * 1000 + n * 1000 / 60);
    (0..600).map(event).collect()
}

fn send(producer: &Producer, topic: &str, events: &[Event]) {
    for event in events {
        producer.send(topic, (event.id % 2) as i32, None, &event.json());
    }
    producer.flush();
}

fn send_sentinels(producer: &Producer, topic: &str) {
    (0..2).for_each(|partition| producer.send(topic, partition, None, &Event::sentinel(3_600_000).json()));
    producer.flush();
}

/// Waits until everything in a topic has been read and committed.
fn await_all_read(kafka: &Kafka, millrace: &Millrace, topic: &str) {
    let ends = kafka.ends(topic);
    millrace.until_status("the end of the topic to be reached", |status| {
        let partitions = status["partitions"].as_array()?;
        let at = |partition: i32| partitions.iter().find(|p| p["topic"] == topic && p["partition"] == partition);
        ends.iter().all(|(&p, &end)| at(p).is_some_and(|at| at["position"] == end)).then_some(())
    });
}

#[test]
fn a_job_that_was_stopped_goes_on_where_it_was() {
    let Some(kafka) = Kafka::apache("stop") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let producer = kafka.producer();

    let (first, second) = (ten_seconds(0), ten_seconds(10));
    send(&producer, &from, &first);
    let millrace = job.start();
    // The last windows are open when it stops: their state has to be there when it goes on.
    await_all_read(&kafka, &millrace, &from);
    millrace.stop().assert_code(0);
    send(&producer, &from, &second);
    send_sentinels(&producer, &from);

    let windows = Windows::tumbling(1_000).of(first.iter().chain(&second));
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, windows.rows().len());
    millrace.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "the windows of both runs");
}

#[test]
fn a_stopped_job_leaves_its_positions_in_its_consumer_group() {
    let Some(kafka) = Kafka::apache("group") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 1));
    let group = kafka.name("group");
    let options = format!("{NEVER_IDLE}, 'properties.group.id' = '{group}'");
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, &options));
    send(&kafka.producer(), &from, &ten_seconds(0));
    let millrace = job.start();
    await_all_read(&kafka, &millrace, &from);
    millrace.stop().assert_code(0);
    assert_eq!(kafka.group_offsets(&group, &from), kafka.ends(&from));
}

#[test]
fn what_an_upstream_producer_aborted_is_not_read() {
    let Some(kafka) = Kafka::apache("aborted") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let upstream = Producer::transactional(&kafka.client(), &kafka.name("upstream"));
    let millrace = job.start();

    let mut committed = Vec::new();
    for (round, second) in (0..6).map(|round| (round, round * 10)) {
        let events = ten_seconds(second);
        upstream.begin();
        send(&upstream, &from, &events);
        if round % 2 == 0 {
            upstream.commit();
            committed.extend(events);
        } else {
            upstream.abort();
        }
    }
    upstream.begin();
    send_sentinels(&upstream, &from);
    upstream.commit();

    let windows = Windows::tumbling(1_000).of(&committed);
    await_records(&kafka, &millrace, &to, windows.rows().len());
    // Markers of transactions have offsets, too: the job is only at the end once it is behind them.
    await_all_read(&kafka, &millrace, &from);
    millrace.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "the windows of committed events");
}
