//! A producer whose queue is full waits for room, and everything arrives in order.

use super::harness::OwnBroker;
use millrace_job_runtime::kafka::{
    ClientOptions, CommitOutcome, OutgoingRecord, ProduceScratch, ProducerSettings, TransactionalProducer,
};
use std::time::Duration;

/// Several times what the smallest queue has room for.
const RECORDS: u32 = 100_000;
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn more_records_than_the_queue_has_room_for_are_produced_in_one_call() {
    let own = OwnBroker::start(&[("records", 2)]);
    let kafka = &own.kafka;
    let cluster = ClientOptions { bootstrap_servers: kafka.bootstrap().to_owned(), options: Default::default() };
    let settings = ProducerSettings::for_fencing(TIMEOUT);
    let producer = TransactionalProducer::new(&cluster, "writer", &settings).expect("a producer");
    producer.init_transactions(TIMEOUT).expect("an id");
    let topic = producer.topic("records").expect("a topic");

    let payloads = |partition: i32| (0..RECORDS).map(move |n| format!("{partition} {n} {}", "-".repeat(200)));
    let mut scratch = ProduceScratch::default();
    for partition in 0..2 {
        let payloads: Vec<String> = payloads(partition).collect();
        let records = payloads.iter().map(|text| OutgoingRecord { key: None, payload: Some(text.as_bytes()) });
        producer.begin().expect("a transaction");
        topic.produce(Some(partition), records, &mut scratch).expect("room");
        assert!(matches!(producer.commit(TIMEOUT), CommitOutcome::Clean));
    }
    let found = kafka.read("records");
    for partition in 0..2 {
        let own = |text: &String| text.starts_with(&format!("{partition} "));
        let found = found.iter().map(|record| record.text()).filter(own);
        assert!(found.eq(payloads(partition)), "partition {partition}");
    }
    drop((topic, producer));
    own.stop();
}
