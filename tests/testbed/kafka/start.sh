#!/usr/bin/env bash
# Starts Apache Kafka (KRaft) on 127.0.0.1:${TESTBED_KAFKA_PORT:-19092}; does nothing where it runs.
# Ready in about 6 s, 370 MiB. Its data stays when it is stopped. TESTBED_KAFKA_HOST is another address of this machine to
# serve on, for clients that do not run on it. With TLS it serves, too, by certificates that are made once, with its data.
#
# TESTBED_KAFKA_NODES=3: three nodes, each broker and controller, from port 19192 on: about 10 s,
# 1.1 GiB together when idle. What is replicated has three replicas then, and two have to be in sync.
set -euo pipefail
"$(dirname "$0")/install.sh"
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"
. "$here/certificates.sh"

locked
all_running && exit 0

mkdir -p "$state"
rm -f "$state/.started-by-run"
# 22 letters and digits that stand for 16 bytes, as Kafka wants them.
[ -f "$state/cluster-id" ] || head -c 16 /dev/urandom | base64 | tr '+/' 'AZ' | tr -d '=\n' >"$state/cluster-id"

if [ -n "$kafka_tls" ] && [ ! -d "$kafka_certificates" ]; then
  "$testbed_dir/system.sh" tls
  make_certificates
fi

configuring=()
for node in $(seq "$kafka_nodes"); do
  running "node-$node" && continue
  configure_node "$node" &
  configuring+=($!)
done
for process in "${configuring[@]}"; do wait "$process"; done
for node in $(seq "$kafka_nodes"); do
  running "node-$node" || launch_node "$node"
done
for node in $(seq "$kafka_nodes"); do
  await "node-$node" 60 node_ready "$node"
done
