#!/usr/bin/env python3
"""Runs the scenarios, one after the other, and says how each went. Ends with `e2e: N passed, M failed`.

A scenario that can't run fails. Each has a namespace of its own, which is deleted afterwards.
"""

import os
import sys
import time
import traceback

import scenarios
from cluster import Cluster
from installation import Installation
from kafka import Kafka


def wanted(name):
    words = os.environ.get("E2E", "").split()
    return not words or any(word in name for word in words)


def main():
    cluster, kafka = Cluster(), Kafka(os.environ["MILLRACE_TEST_KAFKA"])
    installation = Installation(cluster)
    passed, failed = 0, []
    begun = time.monotonic()
    for name, scenario in scenarios.every():
        if not wanted(name):
            continue
        print(f"--- {name}", flush=True)
        start = time.monotonic()
        try:
            scenario(scenarios.Surroundings(cluster, kafka, installation, name))
            passed += 1
            print(f"ok  {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 - whatever it was, the others run
            failed.append(name)
            traceback.print_exc()
            installation.show()
            print(f"FAILED {name} ({time.monotonic() - start:.1f} s)", flush=True)
        finally:
            cluster.delete_namespaces()
    for name in failed:
        print(f"failed: {name}")
    print(f"{time.monotonic() - begun:.0f} s")
    print(f"e2e: {passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
