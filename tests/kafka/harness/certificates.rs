//! Certificates of clients and of those who vouch for them, as PEM.

use std::path::Path;
use std::process::Command;

/// Where clients have to show a certificate, if there is such a Kafka.
pub(crate) fn tls_address() -> String {
    std::env::var("MILLRACE_TEST_KAFKA_TLS").expect("run.sh names it beside MILLRACE_TEST_KAFKA")
}

#[derive(Clone)]
pub(crate) struct Certificates {
    /// Whom the client trusts.
    pub(crate) authority: String,
    /// The client's own, and its key.
    pub(crate) own: String,
    pub(crate) key: String,
}

impl Certificates {
    /// With which the test's Kafka lets a client in.
    pub(crate) fn of_the_testbed() -> Self {
        let folder =
            std::env::var("MILLRACE_TEST_KAFKA_CERTIFICATES").expect("run.sh names it beside MILLRACE_TEST_KAFKA");
        let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).expect("run.sh has made it");
        Self { authority: read("ca.crt"), own: read("client.crt"), key: read("client.key") }
    }

    /// Somebody for whom nobody vouches but they themselves.
    pub(crate) fn of_a_stranger() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-subj",
                "/CN=stranger",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-noenc",
            ])
            .args(["-out".as_ref(), certificate.as_os_str(), "-keyout".as_ref(), key.as_os_str()])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |path: &Path| std::fs::read_to_string(path).expect("openssl has written it");
        Self { authority: read(&certificate), own: read(&certificate), key: read(&key) }
    }
}
