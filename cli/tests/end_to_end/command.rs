//! Runs the binary under test: to its end, or in the background until it is stopped or dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long anything here may take, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions to a process that doesn't say by itself when the answer changes.
const LOOK: Duration = Duration::from_millis(20);

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
    let path = Path::new("../examples/actions-per-minute").join(name);
    // The command may run in another folder.
    path.canonicalize().expect("an example").display().to_string()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// What a process has written to stderr so far, and whether it has closed it: with that it has ended.
#[derive(Default)]
struct Log {
    written: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Log {
    /// Collects the lines of `stderr` as they come.
    fn collect(stderr: ChildStderr) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let collected = log.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                collected.lock().0.push_str(&String::from_utf8_lossy(&line));
                collected.changed.notify_all();
                line.clear();
            }
            collected.lock().1 = true;
            collected.changed.notify_all();
        });
        log
    }

    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.written.lock().expect("nobody panics with it")
    }

    /// Waits until `condition` holds of the text and of whether it has ended, for at most `time`.
    fn wait(&self, time: Duration, condition: impl Fn(&str, bool) -> bool) -> bool {
        let written = self.lock();
        let waited = self.changed.wait_timeout_while(written, time, |(text, ended)| !condition(text, *ended));
        !waited.expect("nobody panics with it").1.timed_out()
    }
}

/// A `millrace run` on an embedded broker of its own.
pub(crate) struct Running {
    child: Child,
    pub(crate) kafka: String,
    status: String,
    log: Arc<Log>,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let kafka = format!("127.0.0.1:{}", free_port());
        let status = format!("127.0.0.1:{}", free_port());
        let mut child = command()
            .arg("run")
            .args(arguments)
            .args(["--broker-listen", &kafka, "--listen", &status])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let log = Log::collect(child.stderr.take().expect("a pipe"));
        Self { child, kafka, status, log }
    }

    /// Waits for a line of the log that has this text.
    pub(crate) fn await_log(&self, text: &str) {
        self.log.wait(PATIENCE, |log, ended| ended || log.contains(text));
        assert!(self.log().contains(text), "the log does not say {text:?}:\n{}", self.log());
    }

    /// Asks the running job until it has an answer.
    #[expect(clippy::disallowed_methods, reason = "the processes under test live in real time")]
    pub(crate) fn await_answer<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "in {PATIENCE:?} there was no {what}; the log:\n{}", self.log());
            assert!(!self.log.wait(LOOK, |_, ended| ended), "millrace ended; its log:\n{}", self.log());
        }
    }

    /// Waits until the job runs.
    pub(crate) fn await_ready(&self) {
        self.await_log("status at http://");
        self.await_answer("job that is ready", || {
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
        self.log.lock().0.clone()
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        assert!(self.log.wait(PATIENCE, |_, ended| ended), "it does not end after SIGTERM; its log:\n{}", self.log());
        self.child.wait().expect("the process is ours").code()
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
