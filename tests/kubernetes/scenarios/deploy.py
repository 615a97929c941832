"""From a manifest to results."""

import os
import pathlib
import subprocess
import time

from cluster import until

from . import scenario

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "actions-per-minute"


@scenario
def the_example_counts_what_its_producer_sends(s):
    """The example's own manifest, on the names of topics that it has, with its own producer."""
    manifest = (EXAMPLE / "actions-per-minute.yaml").read_text()
    for topic in ("user-events", "processed-events", "actions-dead"):
        s.kafka.create_anew(topic)
    manifest = manifest.replace("kafka:9092", s.kafka.address)
    s.cluster.kubectl("apply", "-n", s.namespace, "-f", "-", stdin=manifest)
    s.settled("actions-per-minute")
    reader = s.kafka.reader("processed-events")
    already = len(reader.rows)
    sent = subprocess.run(
        [os.environ["MILLRACE_E2E_PYTHON"], str(EXAMPLE / "producer.py"), "--kafka", s.kafka.address,
         "--seconds", "5", "--rate", "200"],
        capture_output=True, text=True, timeout=60, check=True,
    )
    produced = int(sent.stdout.split("produced ")[-1].split()[0])
    total = lambda: sum(row[count_column(row)] for row in reader.rows[already:])  # noqa: E731
    until(f"{produced} events are counted", lambda: total() >= produced, timeout=90)
    assert total() == produced, (total(), produced)
    reader.close()


def count_column(row):
    return next(name for name, value in row.items() if isinstance(value, int) and name not in ("window_start",))


@scenario
def first_output_of_a_projection_comes_within_15_seconds(s):
    events, results = s.topics()
    with s.load(events, rate=200):
        sql = f"""
            CREATE TABLE events (id BIGINT, k STRING, ts BIGINT)
              WITH ('connector' = 'kafka', 'topic' = '{events}', 'format' = 'json',
                    'properties.group.id' = '{events}', 'scan.startup.mode' = 'earliest-offset');
            CREATE TABLE results (id BIGINT, k STRING)
              WITH ('connector' = 'kafka', 'topic' = '{results}', 'format' = 'json');
            INSERT INTO results SELECT id, k FROM events WHERE id >= 0;
        """
        reader = s.kafka.reader(results)
        begun = time.monotonic()
        s.cluster.apply(s.manifest("projection", sql))
        until("the first result", lambda: reader.rows, timeout=60, pause=0.02)
        took = reader.seen[0] - begun
    print(f"    {took:.1f} s from kubectl apply to the first committed result")
    s.settled("projection", pods=4)
    reader.close()


@scenario
def pods_follow_the_partitions(s):
    with s.counting("follows", partitions=4) as job:
        assert s.status("follows")["partitions"] == 4, s.status("follows")
        s.kafka.grow(job.events, 6)
        until("six tasks", lambda: s.status("follows").get("partitions") == 6, timeout=90)
        s.settled("follows", pods=6)


@scenario
def a_deleted_pod_goes_on_from_its_volume(s):
    with s.counting("resumes") as job:
        until("a checkpoint", lambda: s.status("resumes").get("lastCheckpoint"))
        at = time.monotonic()
        s.cluster.kubectl("delete", "pod", "resumes-1", "-n", s.namespace, "--wait=false")
        restore = until("the status names what it went on from", lambda: volume_restore(s, "resumes", "resumes-1"))
        s.settled("resumes", pods=2)
        print(f"    {restore['from']}, {restore['replayedBytes']} bytes replayed; longest pause of output {job.pause(at)}")


def volume_restore(s, job, pod):
    restore = s.status(job).get("lastRestore", {})
    if restore.get("pod") == pod and any("checkpoint on the volume of commit" in text for text in restore["from"]):
        return restore
    return None
