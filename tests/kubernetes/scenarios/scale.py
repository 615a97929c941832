"""Many jobs, and nothing to do for them."""

import pathlib
import re
import time

from cluster import Failed, until

from . import scenario

JOBS = 200
MEMORY_MAX = 100 << 20


@scenario
def two_hundred_jobs_are_quiet_when_idle(s):
    """Their pods fit on no node, so that it is the operator that is measured."""
    events, results = s.topics(partitions=1)
    jobs = [
        s.windows(f"quiet-{number}", events, results, pod={"nodeSelector": {"there-is": "none"}},
                  upgrade={"stableWithin": "10s"})
        for number in range(JOBS)
    ]
    s.cluster.apply(*jobs)

    def given_up():
        found = s.cluster.list("streamjobs", s.namespace)
        return sum(job.get("status", {}).get("phase") == "Failed" for job in found) == JOBS

    until("all jobs have their objects, and are told to be looked at", given_up, timeout=300, pause=3)
    # Until then it is looked whether their pods come after all.
    until("the operator has calmed down", lambda: requests_in(s, 20) < JOBS / 3, timeout=240)
    seconds = 60
    count = requests_in(s, seconds)
    memory = resident()
    print(f"    {JOBS} jobs: {count} API requests in {seconds} s, {memory >> 20} MiB resident")
    if count > JOBS:
        raise Failed(f"{count} requests in a minute for {JOBS} jobs that nothing happens to")
    if memory > MEMORY_MAX:
        raise Failed(f"the operator has {memory >> 20} MiB")


def requests_in(s, seconds):
    before = requests(s)
    time.sleep(seconds)  # what is measured is a rate
    return requests(s) - before


def requests(s):
    """Requests about jobs, and for objects by server-side apply, which nobody else makes here."""
    total = 0
    for line in s.cluster.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        ours = labels.get("group") == "millrace.dev" or labels.get("verb") == "APPLY"
        if ours and labels.get("verb") != "WATCH":
            total += float(line.rsplit(" ", 1)[1])
    return int(total)


def resident():
    """Of the operator's process, which this machine sees."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"operator" in command and command[0].endswith(b"millrace"):
                status = (process / "status").read_text()
                found.append(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10)
        except (OSError, TypeError):
            continue
    if not found:
        raise Failed("there is no process of the operator")
    return max(found)
