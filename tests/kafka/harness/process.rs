//! A `millrace` process: started, watched through its log and status, killed, stopped, and in any case gone
//! when the test is. The command is built first, once. MILLRACE_TEST_LOGS is a folder for copies of the logs: what a long
//! test was waiting for is seen while it runs.

use super::{Mount, PATIENCE};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// Between two looks at what can't be waited for.
const LOOK: Duration = Duration::from_millis(50);

/// The built command: MILLRACE_BIN, or what cargo builds now.
fn command() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os("MILLRACE_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "millrace-cli", "--bin", "millrace", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(built.status.success(), "the millrace command does not build");
    let messages = String::from_utf8(built.stdout).expect("cargo's JSON");
    let messages = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("cargo's JSON"));
    let mut executables = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    executables.next().expect("cargo names the executable")
}

fn log_file(folder: OsString, process: u32) -> File {
    let file = Path::new(&folder).join(format!("{process}.log"));
    File::create(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub(crate) struct Millrace {
    process: Child,
    output: Arc<Output>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) log: String,
}

impl Ended {
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "exit code; its log:\n{}", self.log);
    }
}

/// What a process has written so far.
#[derive(Default)]
struct Output {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    stdout: String,
    log: String,
    /// Of the two streams, those that have ended; with both the process has.
    ended: u8,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("nobody panics with it")
    }

    /// Waits until something was written that `found` is looking for, or the process has ended, or for
    /// `time`. Returns what was found.
    fn wait<T>(&self, time: Duration, mut found: impl FnMut(&Written) -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        let mut written = self.lock();
        loop {
            if let Some(found) = found(&written) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || written.ended == 2 {
                return None;
            }
            written = self.changed.wait_timeout(written, left).expect("nobody panics with it").0;
        }
    }

    fn collect(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        append: impl Fn(&mut Written, &str) + Send + 'static,
    ) {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                append(&mut output.lock(), &String::from_utf8_lossy(&line));
                output.changed.notify_all();
                line.clear();
            }
            output.lock().ended += 1;
            output.changed.notify_all();
        });
    }
}

impl Millrace {
    pub(crate) fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::spawn(Command::new(command()), arguments)
    }

    /// The same where a mounted volume is seen.
    pub(crate) fn start_inside(mount: &Mount, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut inside = mount.inside();
        inside.arg(command());
        Self::spawn(inside, arguments)
    }

    fn spawn(mut command: Command, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut process = command
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the millrace command starts");
        let output = Arc::new(Output::default());
        output.collect(process.stdout.take().expect("a pipe"), |written, line| written.stdout.push_str(line));
        let copy = std::env::var_os("MILLRACE_TEST_LOGS").map(|folder| log_file(folder, process.id()));
        output.collect(process.stderr.take().expect("a pipe"), move |written, line| {
            if let Some(mut copy) = copy.as_ref() {
                copy.write_all(line.as_bytes()).expect("the folder for logs takes them");
            }
            written.log.push_str(line);
        });
        Self { process, output }
    }

    /// Waits for a line of the log; returns it from `text` on.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let found = self.output.wait(PATIENCE, |written| {
            let (_, rest) = written.log.split_once(text)?;
            rest.split_once('\n').map(|(rest, _)| rest.to_owned())
        });
        found.unwrap_or_else(|| panic!("the log does not say {text:?}:\n{}", self.log()))
    }

    /// Returns at the first commit's possibility: the job has its state and reads.
    pub(crate) fn wait_until_running(&self) {
        self.until_status("the job to run", |status| (status["phase"] == "Running").then_some(()));
    }

    /// Asks again until something is there; the process has to live on meanwhile.
    pub(crate) fn until<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        let found = self.try_until(PATIENCE, ask);
        found.unwrap_or_else(|| panic!("waited {PATIENCE:?} for {what}; the log:\n{}", self.log()))
    }

    /// Like [`Self::until`], for at most so long.
    pub(crate) fn try_until<T>(&self, time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        loop {
            if let Some(found) = ask() {
                return Some(found);
            }
            assert!(!self.has_ended(), "millrace ended too early; its log:\n{}", self.log());
            if Instant::now() >= end {
                return None;
            }
            self.pause(LOOK);
        }
    }

    /// Like [`Self::try_until`], for a process that may end.
    pub(crate) fn try_until_or_end<T>(&self, time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        loop {
            if let Some(found) = ask() {
                return Some(found);
            }
            if self.has_ended() || Instant::now() >= end {
                return ask();
            }
            self.pause(LOOK);
        }
    }

    /// Waits until the status JSON has what `found` is looking for.
    pub(crate) fn until_status<T>(&self, what: &str, mut found: impl FnMut(&serde_json::Value) -> Option<T>) -> T {
        self.until(what, || found(&self.status()?))
    }

    /// Waits for commits that begin after this call.
    pub(crate) fn until_next_commits(&self, count: u64) {
        let commits = |status: &serde_json::Value| status["commits"].as_u64();
        let now = self.until_status("the count of commits", commits);
        self.until_status("more commits", |status| (commits(status)? > now + count).then_some(()));
    }

    /// The status JSON; None before it is served.
    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.get("/api/v1/status")?).ok()
    }

    /// Where it serves its status; None before it does.
    pub(crate) fn address(&self) -> Option<String> {
        let written = self.output.lock();
        let (_, rest) = written.log.split_once("status at http://")?;
        Some(rest.split_once('/')?.0.to_owned())
    }

    /// A resource that the process serves; None before it is served.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// Posts nothing to a path: the status code and the body. None where it does not answer.
    pub(crate) fn post(&self, path: &str) -> Option<(u16, String)> {
        self.post_json(path, "")
    }

    /// The same with a body.
    pub(crate) fn post_json(&self, path: &str, json: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero");
        let headers = format!("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {}", json.len());
        write!(stream, "POST {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n{json}").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.output.lock().ended == 2
    }

    pub(crate) fn log(&self) -> String {
        self.output.lock().log.clone()
    }

    /// Lets it work for a while, or until it ends.
    pub(crate) fn pause(&self, time: Duration) {
        self.output.wait(time, |_| None::<()>);
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let ended = |written: &Written| (written.ended == 2).then_some(());
        // Both streams end with the process, so this is its end and not only a pause.
        self.output.wait(PATIENCE, ended).unwrap_or_else(|| panic!("it does not end; its log:\n{}", self.log()));
        let status = self.process.wait().expect("it is ours");
        let written = self.output.lock();
        Ended { status, stdout: written.stdout.clone(), log: written.log.clone() }
    }

    /// SIGTERM, and waits for the orderly end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    /// `kill -9`, and keeps what it has written.
    pub(crate) fn kill_now(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }

    /// Whether a SIGSTOP holds it.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        // The name before the state may hold anything but the last parenthesis.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill(1) is there").success(), "it has ended; its log:\n{}", self.log());
    }
}

impl Drop for Millrace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
