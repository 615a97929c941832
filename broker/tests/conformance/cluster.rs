//! The brokers under test: one embedded broker for all checks, an Apache Kafka that runs already, and
//! embedded brokers of one test alone, in this process or in one that can be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::client::PATIENCE;
use millrace_broker::{Broker, BrokerConfig};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where clients connect.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
}

/// The embedded broker that all checks share.
pub(crate) fn embedded() -> &'static Cluster {
    static SHARED: OnceLock<Embedded> = OnceLock::new();
    &SHARED.get_or_init(|| Embedded::start(|_| {})).cluster
}

/// The Apache Kafka to compare with, if there is one.
pub(crate) fn apache_kafka() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    let found = SHARED.get_or_init(|| {
        let bootstrap = std::env::var("MILLRACE_TEST_KAFKA").ok().filter(|at| !at.is_empty());
        bootstrap.map(|bootstrap| Cluster { bootstrap })
    });
    if found.is_none() {
        let required = std::env::var("MILLRACE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(!required, "MILLRACE_REQUIRE_KAFKA is set, and MILLRACE_TEST_KAFKA names no Kafka");
        println!("skipped: MILLRACE_TEST_KAFKA names no Apache Kafka");
    }
    found.as_ref()
}

/// A broker in this process, with a directory of its own.
pub(crate) struct Embedded {
    pub(crate) cluster: Cluster,
    pub(crate) broker: Broker,
    runtime: Runtime,
    _dir: TempDir,
}

impl Embedded {
    pub(crate) fn start(configure: impl FnOnce(&mut BrokerConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let mut config = config_in(dir.path());
        configure(&mut config);
        let broker = runtime.block_on(Broker::start(config)).expect("the broker starts");
        let cluster = Cluster { bootstrap: broker.address().to_string() };
        Embedded { cluster, broker, runtime, _dir: dir }
    }

    /// Waits for what the broker's faults tell.
    pub(crate) fn wait<T>(&self, what: &str, told: impl Future<Output = T>) -> T {
        let told = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, told).await });
        told.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
    }
}

pub(crate) fn config_in(dir: &Path) -> BrokerConfig {
    BrokerConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        data_dir: dir.join("broker"),
        ..BrokerConfig::default()
    }
}

const SERVED_DIR: &str = "MILLRACE_CONFORMANCE_SERVED_DIR";
const LISTENING: &str = "listening on ";

/// A broker in a process of its own, which is killed when this is dropped.
pub(crate) struct Served {
    pub(crate) cluster: Cluster,
    process: Child,
}

impl Served {
    /// Starts this test binary again, as a broker with its data in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--exact", "cluster::serve_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env(SERVED_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary starts again");
        let output = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let mut lines = output.lines().map(|line| line.expect("its output is text"));
        let bootstrap = lines
            .find_map(|line| line.split_once(LISTENING).map(|(_, address)| address.to_owned()))
            .expect("it says where it listens");
        Served { cluster: Cluster { bootstrap }, process }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was ours");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test: the body of [`Served`]'s process. It ends by being killed.
#[test]
#[ignore = "run by the restart tests, in a process that they kill"]
fn serve_in_a_process_of_its_own() {
    let Some(dir) = std::env::var_os(SERVED_DIR) else {
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = config_in(Path::new(&dir));
        let broker = Broker::start(config).await.expect("the broker starts");
        println!("{LISTENING}{}", broker.address());
        std::future::pending::<()>().await;
    });
}
