//! While a worker's coordinator waits for something (the ends of the logs, a disk that is slow), nobody ends its epoch.
//! Sources then read no more than an epoch has room for, however long that takes.

use super::harness::{Job, OwnBroker, Workers};
use millrace_broker::{ApiKey, Times};
use serde_json::{Value, json};

/// Each row is a group of its own, of about a kilobyte, in a window that does not end.
const GROUPS: &str = "
    CREATE TABLE numbers (n BIGINT, payload STRING, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
      'connector' = 'datagen', 'rows-per-second' = '100000000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0',
      'fields.n.end' = '1000000000', 'fields.payload.length' = '1000');
    CREATE TABLE largest (n BIGINT, payload STRING) WITH ('connector' = 'print');
    INSERT INTO largest SELECT n, MAX(payload)
    FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1000' DAY)) GROUP BY n, window_start, window_end;";

#[test]
fn sources_read_no_more_than_an_epoch_while_a_checkpoint_waits_for_the_cluster() {
    let own = OwnBroker::start(&[]);
    let kafka = &own.kafka;
    let job = Job::new(kafka, "job", GROUPS).parallelism(1);
    let workers = Workers::create(&job);
    workers.adjust(|job| job["memory"]["epoch"] = json!(1 << 20));
    let worker = workers.start(1, 0, 1);
    worker.until_next_commits(2);

    let read = |status: &Value| status["sourceRecords"].as_u64();
    let hold = own.faults().hold(ApiKey::ListOffsets, Times::Always);
    own.wait("the ends of the logs to be asked for", hold.reached(2));
    let before = worker.until_status("rows", read);
    // It gives up after some seconds, and asks again.
    own.wait("them to be asked for again", hold.reached(4));
    let meanwhile = worker.until_status("rows", read) - before;
    // An epoch of a mebibyte, and what was under way when it was full.
    assert!(meanwhile < 10_000, "{meanwhile} rows were read while nobody ended the epoch");
    hold.release();
    worker.until_next_commits(2);
    worker.stop().assert_code(0);
    own.stop();
}
