#!/usr/bin/env bash
# Installs versitygw, an S3 server over a folder, from its Go module; does nothing when it is there. The first time
# takes about four minutes of one core, and less where Go has its packages in its cache.
#
# The last version that Go 1.24 builds, which is what Debian 13 has.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

build() {
  local go
  go=$(newest_go)
  mkdir -p "$home/bin"
  GOBIN=$home/bin GOFLAGS=-mod=mod "$go" install github.com/versity/versitygw/cmd/versitygw@v1.2.0
}

locked
install_once go build
