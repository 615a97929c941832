"""Many jobs, and nothing to do for them."""

import pathlib
import re
import time

from cluster import Failed, until

from . import scenario

JOBS = 200
# What a job consists of is applied again every half hour, which is not seen in the few minutes that this takes.
MINUTES = 2
REQUESTS_MAX = 1  # for a job, in a minute
MEMORY_MAX = 100 << 20
# Of what a job consists of, these are read one by one, and by nobody else here.
READ = ("secrets", "configmaps", "statefulsets", "pods")


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
    count = requests_in(s, 60 * MINUTES) / JOBS / MINUTES
    allocated, resident = memory()
    print(f"    {JOBS} jobs: {count:.2f} API requests for each in a minute, {allocated >> 20} MiB allocated, {resident >> 20} resident")
    if count > REQUESTS_MAX:
        raise Failed(f"{count:.2f} requests in a minute for each job that nothing happens to")
    if allocated > MEMORY_MAX:
        raise Failed(f"the operator has allocated {allocated >> 20} MiB")


def requests_in(s, seconds):
    before = requests(s)
    time.sleep(seconds)  # what is measured is a rate
    return requests(s) - before


def requests(s):
    """The operator's: about jobs and savepoints, for objects by server-side apply, and for those that it looks at."""
    total = 0
    for line in s.cluster.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        verb = labels.get("verb")
        reads = verb in ("GET", "LIST") and labels.get("resource") in READ
        if verb != "WATCH" and (reads or verb == "APPLY" or labels.get("group") == "millrace.dev"):
            total += float(line.rsplit(" ", 1)[1])
    return int(total)


def memory():
    """Of the operator's process, which this machine sees: without, and with, the program itself, which is as large as it was
    built."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"operator" in command and command[0].endswith(b"millrace"):
                status = (process / "status").read_text()
                found.append([int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) << 10 for what in ("RssAnon", "VmRSS")])
        except (OSError, TypeError):
            continue
    if not found:
        raise Failed("there is no process of the operator")
    return max(found)
