# Sourced after lib.sh by the scripts of the cluster: where it is, its addresses, and how something is run in it.
#
# A cluster has namespaces of its own for the network, mounts and processes, as a container has. So it needs no port
# of the machine, several may run at once, and all of it goes when the first process of its namespaces does: nothing
# of it can be left behind in iptables, among the mounts or the processes, even where run.sh is killed. A pair of
# virtual interfaces connects it to the machine, which reaches its pods and services through it.

bin=$home/bin
export PATH=$bin:$PATH:/usr/sbin:/sbin

node=testbed # the name of its only node

# use_cluster NUMBER: its folder and addresses.
use_cluster() {
  local block=${TESTBED_KUBERNETES_BLOCK:-10.245} # a /16
  state=$home/cluster-$1
  interface=millrace-k$1
  cgroup=millrace-testbed-$1
  host_address=$block.$((16 * $1)).1 # the machine, as the pods reach it
  node_address=$block.$((16 * $1)).2
  pods=$block.$((16 * $1 + 1)).0/24
  services=$block.$((16 * $1 + 2)).0/24
  kubernetes_service=$block.$((16 * $1 + 2)).1
  api=https://$node_address:6443
}

# use_running_cluster: that of the run.sh whose command this is.
use_running_cluster() {
  local number=${TESTBED_KUBERNETES:-}
  number=${number##*[!0-9]} # the digits at its end
  use_cluster "${number:-0}"
  if [ "$state" != "${TESTBED_KUBERNETES:-}" ] || ! running init; then
    echo "no cluster runs in '${TESTBED_KUBERNETES:-}' (TESTBED_KUBERNETES, which run.sh sets)" >&2
    return 1
  fi
}

# namespace NAME: the file of one of the cluster's. Its pid file names the process that made them, and that is in all
# of them but that of the processes, which is its child's.
namespace() { echo "/proc/$(pid_of init)/ns/$1"; }

# inside CMD...: runs a command of the machine in the cluster's network, among its mounts and processes.
inside() { nsenter --net="$(namespace net)" --mount="$(namespace mnt)" --pid="$(namespace pid_for_children)" "$@"; }

# launch_inside NAME CMD...: like launch, as a process of the cluster. Its parent is the cluster's first process in the end.
launch_inside() {
  local name=$1
  shift
  rm -f "$state/$name.pid"
  # The shell that becomes the command still sees the machine's /proc, and so the pid that the machine knows it by.
  # shellcheck disable=SC2016
  nsenter --pid="$(namespace pid_for_children)" bash -c '
    log=$1 net=$2 mnt=$3
    setsid nohup bash -c '\''
      read -r -a stat </proc/self/stat
      echo "${stat[0]} ${stat[21]}" >"$0.new"
      mv "$0.new" "$0"
      exec nsenter "$@"
    '\'' "${log%.log}.pid" --net="$net" --mount="$mnt" "${@:4}" >"$log" 2>&1 </dev/null &
  ' launch "$state/$name.log" "$(namespace net)" "$(namespace mnt)" "$@" 9>&-
  until [ -f "$state/$name.pid" ]; do sleep 0.01; done
}

# launch_component NAME
launch_component() {
  local etc=$state/etc command
  case $1 in
    # What it stores is thrown away.
    etcd)
      command=(etcd --name testbed --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380
        --initial-cluster testbed=http://127.0.0.1:2380)
      ;;
    containerd) command=(containerd --config "$etc/containerd.toml") ;;
    kube-apiserver)
      command=(kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$node_address"
        --bind-address=0.0.0.0 --secure-port=6443 --service-cluster-ip-range="$services"
        --tls-cert-file="$etc/apiserver.crt" --tls-private-key-file="$etc/apiserver.key" --client-ca-file="$etc/ca.crt"
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
        --service-account-issuer=https://kubernetes.default.svc.cluster.local
        --service-account-key-file="$etc/accounts.pub" --service-account-signing-key-file="$etc/accounts.key"
        --kubelet-client-certificate="$etc/apiserver-client.crt" --kubelet-client-key="$etc/apiserver-client.key"
        --kubelet-certificate-authority="$etc/ca.crt" --kubelet-preferred-address-types=InternalIP)
      ;;
    # With its usual limits on requests a new namespace waits seconds for its service account.
    kube-controller-manager)
      command=(kube-controller-manager --kubeconfig="$etc/controller-manager.conf" --leader-elect=false
        --use-service-account-credentials --kube-api-qps=300 --kube-api-burst=600 --bind-address=127.0.0.1
        --root-ca-file="$etc/ca.crt" --service-account-private-key-file="$etc/accounts.key"
        --cluster-signing-cert-file="$etc/ca.crt" --cluster-signing-key-file="$etc/ca.key"
        --enable-hostpath-provisioner)
      ;;
    kube-scheduler)
      command=(kube-scheduler --kubeconfig="$etc/scheduler.conf" --leader-elect=false --bind-address=127.0.0.1)
      ;;
    kubelet)
      command=(kubelet --config="$etc/kubelet.yaml" --kubeconfig="$etc/kubelet.conf" --hostname-override="$node"
        --node-ip="$node_address" --root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki")
      ;;
    kube-proxy) command=(kube-proxy --config="$etc/proxy.yaml") ;;
    coredns) command=(coredns -conf "$etc/Corefile") ;;
    *)
      echo "there is no component called $1" >&2
      return 2
      ;;
  esac
  launch_inside "$1" "${command[@]}"
}

# ready NAME: whether it serves.
ready() {
  case $1 in
    containerd) ctr --address "$state/containerd.sock" version ;;
    kube-apiserver) curl -sf --cacert "$state/etc/ca.crt" "$api/readyz" ;;
    kubelet) inside curl -sf http://127.0.0.1:10248/healthz ;;
    coredns) curl -sf "http://$node_address:8181/ready" ;;
    *) running "$1" ;;
  esac
}
