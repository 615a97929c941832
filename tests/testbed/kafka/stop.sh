#!/usr/bin/env bash
# Stops the Kafka that start.sh started on this port, all of its nodes. With --delete-data its topics
# go too.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

nodes=()
for node in $(seq "$kafka_nodes"); do nodes+=("node-$node"); done
halt "${nodes[@]}"
if [ "${1:-}" = --delete-data ]; then rm -rf "$state"; fi
