//! Three Kafka brokers of this test's own, started and killed by the testbed's scripts. They have ports that
//! no other test uses, and their data goes with the test, unless it fails.

use super::chaos::NODES;
use crate::kafka::harness::{Kafka, PATIENCE};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Where free ports are looked for, below those that the system gives to clients.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 30_000;

pub(super) struct Brokers {
    /// Of the first node; each node takes this many ports.
    port: u16,
    bootstrap: String,
}

const PORTS_PER_NODE: u16 = 2;

impl Brokers {
    pub(super) fn start() -> Self {
        let port = free_ports();
        let address = |node| format!("127.0.0.1:{}", port + PORTS_PER_NODE * node);
        let bootstrap = (0..NODES as u16).map(address).collect::<Vec<_>>().join(",");
        let brokers = Self { port, bootstrap };
        let begun = Instant::now();
        // What an earlier run on these ports has left is not ours to go on with.
        brokers.run("stop.sh", &["--delete-data"]);
        brokers.run("start.sh", &[]);
        println!("torture: {NODES} brokers from port {port} on, in {:.1} s", begun.elapsed().as_secs_f64());
        brokers
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `kill -9`; it is gone when this returns.
    pub(super) fn kill(&self, node: u32) {
        self.run("node.sh", &["kill", &node.to_string()]);
    }

    /// Starts a node that was killed, and waits until it has all that it missed.
    pub(super) fn restart(&self, node: u32, kafka: &Kafka) {
        self.run("node.sh", &["start", &node.to_string()]);
        let end = Instant::now() + PATIENCE;
        while !kafka.in_sync(NODES as usize) {
            assert!(Instant::now() < end, "waited {PATIENCE:?} for node {node} to be in sync again");
            std::thread::park_timeout(std::time::Duration::from_millis(200));
        }
    }

    fn run(&self, script: &str, arguments: &[&str]) {
        let Output { status, stderr, .. } = self.script(script, arguments).output().expect("bash runs");
        assert!(status.success(), "{script} {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    }

    fn script(&self, script: &str, arguments: &[&str]) -> Command {
        let path = Path::new("testbed/kafka").join(script);
        let mut command = Command::new(path);
        command.args(arguments);
        command.env("TESTBED_KAFKA_NODES", NODES.to_string()).env("TESTBED_KAFKA_PORT", self.port.to_string());
        command
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let delete = if std::thread::panicking() { &[][..] } else { &["--delete-data"] };
        // A broker that could not be stopped is noticed by who starts the next one on its port.
        let _ = self.script("stop.sh", delete).output();
    }
}

/// A port that is free with all that follow and are needed. Two tests that start at once look in different
/// places first, be they of one process or of two.
fn free_ports() -> u16 {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let needed = PORTS_PER_NODE * NODES as u16;
    let blocks = (LAST_PORT - FIRST_PORT) / needed;
    let first = std::process::id().wrapping_add(STARTED.fetch_add(1, Ordering::Relaxed) * 100) % u32::from(blocks);
    let block = |n: u32| FIRST_PORT + ((first + n) % u32::from(blocks)) as u16 * needed;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut free = (0..u32::from(blocks)).map(block).filter(|port| (*port..port + needed).all(is_free));
    free.next().expect("some ports are free")
}

#[test]
fn transactions_go_on_through_the_proxy_while_a_broker_is_gone() {
    use crate::kafka::harness::{Producer, Proxy};

    if Kafka::apache_address().is_none() {
        return;
    }
    let brokers = Brokers::start();
    let kafka = Kafka::own(brokers.bootstrap().to_owned());
    kafka.create("records", 6);
    let proxy = Proxy::start(brokers.bootstrap());
    let through = Kafka::own(proxy.address().to_owned());
    let producer = Producer::transactional(&through.client(), "writer");
    let mut written = 0;
    let mut commit = |times: usize| {
        for _ in 0..times {
            producer.begin();
            (0..6).for_each(|partition| producer.send("records", partition, None, "record"));
            producer.commit();
            written += 6;
        }
        written
    };
    for node in [2, 1] {
        commit(3);
        brokers.kill(node);
        // Each partition that it led has another leader now, of which clients learn through the proxy.
        let written = commit(3);
        assert_eq!(through.read("records").len(), written);
        brokers.restart(node, &kafka);
    }
    let written = commit(1);
    assert_eq!(kafka.read("records").len(), written);
    let traffic = proxy.stop();
    println!("{} answers of {} named brokers", traffic.rewritten, traffic.responses);
}
