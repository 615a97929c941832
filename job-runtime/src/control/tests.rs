//! The paths as a client of HTTP sees them, over a real socket.

use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The answer to a GET: the status line's code, all headers, the body.
fn get_path(address: std::net::SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (code, head.to_owned(), body.to_owned())
}

#[test]
fn a_worker_answers_probes_by_its_phase_and_tells_status_and_metrics() {
    let worker = Arc::new(Metrics::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = runtime.spawn(serve(listener, worker.clone(), async {
        let _ = stopped.await;
    }));

    assert_eq!(get_path(address, "/readyz").0, 503);
    assert_eq!(get_path(address, "/healthz").0, 200);
    worker.set_phase(Phase::Running);
    assert_eq!(get_path(address, "/readyz").0, 200);
    worker.set_phase(Phase::Failed);
    assert_eq!(get_path(address, "/healthz").0, 503);

    let (code, head, body) = get_path(address, "/api/v1/status");
    assert_eq!(code, 200, "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status["commits"], 0, "{status}");
    let (code, head, body) = get_path(address, "/metrics");
    assert_eq!(code, 200, "{head}");
    assert!(head.to_lowercase().contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(get_path(address, "/nothing").0, 404);

    stop.send(()).expect("the server still runs");
    runtime.block_on(served).expect("no panic").expect("no error");
}
