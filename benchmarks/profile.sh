#!/usr/bin/env bash
# profile.sh QUERY: where a query's CPU time goes in Millrace, to results/profile-QUERY.txt, most
# expensive functions first. With perf where it works here, else with valgrind's callgrind, which
# counts instructions instead of time and is some 50 times slower. In the environment:
#
#   EVENTS   how many events, default 10000000 with perf and 200000 with callgrind
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
query=${1:?usage: profile.sh QUERY}
. "$here/build.sh"
build millrace-cli millrace-benchmarks

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report=$here/results/profile-$query.txt

# A virtual machine may have no cycle counter, and a container may not be allowed to use it.
perf_event() {
  local event
  for event in cycles cpu-clock; do
    perf record -q -e "$event" -o "$work/probe" true 2>/dev/null && { echo "$event"; return; }
  done
}

if command -v perf >/dev/null && event=$(perf_event) && [ -n "$event" ]; then
  tool=perf
  events=${EVENTS:-10000000}
  profiler=(perf record -q -e "$event" -F 999 -g -o "$work/data" --)
elif command -v valgrind >/dev/null; then
  tool=callgrind
  events=${EVENTS:-200000}
  profiler=(valgrind -q --tool=callgrind "--callgrind-out-file=$work/data")
else
  echo "neither perf nor valgrind works here; install one of them (in Debian: linux-perf, valgrind)" >&2
  exit 1
fi

export query events binaries work
"$root/tests/testbed/kafka/run.sh" bash -euo pipefail -c '
  "$binaries/millrace-bench" prepare "$query" --events "$events" >"$work/query.sql"
  cd "$work"
  "$@" "$binaries/millrace" run --bounded --sql "$work/query.sql" --kafka "$MILLRACE_TEST_KAFKA" >"$work/log" 2>&1 ||
    { tail -n 30 "$work/log" >&2; exit 1; }
  "$binaries/millrace-bench" clean "$query"
' profile "${profiler[@]}"

{
  echo "# $query, $events events, $tool, $(date -u +%F), $(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown version)"
  if [ $tool = perf ]; then
    perf report -i "$work/data" --stdio --no-children -g none --percent-limit 0.3 --sort comm,dso,symbol 2>/dev/null |
      grep -v '^#' | sed '/^$/d'
  else
    callgrind_annotate "$work/data" | sed -n '1,80p'
  fi
} >"$report"
echo "$report"
