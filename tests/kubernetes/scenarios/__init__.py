"""What users do, each as a function that fails where it does not go as they may expect."""

import contextlib
import json
import uuid

from cluster import Failed, until
from installation import NAMESPACE
from kafka import Load, check_exact

_SCENARIOS = []


def scenario(function):
    _SCENARIOS.append((function.__name__, function))
    return function


def every():
    from . import deploy, faults, lifecycle, refusals, scale, security, state  # noqa: F401 - they register themselves

    return list(_SCENARIOS)


class Surroundings:
    """What a scenario has: the cluster, Kafka, topics and a namespace of its own."""

    def __init__(self, cluster, kafka, installation, name):
        self.cluster, self.kafka, self.installation = cluster, kafka, installation
        self.namespace = cluster.namespace(name.replace("_", "-"))
        self.token = uuid.uuid4().hex[:8]

    def topic(self, name):
        return f"{name}-{self.token}"

    def topics(self, partitions=4):
        """A topic of events and one for results."""
        events, results = self.topic("events"), self.topic("results")
        self.kafka.create(events, results, partitions=partitions)
        return events, results

    def load(self, events, **settings):
        return Load(self.kafka, events, **settings)

    def windows(self, name, events, results, aggregate="COUNT(*)", also=None, **spec):
        """A job that counts events by key and second, and does what else is asked of it."""
        also = also or {"tables": "", "inserts": ""}
        sql = f"""
            CREATE TABLE events (id BIGINT, k STRING, ts BIGINT, t AS TO_TIMESTAMP_LTZ(ts, 3),
                WATERMARK FOR t AS t - INTERVAL '10' SECOND)
              WITH ('connector' = 'kafka', 'topic' = '{events}', 'format' = 'json',
                    'properties.group.id' = '{events}', 'scan.startup.mode' = 'earliest-offset',
                    'scan.topic-partition-discovery.interval' = '1 s');
            CREATE TABLE results (k STRING, w TIMESTAMP(3), n BIGINT)
              WITH ('connector' = 'kafka', 'topic' = '{results}', 'format' = 'json');
            {also["tables"]}
            EXECUTE STATEMENT SET BEGIN
            INSERT INTO results
              SELECT k, window_start, {aggregate}
              FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(t), INTERVAL '1' SECOND))
              GROUP BY k, window_start, window_end;
            {also["inserts"]}
            END;
        """
        return self.manifest(name, sql, **spec)

    def manifest(self, name, sql, **spec):
        return {
            "apiVersion": "millrace.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "kafka": {"bootstrapServers": self.kafka.address},
                "commitInterval": "200ms",
                "checkpoint": {"interval": "1s", "storage": {"volume": {"size": "1Gi"}}},
                "upgrade": {"stableWithin": "40s"},
                "sql": sql,
                **spec,
            },
        }

    def job(self, name):
        return self.cluster.get("streamjob", name, self.namespace)

    def status(self, name):
        return self.job(name).get("status", {})

    def condition(self, name, kind):
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), None)

    def says(self, name, kind, status="True"):
        found = self.condition(name, kind)
        return found is not None and found["status"] == status

    def patch(self, name, spec, kind="streamjob"):
        self.cluster.kubectl(
            "patch", kind, name, "-n", self.namespace, "--type=merge", "-p", json.dumps({"spec": spec})
        )

    def secret(self, name, kind, **entries):
        self.cluster.apply({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
            "type": kind, "stringData": entries,
        })

    def stands_nowhere(self, *secrets):
        """Checks that no line of them is in what others may see of a job: objects, events and logs."""
        seen = self.cluster.kubectl("get", "sj,sp,sts,pods,cm,events", "-n", self.namespace, "-o", "json")
        seen += self.cluster.kubectl("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=millrace-operator", "--tail=-1")
        for pod in self.cluster.list("pods", self.namespace):
            seen += self.cluster.kubectl("logs", pod["metadata"]["name"], "-n", self.namespace)
        # What a key is written between is no secret.
        lines = [line for secret in secrets for line in secret.splitlines() if not line.startswith("-----")]
        assert lines and not any(line in seen for line in lines)

    def events(self, name, reason):
        """What was told of an object, oldest first."""
        told = self.cluster.list("events", self.namespace)
        return [event for event in told if event["involvedObject"]["name"] == name and event["reason"] == reason]

    def pods(self, name):
        pods = self.cluster.list("pods", self.namespace, f"millrace.dev/job={name}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def settled(self, name, pods=None, timeout=90):
        """Waits until the operator has done all that the object asks for."""

        def met():
            job = self.job(name)
            status = job["status"]
            return (
                status["observedGeneration"] == job["metadata"]["generation"]
                and "operation" not in status
                and status["phase"] == "Running"
                and self.says(name, "Ready")
                and (pods is None or len(self.pods(name)) == pods == status["readyReplicas"])
                and status
            )

        return until(f"{name} runs" + (f" on {pods} pods" if pods else ""), met, timeout)

    @contextlib.contextmanager
    def counting(self, name, partitions=2, rate=400, starting=lambda: None, **spec):
        """A job that counts events, which come all the while. In the end every window has to be there, exactly."""
        events, results = self.topics(partitions)
        reader = self.kafka.reader(results)
        with self.load(events, rate=rate) as load:
            job = Counting(self, name, events, results, spec, reader)
            job.apply()
            starting()
            self.settled(name, pods=spec.get("replicas") or partitions)
            yield job
            self.exact(load, reader)
        reader.close()

    def exact(self, load, reader, timeout=90):
        """Ends the load, waits for all windows, and checks every one."""
        load.finish()
        try:
            until("all windows are written", lambda: len(reader.rows) >= len(load.expected), timeout)
        except Failed:
            print(f"    {len(reader.rows)} records; {reader.again()}")
            # Which are missing says more.
            check_exact(load.expected, reader.rows)
            raise
        # What is doubled comes late.
        until("the job is idle", lambda: all(job["status"].get("lag") == 0 for job in
                                             self.cluster.list("streamjobs", self.namespace)))
        check_exact(load.expected, reader.rows)


class Counting:
    """A job under load."""

    def __init__(self, surroundings, name, events, results, spec, reader):
        self.surroundings, self.name, self.events, self.results = surroundings, name, events, results
        self.spec, self.reader = spec, reader

    def apply(self, **changed):
        """The job's manifest, with what is changed of it."""
        settings = {**self.spec, **changed}
        self.surroundings.cluster.apply(self.surroundings.windows(self.name, self.events, self.results, **settings))

    def pause(self, since):
        """How long no results came, at most."""
        return f"{self.reader.longest_pause(since):.1f} s"
