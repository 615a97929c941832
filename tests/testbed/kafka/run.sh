#!/usr/bin/env bash
# run.sh CMD...: runs a command with a Kafka beside it: MILLRACE_TEST_KAFKA is its address,
# MILLRACE_TEST_KAFKA_SASL the one where users have to say who they are, and MILLRACE_REQUIRE_KAFKA=1 tells the tests to fail rather than skip without it. A Kafka that was
# running stays; one that this script started is stopped by the last run.sh that uses it. With
# TESTBED_KAFKA_NODES=3 it is one of three nodes, see start.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

stop() { "$here/stop.sh"; }

while_used all_running stop "$here/start.sh"
export MILLRACE_TEST_KAFKA=$kafka_address MILLRACE_TEST_KAFKA_SASL=$kafka_sasl MILLRACE_REQUIRE_KAFKA=1
"$@" {users}>&-
