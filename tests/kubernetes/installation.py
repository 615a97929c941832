"""The operator, installed by its chart, as a user does it."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

from cluster import Failed, until

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm" / "millrace"
OLDER = pathlib.Path(__file__).resolve().parent / "older"
NAMESPACE = "millrace-system"


class Installation:
    def __init__(self, cluster):
        self.cluster = cluster
        self.install()

    def helm(self, *arguments):
        done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            raise Failed(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @contextlib.contextmanager
    def older_chart(self):
        """The chart with the definition that an earlier release had."""
        with tempfile.TemporaryDirectory() as folder:
            chart = pathlib.Path(folder) / "millrace"
            shutil.copytree(CHART, chart)
            shutil.copy(OLDER / "streamjob.yaml", chart / "files" / "crds" / "streamjob.yaml")
            yield chart

    def install(self, *values, chart=CHART):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        )
        settings = ["image.repository=docker.io/library/millrace", "image.tag=e2e", "image.pullPolicy=Never",
                    "operator.statusIntervalSeconds=5", "operator.topicsIntervalSeconds=5", *values]
        sets = [part for setting in settings for part in ("--set", setting)]
        self.helm("upgrade", "--install", "millrace", str(chart), "-n", NAMESPACE, *sets, "--wait", "--timeout", "120s")

    def pods(self):
        return self.cluster.list("pods", NAMESPACE, "app.kubernetes.io/name=millrace-operator")

    def kill(self):
        """SIGKILL to the operator, as when its machine has no memory left."""
        for pod in self.pods():
            name = pod["metadata"]["name"]
            self.cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--grace-period=0", "--force")

    def await_ready(self):
        until("an operator is ready", lambda: any(ready(pod) for pod in self.pods()))

    def show(self):
        try:
            print(self.cluster.kubectl("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=millrace-operator",
                                       "--tail=200"))
            print(self.cluster.kubectl("get", "sj,sp,sts,pods", "-A"))
            for job in json.loads(self.cluster.kubectl("get", "sj", "-A", "-o", "json"))["items"]:
                print(json.dumps(job.get("status"), indent=1))
                namespace = job["metadata"]["namespace"]
                for pod in self.cluster.list("pods", namespace):
                    print(self.cluster.kubectl("logs", "-n", namespace, pod["metadata"]["name"], "--tail=15"))
                    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8081/api/v1/status", timeout=2) as told:
                        print(told.read().decode())
        except (Failed, OSError, KeyError) as failure:
            print(failure)


def ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
