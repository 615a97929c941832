#!/usr/bin/env bash
# run.sh CMD...: runs a command with a Kafka beside it: MILLRACE_TEST_KAFKA is its address, and
# MILLRACE_REQUIRE_KAFKA=1 tells the tests to fail rather than skip without it. A Kafka that was
# running stays; one that this script started is stopped by the last run.sh that uses it. With
# TESTBED_KAFKA_NODES=3 it is one of three nodes, see start.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

mkdir -p "$state"
# Each user holds the lock shared while its command runs, so whoever gets it alone is the last.
exec 8>"$state/.users"
flock --shared 8

stop_if_last() {
  flock --exclusive --nonblock 8 || return 0
  if [ -f "$state/.started-by-run" ]; then
    "$here/stop.sh"
  fi
}

trap stop_if_last EXIT
if ! all_running; then
  "$here/start.sh" 8>&-
  touch "$state/.started-by-run"
fi
MILLRACE_TEST_KAFKA=$kafka_address MILLRACE_REQUIRE_KAFKA=1 "$@" 8>&-
