#!/usr/bin/env bash
# Stops the S3 server that start.sh started on this port. With --delete-data what it stores goes too.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

halt s3
if [ "${1:-}" = --delete-data ]; then rm -rf "$state"; fi
