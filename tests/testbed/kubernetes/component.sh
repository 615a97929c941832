#!/usr/bin/env bash
# component.sh kill|stop|start|restart|pid NAME: does it to one component of the cluster that run.sh set up for the
# command that this belongs to: etcd, containerd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet,
# kube-proxy or coredns. Pods run on without it.
#
#   kill     SIGKILL; fails where it does not run
#   stop     SIGTERM, and SIGKILL after 5 s
#   start    returns when it serves again
#   restart  stop and start
#   pid      prints its process id
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

name=${2:?usage: component.sh kill|stop|start|restart|pid NAME}
halt_seconds=5 # the API server would wait for everybody who watches something
use_running_cluster

start() {
  running "$name" && return
  launch_component "$name"
  await "$name" 60 ready "$name"
}

case $1 in
  kill) running "$name" && slay "$name" ;;
  stop) halt "$name" ;;
  start) start ;;
  restart)
    halt "$name"
    start
    ;;
  pid) running "$name" && pid_of "$name" ;;
  *)
    echo "component.sh: cannot $1 a component" >&2
    exit 2
    ;;
esac
