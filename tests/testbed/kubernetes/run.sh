#!/usr/bin/env bash
# run.sh CMD...: runs a command with a fresh cluster beside it, real Kubernetes with one node, and takes it down
# afterwards, whatever happens. Needs root. `run.sh bash` is a shell with a cluster. For the command it sets:
#
#   KUBECONFIG               who may do everything
#   PATH                     has kubectl and helm first
#   TESTBED_KUBERNETES       the cluster's folder: logs, pid files, volumes/, pod-logs/, and env, a file to source in other shells
#   TESTBED_KUBERNETES_HOST  this machine's address for pods: what they are to reach has to listen there or everywhere
#   TESTBED_KUBERNETES_NODE  the node's address, from here and from pods; addresses of pods and services work from here, too
#   MILLRACE_REQUIRE_KUBERNETES=1, which tells tests to fail rather than skip
#
# TESTBED_KUBERNETES_BLOCK, 10.245 unless set, are the first two bytes of all addresses; clusters that run at once, up
# to 16, take parts of it. Where the command fails, the logs stay, and their folder is printed.
set -euo pipefail
: "${1:?usage: run.sh COMMAND...}"
"$(dirname "$0")/install.sh"
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"
. "$here/certificates.sh"

# What components write at fixed places goes into folders of the cluster's own there. Those of the machine, where they
# are made for it, stay, empty: removing one would unmount another cluster's.
private=(/run /var/log /var/lib/kubelet /var/lib/cni /tmp/hostpath_pv)

# claim_cluster: the first number that no run.sh has. The lock holds as long as this script, its file says nothing.
claim_cluster() {
  local number
  for number in {0..15}; do
    use_cluster "$number"
    exec {claim}>"/run/$interface.lock"
    if flock --nonblock "$claim"; then
      remove_left # by one that was killed
      return
    fi
    exec {claim}>&-
  done
  echo "there are 16 clusters already" >&2
  return 1
}

# remove_left: what outlives the namespaces.
remove_left() {
  find /sys/fs/cgroup -depth -path "*/$cgroup*" -type d -exec rmdir {} \; 2>/dev/null || true
  rm -rf --one-file-system "$state"
}

# make_namespaces: their first process dies with this script, and everything in them with it.
make_namespaces() {
  mkdir -p "$state"
  if [ ${#state} -gt 64 ]; then
    echo "the path $state is too long for the sockets in it; set TESTBED to a shorter one" >&2
    return 1
  fi
  launch init setpriv --pdeathsig KILL unshare --net --mount --propagation private --mount-proc --pid --fork --kill-child \
    "$bin/pause"
  await init 10 inside grep -qx pause /proc/1/comm
}

make_network() {
  ip link add "$interface" type veth peer name node0 netns "$(pid_of init)"
  ip address add "$host_address/30" dev "$interface"
  ip link set "$interface" up
  inside ip link set lo up
  inside ip address add "$node_address/30" dev node0
  inside ip link set node0 up
  ip route add "$pods" via "$node_address"
  ip route add "$services" via "$node_address"
  [ -d /proc/sys/net/bridge ] || modprobe br_netfilter
  # What is private to a network, the bridge's setting included.
  inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
}

make_mounts() {
  local folder
  mkdir -p "$state/volumes"
  # The kubelet sets these for the whole machine, unless it finds that they are so.
  mkdir -p "$state/sysctl"
  echo 1 >"$state/sysctl/vm.overcommit_memory"
  echo 0 >"$state/sysctl/vm.panic_on_oom"
  echo 10 >"$state/sysctl/kernel.panic"
  echo 1 >"$state/sysctl/kernel.panic_on_oops"
  echo 1000000 >"$state/sysctl/kernel.keys.root_maxkeys"
  echo 25000000 >"$state/sysctl/kernel.keys.root_maxbytes"
  for folder in "${private[@]}"; do mkdir -p "$folder" "$state/private$folder"; done
  # shellcheck disable=SC2016
  inside bash -euc '
    state=$1
    mount --make-rshared /
    for folder in "${@:2}"; do mount --bind "$state/private$folder" "$folder"; done
    mount --bind "$state/volumes" /tmp/hostpath_pv
    for setting in "$state"/sysctl/*; do
      name=${setting##*/}
      mount --bind "$setting" "/proc/sys/${name//.//}"
    done
  ' mounts "$state" "${private[@]}"
}

make_cgroups() {
  local hierarchy
  while read -r hierarchy; do
    mkdir "$hierarchy/$cgroup"
    # The first version's groups of processors are empty at first.
    if [ -e "$hierarchy/cpuset.cpus" ] && [ ! -e "$hierarchy/cgroup.controllers" ]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy/$cgroup/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy/$cgroup/cpuset.mems"
    fi
  done < <(awk '$3 == "cgroup" || $3 == "cgroup2" && $2 == "/sys/fs/cgroup" { print $2 }' /proc/mounts)
}

configure() {
  local file plugins
  for plugins in /usr/lib/cni /opt/cni/bin; do [ ! -x "$plugins/bridge" ] || break; done
  mkdir -p "$state/etc/network" "$state/volume-plugins"
  echo "nameserver $node_address" >"$state/etc/resolv.conf"
  for file in "$here"/etc/*; do
    sed -e "s#@STATE@#$state#g" -e "s#@NODE_ADDRESS@#$node_address#g" -e "s#@NODE@#$node#g" -e "s#@PODS@#$pods#g" \
      -e "s#@CGROUP@#$cgroup#g" -e "s#@PLUGINS@#$plugins#g" "$file" >"$state/etc/${file##*/}"
  done
  mv "$state/etc/network.conflist" "$state/etc/network/"
}

up() {
  make_namespaces
  make_network
  make_mounts
  make_cgroups
  configure
  launch_component etcd
  launch_component containerd
  make_certificates
  launch_component kube-apiserver
  await containerd 30 ready containerd
  ctr --address "$state/containerd.sock" --namespace k8s.io images import "$home/pause.tar" >"$state/import.log"
  launch_component kubelet

  await kube-apiserver 90 ready kube-apiserver
  for component in kube-controller-manager kube-scheduler kube-proxy coredns; do launch_component "$component"; done
  export KUBECONFIG=$state/etc/admin.conf
  kubectl apply -f "$state/etc/objects.yaml" >"$state/objects.log"
  await kubelet 60 kubectl wait --for=condition=Ready "node/$node" --timeout=1s
  await kube-controller-manager 30 kubectl get serviceaccount default
  await coredns 30 ready coredns
}

# down STATUS
down() {
  trap '' INT TERM HUP
  if [ "$1" -ne 0 ] && [ -d "$state" ]; then
    rm -rf "$home/failed"
    mkdir "$home/failed"
    cp -r "$state"/*.log "$state/pod-logs" "$home/failed" 2>/dev/null || true
    echo "status $1; the logs of the cluster are in $home/failed" >&2
  fi
  if running init; then
    { inside bash -c 'kill 1' || true; } 2>/dev/null
    halt init
  fi
  ip link delete "$interface" 2>/dev/null || true
  remove_left
}

if [ "$(id -u)" -ne 0 ]; then
  echo "a cluster needs root, for its namespaces and containers" >&2
  exit 1
fi
claim_cluster
trap 'down $?' EXIT
up

{
  echo "export KUBECONFIG=$KUBECONFIG PATH=$bin:\$PATH TESTBED_KUBERNETES=$state"
  echo "export TESTBED_KUBERNETES_HOST=$host_address TESTBED_KUBERNETES_NODE=$node_address MILLRACE_REQUIRE_KUBERNETES=1"
  echo "export TESTBED_KUBERNETES_BLOCK=${host_address%.*.*}"
} >"$state/env"
. "$state/env"
# It is told to end where this script is.
setpriv --pdeathsig TERM "$@" {claim}>&-
