//! Idempotent producers: many batches in flight, each in the log once and in order.

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    an_idempotent_producer_writes_each_record_once_and_in_order,
    two_idempotent_producers_do_not_disturb_each_other,
);

fn an_idempotent_producer_writes_each_record_once_and_in_order(cluster: &Cluster) {
    let topic = topic(cluster, 2, &[]);
    let producer =
        producer(cluster, &[("enable.idempotence", "true"), ("batch.num.messages", "10"), ("linger.ms", "0")]);
    for round in 0..5 {
        for partition in 0..2 {
            send(&producer, &topic, partition, round * 400..round * 400 + 400);
        }
    }
    for partition in 0..2 {
        assert_eq!(read(cluster, &topic, partition, UNCOMMITTED), values(0..2000));
    }
}

fn two_idempotent_producers_do_not_disturb_each_other(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let settings = [("enable.idempotence", "true")];
    let (first, second) = (producer(cluster, &settings), producer(cluster, &settings));
    for round in 0..5 {
        send(&first, &topic, 0, round * 20..round * 20 + 10);
        send(&second, &topic, 0, round * 20 + 10..round * 20 + 20);
    }
    assert_eq!(read(cluster, &topic, 0, UNCOMMITTED), values(0..100));
}
