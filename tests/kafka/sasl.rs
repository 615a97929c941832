//! Jobs on a Kafka that asks who they are and what they may: let in, refused, and refused in the middle of their work.

use super::events::await_records;
use super::harness::users::{Login, Operation, allow, sasl_address};
use super::harness::{Errors, Job, Kafka, Proxy, Workers};

fn source_table(topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
           'scan.startup.mode' = 'earliest-offset'{options});\n"
    )
}

pub(super) fn pass_through(from: &str, to: &str, options: &str) -> String {
    format!(
        "{}CREATE TABLE passed (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');\n\
         INSERT INTO passed SELECT id FROM numbers;\n",
        source_table(from, options)
    )
}

pub(super) fn send(kafka: &Kafka, topic: &str, ids: std::ops::Range<i32>) {
    let producer = kafka.producer();
    ids.for_each(|id| producer.send(topic, 0, None, &format!(r#"{{"id":{id}}}"#)));
    producer.flush();
}

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

fn login(kafka: &Kafka, mechanism: &'static str) -> Login {
    if mechanism == "PLAIN" { Login::plain() } else { Login::scram(kafka, mechanism) }
}

#[test]
fn a_job_says_who_it_is_and_runs() {
    for mechanism in MECHANISMS {
        let Some(kafka) = Kafka::apache("sasl") else { return };
        let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
        send(&kafka, &from, 0..10);
        let login = login(&kafka, mechanism);
        let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_sasl(&sasl_address(), &login);
        let millrace = job.start();
        await_records(&kafka, &millrace, &to, 10);
        millrace.stop().assert_code(0);
    }
}

#[test]
fn a_wrong_password_ends_a_start_soon_and_says_where_as_whom_and_what_to_do() {
    for mechanism in MECHANISMS {
        let Some(kafka) = Kafka::apache("sasl-wrong") else { return };
        let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
        let login = login(&kafka, mechanism).with_password("not-this-one");
        let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_sasl(&sasl_address(), &login);
        let ended = job.start().wait();
        ended.assert_code(2);
        let whom = format!("Kafka at {} does not let the job in as user {} ({mechanism})", sasl_address(), login.user);
        assert!(ended.log.contains(&whom) && ended.log.contains("spec.kafka.sasl"), "{}", ended.log);
        assert!(!ended.log.contains("not-this-one"), "{}", ended.log);
    }
}

#[test]
fn a_tables_own_user_comes_from_a_secret_and_stands_in_no_file() {
    let Some(kafka) = Kafka::apache("sasl-table") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
    send(&kafka, &from, 0..10);
    let login = Login::scram(&kafka, "SCRAM-SHA-512");
    let options = format!(
        ", 'properties.bootstrap.servers' = '{}', 'properties.security.protocol' = 'SASL_PLAINTEXT', \
         'properties.sasl.mechanism' = 'SCRAM-SHA-512', 'properties.sasl.username' = '${{secret:login:username}}', \
         'properties.sasl.password' = '${{secret:login:password}}'",
        sasl_address()
    );
    let job = Job::new(&kafka, "job", &pass_through(&from, &to, &options));
    job.set_login(&login);
    let secrets = job.secrets().display().to_string();
    let workers = Workers::create_with(&job, &["--secrets", &secrets]);
    let file = std::fs::read_to_string(workers.file()).expect("the job's file");
    assert!(file.contains("${secret:login:password}") && !file.contains(&login.password), "{file}");
    let worker = workers.start_with(1, 0, 1, &["--secrets", &secrets]);
    await_records(&kafka, &worker, &to, 10);
    let ended = worker.stop();
    ended.assert_code(0);
    assert!(!ended.log.contains(&login.password), "{}", ended.log);

    // With another password the message names the table.
    job.set_login(&login.with_password("not-this-one"));
    let ended = workers.start_with(2, 0, 1, &["--secrets", &secrets]).wait();
    ended.assert_code(2);
    let whom = format!("does not let the job in as user {} (SCRAM-SHA-512)", login.user);
    assert!(ended.log.contains("numbers: Kafka at") && ended.log.contains(&whom), "{}", ended.log);
}

#[test]
fn a_password_that_stands_in_the_sql_is_refused_for_a_file_that_goes_to_workers() {
    let Some(kafka) = Kafka::apache("sasl-inline") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
    let job = Job::new(&kafka, "job", &pass_through(&from, &to, ", 'properties.sasl.password' = 'a-secret-of-jims'"));
    let (file, ended) = Workers::try_create(&job, &[]);
    ended.assert_code(2);
    assert!(ended.log.contains("'properties.sasl.password' of table"), "{}", ended.log);
    assert!(!file.exists() && !ended.log.contains("a-secret-of-jims"), "{}", ended.log);
}

/// Which rights a user has of the source and of the sink, and what is then said.
const RIGHTS: [(&[Operation], &[Operation], &str); 4] = {
    use Operation::{Describe, DescribeConfigs, Read, Write};
    [
        (&[], &[Write], "grant DESCRIBE on it"),
        (&[Describe], &[Write, DescribeConfigs], "grant READ on the topic"),
        (&[Read], &[Describe], "Grant the job's principal WRITE"),
        (&[Read], &[Describe, DescribeConfigs], "Grant the job's principal WRITE"),
    ]
};

#[test]
fn a_right_that_is_missing_ends_the_job_and_is_named() {
    for (of_source, of_sink, expected) in RIGHTS {
        let Some(kafka) = Kafka::apache("acl") else { return };
        let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
        send(&kafka, &from, 0..10);
        let login = Login::scram(&kafka, "SCRAM-SHA-256");
        for (topic, operations) in [(&from, of_source), (&to, of_sink)] {
            allow(&kafka, topic, "somebody-else", &[Operation::Read]);
            allow(&kafka, topic, &login.user, operations);
        }
        let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_sasl(&sasl_address(), &login);
        let ended = job.start().wait();
        ended.assert_code(2);
        assert!(ended.log.contains(expected), "{of_source:?} {of_sink:?}: {expected} is not in\n{}", ended.log);
    }
}

#[test]
fn rows_too_large_are_told_apart_only_where_the_topics_configuration_may_be_read() {
    let Some(kafka) = Kafka::apache("acl-large") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic_of("passed", 1, 200));
    let login = Login::scram(&kafka, "SCRAM-SHA-256");
    allow(&kafka, &to, &login.user, &[Operation::Write]);
    let producer = kafka.producer();
    producer.send(&from, 0, None, &format!(r#"{{"id":1,"t":"{}"}}"#, "x".repeat(500)));
    producer.flush();
    let sql =
        pass_through(&from, &to, "").replace("(id BIGINT)", "(id BIGINT, t STRING)").replace("id FROM", "id, t FROM");
    let job = Job::new(&kafka, "job", &sql).errors(Errors { evaluate: "Drop", ..Errors::FAIL });
    let job = job.over_sasl(&sasl_address(), &login);
    let ended = job.start().wait();
    ended.assert_code(2);
    let said = format!("topic {to} refuses a record as too large");
    assert!(ended.log.contains(&said) && ended.log.contains("grant DESCRIBE_CONFIGS on it"), "{}", ended.log);
}

#[test]
fn a_password_changed_under_a_running_job_is_named_and_the_job_goes_on_when_it_is_right_again() {
    let Some(kafka) = Kafka::apache("sasl-rotated") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
    let proxy = Proxy::start(&sasl_address());
    let login = Login::scram(&kafka, "SCRAM-SHA-256");
    send(&kafka, &from, 0..10);
    let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_sasl(proxy.address(), &login);
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 10);

    login.with_password("another-one").make(&kafka);
    proxy.faults().close_connections();
    let refused = |status: &serde_json::Value| {
        let warnings = status["warnings"].as_array()?.iter();
        let mut refused = warnings.chain([&status["problem"]]).filter(|found| found["reason"] == "AccessRefused");
        refused.next().map(|found| found["message"].to_string())
    };
    let error = millrace.until_status("the refusal", refused);
    assert!(!error.contains(&login.password), "{error}");

    login.make(&kafka);
    send(&kafka, &from, 10..20);
    await_records(&kafka, &millrace, &to, 20);
    millrace.until_status("no problem", |status| {
        (status["problem"].is_null() && status["warnings"].as_array()?.is_empty()).then_some(())
    });
    millrace.stop().assert_code(0);
}
