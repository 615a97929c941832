"""Who the job is to Kafka, and Kafka to the job."""

import os
import pathlib
import subprocess
import tempfile

from cluster import until

from . import scenario

CERTIFICATES = pathlib.Path(os.environ["MILLRACE_TEST_KAFKA_CERTIFICATES"])


@scenario
def a_job_runs_with_scram_and_tls(s):
    user, password = f"jim-{s.token}", f"hawkins-{s.token}"
    s.kafka.add_user(user, password)
    s.secret("login", "kubernetes.io/basic-auth", username=user, password=password)
    trust(s, "authority", read("ca.crt"))
    kafka = {
        "bootstrapServers": os.environ["MILLRACE_TEST_KAFKA_SASL_TLS"],
        "tls": {"caSecretRef": {"name": "authority", "key": "ca.crt"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "secretRef": {"name": "login"}},
    }
    with s.counting("logs-in", kafka=kafka):
        s.stands_nowhere(password)


@scenario
def a_job_runs_with_a_client_certificate(s):
    trust(s, "authority", read("ca.crt"))
    identify(s, "certificate", read("client.crt"), read("client.key"))
    with s.counting("shows", kafka=mutual("authority", "certificate")):
        s.stands_nowhere(read("client.key"))


@scenario
def a_certificate_of_another_authority_is_refused_and_said(s):
    """Kafka's, by the job."""
    certificate, key = a_strangers_certificate()
    trust(s, "authority", certificate)
    identify(s, "certificate", read("client.crt"), read("client.key"))
    refused(s, "trusts", key, read("client.key"))


@scenario
def a_client_certificate_of_another_authority_is_refused_and_said(s):
    """The job's, by Kafka."""
    certificate, key = a_strangers_certificate()
    trust(s, "authority", read("ca.crt"))
    identify(s, "certificate", certificate, key)
    refused(s, "shows", key)


@scenario
def a_corrected_secret_lets_a_job_start(s):
    trust(s, "authority", a_strangers_certificate()[0])
    identify(s, "certificate", read("client.crt"), read("client.key"))
    refused(s, "starts", read("client.key"))
    trust(s, "authority", read("ca.crt"))
    s.settled("starts", pods=2)


def refused(s, name, *keys):
    """A job that can't run with its certificates says so, and what to look at; of a key it says nothing."""
    events, results = s.topics(partitions=2)
    s.cluster.apply(s.windows(name, events, results, kafka=mutual("authority", "certificate")))
    until("it is said", lambda: s.says(name, "Stalled"), timeout=60)
    message = s.condition(name, "Stalled")["message"]
    assert "certificate" in message and "spec.kafka.tls" in message, message
    assert not s.pods(name)
    s.stands_nowhere(*keys)


def read(name):
    return (CERTIFICATES / name).read_text()


def trust(s, name, authority):
    s.secret(name, "Opaque", **{"ca.crt": authority})


def identify(s, name, certificate, key):
    s.secret(name, "kubernetes.io/tls", **{"tls.crt": certificate, "tls.key": key})


def mutual(authority, certificate):
    """A Kafka where either side shows a certificate."""
    return {
        "bootstrapServers": os.environ["MILLRACE_TEST_KAFKA_TLS"],
        "tls": {
            "caSecretRef": {"name": authority, "key": "ca.crt"},
            "certificateSecretRef": {"name": certificate},
        },
    }


def a_strangers_certificate():
    """One that nobody vouches for but itself, and its key."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = pathlib.Path(folder, "crt"), pathlib.Path(folder, "key")
        subprocess.run(
            ["openssl", "req", "-x509", "-subj", "/CN=stranger", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-noenc", "-out", str(certificate), "-keyout", str(key)],
            check=True, capture_output=True, timeout=30,
        )
        return certificate.read_text(), key.read_text()
