"""What users change about a running job."""

import json
import time

from cluster import until

from . import scenario


@scenario
def scale_under_load_is_exact(s):
    with s.counting("scales", partitions=4, rate=1000, replicas=1) as job:
        for replicas in (4, 2):
            at = time.monotonic()
            s.cluster.kubectl("scale", "streamjob/scales", f"--replicas={replicas}", "-n", s.namespace)
            s.settled("scales", pods=replicas)
            print(f"    to {replicas} pods: longest pause of output {job.pause(at)}")


@scenario
def an_upgrade_of_the_statements_is_exact(s):
    with s.counting("upgrades", partitions=4, rate=1000, replicas=2) as job:
        at = time.monotonic()
        job.apply(aggregate="ABS(COUNT(*))")
        status = s.settled("upgrades", pods=2)
        assert status["revision"]["incarnation"] == 2, status
        assert status["lastSavepoint"]["url"] == status["revision"]["restoredFrom"], status
        print(f"    from {status['lastSavepoint']['url']}: longest pause of output {job.pause(at)}")


@scenario
def an_incompatible_upgrade_is_refused_while_the_job_runs_on(s):
    with s.counting("refuses") as job:
        before = s.settled("refuses", pods=2)
        # The table of counts would have to become one of something else.
        job.apply(aggregate="MAX(CAST(id AS INT))")
        until("it is refused", lambda: s.says("refuses", "UpgradeRefused"))
        assert "dropped" in s.condition("refuses", "UpgradeRefused")["message"]
        assert s.status("refuses")["revision"] == before["revision"]
        job.apply()
        s.settled("refuses", pods=2)


@scenario
def a_broken_image_is_rolled_back(s):
    with s.counting("rolls", upgrade={"stableWithin": "15s"}):
        s.patch("rolls", {"pod": {"image": "docker.io/library/millrace:none", "imagePullPolicy": "Never"}})
        until("it is rolled back", lambda: s.says("rolls", "RolledBack"), timeout=90)
        until("the old image runs", lambda: s.says("rolls", "Ready") and "operation" not in s.status("rolls"), timeout=90)


@scenario
def suspend_and_resume(s):
    with s.counting("rests"):
        s.patch("rests", {"desiredState": "Suspended"})
        until("it is suspended", lambda: s.status("rests")["phase"] == "Suspended" and not s.pods("rests"))
        assert s.status("rests")["lastSavepoint"]["url"]
        s.patch("rests", {"desiredState": "Running"})
        s.settled("rests", pods=2)


@scenario
def other_statements_go_on_from_where_a_job_was_suspended(s):
    with s.counting("rests", partitions=4, replicas=3) as job:
        for incarnation, aggregate in enumerate(("ABS(COUNT(*))", "COUNT(*)", "ABS(COUNT(*))"), 2):
            s.patch("rests", {"desiredState": "Suspended"})
            until("it is suspended", lambda: s.status("rests")["phase"] == "Suspended" and not s.pods("rests"))
            stopped_with = s.status("rests")["suspendedWith"]
            job.apply(aggregate=aggregate, replicas=3, desiredState="Running")
            status = s.settled("rests", pods=3)
            assert status["revision"]["incarnation"] == incarnation, status
            assert status["revision"]["restoredFrom"] == stopped_with, status
            until("of its savepoints the last is left", lambda: savepoint_topics(s, "rests") == [stopped_with])


def savepoint_topics(s, job):
    return [f"kafka:{topic}" for topic in s.kafka.topics(f"{s.namespace}.{job}.") if ".sp." in topic]


@scenario
def another_job_starts_from_a_savepoint(s):
    events, results = s.topics(partitions=2)
    other = s.topic("others")
    s.kafka.create(other, partitions=2)
    reader, second = s.kafka.reader(results), s.kafka.reader(other)
    with s.load(events, rate=400) as load:
        s.cluster.apply(s.windows("first", events, results))
        s.settled("first", pods=2)
        until("results", lambda: reader.rows)
        s.cluster.apply({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "Savepoint",
            "metadata": {"name": "one", "namespace": s.namespace}, "spec": {"job": "first"},
        })
        until("the savepoint is complete", lambda: savepoint(s, "one")["phase"] == "Completed")
        made = savepoint(s, "one")
        assert made["bytes"] > 0 and made["location"], made
        s.cluster.apply(s.windows("second", events, other, restoreFrom={"savepoint": "one"}, replicas=1))
        status = s.settled("second", pods=1)
        assert status["revision"]["restoredFrom"] == made["location"], status
        s.exact(load, reader)
        # What the first had written by then the second does not write again; together they have each window.
        last = (max(load.expected, key=lambda place: place[1])[1], )
        until("the second has the last window", lambda: any(row["w"] == last[0] for row in second.rows))
        torn = [row for row in second.rows if row["k"] != "end" and load.expected.get((row["k"], row["w"])) != row["n"]]
        assert not torn, torn[:3]
    reader.close()
    second.close()


@scenario
def a_last_savepoint_is_made_when_a_job_is_deleted(s):
    events, results = s.topics(partitions=2)
    reader = s.kafka.reader(results)
    with s.load(events, rate=400) as load:
        s.cluster.apply(s.windows("first", events, results, finalSavepoint={}))
        s.settled("first", pods=2)
        until("results", lambda: reader.rows)
        s.cluster.kubectl("delete", "streamjob", "first", "-n", s.namespace, "--timeout=60s")
        told = until("it is told where the savepoint is", lambda: s.events("first", "FinalSavepoint"))
        location = told[0]["message"]
        # All other topics of the job are gone with it.
        assert [f"kafka:{topic}" for topic in s.kafka.topics(f"{s.namespace}.first.")] == [location]
        s.cluster.apply(s.windows("second", events, results, restoreFrom={"url": location}, replicas=1))
        status = s.settled("second", pods=1)
        assert status["revision"]["restoredFrom"] == location, status
        # They write to the same topic, so whatever is lost or doubled between them is seen.
        s.exact(load, reader)
        assert [event["type"] for event in told] == ["Normal"], [event["message"] for event in told]
    reader.close()


@scenario
def savepoints_come_by_a_schedule_and_old_ones_go(s):
    with s.counting("saves", rate=200, savepoint={"schedule": {"interval": "1m", "retain": 1}}):
        first = until("a savepoint", lambda: next(complete(s), None), timeout=100)
        second = until("another one", lambda: next((one for one in complete(s) if one != first), None),
                       timeout=100)
        until("the first is gone", lambda: not s.cluster.exists("savepoint", first[0], s.namespace), timeout=30)
        topics = [f"kafka:{topic}" for topic in s.kafka.topics(f"{s.namespace}.saves.")]
        assert first[1] not in topics and second[1] in topics, (first, second, topics)


def complete(s):
    """Names and locations of savepoints that a job can start from."""
    for one in s.cluster.list("savepoints", s.namespace):
        if one.get("status", {}).get("phase") == "Completed":
            yield one["metadata"]["name"], one["status"]["location"]


def savepoint(s, name):
    return s.cluster.get("savepoint", name, s.namespace)["status"]


@scenario
def kubectl_millrace_tells_and_changes(s):
    plugin = lambda *what: s.cluster.kubectl("millrace", *what, "-n", s.namespace)  # noqa: E731
    with s.counting("plugged"):
        told = plugin("status", "plugged")
        assert "Running, 2 of 2 pods ready" in told and "plugged-1: Running, tasks 1" in told, told
        assert "GlobalWindowAggregate" in plugin("plan", "plugged")
        assert "bytes" in plugin("savepoint", "plugged", "--name", "by-hand")
        assert savepoint(s, "by-hand")["phase"] == "Completed"
        generation = s.status("plugged")["revision"]["generation"]
        plugin("restart", "plugged")
        until("another generation", lambda: s.status("plugged")["revision"]["generation"] == generation + 1)
        s.settled("plugged", pods=2)
        assert "plugged-0" in plugin("logs", "plugged", "--tail", "1")


@scenario
def a_namespace_that_is_deleted_does_not_hang(s):
    events, results = s.topics(partitions=2)
    s.cluster.apply(s.windows("goes", events, results))
    s.settled("goes", pods=2)
    begun = time.monotonic()
    s.cluster.kubectl("delete", "namespace", s.namespace, "--timeout=90s")
    left = s.kafka.topics(f"{s.namespace}.goes.")
    assert not left, left
    print(f"    gone after {time.monotonic() - begun:.1f} s, and its topics with it")


@scenario
def a_job_is_gone_with_its_topics_and_volumes(s):
    events, results = s.topics(partitions=2)
    s.cluster.apply(s.windows("ends", events, results))
    s.settled("ends", pods=2)
    s.cluster.kubectl("delete", "streamjob", "ends", "-n", s.namespace, "--timeout=60s")
    until("its volumes are gone", lambda: not s.cluster.list("pvc", s.namespace))
    assert not s.kafka.topics(f"{s.namespace}.ends.")
    assert json.loads(s.cluster.kubectl("get", "sts", "-n", s.namespace, "-o", "json"))["items"] == []


@scenario
def the_chart_upgrades_a_definition_of_an_earlier_release(s):
    """From a chart with an older StreamJob, without an operator, to this one: the job runs on all the while."""
    with s.counting("older", rate=200):
        before = {pod["metadata"]["uid"] for pod in s.pods("older")}
        with s.installation.older_chart() as chart:
            s.installation.install("replicas=0", chart=chart)
        assert "finalSavepoint" not in definition(s), "the older definition is not in place"
        s.installation.install()
        assert "finalSavepoint" in definition(s)
        s.settled("older", pods=2)
        assert {pod["metadata"]["uid"] for pod in s.pods("older")} == before


def definition(s):
    crd = json.loads(s.cluster.kubectl("get", "crd", "streamjobs.millrace.dev", "-o", "json"))
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
