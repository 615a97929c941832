#!/usr/bin/env python3
"""Shows the counts of the topic processed-events as they come: a row for each minute, a column for each action.

    counts.py --kafka 127.0.0.1:9092

Reads only what is committed, which is what exactly once means for a reader.
"""

import argparse
import json
import sys

from confluent_kafka import Consumer, KafkaError

TOPIC = "processed-events"


class CountReader:
    """All results of the topic so far, from its beginning."""

    def __init__(self, kafka, topic=TOPIC):
        self.consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": "counts",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "topic.metadata.refresh.interval.ms": 1000,
            }
        )
        self.consumer.subscribe([topic])
        self.windows = {}  # window_start -> {action: n}
        self.total = 0

    def poll(self, seconds):
        """Takes in what comes within some seconds; True if a result did."""
        message = self.consumer.poll(seconds)
        if message is None:
            return False
        if message.error():
            if message.error().code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                return False
            raise RuntimeError(f"reading the counts: {message.error()}")
        row = json.loads(message.value())
        window = self.windows.setdefault(row["window_start"], {})
        window[row["action"]] = window.get(row["action"], 0) + row["n"]
        self.total += row["n"]
        return True

    def table(self, rows=10):
        """The last minutes as lines of text."""
        actions = sorted({action for counts in self.windows.values() for action in counts})
        widths = [max(len(action), 9) for action in actions]
        lines = ["  ".join(["minute".ljust(19)] + [a.rjust(w) for a, w in zip(actions, widths)] + ["total".rjust(9)])]
        for start in sorted(self.windows)[-rows:]:
            counts = self.windows[start]
            cells = [f"{counts.get(a, 0):,}".rjust(w) for a, w in zip(actions, widths)]
            lines.append("  ".join([start[:19].ljust(19)] + cells + [f"{sum(counts.values()):,}".rjust(9)]))
        return lines

    def close(self):
        self.consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", default="127.0.0.1:9092", metavar="HOST:PORT")
    parser.add_argument("--topic", default=TOPIC)
    arguments = parser.parse_args()
    reader = CountReader(arguments.kafka, arguments.topic)
    print("waiting for the first complete minute (Ctrl-C ends)", file=sys.stderr)
    try:
        while True:
            if reader.poll(1.0):
                # Everything that is there already, before the table is shown again.
                while reader.poll(0.1):
                    pass
                print("\n".join(reader.table()), end="\n\n", flush=True)
    except KeyboardInterrupt:
        pass
    reader.close()


if __name__ == "__main__":
    main()
