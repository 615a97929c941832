#!/usr/bin/env bash
# Installs Kubernetes' components, etcd, CoreDNS and Helm, built from their Go modules, the sandbox of pods, and
# containerd with what it needs from the system's packages. Does nothing for what is there. The first time takes about
# 15 minutes of a core, and less where Go has their packages in its cache.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$testbed_dir/go.sh"

export CGO_ENABLED=0 GOFLAGS=-mod=readonly

# build_once NAME SOURCES COMMAND: runs COMMAND, unless it ran before with the same sources in this folder and the same
# install.sh.
build_once() {
  local wanted
  wanted=$(find "$here/install.sh" "$here/$2" -type f -print0 | sort -z | xargs -0 cat | sha256sum)
  [ "$(cat "$home/.$1" 2>/dev/null)" = "$wanted" ] && return
  echo "building $1" >&2
  "$3"
  echo "$wanted" >"$home/.$1"
}

# go_build FOLDER VARIABLES PACKAGE NAME: from the module in FOLDER, with values for VARIABLES, in the background of what
# else the machine does.
go_build() {
  local go
  go=$(go_since go1.26 go1.26.8)
  (cd "$here/$1" && nice -n 15 "$go" build -trimpath -buildvcs=false -ldflags "-s -w $2" -o "$bin/$4" "$3")
}

version_in() { sed -nE "s#^(require)?\s+$2 (v[^ ]+).*#\2#p" "$here/$1/go.mod" | head -n 1; }

components() {
  local version variables='' package name
  version=$(version_in components k8s.io/kubernetes)
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    variables+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
    variables+=" -X $package.gitTreeState=clean"
  done
  go_build components "$variables" . components
  for name in etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    ln -sf components "$bin/$name"
  done
}

coredns() { go_build tools '' ./coredns coredns; }

helm() {
  go_build tools "-X helm.sh/helm/v4/internal/version.version=$(version_in tools helm.sh/helm/v4)" helm.sh/helm/v4/cmd/helm helm
}

# Linked statically, since its image has nothing else.
pause() {
  cc -Os -static -o "$bin/pause" "$here/pause.c"
  "$here/image.py" --bare --output "$home/pause.tar" localhost/pause:testbed "$bin/pause:/pause"
}

locked
bin=$home/bin
mkdir -p "$bin"
"$testbed_dir/system.sh" fetch kubernetes
build_once components components components
build_once coredns tools coredns
build_once helm tools helm
build_once pause pause.c pause
