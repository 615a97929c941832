#!/usr/bin/env bash
# The end-to-end tests: a real Kubernetes, a real Kafka, the chart, and `kubectl`. `make e2e` calls it. Builds and starts
# what it needs, and keeps what it built for the next time. E2E="scale upgrade" runs only scenarios whose names have one of
# these words.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
testbed=$root/tests/testbed
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/millrace/target}

"$testbed/system.sh" build python
"$root/scripts/cargo.sh" build --locked -p millrace-cli
python=$("$root/scripts/python-env.sh")
# Debug information makes the image ten times as large.
strip -o "$CARGO_TARGET_DIR/debug/millrace-stripped" "$CARGO_TARGET_DIR/debug/millrace"

# kubectl finds its plug-in there.
export PATH=$CARGO_TARGET_DIR/debug:$PATH
export MILLRACE_E2E_BINARY=$CARGO_TARGET_DIR/debug/millrace-stripped MILLRACE_E2E_PYTHON=$python
exec "$testbed/kubernetes/run.sh" "$here/with-kafka.sh" "$python" "$here/e2e.py" "$@"
