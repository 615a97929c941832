#!/usr/bin/env bash
# The benchmark with everything around it, from a clean machine: installs what is missing, builds,
# starts Kafka, fills the topic of events once, measures Millrace and Flink one after the other, and
# stops what it started. `make bench` calls it. Set in the environment:
#
#   QUERIES      which queries, default all: q0 q1 q2 q12 tumble hop q0-kafka hop-kafka; with COMMITS=1 tumble hop
#   EVENTS       how many events, default 10000000, with COMMITS=1 twice as many
#   RUNS         runs per query on Millrace, default 3, with COMMITS=1 9 pairs, at least 6; the median counts
#   FLINK_RUNS   the same for Flink, default 1, after a warm-up
#   FLINK=0      without Flink; FLINK_ONLY=1 without Millrace
#   LATENCY=1    measures latency instead, at RATE records a second (50000)
#   RECOVERY=1   measures instead how soon a killed worker commits again
#   LARGE_STATE=1 runs instead a job with 5 GB of state in 512 MiB of memory; KEYS groups, MEMORY MiB; needs root
#   COMMITS=1    measures instead what commits every 500 ms cost, against every 10 s
#   EXCHANGE=1   measures instead how long rows take from one worker to another, at RATE records a second
#   RESULTS      where the JSON goes, default benchmarks/results/latest.json
#   REPLICAS     more than 1: the queries run on so many workers, too, and are set against one
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
testbed=$root/tests/testbed
. "$here/build.sh"

if [ "${LATENCY:-0}" = 1 ]; then
  build millrace-cli millrace-benchmarks
  exec "$testbed/kafka/run.sh" "$binaries/millrace-bench" latency --millrace "$binaries/millrace" --rate "${RATE:-50000}"
fi

if [ "${RECOVERY:-0}" = 1 ]; then
  build millrace-cli millrace-benchmarks
  exec "$testbed/kafka/run.sh" "$binaries/millrace-bench" recovery --millrace "$binaries/millrace" --events "${EVENTS:-10000000}"
fi

if [ "${LARGE_STATE:-0}" = 1 ]; then
  build millrace-cli millrace-benchmarks
  exec "$testbed/kafka/run.sh" "$binaries/millrace-bench" large-state --millrace "$binaries/millrace" \
    --keys "${KEYS:-22000000}" --memory "${MEMORY:-512}"
fi

if [ "${COMMITS:-0}" = 1 ]; then
  build millrace-cli millrace-benchmarks
  read -ra queries <<<"${QUERIES:-tumble hop}"
  exec "$testbed/kafka/run.sh" "$binaries/millrace-bench" commits --millrace "$binaries/millrace" \
    --events "${EVENTS:-20000000}" --runs "${RUNS:-9}" "${queries[@]}"
fi

if [ "${EXCHANGE:-0}" = 1 ]; then
  build millrace-cli millrace-benchmarks
  exec "$testbed/kafka/run.sh" "$binaries/millrace-bench" exchange --millrace "$binaries/millrace" --rate "${RATE:-50000}"
fi

options=(--events "${EVENTS:-10000000}" --results "${RESULTS:-$here/results/latest.json}" --millrace "$binaries/millrace"
  --replicas "${REPLICAS:-1}")
packages=(millrace-benchmarks)
if [ "${FLINK_ONLY:-0}" = 1 ]; then
  options+=(--runs 0)
else
  options+=(--runs "${RUNS:-3}")
  packages+=(millrace-cli)
fi
if [ "${FLINK:-1}" = 0 ]; then
  options+=(--flink-runs 0)
else
  options+=(--flink-runs "${FLINK_RUNS:-1}")
  # Downloads first: they must not take place while something is measured.
  "$testbed/flink/install.sh"
  # The driver stops Flink itself; this is for when it is interrupted.
  trap '"$testbed/flink/stop.sh"' EXIT
fi

build "${packages[@]}"
read -ra queries <<<"${QUERIES:-q0 q1 q2 q12 tumble hop q0-kafka hop-kafka}"
"$testbed/kafka/run.sh" "$binaries/millrace-bench" run "${options[@]}" "${queries[@]}"
