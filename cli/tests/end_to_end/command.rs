//! Runs the binary under test: to its end, or in the background until it is stopped or dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything here may take, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command left behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Runs `millrace` in `folder` to its end.
pub(crate) fn millrace(folder: &Path, arguments: &[&str]) -> Ended {
    let output: Output = command().args(arguments).current_dir(folder).output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A file in the folder, by its path as text.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file in a temporary folder");
    path.display().to_string()
}

pub(crate) fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the tree");
    let path: PathBuf = root.join("examples/actions-per-minute").join(name);
    path.display().to_string()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Tries until `probe` has an answer; fails with `what` after [`PATIENCE`].
#[expect(clippy::disallowed_methods, reason = "the processes under test live in real time")]
pub(crate) fn await_some<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in {PATIENCE:?} there was no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `millrace run` on an embedded broker of its own.
pub(crate) struct Running {
    child: Child,
    pub(crate) kafka: String,
    status: String,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let kafka = format!("127.0.0.1:{}", free_port());
        let status = format!("127.0.0.1:{}", free_port());
        let log = folder.join("millrace.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let child = command()
            .arg("run")
            .args(arguments)
            .args(["--broker-listen", &kafka, "--listen", &status])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the command starts");
        Self { child, kafka, status, log }
    }

    /// Waits until the job runs.
    pub(crate) fn await_ready(&mut self) {
        await_some("job that is ready", || {
            self.expect_running();
            self.get("/readyz").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
    }

    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        let answer = self.get("/api/v1/status")?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.status).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn expect_running(&mut self) {
        let ended = self.child.try_wait().expect("the process is ours");
        assert!(ended.is_none(), "millrace ended ({ended:?}); its log:\n{}", self.log());
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        await_some("end after SIGTERM", || self.child.try_wait().expect("the process is ours")).code()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone in the good case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
