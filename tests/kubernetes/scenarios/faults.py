"""What breaks."""

import os
import pathlib
import subprocess
import time

from cluster import until

from . import scenario

COMPONENT = pathlib.Path(__file__).resolve().parents[2] / "testbed" / "kubernetes" / "component.sh"


@scenario
def the_operator_is_killed_in_the_middle_of_each_operation(s):
    events, results = s.topics(partitions=4)
    reader = s.kafka.reader(results)
    with s.load(events, rate=500) as load:
        s.cluster.apply(s.windows("survives", events, results, replicas=1))
        killed_at(s, "survives", ["Preparing", "Starting", "Stabilising"])
        s.settled("survives", pods=1)
        s.cluster.kubectl("scale", "streamjob/survives", "--replicas=3", "-n", s.namespace)
        killed_at(s, "survives", ["Starting", "Stabilising"])
        s.settled("survives", pods=3)
        s.cluster.apply(s.windows("survives", events, results, aggregate="ABS(COUNT(*))", replicas=3))
        killed_at(s, "survives", ["Savepointing", "Stopping", "Starting"])
        s.settled("survives", pods=3)
        s.patch("survives", {"desiredState": "Suspended"})
        killed_at(s, "survives", ["Stopping"])
        until("it is suspended", lambda: s.status("survives")["phase"] == "Suspended", timeout=90)
        s.patch("survives", {"desiredState": "Running"})
        killed_at(s, "survives", ["Stabilising"])
        s.settled("survives", pods=3)
        s.exact(load, reader)
    reader.close()


def killed_at(s, name, steps):
    """Kills the operator when the job's operation is at, or past, each step."""
    for step in steps:
        try:
            until(f"step {step}", lambda step=step: s.status(name).get("operation", {}).get("step") == step, timeout=15,
                  pause=0.02)
        except Exception:  # noqa: BLE001 - a step may pass between two looks
            print(f"    step {step} was over before it could be seen")
            continue
        s.installation.kill()
        s.installation.await_ready()


@scenario
def pods_are_killed_under_load(s):
    events, results = s.topics(partitions=4)
    reader = s.kafka.reader(results)
    with s.load(events, rate=1000) as load:
        s.cluster.apply(s.windows("killed", events, results, replicas=2))
        s.settled("killed", pods=2)
        for pod in ("killed-0", "killed-1", "killed-0"):
            at = time.monotonic()
            s.cluster.kubectl("delete", "pod", pod, "-n", s.namespace, "--grace-period=0", "--force")
            s.settled("killed", pods=2)
            print(f"    {pod}: longest pause of output {reader.longest_pause(at):.1f} s")
        s.exact(load, reader)
    reader.close()


@scenario
def a_kubelet_that_starts_again_disturbs_nothing(s):
    events, results = s.topics(partitions=2)
    reader = s.kafka.reader(results)
    with s.load(events, rate=400) as load:
        s.cluster.apply(s.windows("stays", events, results))
        s.settled("stays", pods=2)
        before = {pod["metadata"]["uid"] for pod in s.pods("stays")}
        subprocess.run([str(COMPONENT), "restart", "kubelet"], check=True, timeout=120, env=os.environ)
        s.settled("stays", pods=2)
        assert {pod["metadata"]["uid"] for pod in s.pods("stays")} == before
        s.exact(load, reader)
    reader.close()
