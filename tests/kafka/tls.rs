//! Jobs on a Kafka that speaks TLS, where either side shows a certificate.

use super::events::await_records;
use super::harness::certificates::{Certificates, tls_address};
use super::harness::{Job, Kafka};
use super::sasl::{pass_through, send};

#[test]
fn a_job_that_shows_a_certificate_is_let_in() {
    let Some(kafka) = Kafka::apache("tls") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
    send(&kafka, &from, 0..10);
    let certificates = Certificates::of_the_testbed();
    let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_tls(&tls_address(), &certificates);
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, 10);
    millrace.stop().assert_code(0);
}

#[test]
fn a_certificate_that_is_not_trusted_on_either_side_ends_a_start_soon_and_says_what_to_do() {
    let Some(kafka) = Kafka::apache("tls-wrong") else { return };
    let (from, to) = (kafka.topic("numbers", 1), kafka.topic("passed", 1));
    let (trusted, stranger) = (Certificates::of_the_testbed(), Certificates::of_a_stranger());
    let key = stranger.key.lines().nth(1).expect("a key has lines").to_owned();
    let wrong = [
        ("the broker's", Certificates { authority: stranger.authority.clone(), ..trusted.clone() }),
        ("the job's", Certificates { authority: trusted.authority, ..stranger }),
    ];
    for (whose, certificates) in wrong {
        let job = Job::new(&kafka, "job", &pass_through(&from, &to, "")).over_tls(&tls_address(), &certificates);
        let ended = job.start().wait();
        ended.assert_code(2);
        for part in ["does not let the job in", "certificate", "spec.kafka.tls"] {
            assert!(ended.log.contains(part), "{whose}: {part} is not in {}", ended.log);
        }
        assert!(!ended.log.contains(&key), "{whose}: {}", ended.log);
    }
}
