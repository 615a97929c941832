//! From a StreamJob to what a worker is given: names resolved, secrets read, defaults applied. For plain SQL
//! the defaults of a StreamJob that says nothing else.

use crate::secrets::Secrets;
use millrace_crds::stream_job::{self, KafkaSpec, StreamJobSpec};
use millrace_job_runtime::error::{Error, Result};
use millrace_job_runtime::job::{
    ArchiveSettings, Credentials, ErrorPolicies, ErrorPolicy, ImageLimits, Job, JobIdentity, Kafka, MemoryLimits,
};
use millrace_planner::plan::{Connector, Plan};
use millrace_planner::secret::Options;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is decided outside the manifest.
pub struct Surroundings {
    pub identity: JobIdentity,
    pub kafka: Kafka,
    pub archive: Option<ArchiveSettings>,
    pub state_directory: PathBuf,
    pub threads: Option<usize>,
    pub makes_topics: bool,
    /// The savepoint that a new job starts from.
    pub restore_from: Option<String>,
}

/// The job; `spec` is None for plain SQL.
pub fn job(spec: Option<&StreamJobSpec>, plan: Plan, surroundings: Surroundings) -> Job {
    let unsaid = unsaid_spec();
    let spec = spec.unwrap_or(&unsaid);
    let policies = spec.error_policies();
    let limits = &spec.limits;
    Job {
        max_event_time_ahead: (!is_bounded(&plan)).then(|| limits.event_time_ahead.get()),
        identity: surroundings.identity,
        plan,
        kafka: surroundings.kafka,
        replicas: 1,
        ordinal: 0,
        makes_topics: surroundings.makes_topics,
        state_directory: surroundings.state_directory,
        commit_interval: spec.commit_interval.get(),
        checkpoint_interval: spec.checkpoint.interval.get(),
        restore_from: surroundings.restore_from,
        errors: ErrorPolicies {
            decode: policy(policies.decode),
            evaluate: policy(policies.evaluate),
            late: policy(policies.late),
        },
        dead_letter_topic: spec.dead_letter_topic.clone(),
        parallelism: spec.parallelism.and_then(|n| u32::try_from(n).ok()),
        threads: surroundings.threads,
        memory: MemoryLimits {
            fetch: bytes(limits.fetch_memory),
            epoch: bytes(limits.epoch_memory),
            rocksdb: bytes(limits.state_memory),
            operators: bytes(limits.operator_memory),
        },
        images: ImageLimits::default(),
        state_size_limit: spec.state.size_limit.map(|size| size.bytes()),
        archive: surroundings.archive,
        topic_check_interval: Job::default_topic_check_interval(),
        transaction_timeout: Job::default_transaction_timeout(),
    }
}

/// A spec with nothing in it but defaults.
fn unsaid_spec() -> StreamJobSpec {
    let spec = serde_json::json!({"kafka": {"bootstrapServers": "-"}, "sql": "-"});
    serde_json::from_value(spec).expect("only these two fields have no default")
}

fn policy(policy: stream_job::ErrorPolicy) -> ErrorPolicy {
    match policy {
        stream_job::ErrorPolicy::DeadLetter => ErrorPolicy::DeadLetter,
        stream_job::ErrorPolicy::Drop => ErrorPolicy::Drop,
        stream_job::ErrorPolicy::Fail => ErrorPolicy::Fail,
    }
}

fn bytes(size: millrace_crds::quantity::ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

const BOUNDED_MODE: &str = "scan.bounded.mode";

/// Whether every source ends.
pub fn is_bounded(plan: &Plan) -> bool {
    plan.scans().all(|(_, scan)| {
        let options = &scan.table.options;
        match scan.table.connector {
            Connector::Kafka => options.get(BOUNDED_MODE).is_some_and(|mode| mode != "unbounded"),
            Connector::Datagen => {
                let sequence = |(key, value): (&String, &String)| key.ends_with(".kind") && value == "sequence";
                options.contains_key("number-of-rows") || options.iter().any(sequence)
            }
            Connector::Print | Connector::Blackhole => true,
        }
    })
}

/// Makes every source end: Kafka tables that don't say where, at the end that their topics have now.
pub fn bound(plan: &mut Plan) -> Result<()> {
    for node in &mut plan.nodes {
        if let millrace_planner::plan::Operator::Scan(scan) = &mut node.operator
            && scan.table.connector == Connector::Kafka
        {
            scan.table.options.entry(BOUNDED_MODE.to_owned()).or_insert_with(|| "latest-offset".to_owned());
        }
    }
    let endless = |(_, scan): (usize, &millrace_planner::plan::Scan)| scan.table.name.clone();
    if is_bounded(plan) {
        return Ok(());
    }
    let names: Vec<String> = plan.scans().map(endless).collect();
    Err(Error::user_fault(format!(
        "--bounded needs sources that end, and not all of {} do: give a datagen table 'number-of-rows', and a Kafka \
         table no 'scan.bounded.mode' of 'unbounded'",
        names.join(", ")
    )))
}

/// The manifest's Kafka, with what `secrets` has for it.
pub fn kafka(spec: &KafkaSpec, secrets: &dyn Secrets) -> Result<Kafka> {
    let mut options = BTreeMap::new();
    let mut set = |key: &str, value: String| options.insert(key.to_owned(), value);
    if let Some(tls) = &spec.tls {
        if let Some(ca) = &tls.ca_secret_ref {
            set("ssl.ca.pem", secrets.value(MANIFEST, &ca.name, &ca.key)?);
        }
        if let Some(certificate) = &tls.certificate_secret_ref {
            set("ssl.certificate.pem", secrets.value(MANIFEST, &certificate.name, "tls.crt")?);
            set("ssl.key.pem", secrets.value(MANIFEST, &certificate.name, "tls.key")?);
        }
    }
    if let Some(sasl) = &spec.sasl {
        set("sasl.mechanism", sasl.mechanism.name().to_owned());
        set("sasl.username", secrets.value(MANIFEST, &sasl.secret_ref.name, "username")?);
        set("sasl.password", secrets.value(MANIFEST, &sasl.secret_ref.name, "password")?);
    }
    let protocol = match (&spec.tls, &spec.sasl) {
        (None, None) => None,
        (Some(_), None) => Some("ssl"),
        (None, Some(_)) => Some("sasl_plaintext"),
        (Some(_), Some(_)) => Some("sasl_ssl"),
    };
    if let Some(protocol) = protocol {
        set("security.protocol", protocol.to_owned());
    }
    let replication = spec.replication_factor.unwrap_or(BROKER_DEFAULT);
    Ok(Kafka { bootstrap_servers: spec.bootstrap_servers.clone(), options: options.into(), replication })
}

/// Where the manifest has checkpoints go, and with which Secret; not the Secret itself.
pub fn archive(spec: Option<&StreamJobSpec>) -> Option<ArchiveSettings> {
    let store = spec?.checkpoint.storage.as_ref()?.object_store.as_ref()?;
    Some(ArchiveSettings {
        endpoint: store.endpoint.clone(),
        region: store.region.clone(),
        secret: store.secret_ref.as_ref().map(|secret| secret.name.clone()),
        ..ArchiveSettings::new(&store.url)
    })
}

/// The place that a command names, or else the job's, with what `secrets` has for it. The environment has the
/// credentials where that is nothing.
pub fn archive_with_secrets(
    url: Option<&str>,
    job: Option<ArchiveSettings>,
    secrets: &dyn Secrets,
) -> Result<Option<ArchiveSettings>> {
    let Some(settings) = url.map(ArchiveSettings::new).or(job) else { return Ok(None) };
    let Some(name) = &settings.secret else { return Ok(Some(settings)) };
    let mut credentials = secrets.entries(name)?;
    credentials.retain(|key, _| key.starts_with("AWS_"));
    Ok(Some(ArchiveSettings { credentials: Credentials(credentials), ..settings }))
}

/// A Kafka without security, such as the embedded broker.
pub fn plain_kafka(bootstrap_servers: String) -> Kafka {
    Kafka { bootstrap_servers, options: Options::default(), replication: BROKER_DEFAULT }
}

/// Who needs a Secret, where the manifest names it.
const MANIFEST: &str = "the manifest's Kafka";

/// Replication factor that stands for the broker's default.
const BROKER_DEFAULT: i32 = -1;

/// Reads the secrets that the tables' options refer to.
pub fn resolve_secrets(plan: &mut Plan, secrets: &dyn Secrets) -> Result<()> {
    for (table, options) in plan.table_options_mut() {
        let whose = || format!("an option of table {table}");
        options.resolve(|name, key| secrets.value(&whose(), name, key))?;
    }
    Ok(())
}

/// Refuses secrets that stand in the SQL itself, for a plan that goes to other machines.
pub fn refuse_secrets(plan: &mut Plan) -> Result<()> {
    let found = plan.table_options_mut().find_map(|(table, options)| {
        let option = options.secrets().next()?.to_owned();
        Some((table.to_owned(), option))
    });
    let Some((table, option)) = found else { return Ok(()) };
    Err(Error::user_fault(format!(
        "'{option}' of table {table} stands in the SQL, and the job's file would carry it to every worker in clear: write \
         '${{secret:NAME:KEY}}' in its place and give the directory that has NAME/KEY with --secrets. A table in the job's \
         own Kafka needs no such option: spec.kafka has its user"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretDirectory;
    use millrace_crds::stream_job::{KafkaSasl, KafkaTls, SaslMechanism, SecretRef};

    #[test]
    fn secrets_become_options_of_the_client() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("login")).expect("a secret");
        std::fs::write(directory.path().join("login/username"), "jim\n").expect("a key");
        std::fs::write(directory.path().join("login/password"), "hawkins").expect("a key");
        let spec = KafkaSpec {
            bootstrap_servers: "k:9093".into(),
            tls: Some(KafkaTls::default()),
            sasl: Some(KafkaSasl {
                mechanism: SaslMechanism::ScramSha512,
                secret_ref: SecretRef { name: "login".into() },
            }),
            replication_factor: Some(3),
        };
        let kafka = kafka(&spec, &SecretDirectory(Some(directory.path().to_owned()))).expect("all secrets are there");
        assert_eq!(kafka.options["security.protocol"], "sasl_ssl");
        assert_eq!(kafka.options["sasl.username"], "jim");
        assert_eq!(kafka.options["sasl.password"], "hawkins");
        assert_eq!(kafka.replication, 3);
    }

    #[test]
    fn credentials_of_the_archive_come_from_its_secret_and_go_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("keys")).expect("a secret");
        std::fs::write(directory.path().join("keys/AWS_SECRET_ACCESS_KEY"), "silver\n").expect("a key");
        let settings = ArchiveSettings {
            secret: Some("keys".into()),
            endpoint: Some("http://s3:9000".into()),
            ..ArchiveSettings::new("s3://bucket/jobs")
        };
        let read =
            archive_with_secrets(None, Some(settings.clone()), &SecretDirectory(Some(directory.path().to_owned())));
        let archive = read.expect("the secret is there").expect("an archive");
        let options = archive.client_options();
        assert_eq!(options["AWS_SECRET_ACCESS_KEY"], "silver");
        assert_eq!(
            (options["AWS_ENDPOINT_URL"].as_str(), options["AWS_ALLOW_HTTP"].as_str()),
            ("http://s3:9000", "true")
        );
        let written = serde_json::to_string(&archive).expect("it is plain data");
        assert!(!format!("{archive:?}{written}").contains("silver"), "{archive:?}{written}");

        let missing = ArchiveSettings { secret: Some("others".into()), ..settings };
        let Err(error) = archive_with_secrets(None, Some(missing), &SecretDirectory(Some(directory.path().to_owned())))
        else {
            panic!("there is no such secret")
        };
        let message = error.to_string();
        assert!(message.contains("others"), "{message}");
    }

    /// The plan of a job that reads a table with this option.
    fn plan_with(option: &str) -> Plan {
        let sql = format!(
            "CREATE TABLE s (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', {option});
             CREATE TABLE t (a INT) WITH ('connector' = 'blackhole'); INSERT INTO t SELECT a FROM s;"
        );
        millrace_planner::plan_script(&sql, &millrace_planner::PlanOptions::default()).expect("valid").plan
    }

    #[test]
    fn a_tables_secret_may_only_be_referred_to_in_what_goes_to_workers() {
        let mut inline = plan_with("'properties.sasl.password' = 'hawkins'");
        let Err(error) = refuse_secrets(&mut inline) else { panic!("it stands in the SQL") };
        let message = error.to_string();
        assert!(message.contains("'properties.sasl.password'") && message.contains("--secrets"), "{message}");
        assert!(!message.contains("hawkins"), "{message}");
        let mut plan = plan_with("'properties.sasl.password' = '${secret:login:password}'");
        refuse_secrets(&mut plan).expect("it is only referred to");

        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("login")).expect("a secret");
        std::fs::write(directory.path().join("login/password"), "hawkins\n").expect("a key");
        resolve_secrets(&mut plan, &SecretDirectory(Some(directory.path().to_owned()))).expect("it is there");
        let (_, scan) = plan.scans().next().expect("a scan");
        assert_eq!(scan.table.options["properties.sasl.password"], "hawkins");
        let written = format!("{plan:?}{}", serde_json::to_string(&plan).expect("plain data"));
        assert!(!written.contains("hawkins"), "{written}");

        let mut plan = plan_with("'properties.sasl.password' = '${secret:login:password}'");
        let Err(error) = resolve_secrets(&mut plan, &SecretDirectory(None)) else { panic!("no --secrets") };
        let message = error.to_string();
        assert!(message.contains("login/password") && message.contains("table"), "{message}");
    }

    #[test]
    fn a_secret_that_is_not_there_says_where_it_was_looked_for() {
        let spec = KafkaSpec {
            bootstrap_servers: "k:9093".into(),
            tls: None,
            sasl: Some(KafkaSasl { mechanism: SaslMechanism::Plain, secret_ref: SecretRef { name: "login".into() } }),
            replication_factor: None,
        };
        let Err(error) = kafka(&spec, &SecretDirectory(None)) else { panic!("no --secrets") };
        let message = error.to_string();
        assert!(message.contains("login/username"), "{message}");
    }
}
