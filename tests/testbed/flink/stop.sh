#!/usr/bin/env bash
# Stops the Flink cluster that start.sh started.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

halt taskmanager jobmanager
