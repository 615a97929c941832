"""The cluster through `kubectl`, as a user has it."""

import json
import subprocess
import time
import uuid


class Failed(Exception):
    pass


def until(what, met, timeout=60, pause=0.2):
    """Waits until `met()` gives something true, and returns it. Errors on the way count as not yet."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            found = met()
            if found:
                return found
        except (Failed, KeyError, IndexError, TypeError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failed(f"not within {timeout} s: {what}" + (f" (last: {last})" if last else ""))
        time.sleep(pause)


class Cluster:
    def __init__(self):
        self.namespaces = []

    def kubectl(self, *arguments, stdin=None, timeout=120):
        done = subprocess.run(
            ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def refused(self, *arguments, stdin=None):
        """The message with which the cluster refuses something that it has to refuse."""
        try:
            said = self.kubectl(*arguments, stdin=stdin)
        except Failed as failure:
            return str(failure)
        raise Failed(f"kubectl {' '.join(arguments)} should have been refused, and said: {said}")

    def namespace(self, hint, labels=None):
        name = f"{hint[:30]}-{uuid.uuid4().hex[:6]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted", **(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self.namespaces.append(name)
        return name

    def delete_namespaces(self):
        for name in self.namespaces:
            try:
                self.kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=90s")
            except (Failed, subprocess.TimeoutExpired) as error:
                print(f"namespace {name} is left: {error}")
        self.namespaces.clear()

    def apply(self, *objects):
        text = "\n---\n".join(json.dumps(one) for one in objects)
        return self.kubectl("apply", "-f", "-", stdin=text)

    def get(self, kind, name, namespace):
        return json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))

    def list(self, kind, namespace, selector=None):
        select = ["-l", selector] if selector else []
        return json.loads(self.kubectl("get", kind, "-n", namespace, *select, "-o", "json"))["items"]

    def exists(self, kind, name, namespace):
        return bool(self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name").strip())
