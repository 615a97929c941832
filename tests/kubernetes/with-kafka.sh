#!/usr/bin/env bash
# with-kafka.sh CMD...: runs a command with the images in the cluster, and a Kafka that its pods reach.
set -euo pipefail
testbed=$(cd "$(dirname "$0")/../testbed" && pwd)
cp "$MILLRACE_E2E_BINARY" "$TESTBED_KUBERNETES/millrace"
"$testbed/kubernetes/image.sh" millrace e2e "$TESTBED_KUBERNETES/millrace"
TESTBED_KAFKA_HOST=$TESTBED_KUBERNETES_HOST TESTBED_KAFKA_PORT=${TESTBED_KAFKA_PORT:-19292} \
  exec "$testbed/kafka/run.sh" "$@"
