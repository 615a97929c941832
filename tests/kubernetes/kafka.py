"""Kafka from outside of the cluster: topics, records in, committed records out."""

import datetime
import json
import threading
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, NewPartitions, NewTopic, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion,
)

from cluster import Failed, until


class Kafka:
    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})

    def create(self, *topics, partitions=4):
        futures = self.admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics])
        for future in futures.values():
            future.result(30)
        # Brokers hear of it a little later, and until then name no partitions.
        for topic in topics:
            until(f"{topic} is there", lambda topic=topic: self.partitions(topic) == partitions)

    def create_anew(self, topic, partitions=4):
        """A topic whose name others have used before."""
        if topic in self.topics(topic):
            self.admin.delete_topics([topic])[topic].result(30)
            until(f"{topic} is gone", lambda: topic not in self.topics(topic))
        self.create(topic, partitions=partitions)

    def grow(self, topic, partitions):
        for future in self.admin.create_partitions([NewPartitions(topic, partitions)]).values():
            future.result(30)

    def partitions(self, topic):
        return len(self.admin.list_topics(topic, timeout=10).topics[topic].partitions)

    def topics(self, prefix):
        return [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(prefix)]

    def add_user(self, name, password):
        """One who logs in with SCRAM-SHA-512."""
        way = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(name, way, password.encode())
        for future in self.admin.alter_user_scram_credentials([user]).values():
            future.result(30)

    def producer(self):
        return Producer({
            "bootstrap.servers": self.address,
            "enable.idempotence": True,
            "linger.ms": 5,
            # Topics grow under it.
            "topic.metadata.refresh.interval.ms": 1000,
        })

    def reader(self, topic):
        return Reader(self, topic)


class Reader:
    """Reads what is committed in a topic, in the background, with the time at which each record was seen."""

    def __init__(self, kafka, topic):
        self.kafka, self.topic, self.errors = kafka, topic, []
        self.consumer = Consumer({
            "bootstrap.servers": kafka.address,
            "group.id": f"e2e-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # A broker may not have heard yet of a topic that was just created.
            "topic.metadata.refresh.interval.ms": 1000,
            "error_cb": self._failed,
        })
        count = kafka.partitions(topic)
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
        self.rows = []
        self.seen = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.stopping.is_set():
            for message in self.consumer.consume(1000, 0.05):
                if message.error() is None:
                    self.rows.append(row(message.value()))
                    self.seen.append(time.monotonic())
                else:
                    self._failed(message.error())
        self.consumer.close()

    def _failed(self, error):
        self.errors.append(f"{datetime.datetime.now(datetime.UTC):%H:%M:%S} {error}")

    def again(self, patience=10):
        """How many records another consumer finds, and what this one met: whose fault it is that some are missing."""
        other = Reader(self.kafka, self.topic)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and len(other.rows) <= len(self.rows):
            other.stopping.wait(0.2)
        other.close()
        return f"another reader finds {len(other.rows)} records of {self.topic}; errors of this one: {self.errors[-5:]}"

    def longest_pause(self, after):
        """The longest time without a record, from a moment until now."""
        times = [after] + [seen for seen in list(self.seen) if seen > after] + [time.monotonic()]
        return max((b - a for a, b in zip(times, times[1:])), default=0)

    def close(self):
        self.stopping.set()
        self.thread.join(10)


def row(value):
    """A row of results, its window's start as epoch milliseconds."""
    found = json.loads(value)
    if isinstance(found.get("w"), str):
        start = datetime.datetime.fromisoformat(found["w"]).replace(tzinfo=datetime.UTC)
        found["w"] = round(start.timestamp() * 1000)
    return found


class Load:
    """Events with numbers of their own at a steady rate, in the background: their windows are known in advance."""

    def __init__(self, kafka, topic, rate=500, keys=50):
        self.kafka, self.topic, self.rate, self.keys = kafka, topic, rate, keys
        self.producer = kafka.producer()
        self.sent = 0
        self.expected = {}
        self.start = 1_700_000_000_000
        self.stopping = threading.Event()
        self.failed = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.finish()

    def _delivered(self, error, _):
        if error is not None:
            self.failed.append(str(error))

    def send(self, count):
        for _ in range(count):
            number = self.sent
            # A second of event time for every thousand events, whatever the clock says.
            time_ms = self.start + number
            key = f"k{number * 7919 % self.keys}"
            event = {"id": number, "k": key, "ts": time_ms}
            while True:
                try:
                    self.producer.produce(self.topic, json.dumps(event), key=str(number), on_delivery=self._delivered)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            window = time_ms - time_ms % 1000
            self.expected[(key, window)] = self.expected.get((key, window), 0) + 1
            self.sent += 1
        self.producer.poll(0)

    def _run(self):
        begun = time.monotonic()
        already = self.sent
        while not self.stopping.is_set():
            due = already + int((time.monotonic() - begun) * self.rate)
            self.send(max(0, min(due - self.sent, 2000)))
            self.stopping.wait(0.01)

    def finish(self):
        """Stops, and closes every window with an event far ahead in each partition."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        if self.thread.ident:
            self.thread.join(30)
        self.producer.flush(30)
        for partition in range(self.kafka.partitions(self.topic)):
            event = {"id": -1, "k": "end", "ts": self.start + self.sent + 3_600_000}
            self.producer.produce(self.topic, json.dumps(event), partition=partition, on_delivery=self._delivered)
        if self.producer.flush(30) or self.failed:
            raise Failed(f"events were not accepted: {self.failed[:3]}")


def check_exact(expected, rows):
    """Every window of every key once, with its count."""
    found = {}
    doubled = []
    for row in rows:
        if row["k"] == "end":
            continue
        place = (row["k"], row["w"])
        if place in found:
            doubled.append(place)
        found[place] = row["n"]
    lost = [place for place in expected if place not in found]
    torn = [place for place, count in expected.items() if place in found and found[place] != count]
    if lost or doubled or torn:
        raise Failed(
            f"of {len(expected)} windows {len(lost)} lost {lost[:3]}, {len(doubled)} doubled {doubled[:3]}, "
            f"{len(torn)} torn {[(place, expected[place], found[place]) for place in torn[:3]]}"
        )
