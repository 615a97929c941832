//! Commits whose outcome the job can't know: the answer is lost, or the request is late and arrives when
//! its sender is gone or already in the next transaction. On a broker in this process, which does such
//! things when told to.

use super::events::{Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka, Millrace};
use millrace_broker::{ApiKey, Broker, BrokerConfig, Faults, Times};
use std::path::Path;
use tokio::runtime::Runtime;

/// A job on a broker that obeys.
struct Run {
    millrace: Millrace,
    feed: Feed,
    windows: Windows,
    job: Job,
    kafka: Kafka,
    broker: Broker,
    runtime: Runtime,
    _data: tempfile::TempDir,
}

fn start_broker(runtime: &Runtime, data: &Path) -> Broker {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let config = BrokerConfig { listen, data_dir: data.join("broker"), ..BrokerConfig::default() };
    runtime.block_on(Broker::start(config)).expect("the broker starts")
}

impl Run {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let broker = start_broker(&runtime, data.path());
        let kafka = Kafka::own(broker.address().to_string());
        kafka.create("events", 2);
        kafka.create("counts", 2);
        let job = Job::new(&kafka, "job", &counts_per_second("events", "counts", NEVER_IDLE));
        let feed = Feed::new(&kafka, "events", 5);
        let millrace = job.start();
        let windows = Windows::tumbling(1_000);
        let mut run = Self { millrace, feed, windows, job, kafka, broker, runtime, _data: data };
        run.send();
        run.millrace.until_next_commits(1);
        run
    }

    fn faults(&self) -> &Faults {
        self.broker.faults()
    }

    fn send(&mut self) {
        let windows = &mut self.windows;
        self.feed.send(3_000, |event: &Event| windows.add(event));
    }

    /// Everything that was sent is counted once, whatever happened.
    fn finish(mut self) {
        self.send();
        self.feed.send_sentinels();
        await_records(&self.kafka, &self.millrace, "counts", self.windows.rows().len());
        self.millrace.until_next_commits(1);
        self.millrace.stop().assert_code(0);
        assert_windows(&self.windows, &self.kafka.read("counts"), "windows");
        drop(self.feed);
        self.runtime.block_on(self.broker.shutdown()).expect("the broker stops");
    }
}

#[test]
fn a_commit_whose_request_is_lost_with_its_connection_happens_once() {
    let mut run = Run::new();
    for _ in 0..3 {
        let seen = run.faults().seen(ApiKey::EndTxn);
        run.faults().close_on(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.runtime.block_on(run.faults().reached(ApiKey::EndTxn, seen + 2));
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn a_commit_whose_answer_is_lost_with_its_connection_happens_once() {
    let mut run = Run::new();
    for _ in 0..3 {
        let seen = run.faults().seen(ApiKey::EndTxn);
        run.faults().drop_responses(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.runtime.block_on(run.faults().reached(ApiKey::EndTxn, seen + 1));
        run.faults().close_connections();
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn a_late_copy_of_a_retried_commit_ends_no_later_transaction() {
    let mut run = Run::new();
    for round in 1..=3 {
        let hold = run.faults().hold(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.runtime.block_on(hold.reached(round));
        // The client connects again and repeats its request, which is not held.
        run.faults().close_connections();
        run.millrace.until_next_commits(1);
        run.send();
        hold.release();
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn a_late_commit_of_a_killed_process_does_not_happen_in_its_successor() {
    let mut run = Run::new();
    for round in 1..=3 {
        let hold = run.faults().hold(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.runtime.block_on(hold.reached(round));
        let successor = run.job.start();
        std::mem::replace(&mut run.millrace, successor).kill();
        if round % 2 == 0 {
            // The successor has fenced it.
            run.millrace.wait_until_running();
        }
        hold.release();
        run.millrace.wait_until_running();
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn records_whose_delivery_is_interrupted_are_written_once() {
    let mut run = Run::new();
    for api in [ApiKey::Produce, ApiKey::AddPartitionsToTxn, ApiKey::Fetch, ApiKey::Produce] {
        let seen = run.faults().seen(api);
        run.faults().close_on(api, Times::Next(2));
        run.send();
        run.runtime.block_on(run.faults().reached(api, seen + 3));
        run.faults().clear();
        run.millrace.until_next_commits(2);
    }
    run.finish();
}
