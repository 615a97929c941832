//! The archive in the S3 that MILLRACE_TEST_S3 names; without it these are skipped, or fail where MILLRACE_REQUIRE_S3
//! is 1. `tests/testbed/s3/run.sh` sets both.

use super::Archive;
use crate::error::ErrorKind;
use crate::job::{ArchiveSettings, Credentials, JobIdentity};
use crate::storage::Storage;
use millrace_protocol::record::{Checkpoint, Commit};
use millrace_protocol::replay::Applied;
use std::path::Path;

/// A place of this test's own.
fn settings(test: &str) -> Option<ArchiveSettings> {
    let Some(endpoint) = std::env::var("MILLRACE_TEST_S3").ok().filter(|url| !url.is_empty()) else {
        let required = std::env::var("MILLRACE_REQUIRE_S3").is_ok_and(|value| value == "1");
        assert!(!required, "MILLRACE_REQUIRE_S3 is set, and MILLRACE_TEST_S3 names no S3");
        println!("skipped: MILLRACE_TEST_S3 names no S3");
        return None;
    };
    let bucket = std::env::var("MILLRACE_TEST_S3_BUCKET").expect("set beside MILLRACE_TEST_S3");
    let place = format!("s3://{bucket}/{test}-{}", uuid::Uuid::new_v4());
    Some(ArchiveSettings { endpoint: Some(endpoint), ..ArchiveSettings::new(place) })
}

fn archive(settings: &ArchiveSettings) -> Archive {
    let (namespace, name, uid) = ("ns".into(), "job".into(), "uid".into());
    Archive::open(settings, &JobIdentity { namespace, name, uid, incarnation: 1, generation: 1 }).unwrap()
}

fn applied() -> Applied {
    let commit = Commit { claim: 0, sequence: 1, positions: Vec::new() };
    Applied { log_offset: 1, commit, generation: 1, transactional_id: "id".into() }
}

/// Tables of these sizes, whose content nothing compresses.
fn tables(directory: &Path, sizes: &[usize]) {
    let mut random = 88_172_645_463_325_252_u64;
    for (n, size) in sizes.iter().enumerate() {
        let mut bytes = vec![0; *size];
        for chunk in bytes.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
        }
        std::fs::write(directory.join(format!("{n}.sst")), bytes).unwrap();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long a transfer takes")]
fn a_checkpoint_goes_to_s3_and_comes_back_in_parts_and_at_once() {
    let Some(settings) = settings("whole") else { return };
    let archive = archive(&settings);
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tables(source.path(), &[0, 100, 8 << 20, (8 << 20) + 1, 30 << 20, 30 << 20, 24 << 20]);
    let mut writer = archive.task(0, 5, true);
    let begun = std::time::Instant::now();
    let published = writer.publish(source.path(), &applied()).unwrap();
    let uploaded = begun.elapsed();
    let (manifest, sha256, bytes) = (published.manifest, published.sha256, published.bytes);
    let checkpoint = Checkpoint { claim: 0, manifest, sha256, bytes, applied: applied() };
    let begun = std::time::Instant::now();
    archive.fetch(0, &checkpoint, target.path()).unwrap();
    println!("{bytes} bytes went to S3 in {uploaded:?} and came back in {:?}", begun.elapsed());
    for table in std::fs::read_dir(source.path()).unwrap() {
        let table = table.unwrap();
        assert!(std::fs::read(table.path()).unwrap() == std::fs::read(target.path().join(table.file_name())).unwrap());
    }
    assert_eq!(writer.publish(source.path(), &applied()).unwrap().uploaded_bytes, 0);
    writer.committed().unwrap();
    writer.publish(source.path(), &applied()).unwrap();
    writer.committed().unwrap();
    let error = archive.fetch(0, &checkpoint, target.path()).unwrap_err();
    assert!(error.to_string().contains("is missing"), "the first manifest is collected: {error}");
}

#[test]
fn wrong_credentials_and_a_missing_bucket_say_what_to_do() {
    let Some(settings) = settings("wrong") else { return };
    let credentials = Credentials([("AWS_SECRET_ACCESS_KEY".to_owned(), "wrong".to_owned())].into());
    let error = archive(&ArchiveSettings { credentials, ..settings.clone() }).probe(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UserFault, "{error}");
    assert!(error.to_string().contains("check AWS_ACCESS_KEY_ID"), "{error}");
    let elsewhere = ArchiveSettings { url: "s3://no-such-bucket/x".into(), ..settings };
    let error = archive(&elsewhere).probe(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UserFault, "{error}");
    assert!(error.to_string().contains("there is no such bucket"), "{error}");
    let error = Storage::open_with(&elsewhere.url, &elsewhere.client_options()).unwrap().get("a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::UserFault, "a missing bucket is no missing object: {error}");
}

#[test]
fn plain_http_has_to_be_asked_for() {
    let settings = ArchiveSettings { region: Some("eu-west-1".into()), ..ArchiveSettings::new("s3://bucket/x") };
    assert!(!settings.client_options().contains_key("AWS_ALLOW_HTTP"));
    let endpoint = |url: &str| ArchiveSettings { endpoint: Some(url.into()), ..settings.clone() }.client_options();
    assert!(!endpoint("https://s3:9000").contains_key("AWS_ALLOW_HTTP"));
    assert_eq!(endpoint("http://s3:9000")["AWS_ALLOW_HTTP"], "true");
}
