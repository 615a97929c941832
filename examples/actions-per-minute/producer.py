#!/usr/bin/env python3
"""Sends user events as JSON to the topic user-events, keyed by user.

Invented ones at a steady rate, or those of a file:

    producer.py --seconds 30 --rate 200
    producer.py --file sample-data.jsonl

The last line of its output is "produced N events": those that Kafka has acknowledged.
"""

import argparse
import json
import random
import sys
import time

from confluent_kafka import Producer

TOPIC = "user-events"
ACTIONS = ["view", "click", "search", "add_to_cart", "purchase"]
WEIGHTS = [50, 30, 12, 6, 2]
USERS = 1000


class EventSender:
    """Sends events, each exactly once, and counts those acknowledged."""

    def __init__(self, kafka, topic=TOPIC):
        self.producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "linger.ms": 20})
        self.topic = topic
        self.acknowledged = 0
        self.failed = 0

    def _delivered(self, error, _message):
        if error is None:
            self.acknowledged += 1
        else:
            self.failed += 1
            print(f"an event was not accepted: {error}", file=sys.stderr)

    def send(self, event):
        key, value = event["user_id"], json.dumps(event, separators=(",", ":"))
        while True:
            try:
                self.producer.produce(self.topic, key=key, value=value, on_delivery=self._delivered)
                break
            except BufferError:
                # The client's queue is full: let it send something first.
                self.producer.poll(0.1)
        self.producer.poll(0)

    def finish(self):
        self.producer.flush()


def invented(rng):
    return {
        "user_id": f"user-{rng.randrange(USERS):04}",
        "action": rng.choices(ACTIONS, WEIGHTS)[0],
        "timestamp": int(time.time() * 1000),
    }


def produce(sender, rate, seed=None, seconds=0, stopped=lambda: False):
    """Invents events at a rate, for some seconds or (0) until stopped."""
    rng = random.Random(seed)
    start = time.monotonic()
    sent = 0
    while not stopped():
        elapsed = time.monotonic() - start
        if seconds and elapsed >= seconds:
            break
        for _ in range(int(elapsed * rate) - sent):
            sender.send(invented(rng))
            sent += 1
        sender.producer.poll(0.01)
    sender.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", default="127.0.0.1:9092", metavar="HOST:PORT")
    parser.add_argument("--topic", default=TOPIC)
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C (the default)")
    parser.add_argument("--rate", type=float, default=200, help="events per second (default: 200)")
    parser.add_argument("--seed", type=int, help="for the same users and actions every time")
    parser.add_argument("--file", help="send the events of this file instead, one JSON object a line")
    arguments = parser.parse_args()

    sender = EventSender(arguments.kafka, arguments.topic)
    try:
        if arguments.file:
            with open(arguments.file, encoding="utf-8") as lines:
                for line in lines:
                    sender.send(json.loads(line))
        else:
            produce(sender, arguments.rate, arguments.seed, arguments.seconds)
    except KeyboardInterrupt:
        pass
    sender.finish()
    print(f"produced {sender.acknowledged} events")
    return 1 if sender.failed else 0


if __name__ == "__main__":
    sys.exit(main())
