//! The proxy of the harness: clients work through it as they do without, and what it holds, loses or closes
//! shows.

use super::harness::proxy::{Effect, Fault, Times};
use super::harness::{Kafka, OwnBroker, PATIENCE, Producer, Proxy};
use millrace_broker::ApiKey;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A broker in this process with a proxy in front of it.
struct Fixture {
    /// Through the proxy.
    kafka: Kafka,
    proxy: Proxy,
    own: OwnBroker,
}

impl Fixture {
    fn new() -> Self {
        let own = OwnBroker::start(&[]);
        let proxy = Proxy::start(own.kafka.bootstrap());
        let kafka = Kafka::own(proxy.address().to_owned());
        kafka.create("records", 2);
        Self { kafka, proxy, own }
    }

    fn producer(&self) -> Producer {
        Producer::transactional(&self.kafka.client(), "writer")
    }

    /// What is committed, as text.
    fn committed(&self) -> BTreeSet<String> {
        self.kafka.read("records").iter().map(|record| record.text()).collect()
    }

    fn stop(self) {
        self.proxy.stop();
        self.own.stop();
    }
}

fn send(producer: &Producer, texts: &[&str]) {
    producer.begin();
    texts.iter().zip((0..2).cycle()).for_each(|(text, partition)| producer.send("records", partition, None, text));
    producer.flush();
}

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// The ports of the brokers that a client learns of.
fn brokers(kafka: &Kafka) -> BTreeSet<String> {
    let client: BaseConsumer = kafka.client().create().expect("a client");
    let metadata = client.fetch_metadata(None, PATIENCE).expect("the broker answers");
    metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect()
}

#[test]
fn transactions_work_through_the_proxy_and_nothing_passes_it_by() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    send(&producer, &["a", "b", "c"]);
    producer.commit();
    send(&producer, &["d"]);
    producer.abort();
    assert_eq!(fixture.committed(), texts(&["a", "b", "c"]));
    assert_eq!(brokers(&fixture.kafka), BTreeSet::from([fixture.proxy.address().to_owned()]));
    let traffic = fixture.proxy.traffic();
    assert!(traffic.rewritten >= 3 && traffic.responses > traffic.rewritten, "{traffic:?}");
    for api in [ApiKey::Metadata, ApiKey::FindCoordinator, ApiKey::Produce, ApiKey::Fetch, ApiKey::EndTxn] {
        assert!(fixture.proxy.faults().seen(api) > 0, "no {api:?} came by: {traffic:?}");
    }
    drop(producer);
    fixture.stop();
}

#[test]
fn transactions_work_through_a_proxy_in_front_of_apache_kafka() {
    let Some(kafka) = Kafka::apache("proxy") else { return };
    let topic = kafka.topic("records", 2);
    let proxy = Proxy::start(kafka.bootstrap());
    let through = Kafka::own(proxy.address().to_owned());
    let producer = Producer::transactional(&through.client(), &kafka.name("writer"));
    for round in 0..3 {
        producer.begin();
        (0..2).for_each(|partition| producer.send(&topic, partition, None, &format!("{round} {partition}")));
        producer.commit();
    }
    assert_eq!(through.read(&topic).len(), 6);
    assert_eq!(brokers(&through).len(), brokers(&kafka).len());
    assert!(brokers(&through).is_disjoint(&brokers(&kafka)), "{:?}", brokers(&through));
    drop(producer);
    proxy.stop();
}

#[test]
fn a_held_commit_waits_until_it_is_released() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    let hold = fixture.proxy.faults().hold(ApiKey::EndTxn, Times::Next(1));
    send(&producer, &["a"]);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| producer.commit());
        let caught = hold.caught(1, PATIENCE);
        assert_eq!(caught[0].transactional_id.as_deref(), Some("writer"));
        assert!(!caught[0].took && !committing.is_finished());
        // The partition's end is not seen while the transaction is open: what is read is what is there.
        assert!(fixture.kafka.reader("records").poll().is_empty());
        let effects = hold.release(PATIENCE);
        assert!(matches!(&effects[..], [Effect { took: true, client_gone: false, error_code: Some(0), .. }]));
    });
    assert_eq!(fixture.committed(), texts(&["a"]));
    drop(producer);
    fixture.stop();
}

#[test]
fn a_delayed_commit_takes_that_much_longer() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    let delay = Duration::from_millis(700);
    fixture.proxy.faults().delay(ApiKey::EndTxn, delay, Times::Next(1));
    send(&producer, &["a"]);
    let begun = Instant::now();
    producer.commit();
    assert!(begun.elapsed() >= delay);
    let took = fixture.proxy.faults().took();
    assert!(
        matches!(&took[..], [Effect { api: ApiKey::EndTxn, fault: Fault::Delayed, held, .. }] if *held >= delay),
        "{took:?}"
    );
    drop(producer);
    fixture.stop();
}

#[test]
fn a_held_commit_arrives_although_its_client_has_gone() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    let hold = fixture.proxy.faults().hold(ApiKey::EndTxn, Times::Next(1));
    send(&producer, &["a"]);
    std::thread::scope(|scope| {
        scope.spawn(|| producer.commit());
        hold.caught(1, PATIENCE);
        let seen = fixture.proxy.faults().seen(ApiKey::EndTxn);
        // The client connects again and repeats its request, which is not held.
        fixture.proxy.faults().close_connections();
        assert!(fixture.proxy.faults().reached(ApiKey::EndTxn, seen + 1, PATIENCE));
    });
    assert_eq!(fixture.committed(), texts(&["a"]));
    let effects = hold.release(PATIENCE);
    assert!(matches!(&effects[..], [Effect { took: true, client_gone: true, .. }]), "{effects:?}");
    drop(producer);
    fixture.stop();
}

#[test]
fn a_commit_whose_answer_is_lost_is_asked_for_again() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    let faults = fixture.proxy.faults();
    let connections = fixture.proxy.traffic().connections;
    faults.drop_responses(ApiKey::EndTxn, Times::Next(1));
    send(&producer, &["a"]);
    std::thread::scope(|scope| {
        scope.spawn(|| producer.commit());
        assert!(faults.await_took(Fault::ResponseDropped, 1, PATIENCE));
        faults.close_connections();
    });
    faults.close_after(ApiKey::EndTxn, Times::Next(1));
    send(&producer, &["b"]);
    producer.commit();
    assert!(faults.await_took(Fault::ClosedAfter, 1, PATIENCE));
    assert_eq!(fixture.committed(), texts(&["a", "b"]));
    let hit: BTreeSet<u64> = faults.took().iter().map(|effect| effect.connection).collect();
    assert_eq!(hit.len(), 2, "the client has connected again between the two");
    assert!(fixture.proxy.traffic().connections > connections + 1);
    drop(producer);
    fixture.stop();
}

#[test]
fn requests_that_never_arrive_are_sent_again() {
    let fixture = Fixture::new();
    let producer = fixture.producer();
    let faults = fixture.proxy.faults();
    faults.close_on(ApiKey::Produce, Times::Always);
    std::thread::scope(|scope| {
        scope.spawn(|| send(&producer, &["a", "b"]));
        assert!(faults.await_took(Fault::ClosedBefore, 2, PATIENCE));
        faults.clear();
    });
    faults.drop_requests(ApiKey::EndTxn, Times::Next(1));
    std::thread::scope(|scope| {
        scope.spawn(|| producer.commit());
        assert!(faults.await_took(Fault::RequestDropped, 1, PATIENCE));
        faults.close_connections();
    });
    assert_eq!(fixture.committed(), texts(&["a", "b"]));
    drop(producer);
    fixture.stop();
}
