#!/usr/bin/env bash
# Installs versitygw, an S3 server over a folder, from its Go module; does nothing when it is there. The first time
# takes about four minutes of one core, and less where Go has its packages in its cache.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$testbed_dir/go.sh"

build() {
  local go
  go=$(go_since go1.24 go1.24.4)
  mkdir -p "$home/bin"
  GOBIN=$home/bin GOFLAGS=-mod=mod "$go" install github.com/versity/versitygw/cmd/versitygw@v1.2.0
}

locked
install_once fetch build
