//! Commits whose outcome the job can't know: the answer is lost, or the request is late and arrives when
//! its sender is gone or already in the next transaction. On a broker in this process, which does such
//! things when told to.

use super::events::{
    Difference, Event, Feed, NEVER_IDLE, Windows, assert_windows, await_records, events_table, window_query,
    windows_table,
};
use super::harness::{Job, Millrace, OwnBroker};
use millrace_broker::{ApiKey, Faults, Times};
use std::collections::BTreeMap;
use std::time::Duration;

/// Events sent at a time.
const BATCH: u64 = 3_000;

/// A job on a broker that obeys. It passes records on, and counts them in windows.
pub(super) struct Run {
    pub(super) millrace: Millrace,
    feed: Feed,
    sent: Vec<Event>,
    job: Job,
    own: OwnBroker,
}

impl Run {
    pub(super) fn new(commit_interval: &'static str) -> Self {
        let own = OwnBroker::start(&[("events", 2), ("counts", 2), ("passed", 2)]);
        let sql = [
            events_table("events", NEVER_IDLE),
            windows_table("counts", "counts"),
            "CREATE TABLE passed (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'passed', 'format' = 'json');\n"
                .into(),
            "EXECUTE STATEMENT SET BEGIN\nINSERT INTO passed SELECT id FROM events WHERE k <> 'sentinel';\n".into(),
            window_query("counts", "TUMBLE", "INTERVAL '1' SECOND"),
            "END;\n".into(),
        ];
        let job = Job::new(&own.kafka, "job", &sql.concat()).commit_interval(commit_interval);
        let feed = Feed::new(&own.kafka, "events", 5);
        let millrace = job.start();
        let mut run = Self { millrace, feed, sent: Vec::new(), job, own };
        run.send();
        run.millrace.until_next_commits(1);
        run
    }

    pub(super) fn faults(&self) -> &Faults {
        self.own.faults()
    }

    fn send(&mut self) {
        let sent = &mut self.sent;
        self.feed.send(BATCH, |event: &Event| sent.push(event.clone()));
    }

    /// Records passed on so far, committed or not.
    fn written(&self) -> u64 {
        self.own.kafka.ends("passed").values().map(|end| end.unsigned_abs()).sum()
    }

    /// Starts the job anew and kills the process that ran it.
    fn replace(&mut self) {
        let successor = self.job.start();
        std::mem::replace(&mut self.millrace, successor).kill();
    }

    /// Everything that was sent is passed on and counted once, whatever happened.
    pub(super) fn finish(mut self) {
        self.send();
        self.feed.send_sentinels();
        let windows = Windows::tumbling(1_000).of(&self.sent);
        await_records(&self.own.kafka, &self.millrace, "counts", windows.rows().len());
        await_records(&self.own.kafka, &self.millrace, "passed", self.sent.len());
        self.millrace.stop().assert_code(0);
        assert_windows(&windows, &self.own.kafka.read("counts"), "windows");
        let expected: BTreeMap<u64, ()> = self.sent.iter().map(|event| (event.id, ())).collect();
        let passed = self.own.kafka.read("passed");
        let passed = passed.iter().map(|record| (record.json()["id"].as_u64().expect("an id"), ()));
        Difference::between(&expected, passed).assert_none("records");
        drop(self.feed);
        self.own.stop();
    }
}

#[test]
fn a_commit_whose_request_is_lost_with_its_connection_happens_once() {
    let mut run = Run::new("200ms");
    for _ in 0..3 {
        let seen = run.faults().seen(ApiKey::EndTxn);
        run.faults().close_on(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.own.wait("the commit to be sent again", run.faults().reached(ApiKey::EndTxn, seen + 2));
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn a_commit_whose_answer_is_lost_with_its_connection_happens_once() {
    let mut run = Run::new("200ms");
    for _ in 0..3 {
        let seen = run.faults().seen(ApiKey::EndTxn);
        run.faults().drop_responses(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.own.wait("a commit", run.faults().reached(ApiKey::EndTxn, seen + 1));
        run.faults().close_connections();
        run.millrace.until_next_commits(1);
    }
    run.finish();
}

#[test]
fn a_late_copy_of_a_retried_commit_ends_no_later_transaction() {
    // Long enough for all that follows to fall into one transaction.
    let mut run = Run::new("3s");
    for round in 1..=2 {
        let hold = run.faults().hold(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.own.wait("a commit to hold", hold.reached(round));
        // The client connects again and repeats its request, which is not held.
        let written = run.written();
        run.faults().close_connections();
        // Results of the next transaction are in the topic when the copy arrives. Were they committed by
        // it, without their positions, the successor would write them again.
        run.send();
        run.millrace.until("results of the next transaction", || (run.written() >= written + BATCH).then_some(()));
        hold.release();
        run.millrace.pause(Duration::from_millis(500));
        run.replace();
        run.millrace.until_next_commits(0);
    }
    run.finish();
}

#[test]
fn a_late_commit_of_a_killed_process_does_not_happen_in_its_successor() {
    let mut run = Run::new("200ms");
    for round in 1..=3 {
        let hold = run.faults().hold(ApiKey::EndTxn, Times::Next(1));
        run.send();
        run.own.wait("a commit to hold", hold.reached(round));
        run.replace();
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
    let mut run = Run::new("200ms");
    for api in [ApiKey::Produce, ApiKey::AddPartitionsToTxn, ApiKey::Fetch, ApiKey::Produce] {
        let seen = run.faults().seen(api);
        run.faults().close_on(api, Times::Next(2));
        run.send();
        run.own.wait("requests after those that were cut off", run.faults().reached(api, seen + 3));
        run.faults().clear();
        run.millrace.until_next_commits(2);
    }
    run.finish();
}
