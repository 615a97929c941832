#!/usr/bin/env bash
# node.sh kill|stop|start|pid NODE: does it to one node (from 1 on) of a Kafka that start.sh started.
#
#   kill   SIGKILL, as when its machine is gone; fails where it does not run
#   stop   SIGTERM: it hands over what it leads first
#   start  with the data that it has; returns when it serves clients again
#   pid    prints its process id
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

node=${2:?usage: node.sh kill|stop|start|pid NODE}
[ -f "$state/node-$node.properties" ] || { echo "there is no node $node in $state" >&2; exit 2; }
case $1 in
  kill) running "node-$node" && slay "node-$node" ;;
  stop) halt "node-$node" ;;
  start)
    locked
    running "node-$node" && exit 0
    launch_node "$node"
    await "node-$node" 60 node_ready "$node"
    ;;
  pid) running "node-$node" && pid_of "node-$node" ;;
  *)
    echo "node.sh: cannot $1 a node" >&2
    exit 2
    ;;
esac
