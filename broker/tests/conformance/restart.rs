//! Restarts of the embedded broker: after `kill -9`, and in order.

use millrace_broker::{Broker, BrokerError, DataDirError};
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::Producer;

use crate::client::*;
use crate::cluster::{Served, config_in};

#[test]
fn after_kill_9_everything_committed_is_there_and_what_was_open_is_aborted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let served = Served::start(dir.path());
    let cluster = served.cluster.clone();
    let topic = topic(&cluster, 1, &[("retention.ms", "-1")]);
    let plain = producer(&cluster, &[("enable.idempotence", "true")]);
    send(&plain, &topic, 0, 0..10);
    let transactional_producer = transactional(&cluster, "id");
    transactional_producer.begin_transaction().expect("begun");
    send(&transactional_producer, &topic, 0, 10..20);
    transactional_producer.commit_transaction(PATIENCE).expect("committed");
    transactional_producer.begin_transaction().expect("begun");
    send(&transactional_producer, &topic, 0, 90..95);
    transactional_producer.abort_transaction(PATIENCE).expect("aborted");
    member(&cluster, "group", &[]).commit(&offset(&topic, 6), CommitMode::Sync).expect("committed");
    transactional_producer.begin_transaction().expect("begun");
    send(&transactional_producer, &topic, 0, 95..99);
    assert_eq!(read(&cluster, &topic, 0, COMMITTED), values(0..20));
    served.kill();

    let served = Served::start(dir.path());
    let cluster = served.cluster.clone();
    assert_eq!(read(&cluster, &topic, 0, COMMITTED), values(0..20));
    let (start, stable) = watermarks(&cluster, &topic, COMMITTED);
    let (_, end) = watermarks(&cluster, &topic, UNCOMMITTED);
    assert_eq!((start, stable), (0, end), "no transaction is open");
    assert_eq!(committed(&member(&cluster, "group", &[]), &topic), Offset::Offset(6));
    let again = transactional(&cluster, "id");
    again.begin_transaction().expect("begun");
    send(&again, &topic, 0, 20..30);
    again.commit_transaction(PATIENCE).expect("committed");
    assert_eq!(read(&cluster, &topic, 0, COMMITTED), values(0..30));
}

#[test]
fn killed_again_and_again_while_it_is_written_to_it_keeps_every_committed_transaction_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut served = Served::start(dir.path());
    let topic = topic(&served.cluster, 2, &[]);
    let mut committed = 0;
    for round in 0..6 {
        let producer = transactional(&served.cluster, "id");
        for _ in 0..3 {
            producer.begin_transaction().expect("begun");
            let numbers = committed * 10..committed * 10 + 10;
            (0..2).for_each(|partition| send(&producer, &topic, partition, numbers.clone()));
            producer.commit_transaction(PATIENCE).expect("committed");
            committed += 1;
        }
        producer.begin_transaction().expect("begun");
        (0..2).for_each(|partition| send(&producer, &topic, partition, 9000..9000 + round + 1));
        served.kill();
        served = Served::start(dir.path());
        for partition in 0..2 {
            let seen = read(&served.cluster, &topic, partition, COMMITTED);
            assert_eq!(seen, values(0..committed * 10), "round {round}");
        }
    }
}

#[test]
fn a_second_process_is_told_that_the_directory_is_taken() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let served = Served::start(dir.path());
    let refused = wait(Broker::start(config_in(dir.path())));
    assert!(matches!(refused, Err(BrokerError::DataDir(DataDirError::Taken(_)))), "{refused:?}");
    served.kill();
}

#[test]
fn after_a_shutdown_the_directory_and_the_port_are_free_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let broker = Broker::start(config_in(dir.path())).await.expect("it starts");
        let mut config = config_in(dir.path());
        config.listen = broker.address();
        broker.shutdown().await.expect("it stops");
        let again = Broker::start(config).await.expect("it starts again in the same place");
        again.shutdown().await.expect("it stops");
    });
}
