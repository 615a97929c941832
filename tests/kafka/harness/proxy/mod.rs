//! A proxy between clients and the brokers of a Kafka, which knows what a request asks for, so that it can
//! hold one back, lose an answer or hang up, and say afterwards what that did. Every broker has a port of
//! the proxy's, and answers that name brokers name these ports instead, so that all traffic goes through
//! it. Whatever else there is in a request or an answer passes as it is, byte for byte.
//!
//! It can't delay what a broker does by itself, and it changes no record.

mod faults;
mod frames;
mod addresses;
mod connection;

pub(crate) use faults::{Effect, Fault, Faults, Times};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
    /// None once it is stopped.
    runtime: Option<Runtime>,
}

/// What connections know of the proxy that they belong to.
struct Shared {
    runtime: Handle,
    faults: Faults,
    /// The proxy's port for each broker's address.
    ports: Mutex<BTreeMap<String, SocketAddr>>,
    traffic: Mutex<Traffic>,
}

/// What has come by so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    /// Connections that clients have opened: the number of the last is this one.
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) responses: u64,
    /// Responses in which a broker's address was replaced.
    pub(crate) rewritten: u64,
    /// What the proxy did not understand. It ends such a connection: were it passed on, clients could learn
    /// an address past the proxy.
    pub(crate) problems: Vec<String>,
}

impl Proxy {
    /// Starts it in front of the brokers of this bootstrap list, and of those they will name.
    pub(crate) fn start(bootstrap: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("proxy").enable_all().build();
        let runtime = runtime.expect("a runtime");
        let shared = Arc::new(Shared {
            runtime: runtime.handle().clone(),
            faults: Faults::default(),
            ports: Mutex::default(),
            traffic: Mutex::default(),
        });
        let ports: Vec<String> =
            bootstrap.split(',').map(|broker| shared.port_for(broker.trim()).to_string()).collect();
        Self { address: ports.join(","), shared, runtime: Some(runtime) }
    }

    /// The bootstrap list for clients.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.shared.traffic().clone()
    }

    /// Ends all connections; fails where something was not understood.
    pub(crate) fn stop(mut self) -> Traffic {
        self.shut_down();
        let traffic = self.traffic();
        assert!(traffic.problems.is_empty(), "the proxy did not understand: {:#?}", traffic.problems);
        traffic
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Shared {
    /// The proxy's port for this broker; it listens there from now on.
    fn port_for(self: &Arc<Self>, broker: &str) -> SocketAddr {
        let mut ports = self.ports.lock().expect("nobody panics with it");
        if let Some(port) = ports.get(broker) {
            return *port;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let port = listener.local_addr().expect("it is bound");
        ports.insert(broker.to_owned(), port);
        self.runtime.spawn(accept(self.clone(), listener, broker.to_owned()));
        port
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("nobody panics with it")
    }

    fn next_connection(&self) -> u64 {
        let mut traffic = self.traffic();
        traffic.connections += 1;
        traffic.connections
    }
}

async fn accept(shared: Arc<Shared>, listener: std::net::TcpListener, broker: String) {
    let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
    loop {
        // An error is of the one connection, or of a process without file handles, whose test fails anyhow.
        let Ok((client, _)) = listener.accept().await else { continue };
        let (shared, broker) = (shared.clone(), broker.clone());
        tokio::spawn(async move {
            // A broker that is gone: its clients see a connection that ends at once.
            let Ok(upstream) = TcpStream::connect(&broker).await else { return };
            let number = shared.next_connection();
            if let Err(problem) = connection::serve(&shared, number, client, upstream).await {
                shared.traffic().problems.push(format!("connection {number} to {broker}: {problem}"));
            }
        });
    }
}
