#!/usr/bin/env bash
# Stops the Kafka that start.sh started on this port. With --delete-data its topics go too.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

halt kafka
if [ "${1:-}" = --delete-data ]; then rm -rf "$state"; fi
