#!/usr/bin/env bash
# Installs versitygw, an S3 server over a folder, from its Go module; does nothing when it is there. The first time
# takes about four minutes of one core, and less where Go has its packages in its cache.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# The oldest Go that builds it, and the one that is fetched where the system's is older, as Debian's often is.
oldest_go=go1.24
fetched_go=go1.24.4

# Go's own toolchains are modules of Go's module proxy.
fetch_go() {
  local proxy=${GOPROXY:-https://proxy.golang.org} platform zip
  platform=linux-$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac)
  zip=$home/go.zip
  echo "fetching $fetched_go for $platform" >&2
  curl -fsSL --retry 3 -o "$zip" "${proxy%%,*}/golang.org/toolchain/@v/v0.0.1-$fetched_go.$platform.zip"
  rm -rf "$home/go"
  python3 -m zipfile -e "$zip" "$home/go"
  rm "$zip"
  # A zip file of Python's has no modes.
  chmod -R u+x "$home/go/golang.org/toolchain@v0.0.1-$fetched_go.$platform/"{bin,pkg/tool}
  echo "$home/go/golang.org/toolchain@v0.0.1-$fetched_go.$platform/bin/go"
}

build() {
  local go
  go=$(command -v go || true)
  if [ -z "$go" ] || ! printf '%s\n%s\n' "$oldest_go" "$("$go" env GOVERSION)" | sort -V -C; then
    go=$(fetch_go)
  fi
  mkdir -p "$home/bin"
  GOBIN=$home/bin GOFLAGS=-mod=mod "$go" install github.com/versity/versitygw/cmd/versitygw@v1.2.0
}

locked
install_once fetch build
