"""A job whose state is not small."""

import json
import random
import time

from cluster import Failed, until

from . import scenario

KEYS = 330_000
# Of what each key keeps: with its key 200 MB in all.
PAD = 600
DAY = 86_400_000
STATE_MIN = 190 << 20


@scenario
def two_hundred_megabytes_move_with_their_tasks_under_load(s):
    pads, sizes = s.topic("pads"), s.topic("sizes")
    s.kafka.create(pads, sizes, partitions=4)
    with s.counting("heavy", partitions=4, rate=500, replicas=1, also=statements(pads, sizes)) as job:
        write(s.kafka, pads)
        until("the state is there", lambda: state_bytes(s, "heavy") > STATE_MIN, timeout=180)
        for replicas in (4, 2):
            at = time.monotonic()
            s.cluster.kubectl("scale", "streamjob/heavy", f"--replicas={replicas}", "-n", s.namespace)
            s.settled("heavy", pods=replicas)
            print(f"    {state_bytes(s, 'heavy') >> 20} MiB to {replicas} pods: longest pause of output {job.pause(at)}")
        at = time.monotonic()
        s.cluster.kubectl("delete", "pod", "heavy-0", "-n", s.namespace, "--grace-period=0", "--force")
        s.settled("heavy", pods=2)
        print(f"    heavy-0 killed: longest pause of output {job.pause(at)}")
        finish(s.kafka, pads)
        with_state(s, sizes)


@scenario
def larger_volumes_get_what_was_on_the_smaller_ones(s):
    with s.counting("grows", partitions=2, rate=500) as job:
        at = time.monotonic()
        job.apply(checkpoint={"interval": "1s", "storage": {"volume": {"size": "2Gi"}}})
        s.settled("grows", pods=2)
        claims = s.cluster.list("persistentvolumeclaims", s.namespace)
        sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in claims]
        assert sizes == ["2Gi", "2Gi"], sizes
        print(f"    longest pause of output {job.pause(at)}")


def statements(pads, sizes):
    """A window of a day that keeps what came longest for each key."""
    return {
        "tables": f"""
            CREATE TABLE pads (k STRING, pad STRING, ts BIGINT, t AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR t AS t)
              WITH ('connector' = 'kafka', 'topic' = '{pads}', 'format' = 'json',
                    'scan.startup.mode' = 'earliest-offset', 'scan.watermark.idle-timeout' = '0');
            CREATE TABLE sizes (k STRING, n BIGINT, pad STRING)
              WITH ('connector' = 'kafka', 'topic' = '{sizes}', 'format' = 'json');
        """,
        "inserts": """
            INSERT INTO sizes
              SELECT k, COUNT(*), SUBSTRING(MAX(pad), 1, 12)
              FROM TABLE(TUMBLE(TABLE pads, DESCRIPTOR(t), INTERVAL '1' DAY))
              GROUP BY k, window_start, window_end;
        """,
    }


def pad_of(number):
    """Of no two keys the same, and not to be made smaller."""
    return random.Random(number).randbytes(PAD // 2).hex()


def write(kafka, topic):
    producer = kafka.producer()
    for number in range(KEYS):
        event = json.dumps({"k": f"k{number}", "pad": pad_of(number), "ts": 1_700_000_000_000 + number})
        send(producer, topic, event, number % 4)
    flush(producer)


def finish(kafka, topic):
    """Closes the day, in every partition."""
    producer = kafka.producer()
    for partition in range(4):
        send(producer, topic, json.dumps({"k": "end", "pad": "", "ts": 1_700_000_000_000 + 3 * DAY}), partition)
    flush(producer)


def send(producer, topic, event, partition):
    while True:
        try:
            return producer.produce(topic, event, partition=partition)
        except BufferError:
            producer.poll(0.1)


def flush(producer):
    if producer.flush(60):
        raise Failed("events were not accepted")


def with_state(s, sizes):
    """Every key has what it had before all of that."""
    reader = s.kafka.reader(sizes)
    until("the day's rows", lambda: len(reader.rows) >= KEYS, timeout=180)
    found = {row["k"]: row for row in reader.rows}
    reader.close()
    assert len(reader.rows) == len(found) == KEYS, (len(reader.rows), len(found))
    wrong = [n for n in range(KEYS) if (row := found[f"k{n}"])["n"] != 1 or row["pad"] != pad_of(n)[:12]]
    assert not wrong, (len(wrong), wrong[:3])


def state_bytes(s, name):
    """Of all pods, as their metrics have it."""
    total = 0
    for pod in s.pods(name):
        proxy = f"/api/v1/namespaces/{s.namespace}/pods/{pod['metadata']['name']}:8081/proxy/api/v1/status"
        try:
            total += json.loads(s.cluster.kubectl("get", "--raw", proxy))["state"]["bytes"]
        except (Failed, KeyError, TypeError, ValueError):
            return 0
    return total
