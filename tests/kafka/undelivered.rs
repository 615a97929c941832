//! Records that can't be delivered in their time.

use super::events::{Difference, Event, Feed, NEVER_IDLE, await_records, events_table};
use super::harness::proxy::Times;
use super::harness::{Job, Kafka, Proxy, Random};
use millrace_broker::ApiKey;
use std::collections::BTreeMap;

const EVENTS: u64 = 20_000;

#[test]
fn a_worker_starts_again_when_its_records_were_given_up() {
    let Some(kafka) = Kafka::apache("undelivered") else { return };
    let mut random = Random::seeded("undelivered");
    let (from, to) = (kafka.topic("events", 2), kafka.topic("passed", 2));
    let proxy = Proxy::start(kafka.bootstrap());
    let through = Kafka::own(proxy.address().to_owned());
    let sql = [
        events_table(&from, NEVER_IDLE),
        format!(
            "CREATE TABLE passed (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{to}', \
             'format' = 'json');\nINSERT INTO passed SELECT id FROM events;\n"
        ),
    ];
    let job = Job::new(&through, "job", &sql.concat()).commit_interval("200ms");
    let millrace = job.start();
    let (mut feed, mut sent) = (Feed::new(&kafka, &from, random.next()), BTreeMap::new());
    let mut send = |count| feed.send(count, |event: &Event| sent.extend([(event.id, ())]));
    send(100);
    await_records(&kafka, &millrace, &to, 100);

    proxy.faults().drop_requests(ApiKey::Produce, Times::Always);
    send(EVENTS);
    millrace.until_status("the worker to start again", |status| (status["restarts"].as_u64()? > 0).then_some(()));
    proxy.faults().clear();
    await_records(&kafka, &millrace, &to, sent.len());
    millrace.stop().assert_code(0);
    let passed = kafka.read(&to);
    let passed = passed.iter().map(|record| (record.json()["id"].as_u64().expect("an id"), ()));
    Difference::between(&sent, passed).assert_none("records");
    proxy.stop();
}
