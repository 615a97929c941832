//! A job: a manifest and a state directory in a temporary folder; and bounded runs of plain SQL.

use super::certificates::Certificates;
use super::cluster::Kafka;
use super::process::{Ended, Millrace};
use super::users::Login;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Policies, as the manifest names them: DeadLetter, Drop, Fail.
#[derive(Clone, Copy)]
pub(crate) struct Errors {
    pub(crate) decode: &'static str,
    pub(crate) evaluate: &'static str,
    pub(crate) late: &'static str,
}

impl Errors {
    pub(crate) const FAIL: Self = Self { decode: "Fail", evaluate: "Fail", late: "Fail" };
}

pub(crate) struct Job {
    /// None: the embedded broker.
    kafka: Option<String>,
    name: String,
    sql: String,
    /// Late rows, too, fail the job unless a test says otherwise: where none are meant, there may be none.
    errors: Errors,
    dead_letter_topic: Option<String>,
    commit_interval: &'static str,
    parallelism: Option<u32>,
    state_size_limit: Option<&'static str>,
    /// The mechanism by which the job says who it is.
    sasl: Option<&'static str>,
    /// Whether it speaks TLS, with the certificates of its Secrets.
    tls: bool,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Job {
    pub(crate) fn new(kafka: &Kafka, name: &str, sql: &str) -> Self {
        let arguments = Vec::new();
        Self::with(Some(kafka.bootstrap().to_owned()), &kafka.name(name), sql, arguments)
    }

    /// A job on the broker that its own process embeds.
    pub(crate) fn embedded(name: &str, sql: &str, broker_listen: &str) -> Self {
        Self::with(None, name, sql, vec!["--broker-listen".to_owned(), broker_listen.to_owned()])
    }

    fn with(kafka: Option<String>, name: &str, sql: &str, arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (name, sql) = (name.to_owned(), sql.to_owned());
        Self {
            kafka,
            name,
            sql,
            errors: Errors::FAIL,
            dead_letter_topic: None,
            commit_interval: "200ms",
            parallelism: None,
            state_size_limit: None,
            sasl: None,
            tls: false,
            arguments,
            folder,
        }
    }

    pub(crate) fn errors(mut self, errors: Errors) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn dead_letters(mut self, topic: &str) -> Self {
        self.dead_letter_topic = Some(topic.to_owned());
        self
    }

    pub(crate) fn commit_interval(mut self, interval: &'static str) -> Self {
        self.commit_interval = interval;
        self
    }

    pub(crate) fn parallelism(mut self, tasks: u32) -> Self {
        self.parallelism = Some(tasks);
        self
    }

    pub(crate) fn state_size_limit(mut self, limit: &'static str) -> Self {
        self.state_size_limit = Some(limit);
        self
    }

    /// Goes to this address in place of the Kafka's own, as this user.
    pub(crate) fn over_sasl(mut self, address: &str, login: &Login) -> Self {
        self.kafka = Some(address.to_owned());
        self.sasl = Some(login.mechanism);
        self.set_login(login);
        self.with_secrets()
    }

    /// Goes to this address in place of the Kafka's own, with TLS.
    pub(crate) fn over_tls(mut self, address: &str, certificates: &Certificates) -> Self {
        self.kafka = Some(address.to_owned());
        self.tls = true;
        self.set_secret("authority", &[("ca.crt", &certificates.authority)]);
        self.set_secret("own", &[("tls.crt", &certificates.own), ("tls.key", &certificates.key)]);
        self.with_secrets()
    }

    fn with_secrets(mut self) -> Self {
        self.arguments.extend(["--secrets".to_owned(), self.secrets().display().to_string()]);
        self
    }

    /// What the Secret `login` has.
    pub(crate) fn set_login(&self, login: &Login) {
        self.set_secret("login", &[("username", &login.user), ("password", &login.password)]);
    }

    fn set_secret(&self, name: &str, entries: &[(&str, &String)]) {
        let secret = self.secrets().join(name);
        std::fs::create_dir_all(&secret).expect("the folder is writable");
        for (key, value) in entries {
            std::fs::write(secret.join(key), value).expect("the folder is writable");
        }
    }

    /// The directory that stands for the cluster's Secrets.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path("secrets")
    }

    pub(crate) fn start(&self) -> Millrace {
        self.start_in("state", &[])
    }

    /// Starts it with a state directory of this name, and with further arguments.
    pub(crate) fn start_in(&self, state_dir: &str, further: &[&str]) -> Millrace {
        let mut arguments = vec!["run".to_owned(), self.write_manifest().display().to_string()];
        if let Some(kafka) = &self.kafka {
            arguments.extend(["--kafka".to_owned(), kafka.clone()]);
        }
        arguments.extend(["--state-dir".to_owned(), self.path(state_dir).display().to_string()]);
        arguments.extend(["--listen", "127.0.0.1:0", "--progress", "none"].map(str::to_owned));
        arguments.extend(self.arguments.iter().cloned());
        arguments.extend(further.iter().map(|&argument| argument.to_owned()));
        Millrace::start(arguments)
    }

    pub(crate) fn write_manifest(&self) -> PathBuf {
        let manifest = self.folder().join("job.yaml");
        std::fs::write(&manifest, self.manifest()).expect("the folder is writable");
        manifest
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Loses the volume: what is left is who the job is.
    pub(crate) fn wipe_state(&self) {
        let state = self.home("state").join("state");
        // A process killed early has none.
        if let Err(error) = std::fs::remove_dir_all(&state) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", state.display());
        }
    }

    /// Makes another state directory with the same identity and no state.
    pub(crate) fn copy_identity(&self, state_dir: &str) {
        std::fs::create_dir_all(self.home(state_dir)).expect("the folder is writable");
        let file = |state_dir| self.home(state_dir).join("job.json");
        std::fs::copy(file("state"), file(state_dir)).expect("the job has an identity");
    }

    fn path(&self, state_dir: &str) -> PathBuf {
        self.folder.path().join(state_dir)
    }

    fn home(&self, state_dir: &str) -> PathBuf {
        self.path(state_dir).join(format!("default.{}", self.name))
    }

    fn manifest(&self) -> String {
        let Self { name, errors: Errors { decode, evaluate, late }, commit_interval, .. } = self;
        let mut text = format!(
            "apiVersion: millrace.dev/v1alpha1\nkind: StreamJob\nmetadata:\n  name: {name}\nspec:\n  \
             kafka: {{bootstrapServers: \"{kafka}\"{sasl}{tls}}}\n  commitInterval: {commit_interval}\n  \
             checkpoint: {{interval: 2s}}\n  \
             errors: {{decode: {decode}, evaluate: {evaluate}, late: {late}}}\n",
            kafka = self.kafka.as_deref().unwrap_or("kafka:9092"),
            sasl = self.sasl.map_or_else(String::new, |mechanism| {
                format!(", sasl: {{mechanism: {mechanism}, secretRef: {{name: login}}}}")
            }),
            tls = match self.tls {
                true => ", tls: {caSecretRef: {name: authority, key: ca.crt}, certificateSecretRef: {name: own}}",
                false => "",
            },
        );
        if let Some(tasks) = self.parallelism {
            writeln!(text, "  parallelism: {tasks}").expect("a String takes all");
        }
        if let Some(limit) = self.state_size_limit {
            writeln!(text, "  state: {{sizeLimit: {limit}}}").expect("a String takes all");
        }
        if let Some(topic) = &self.dead_letter_topic {
            writeln!(text, "  deadLetterTopic: {topic}").expect("a String takes all");
        }
        text.push_str("  sql: |\n");
        self.sql.lines().for_each(|line| writeln!(text, "    {line}").expect("a String takes all"));
        text
    }
}

/// `millrace run --bounded --sql` to its end, which has to be a success.
pub(crate) fn run_bounded(kafka: &Kafka, sql: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(format!("{}.sql", kafka.name("bounded")));
    std::fs::write(&file, sql).expect("the folder is writable");
    let arguments = ["run", "--bounded", "--kafka", kafka.bootstrap(), "--listen", "127.0.0.1:0", "--sql"];
    let ended = Millrace::start(arguments.map(OsStr::new).into_iter().chain([file.as_os_str()])).wait();
    ended.assert_code(0);
    ended
}
