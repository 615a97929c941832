"""What has to be refused, and what is said."""

import json

from cluster import until
from installation import NAMESPACE

from . import scenario


@scenario
def a_bad_query_is_a_condition_and_starts_no_pod(s):
    events, results = s.topics(partitions=2)
    job = s.windows("wrong", events, results)
    job["spec"]["sql"] = job["spec"]["sql"].replace("SELECT k,", "SELECT kk,")
    s.cluster.apply(job)
    until("it is said", lambda: s.says("wrong", "SpecValid", "False"), timeout=20)
    message = s.condition("wrong", "SpecValid")["message"]
    assert "line" in message and "kk" in message, message
    assert not s.pods("wrong")
    s.cluster.apply(s.windows("wrong", events, results))
    s.settled("wrong", pods=2)


@scenario
def a_bad_manifest_is_refused_with_the_field(s):
    events, results = s.topics(partitions=2)
    job = s.windows("bad", events, results, commitInterval="1h")
    message = s.cluster.refused("apply", "-f", "-", stdin=json.dumps(job))
    assert "commitInterval" in message, message
    job = s.windows("bad", events, results)
    del job["spec"]["sql"]
    message = s.cluster.refused("apply", "-f", "-", stdin=json.dumps(job))
    assert "exactly one of sql" in message, message


@scenario
def a_missing_topic_is_named_and_waited_for(s):
    events, results = s.topic("late"), s.topic("out")
    s.kafka.create(results, partitions=2)
    s.cluster.apply(s.windows("waits", events, results))
    until("the topic is named", lambda: events in (s.condition("waits", "Stalled") or {}).get("message", ""), timeout=60)
    s.kafka.create(events, partitions=2)
    s.settled("waits", pods=2)


@scenario
def the_metadata_address_and_the_pod_are_refused(s):
    events, results = s.topics(partitions=2)
    for servers in ("169.254.169.254:80", "2852039166:80", "localhost:9092", "metadata.google.internal:80"):
        job = s.windows("reaches", events, results, kafka={"bootstrapServers": servers})
        s.cluster.apply(job)
        until(f"{servers} is refused", lambda: s.says("reaches", "SpecValid", "False"), timeout=20)
        assert "bootstrapServers" in s.condition("reaches", "SpecValid")["message"]
        s.cluster.kubectl("delete", "streamjob", "reaches", "-n", s.namespace, "--timeout=30s")
    assert not s.pods("reaches")


@scenario
def secrets_are_mounted_and_stand_nowhere_else(s):
    events, results = s.topics(partitions=2)
    password = f"hawkins-{s.token}"
    s.secret("login", "kubernetes.io/basic-auth", username="jim", password=password)
    job = s.windows("logs-in", events, results,
                    kafka={"bootstrapServers": s.kafka.address,
                           "sasl": {"mechanism": "PLAIN", "secretRef": {"name": "login"}}})
    s.cluster.apply(job)
    until("it can't log in", lambda: s.says("logs-in", "Stalled"), timeout=120)
    s.stands_nowhere(password)


@scenario
def the_operator_may_only_what_it_needs(s):
    who = f"system:serviceaccount:{NAMESPACE}:millrace-operator"
    may = lambda *what: s.cluster.kubectl("auth", "can-i", *what, "--as", who, "-n", s.namespace).strip()  # noqa: E731
    assert may("get", "secrets") == "yes"
    for what in (("list", "secrets"), ("watch", "secrets"), ("delete", "secrets"), ("create", "pods"), ("create", "pods/exec"),
                 ("delete", "namespaces"), ("create", "clusterroles"), ("get", "nodes"), ("update", "deployments")):
        try:
            answer = may(*what)
        except Exception as refusal:  # noqa: BLE001 - `no` is also an exit code
            answer = "no" if "no" in str(refusal) else str(refusal)
        assert answer == "no", (what, answer)


@scenario
def pods_run_under_pod_security_restricted(s):
    """The namespace enforces it, so that they run is the proof; a pod that asks for more is refused there."""
    events, results = s.topics(partitions=2)
    s.cluster.apply(s.windows("modest", events, results))
    s.settled("modest", pods=2)
    pod = s.pods("modest")[0]
    assert pod["spec"].get("automountServiceAccountToken") is False
    greedy = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greedy", "namespace": s.namespace},
              "spec": {"containers": [{"name": "c", "image": pod["spec"]["containers"][0]["image"],
                                       "securityContext": {"privileged": True}}]}}
    assert "PodSecurity" in s.cluster.refused("apply", "-f", "-", stdin=json.dumps(greedy))


@scenario
def more_replicas_than_tasks_are_said(s):
    events, results = s.topics(partitions=2)
    s.cluster.apply(s.windows("many", events, results, replicas=5))
    s.settled("many", pods=2)
    assert s.says("many", "ParallelismLimited")
