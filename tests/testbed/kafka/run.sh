#!/usr/bin/env bash
# run.sh CMD...: runs a command with a Kafka beside it. For the command it sets:
#
#   MILLRACE_TEST_KAFKA               its address
#   MILLRACE_TEST_KAFKA_SASL          the one where users have to say who they are
#   MILLRACE_TEST_KAFKA_TLS           the one with TLS, where they have to show a certificate
#   MILLRACE_TEST_KAFKA_SASL_TLS      the one with TLS where they have to say who they are
#   MILLRACE_TEST_KAFKA_CERTIFICATES  a folder with ca.crt, whom the broker and its clients trust, client.crt and client.key
#   MILLRACE_REQUIRE_KAFKA=1          which tells the tests to fail rather than skip without it
#
# A Kafka that was running stays; one that this script started is stopped by the last run.sh that uses it. With
# TESTBED_KAFKA_NODES=3 it is one of three nodes, see start.sh, and has no TLS: its variables are empty.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

stop() { "$here/stop.sh"; }

while_used all_running stop "$here/start.sh"
export MILLRACE_TEST_KAFKA=$kafka_address MILLRACE_TEST_KAFKA_SASL=$kafka_sasl MILLRACE_REQUIRE_KAFKA=1
export MILLRACE_TEST_KAFKA_TLS=$kafka_tls MILLRACE_TEST_KAFKA_SASL_TLS=$kafka_sasl_tls
export MILLRACE_TEST_KAFKA_CERTIFICATES=${kafka_tls:+$kafka_certificates}
"$@" {users}>&-
