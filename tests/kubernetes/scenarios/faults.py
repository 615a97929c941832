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
    deploying = lambda: killed_at(s, "survives", ["Preparing", "Starting", "Stabilising"])  # noqa: E731
    with s.counting("survives", partitions=4, rate=500, starting=deploying, replicas=1) as job:
        s.cluster.kubectl("scale", "streamjob/survives", "--replicas=3", "-n", s.namespace)
        killed_at(s, "survives", ["Starting", "Stabilising"])
        s.settled("survives", pods=3)
        job.apply(aggregate="ABS(COUNT(*))", replicas=3)
        killed_at(s, "survives", ["Savepointing", "Stopping", "Starting"])
        s.settled("survives", pods=3)
        s.patch("survives", {"desiredState": "Suspended"})
        killed_at(s, "survives", ["Stopping"])
        until("it is suspended", lambda: s.status("survives")["phase"] == "Suspended", timeout=90)
        s.patch("survives", {"desiredState": "Running"})
        killed_at(s, "survives", ["Stabilising"])
        s.settled("survives", pods=3)


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
    with s.counting("killed", partitions=4, rate=1000, replicas=2) as job:
        for pod in ("killed-0", "killed-1", "killed-0"):
            at = time.monotonic()
            s.cluster.kubectl("delete", "pod", pod, "-n", s.namespace, "--grace-period=0", "--force")
            s.settled("killed", pods=2)
            print(f"    {pod}: longest pause of output {job.pause(at)}")


@scenario
def a_kubelet_that_starts_again_disturbs_nothing(s):
    with s.counting("stays"):
        before = {pod["metadata"]["uid"] for pod in s.pods("stays")}
        subprocess.run([str(COMPONENT), "restart", "kubelet"], check=True, timeout=120, env=os.environ)
        s.settled("stays", pods=2)
        assert {pod["metadata"]["uid"] for pod in s.pods("stays")} == before


@scenario
def a_drained_node_disturbs_nothing(s):
    """It is the only one, so pods have nowhere to go until it takes them again."""
    node = s.cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    drain = lambda *which: s.cluster.refused(  # noqa: E731
        "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s", *which)
    with s.counting("drained") as job:
        before = {pod["metadata"]["uid"] for pod in s.pods("drained")}
        at = time.monotonic()
        try:
            # One pod may go at a time, and the next only when that one runs elsewhere.
            said = drain("--pod-selector=millrace.dev/job=drained")
            assert "disruption budget" in said and "drained-" in said, said
            until("the job says what it waits for", lambda: "unschedulable" in s.condition("drained", "Stalled")["message"])
            # With all others, the operator among them.
            said = drain()
            assert "disruption budget" in said and "drained-" in said, said
            assert len(before & {pod["metadata"]["uid"] for pod in s.pods("drained")}) == 1
        finally:
            s.cluster.kubectl("uncordon", node)
        s.installation.await_ready()
        s.settled("drained", pods=2)
        print(f"    longest pause of output {job.pause(at)}")
