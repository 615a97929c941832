//! `millrace run` without a Kafka: the broker in its own process dies and comes back with it.

use super::events::{Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka, Random};
use std::net::TcpListener;

/// An address that is free now, and is the same after a restart.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

#[test]
fn a_job_on_the_embedded_broker_goes_on_exactly_after_being_killed() {
    let address = free_address();
    let mut random = Random::seeded("embedded broker");
    let job = Job::embedded("embedded", &counts_per_second("events", "counts", NEVER_IDLE), &address);
    let kafka = Kafka::own(address);

    let mut millrace = job.start();
    // It makes the topics of its tables itself.
    millrace.wait_until_running();
    let mut feed = Feed::new(&kafka, "events", random.next());
    let mut windows = Windows::tumbling(1_000);
    for _ in 0..4 {
        feed.send(5_000, |event: &Event| windows.add(event));
        millrace.pause(random.millis(0..800));
        millrace.kill();
        millrace = job.start();
        millrace.wait_until_running();
    }
    feed.send(5_000, |event: &Event| windows.add(event));
    feed.send_sentinels();
    await_records(&kafka, &millrace, "counts", windows.rows().len());
    millrace.until_next_commits(2);
    assert_windows(&windows, &kafka.read("counts"), "windows");
    drop(feed);
    millrace.stop().assert_code(0);
}
