//! A window whose results are many times what an epoch has room for is committed in parts, and goes on where it was.

use super::events::Difference;
use super::harness::{Job, OwnBroker, Workers};
use millrace_broker::{ApiKey, Times};
use serde_json::json;
use std::collections::BTreeMap;

/// Of a kilobyte each.
const GROUPS: u64 = 60_000;

/// The window ends with the input.
fn sql() -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT, payload STRING, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
           'connector' = 'datagen', 'rows-per-second' = '100000000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0',
           'fields.n.end' = '{}', 'fields.payload.length' = '1000');
         CREATE TABLE largest (n BIGINT, payload STRING) WITH ('connector' = 'kafka', 'topic' = 'largest', 'format' = 'json');
         INSERT INTO largest SELECT n, MAX(payload)
         FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1000' DAY)) GROUP BY n, window_start, window_end;",
        GROUPS - 1
    )
}

#[test]
fn a_window_of_many_epochs_is_committed_in_parts_and_goes_on_after_a_kill() {
    let own = OwnBroker::start(&[("largest", 2)]);
    let kafka = &own.kafka;
    let job = Job::new(kafka, "job", &sql()).parallelism(2);
    let workers = Workers::create(&job);
    workers.adjust(|job| job["memory"]["epoch"] = json!(1 << 20));
    let hold_next = || own.faults().hold(ApiKey::EndTxn, Times::Next(1));
    let mut hold = hold_next();
    let worker = workers.start(1, 0, 1);
    // From one commit to the next, until there is one after the first part of the window.
    let mut written = 0;
    for commit in 1.. {
        own.wait("a commit", hold.reached(commit));
        if written > 0 {
            break;
        }
        written = kafka.ends("largest").values().sum();
        let next = hold_next();
        hold.release();
        hold = next;
    }
    worker.kill();
    let committed = kafka.read("largest").len() as u64;
    assert!(0 < committed && committed < GROUPS, "{committed} results at once");
    hold.release();

    workers.start(1, 0, 1).wait().assert_code(0);
    let expected: BTreeMap<u64, ()> = (0..GROUPS).map(|n| (n, ())).collect();
    let found = kafka.read("largest");
    let found = found.iter().map(|record| (record.json()["n"].as_u64().expect("a number"), ()));
    Difference::between(&expected, found).assert_none("groups");
    own.stop();
}
