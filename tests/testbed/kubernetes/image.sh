#!/usr/bin/env bash
# image.sh NAME TAG [OPTION...] WHAT[:PATH]...: makes a container image of programs of this machine, with every library
# that they need, and gives it to the cluster that run.sh set up for the command that this belongs to. Pods name it
# NAME:TAG, with imagePullPolicy Never or IfNotPresent. `image.py --help` says what is in it and which options there are.
#
#   image.sh millrace test target/release/millrace --command=--help
#   image.sh tools 1 /usr/bin/{bash,sleep,getent} --entrypoint bash
#   image.sh producer 1 --python producer.py:/app/producer.py --entrypoint python3 --entrypoint /app/producer.py
#
# `image.py --output FILE NAME:TAG …` makes one without a cluster, and `image.sh --import FILE` gives it to one.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

give() { ctr --address "$state/containerd.sock" --namespace k8s.io images import "$1" >/dev/null; }

name=${1:?usage: image.sh NAME TAG [OPTION...] WHAT[:PATH]...} tag=${2:?usage: image.sh NAME TAG [OPTION...] WHAT[:PATH]...}
shift 2
use_running_cluster
if [ "$name" = --import ]; then
  give "$tag"
  exit
fi

file=$state/image-$$.tar
trap 'rm -f "$file"' EXIT
"$here/image.py" --output "$file" "$name:$tag" "$@"
give "$file"
